//! Terminals.

use libc::c_int;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Makes a terminal the controlling one of the session that this process leads. Signal-safe.
pub fn make_controlling(terminal: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::ioctl(terminal, libc::TIOCSCTTY as _, 0) }).map(drop)
}

/// Sets the size of a terminal.
pub fn set_size(master: BorrowedFd<'_>, size: &libc::winsize) -> nix::Result<()> {
    let at = &raw const *size;
    // SAFETY: reads a structure of ours.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ as _, at) }).map(drop)
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
