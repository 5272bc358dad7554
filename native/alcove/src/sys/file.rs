//! Files by their names, and what is known about them.

use libc::{c_int, mode_t};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use std::ffi::CStr;

// The plain names have 32 bits on some platforms, too few for the sizes of large files.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use libc::{fstat as fstat_c, lstat as lstat_c, stat as stat_c};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{fstat64 as fstat_c, lstat64 as lstat_c, stat64 as stat_c};

/// What stat(2) fills in.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub type Stat = libc::stat;
/// What stat(2) fills in.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub type Stat = libc::stat64;

/// chmod(2). nix has only fchmodat(2), which a filter may not allow.
pub fn chmod(path: &CStr, mode: u32) -> nix::Result<()> {
    // SAFETY: the path ends with a NUL.
    Errno::result(unsafe { libc::chmod(path.as_ptr(), mode as mode_t) }).map(drop)
}

/// rmdir(2).
pub fn rmdir(path: &CStr) -> nix::Result<()> {
    // SAFETY: the path ends with a NUL.
    Errno::result(unsafe { libc::rmdir(path.as_ptr()) }).map(drop)
}

/// link(2).
pub fn link(path: &CStr, new: &CStr) -> nix::Result<()> {
    // SAFETY: the paths end with a NUL.
    Errno::result(unsafe { libc::link(path.as_ptr(), new.as_ptr()) }).map(drop)
}

/// symlink(2).
pub fn symlink(target: &CStr, path: &CStr) -> nix::Result<()> {
    // SAFETY: the paths end with a NUL.
    Errno::result(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) }).map(drop)
}

/// readlink(2): how many bytes of the buffer it fills.
pub fn readlink(path: &CStr, buffer: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: the path ends with a NUL, and the buffer is as long as is said.
    let n = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    Errno::result(n).map(|n| n as usize)
}

/// rename(2).
pub fn rename(from: &CStr, to: &CStr) -> nix::Result<()> {
    // SAFETY: the paths end with a NUL.
    Errno::result(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// utimensat(2), from the working directory: when a file was accessed, and modified.
pub fn utimens(path: &CStr, times: [TimeSpec; 2], flags: c_int) -> nix::Result<()> {
    let times = times.map(|time| *time.as_ref());
    // SAFETY: the path ends with a NUL, and there are two times.
    Errno::result(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) })
        .map(drop)
}

/// stat(2).
pub fn stat(path: &CStr) -> nix::Result<Stat> {
    // SAFETY: the path ends with a NUL, and the kernel fills in the structure.
    filled(|stat| unsafe { stat_c(path.as_ptr(), stat) })
}

/// lstat(2).
pub fn lstat(path: &CStr) -> nix::Result<Stat> {
    // SAFETY: as for stat.
    filled(|stat| unsafe { lstat_c(path.as_ptr(), stat) })
}

/// fstat(2).
pub fn fstat(fd: c_int) -> nix::Result<Stat> {
    // SAFETY: the kernel fills in the structure.
    filled(|stat| unsafe { fstat_c(fd, stat) })
}

fn filled(fill: impl FnOnce(&mut Stat) -> c_int) -> nix::Result<Stat> {
    // SAFETY: an all-zero stat is valid.
    let mut stat: Stat = unsafe { std::mem::zeroed() };
    Errno::result(fill(&mut stat))?;
    Ok(stat)
}
