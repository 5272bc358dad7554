//! File descriptors.

use libc::{c_int, c_uint};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(target_os = "linux")]
use std::{
    ffi::CStr,
    os::fd::{FromRawFd, OwnedFd},
};

/// dup2(2): makes `to` a duplicate of `from`, and sets whether exec closes it.
///
/// `to` is a standard descriptor or the number of the control socket: nothing in this process
/// owns it.
pub fn place(from: BorrowedFd<'_>, to: c_int, close_on_exec: bool) -> nix::Result<()> {
    // SAFETY: as said above.
    unsafe {
        Errno::result(libc::dup2(from.as_raw_fd(), to))?;
        if close_on_exec {
            Errno::result(libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC))?;
        }
    }
    Ok(())
}

/// read(2). Signal-safe.
pub fn read(fd: c_int, buffer: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: the buffer is as long as is said.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// write(2). Signal-safe.
pub fn write(fd: c_int, bytes: &[u8]) -> nix::Result<usize> {
    // SAFETY: the bytes are as many as is said.
    let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// close_range(2). Old kernels and other systems lack it.
///
/// # Safety
/// Nothing uses these descriptors any more.
pub unsafe fn close_range(first: c_uint, last: c_uint) -> nix::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise.
    return Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
        .map(drop);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (first, last);
        Err(Errno::ENOSYS)
    }
}

/// The descriptor that a system call has made, or why it has not.
///
/// # Safety
/// This is what the call returned, and nothing else owns the descriptor.
#[cfg(target_os = "linux")]
pub unsafe fn made(returned: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(returned)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
}

/// `struct open_how` of linux/openat2.h.
#[cfg(target_os = "linux")]
#[repr(C)]
pub struct How {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// openat2(2).
#[cfg(target_os = "linux")]
pub fn openat2(dirfd: c_int, path: &CStr, how: &How) -> nix::Result<OwnedFd> {
    let (path, at, size) = (path.as_ptr(), &raw const *how, size_of_val(how));
    // SAFETY: the path ends with a NUL, the structure is as large as is said, and the descriptor
    // is new.
    unsafe { made(libc::syscall(libc::SYS_openat2, dirfd, path, at, size)) }
}

/// getdents64(2): fills the first bytes of the buffer with entries of a directory, and says how
/// many; 0 at the end. The buffer is aligned as the entries are. Signal-safe.
#[cfg(target_os = "linux")]
pub fn getdents(directory: BorrowedFd<'_>, buffer: &mut [u64]) -> nix::Result<usize> {
    let (size, at) = (size_of_val(buffer), buffer.as_mut_ptr());
    // SAFETY: the buffer is as long as is said.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), at, size) };
    Errno::result(n).map(|n| n as usize)
}
