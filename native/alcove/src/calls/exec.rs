//! Replacing and ending the process.

use crate::exit::leave;
use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::exec;
use crate::{protect, signals};
use nix::errno::Errno;
use std::ffi::CStr;

/// execvp(3): replaces the event loop by a program that is looked for in PATH.
///
/// Success answers nothing: the control socket closes. A file that the kernel
/// takes for no program is given to /bin/sh, as execvp(3) does.
pub fn execvp(process: &mut Process, file: &CStr, argv: Vec<&CStr>) -> Outcome {
    let argv = argv.into_iter().collect();
    replace(process, || exec::execvp(file, &argv))
}

/// execve(2): replaces the event loop by a program with an environment.
///
/// Success answers nothing: the control socket closes.
pub fn execve(process: &mut Process, file: &CStr, argv: Vec<&CStr>, env: Vec<&CStr>) -> Outcome {
    let (argv, env) = (argv.into_iter().collect(), env.into_iter().collect());
    replace(process, || exec::execve(file, &argv, &env))
}

/// fexecve(3): as execve, of a program that is open.
///
/// One that was opened with `o_cloexec` must be no script: its interpreter would not find it.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub fn fexecve(process: &mut Process, fd: i32, argv: Vec<&CStr>, env: Vec<&CStr>) -> Outcome {
    let fd = super::io::user_fd(process, fd)?;
    let (argv, env) = (argv.into_iter().collect(), env.into_iter().collect());
    replace(process, || exec::fexecve(fd, &argv, &env))
}

/// exit(3): ends the process; the control socket closes.
pub fn exit(_: &mut Process, status: i32) -> Outcome {
    leave(status)
}

/// Calls exec; if it returns, which is with an error, everything is as it was.
fn replace(process: &mut Process, exec: impl FnOnce() -> Errno) -> Outcome {
    let is_root = process.depth == 0;
    // What root's program doesn't reap, the guardian will.
    if is_root {
        protect::become_subreaper(false);
    }
    signals::before_exec();
    let fail = exec().into();
    signals::after_failed_exec(process);
    if is_root {
        protect::become_subreaper(true);
    }
    Err(fail)
}
