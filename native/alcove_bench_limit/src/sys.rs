//! The calls that need `unsafe`.

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// fork(2); the child runs `child` and exits with what that returns.
pub fn fork(child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: this program has one thread.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => leave(child()),
        ForkResult::Parent { child } => Ok(child),
    }
}

/// clone3(2) with flags that make namespaces; as [`fork`] otherwise.
#[cfg(target_os = "linux")]
pub fn clone(flags: u64, child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    // SAFETY: all-zero arguments are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and a stack this is a fork, and there is one thread.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of_val(&arguments),
        )
    };
    match Errno::result(pid)? {
        0 => leave(child()),
        pid => Ok(Pid::from_raw(pid as i32)),
    }
}

/// clone3(2) is Linux's.
#[cfg(not(target_os = "linux"))]
pub fn clone(_flags: u64, _child: impl FnOnce() -> i32) -> nix::Result<Pid> {
    Err(Errno::ENOSYS)
}

/// _exit(2).
pub fn leave(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}
