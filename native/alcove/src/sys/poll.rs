//! poll(2).

use nix::errno::Errno;
use nix::poll::PollFd;
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use std::time::Duration;

/// Waits, for so long at most, until one of them has something to tell, or a signal comes that
/// isn't in the mask. How many of them have.
pub fn poll(fds: &mut [PollFd<'_>], limit: Option<Duration>, mask: SigSet) -> nix::Result<usize> {
    let limit = limit.map(TimeSpec::from_duration);
    ppoll(fds, limit, mask).map(|n| usize::try_from(n).unwrap_or_default())
}

#[cfg(not(target_os = "netbsd"))]
fn ppoll(fds: &mut [PollFd<'_>], limit: Option<TimeSpec>, mask: SigSet) -> nix::Result<i32> {
    nix::poll::ppoll(fds, limit, Some(mask))
}

/// The C library has it, and nix doesn't.
#[cfg(target_os = "netbsd")]
fn ppoll(fds: &mut [PollFd<'_>], limit: Option<TimeSpec>, mask: SigSet) -> nix::Result<i32> {
    let limit = limit
        .as_ref()
        .map_or(std::ptr::null(), |limit| limit.as_ref());
    let (count, fds) = (fds.len() as libc::nfds_t, fds.as_mut_ptr().cast());
    // SAFETY: a PollFd is a pollfd, of which there are so many; the others are read only.
    Errno::result(unsafe { libc::ppoll(fds, count, limit, mask.as_ref()) })
}

/// poll(2) of descriptors that are the user's, for so many milliseconds.
pub fn poll_numbers(polled: &mut [libc::pollfd], limit: libc::c_int) -> nix::Result<()> {
    // SAFETY: the list is as long as is said.
    let n = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, limit) };
    Errno::result(n).map(drop)
}
