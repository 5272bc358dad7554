//! Pseudo-terminals.

use crate::process::Process;
use crate::reply::Flat;
use libc::c_int;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// openpty(3): `{ok, Master, Slave, Name}`. Neither becomes the controlling terminal: that
/// is what the ioctl TIOCSCTTY is for, in a new session.
pub fn openpty(_: &mut Process) -> Flat<(i32, i32, Vec<u8>)> {
    Flat(pair().map_or_else(
        |errno| Err(errno.into()),
        |(master, slave, name)| Ok((master.into_raw_fd(), slave.into_raw_fd(), name.into_bytes())),
    ))
}

const FLAGS: c_int = libc::O_RDWR | libc::O_NOCTTY;

/// A terminal's master, its slave, and the name of that.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd, CString)> {
    // SAFETY: makes a descriptor.
    let master = owned(unsafe { libc::posix_openpt(FLAGS) })?;
    // SAFETY: the descriptor is open, and no memory is touched.
    unsafe {
        Errno::result(libc::grantpt(master.as_raw_fd()))?;
        Errno::result(libc::unlockpt(master.as_raw_fd()))?;
    }
    let name = name(&master)?;
    let slave = slave(&master, &name)?;
    Ok((master, slave, name))
}

fn owned(fd: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: the descriptor was just made.
    Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn name(master: &OwnedFd) -> nix::Result<CString> {
    // SAFETY: the result is null or a string, and there is no other thread to change it.
    unsafe {
        let name = libc::ptsname(master.as_raw_fd());
        if name.is_null() {
            return Err(Errno::last());
        }
        Ok(CStr::from_ptr(name).to_owned())
    }
}

/// Asks the master for its slave, whose name may mean another terminal, or none, in the
/// mount namespace that the process is in; by that name only where there is no asking.
fn slave(master: &OwnedFd, name: &CStr) -> nix::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: takes numbers and makes a descriptor.
        let peer = owned(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, FLAGS) });
        if peer.is_ok() {
            return peer;
        }
    }
    let _ = master;
    // SAFETY: the name ends with a NUL.
    owned(unsafe { libc::open(name.as_ptr(), FLAGS) })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};

    #[test]
    fn a_terminal_has_two_ends() {
        in_child(|| {
            let mut p = process();
            let (master, slave, name) = openpty(&mut p).0.expect("a terminal");
            assert!(name.starts_with(b"/dev/pts/"));
            // SAFETY: no memory is touched.
            assert_eq!(unsafe { libc::isatty(slave) }, 1);
            assert_eq!(
                text(&crate::calls::io::write(&mut p, slave, b"hi\n")),
                "{ok,3}"
            );
            assert_eq!(
                text(&crate::calls::io::read(&mut p, master, 10)),
                r#"{ok,"hi\r\n"}"#
            );
        });
    }
}
