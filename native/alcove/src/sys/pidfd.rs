//! Processes by file descriptors, which no other process can take over. Linux only.

use crate::process::Process;
use crate::reply::Outcome;

/// pidfd_open(2): a descriptor of a process, which is ready to be read when that has ended.
pub fn pidfd_open(_: &mut Process, pid: i32, flags: u64) -> Outcome<i32> {
    sys::pidfd_open(pid, flags)
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(p: &mut Process, pidfd: i32, signal: i32, flags: u64) -> Outcome {
    sys::pidfd_send_signal(p, pidfd, signal, flags)
}

#[cfg(target_os = "linux")]
mod sys {
    use super::*;
    use crate::sys::io::user_fd;
    use libc::c_uint;
    use nix::errno::Errno;

    fn bits(flags: u64) -> nix::Result<c_uint> {
        c_uint::try_from(flags).map_err(|_| Errno::EINVAL)
    }

    pub fn pidfd_open(pid: i32, flags: u64) -> Outcome<i32> {
        let flags = bits(flags)?;
        // SAFETY: takes numbers and touches no memory.
        Ok(Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })? as i32)
    }

    pub fn pidfd_send_signal(p: &Process, pidfd: i32, signal: i32, flags: u64) -> Outcome {
        let (pidfd, flags) = (user_fd(p, pidfd)?, bits(flags)?);
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: without a siginfo the kernel makes one as for kill(2).
        Errno::result(unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, flags)
        })?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::*;
    use crate::reply::Fail;

    pub fn pidfd_open(_: i32, _: u64) -> Outcome<i32> {
        Err(Fail::Unsupported)
    }

    pub fn pidfd_send_signal(_: &Process, _: i32, _: i32, _: u64) -> Outcome {
        Err(Fail::Unsupported)
    }
}
