//! Processes by pidfds: unlike a pid, a pidfd never comes to mean another process. `ENOSYS` if the
//! system has no pidfds, or another error if a filter refuses the call.

use libc::{c_int, c_uint};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// pidfd_open(2): a descriptor of a process, which becomes readable when the process has ended.
/// It is close-on-exec.
pub fn open(pid: c_int, flags: c_uint) -> nix::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only; the descriptor is new.
    unsafe {
        super::fd::made(libc::syscall(libc::SYS_pidfd_open, pid, flags))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pid, flags);
        Err(Errno::ENOSYS)
    }
}

/// pidfd_send_signal(2): sends a signal as kill(2) does.
pub fn send_signal(pidfd: impl AsRawFd, signal: c_int, flags: c_uint) -> nix::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let pidfd = pidfd.as_raw_fd();
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: without a siginfo the kernel makes one as for kill(2).
        Errno::result(unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, flags)
        })
        .map(drop)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pidfd, signal, flags);
        Err(Errno::ENOSYS)
    }
}
