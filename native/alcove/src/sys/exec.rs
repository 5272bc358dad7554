//! Replacing and ending the process.

use crate::process::Process;
use crate::reply::{Fail, Outcome};
use crate::sys::io::user_fd;
use crate::{guardian, leave, signals};
use libc::c_char;
use nix::errno::Errno;
use std::ffi::CStr;

/// execvp(3): replaces the event loop by a program that is looked for in PATH.
///
/// Success answers nothing: the control socket closes. A file that the kernel
/// takes for no program is given to /bin/sh, as execvp(3) does.
pub fn execvp(process: &mut Process, file: &CStr, argv: Vec<&CStr>) -> Outcome {
    let argv = pointers(&argv);
    // SAFETY: the strings and their list live until the call returns.
    replace(process, || unsafe {
        libc::execvp(file.as_ptr(), argv.as_ptr())
    })
}

/// execve(2): replaces the event loop by a program with an environment.
///
/// Success answers nothing: the control socket closes.
pub fn execve(process: &mut Process, file: &CStr, argv: Vec<&CStr>, env: Vec<&CStr>) -> Outcome {
    let (argv, env) = (pointers(&argv), pointers(&env));
    // SAFETY: the strings and their lists live until the call returns.
    replace(process, || unsafe {
        libc::execve(file.as_ptr(), argv.as_ptr(), env.as_ptr())
    })
}

/// fexecve(3): as execve, of a program that is open.
///
/// One that was opened with `o_cloexec` must be no script: its interpreter would not find it.
pub fn fexecve(process: &mut Process, fd: i32, argv: Vec<&CStr>, env: Vec<&CStr>) -> Outcome {
    let fd = user_fd(process, fd)?;
    let (argv, env) = (pointers(&argv), pointers(&env));
    sys::fexecve(process, fd, &argv, &env)
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod sys {
    use super::*;

    pub fn fexecve(
        process: &mut Process,
        fd: i32,
        argv: &[*const c_char],
        env: &[*const c_char],
    ) -> Outcome {
        // SAFETY: the strings and their lists live until the call returns.
        replace(process, || unsafe {
            fexecve_c(fd, argv.as_ptr(), env.as_ptr())
        })
    }

    #[cfg(target_os = "freebsd")]
    use libc::fexecve as fexecve_c;

    /// Not the C library's, which looks for the file in /proc where the kernel is old.
    #[cfg(target_os = "linux")]
    unsafe fn fexecve_c(fd: i32, argv: *const *const c_char, env: *const *const c_char) -> i32 {
        let (none, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { libc::syscall(libc::SYS_execveat, fd, none, argv, env, flags) as i32 }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
mod sys {
    use super::*;

    pub fn fexecve(_: &mut Process, _: i32, _: &[*const c_char], _: &[*const c_char]) -> Outcome {
        Err(Fail::Unsupported)
    }
}

/// exit(3): ends the process; the control socket closes.
pub fn exit(_: &mut Process, status: i32) -> Outcome {
    leave(status)
}

/// A list of C strings that ends as C's do.
fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Calls exec; if it returns, everything is as it was.
fn replace(process: &mut Process, exec: impl FnOnce() -> i32) -> Outcome {
    let is_root = process.depth == 0;
    // What root's program doesn't reap, the guardian will.
    if is_root {
        guardian::become_subreaper(false);
    }
    signals::before_exec();
    exec();
    let errno = Errno::last();
    signals::after_failed_exec(process);
    if is_root {
        guardian::become_subreaper(true);
    }
    Err(Fail::Errno(errno))
}
