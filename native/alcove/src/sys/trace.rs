//! Children that asked to be traced.
//!
//! With PTRACE_TRACEME a process makes its parent its tracer, whether or not the parent wants that.
//! From then on it stops at each signal and each exec, and wait4(2) shows these stops, which look
//! like ends to whoever expects only ends. Without a tracer that continues it, it never runs again.

use super::signal::kill;
use super::wait::{Waited, wait4};
use libc::c_int;
use nix::errno::Errno;

/// Lets a child go on that wait4(2) has shown to have stopped, as if it had not asked to be traced.
/// Returns false when the child has not stopped, or isn't traced by this process.
pub fn let_go(child: &Waited) -> bool {
    child.pid > 0 && libc::WIFSTOPPED(child.status) && detach(child.pid, child.status)
}

/// As [`let_go`], for a process that asks wait4(2) for nothing but ends, and so sees no other
/// stops. A child that can't be let go on is killed: it must not stay as it is.
pub fn let_go_or_kill(child: &Waited) -> bool {
    let stopped = child.pid > 0 && libc::WIFSTOPPED(child.status);
    if stopped && !detach(child.pid, child.status) {
        let _ = kill(child.pid, libc::SIGKILL);
    }
    stopped
}

/// Waits until a child has ended, and reaps it.
pub fn wait_until_ended(pid: c_int) {
    loop {
        match wait4(pid, 0) {
            Err(Errno::EINTR) => {}
            Ok(child) if let_go_or_kill(&child) => {}
            _ => return,
        }
    }
}

/// Ends the tracing; the process gets the signal at which it has stopped.
#[cfg(target_os = "linux")]
fn detach(pid: c_int, status: c_int) -> bool {
    let signal = match libc::WSTOPSIG(status) {
        libc::SIGTRAP if has_execed(pid) => 0,
        signal => signal,
    };
    // SAFETY: takes numbers only.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0_usize, signal as usize) == 0 }
}

/// Whether a traced process that has stopped with SIGTRAP has exec'ed. Without a tracer it would
/// not have got that signal. A program that sends SIGTRAP to itself with kill(2) looks the same.
#[cfg(target_os = "linux")]
fn has_execed(pid: c_int) -> bool {
    // SAFETY: an all-zero siginfo is valid, and the call fills in this one. A signal with SI_USER
    // comes with the pid of its sender.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::ptrace(libc::PTRACE_GETSIGINFO, pid, 0_usize, &raw mut info) == 0
            && info.si_code == libc::SI_USER
            && info.si_pid() == pid
    }
}

#[cfg(not(target_os = "linux"))]
fn detach(_pid: c_int, _status: c_int) -> bool {
    false
}
