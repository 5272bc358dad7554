//! File descriptors.

use libc::{c_int, c_uint};
use nix::errno::Errno;
#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// dup2(2): makes `to` a duplicate of `from`, and sets whether exec closes it.
///
/// `to` is a standard descriptor or the number of the control socket: nothing in this process
/// owns it.
pub fn place(from: BorrowedFd<'_>, to: c_int, close_on_exec: bool) -> nix::Result<()> {
    dup2(from.as_raw_fd(), to)?;
    if close_on_exec {
        // SAFETY: takes numbers only.
        Errno::result(unsafe { libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok(())
}

/// dup2(2). Nothing in this process owns `to`.
pub fn dup2(from: c_int, to: c_int) -> nix::Result<c_int> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::dup2(from, to) })
}

/// dup(2).
pub fn dup(fd: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: takes a number only; nothing else owns the descriptor that is made.
    unsafe { Ok(OwnedFd::from_raw_fd(Errno::result(libc::dup(fd))?)) }
}

/// A duplicate of a descriptor that exec closes, with a number that is no lower than this.
pub fn duplicate(fd: c_int, lowest: c_int) -> nix::Result<OwnedFd> {
    // SAFETY: takes numbers only; nothing else owns the descriptor that is made.
    unsafe {
        let made = Errno::result(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest))?;
        Ok(OwnedFd::from_raw_fd(made))
    }
}

/// `EBADF` unless a descriptor is open.
pub fn ensure_open(fd: c_int) -> nix::Result<()> {
    // SAFETY: asks for flags only.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(drop)
}

/// A descriptor by its number, which isn't -1. It stays open meanwhile, as those of alcove's own
/// do, or calls with it may fail.
pub fn borrow<'a>(fd: c_int) -> BorrowedFd<'a> {
    // SAFETY: as said above; for -1 the call panics.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// readlinkat(2): what there is room for of what a symbolic link says. Signal-safe.
#[cfg(target_os = "linux")]
pub fn readlinkat<'a>(
    directory: BorrowedFd<'_>,
    path: &CStr,
    buffer: &'a mut [u8],
) -> nix::Result<&'a [u8]> {
    let (size, at) = (buffer.len(), buffer.as_mut_ptr().cast());
    // SAFETY: the path ends with a NUL, and the buffer is as long as is said.
    let n = unsafe { libc::readlinkat(directory.as_raw_fd(), path.as_ptr(), at, size) };
    Errno::result(n).map(|n| &buffer[..n as usize])
}

/// Closes descriptors: with one system call if their numbers are in a row.
pub fn close_row(mut fds: Vec<OwnedFd>) {
    fds.sort_unstable_by_key(AsRawFd::as_raw_fd);
    let (Some(first), Some(last)) = (fds.first(), fds.last()) else {
        return;
    };
    let (first, last) = (first.as_raw_fd(), last.as_raw_fd());
    let row = usize::try_from(last - first + 1) == Ok(fds.len());
    if row && close_range(first as c_uint, last as c_uint).is_ok() {
        fds.into_iter().for_each(std::mem::forget);
    }
}

/// Closes every descriptor except `kept`, which are sorted; false if the kernel refuses. Nothing in
/// this process owns the closed ones.
pub fn close_ranges(kept: &[c_uint]) -> bool {
    let mut lowest = 0;
    for fd in kept.iter().copied().chain([c_uint::MAX]) {
        if fd > lowest && close_range(lowest, fd - 1).is_err() {
            return false;
        }
        lowest = fd.saturating_add(1);
    }
    true
}

/// close_range(2). Old kernels and other systems lack it.
fn close_range(first: c_uint, last: c_uint) -> nix::Result<()> {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. Both callers close what nothing uses any more.
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

/// Calls `then` with each name in a directory, in the kernel's order. Signal-safe.
#[cfg(target_os = "linux")]
pub fn each_name(directory: BorrowedFd<'_>, mut then: impl FnMut(&CStr)) {
    // Aligned as the kernel aligns the entries.
    let mut buffer = [0_u64; 1024];
    loop {
        let n = getdents(directory, &mut buffer).unwrap_or(0);
        if n == 0 {
            return;
        }
        let mut at = 0;
        while at < n {
            // SAFETY: the kernel wrote whole entries into the first `n` bytes, each as
            // long as it says and with a C string for a name.
            let (length, name) = unsafe {
                let entry = buffer.as_ptr().byte_add(at).cast::<libc::dirent64>();
                let name = (&raw const (*entry).d_name).cast::<libc::c_char>();
                (usize::from((*entry).d_reclen), CStr::from_ptr(name))
            };
            then(name);
            at += length;
        }
    }
}

/// getdents64(2): fills the first bytes of the buffer with entries of a directory, and says how
/// many; 0 at the end. The buffer is aligned as the entries are.
#[cfg(target_os = "linux")]
fn getdents(directory: BorrowedFd<'_>, buffer: &mut [u64]) -> nix::Result<usize> {
    let (size, at) = (size_of_val(buffer), buffer.as_mut_ptr());
    // SAFETY: the buffer is as long as is said.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), at, size) };
    Errno::result(n).map(|n| n as usize)
}
