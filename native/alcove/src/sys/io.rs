//! Reading and writing of descriptors, which are numbers here: most are the user's.

use libc::{c_int, c_void};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

// The plain names have 32 bits on some platforms, too few for the offsets of large files.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use libc::{
    ftruncate as ftruncate_c, lseek as lseek_c, open as open_c, pread as pread_c,
    pwrite as pwrite_c,
};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{
    ftruncate64 as ftruncate_c, lseek64 as lseek_c, open64 as open_c, pread64 as pread_c,
    pwrite64 as pwrite_c,
};

/// A place in a file.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub type Offset = libc::off64_t;
/// A place in a file.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub type Offset = libc::off_t;

/// open(2).
pub fn open(path: &CStr, flags: c_int, mode: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the path ends with a NUL, and nothing else owns the descriptor.
    unsafe {
        let fd = Errno::result(open_c(path.as_ptr(), flags, mode as libc::c_uint))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// read(2). Signal-safe.
pub fn read(fd: c_int, buffer: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: the buffer is as long as is said.
    let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// read(2), at most so many bytes. The memory for them is touched only as they come.
pub fn read_new(fd: c_int, most: usize) -> nix::Result<Vec<u8>> {
    // SAFETY: there is room for so many bytes.
    unsafe { filled(most, |at, size| libc::read(fd, at, size)) }
}

/// pread(2): as [`read_new`], from a place in a file.
pub fn pread(fd: c_int, most: usize, at: Offset) -> nix::Result<Vec<u8>> {
    // SAFETY: there is room for so many bytes.
    unsafe { filled(most, |to, size| pread_c(fd, to, size, at)) }
}

/// What a call writes into memory; `ENOMEM` if there is none.
///
/// # Safety
/// The call writes to the first bytes of the memory, and returns how many.
unsafe fn filled(
    most: usize,
    call: impl FnOnce(*mut c_void, usize) -> isize,
) -> nix::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
    let n = Errno::result(call(bytes.as_mut_ptr().cast(), most))?;
    // SAFETY: the caller's promise.
    unsafe { bytes.set_len(n as usize) };
    Ok(bytes)
}

/// write(2). Signal-safe.
pub fn write(fd: c_int, bytes: &[u8]) -> nix::Result<usize> {
    // SAFETY: the bytes are as many as is said.
    let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// pwrite(2).
pub fn pwrite(fd: c_int, bytes: &[u8], at: Offset) -> nix::Result<usize> {
    // SAFETY: the bytes are as many as is said.
    let n = unsafe { pwrite_c(fd, bytes.as_ptr().cast(), bytes.len(), at) };
    Errno::result(n).map(|n| n as usize)
}

/// lseek(2).
pub fn lseek(fd: c_int, offset: Offset, whence: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { lseek_c(fd, offset, whence) }).map(drop)
}

/// ftruncate(2).
pub fn ftruncate(fd: c_int, length: Offset) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { ftruncate_c(fd, length) }).map(drop)
}

/// fsync(2).
pub fn fsync(fd: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::fsync(fd) }).map(drop)
}

/// How many bytes a read may find at most, when that can be told: in a file the
/// size, else what waits in the pipe, socket or terminal.
pub fn available(fd: c_int) -> Option<usize> {
    // SAFETY: an all-zero stat is valid, and the calls fill in memory of ours.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG {
            return usize::try_from(stat.st_size).ok();
        }
        let mut waiting: c_int = 0;
        (libc::ioctl(fd, libc::FIONREAD, &raw mut waiting) == 0)
            .then(|| usize::try_from(waiting).ok())
            .flatten()
    }
}
