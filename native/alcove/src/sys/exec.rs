//! exec of an open file. Linux and FreeBSD only.

use libc::{c_char, c_int};
use nix::errno::Errno;

/// fexecve(3). Returns only if it fails, and then why. On Linux it isn't the C library's, which
/// looks for the file in /proc where the kernel is old.
///
/// # Safety
/// Both lists point to C strings, and end with a null pointer.
pub unsafe fn fexecve(fd: c_int, argv: &[*const c_char], env: &[*const c_char]) -> Errno {
    let (argv, env) = (argv.as_ptr(), env.as_ptr());
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise; the empty path ends with a NUL.
    unsafe {
        let (none, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        libc::syscall(libc::SYS_execveat, fd, none, argv, env, flags);
    }
    #[cfg(not(target_os = "linux"))]
    // SAFETY: the caller's promise.
    unsafe {
        libc::fexecve(fd, argv, env);
    }
    Errno::last()
}
