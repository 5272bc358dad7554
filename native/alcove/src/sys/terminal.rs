//! Terminals.

use libc::c_int;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

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
