//! Pseudo-terminals.

use crate::process::Process;
use crate::reply::Flat;
use crate::sys::terminal::pair;
use std::os::fd::IntoRawFd;

/// openpty(3): `{ok, Master, Slave, Name}`. Neither becomes the controlling terminal: that
/// is what the ioctl TIOCSCTTY is for, in a new session.
pub fn openpty(_: &mut Process) -> Flat<(i32, i32, Vec<u8>)> {
    Flat(pair().map_or_else(
        |errno| Err(errno.into()),
        |(master, slave, name)| Ok((master.into_raw_fd(), slave.into_raw_fd(), name.into_bytes())),
    ))
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
            assert_eq!(nix::unistd::isatty(crate::sys::fd::borrow(slave)), Ok(true));
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
