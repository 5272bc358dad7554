//! Waiting for children.

use libc::c_int;
use nix::errno::Errno;

/// What wait4(2) reports about a child: that it ended, or that it stopped.
pub struct Waited {
    /// Its pid; 0 if no child has ended or stopped.
    pub pid: c_int,
    /// Its status.
    pub status: c_int,
    /// What it has used.
    pub usage: libc::rusage,
}

impl Waited {
    /// Nothing is known but the pid.
    pub fn unknown(pid: c_int) -> Self {
        Waited {
            pid,
            status: 0,
            // SAFETY: an all-zero rusage is valid.
            usage: unsafe { std::mem::zeroed() },
        }
    }
}

/// waitpid(2) without waiting: reaps a child and leaves its status. Its pid; 0 if none has ended.
/// Signal-safe.
pub fn reap(pid: c_int) -> nix::Result<c_int> {
    // SAFETY: no status is asked for.
    Errno::result(unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) })
}

/// Whether this process has a child of this pid. Reaps nothing.
/// Signal-safe.
pub fn is_waited_for(pid: c_int) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: an all-zero siginfo is valid, and the call fills in this one.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options) == 0
    }
}

/// wait4(2).
pub fn wait4(pid: c_int, options: c_int) -> nix::Result<Waited> {
    let mut waited = Waited::unknown(pid);
    // SAFETY: the kernel fills in memory of ours.
    let pid = unsafe { libc::wait4(pid, &mut waited.status, options, &mut waited.usage) };
    waited.pid = Errno::result(pid)?;
    Ok(waited)
}
