//! System calls whose arguments the user gives. Linux only.

use libc::{c_long, c_uint};
use nix::errno::Errno;

/// syscall(2).
///
/// # Safety
/// The arguments are what this call may be given.
pub unsafe fn syscall(number: c_long, arguments: [usize; 6]) -> nix::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller's promise.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// seccomp(2). `args` is an address, or 0.
///
/// # Safety
/// At the address there is what the operation wants.
pub unsafe fn seccomp(operation: c_uint, flags: c_uint, args: usize) -> nix::Result<c_long> {
    // SAFETY: the caller's promise.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, args) })
}
