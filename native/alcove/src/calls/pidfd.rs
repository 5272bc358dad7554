//! Processes by file descriptors, which no other process can take over.

use super::io::user_fd;
use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::pidfd;
use libc::c_uint;
use nix::errno::Errno;
use std::os::fd::IntoRawFd;

fn bits(flags: u64) -> nix::Result<c_uint> {
    c_uint::try_from(flags).map_err(|_| Errno::EINVAL)
}

/// pidfd_open(2): a descriptor of a process, which is ready to be read when that has ended.
pub fn pidfd_open(_: &mut Process, pid: i32, flags: u64) -> Outcome<i32> {
    Ok(pidfd::open(pid, bits(flags)?)?.into_raw_fd())
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(p: &mut Process, pidfd: i32, signal: i32, flags: u64) -> Outcome {
    let pidfd = user_fd(p, pidfd)?;
    Ok(pidfd::send_signal(pidfd, signal, bits(flags)?)?)
}
