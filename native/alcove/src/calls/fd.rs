//! More of what is done with file descriptors.

use super::done;
use super::io::{most, user_fd};
use super::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::{Flat, Outcome};
use alcove_proto::wire::arg::Ptr;
use libc::c_int;
use nix::errno::Errno;
#[cfg(target_os = "linux")]
use {
    crate::sys::fd::{self as sys, How},
    std::ffi::CStr,
    std::os::fd::IntoRawFd,
};

// The plain names have 32 bits on some platforms, too few for the offsets of large files.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use libc::{ftruncate as ftruncate_c, off_t, pread as pread_c, pwrite as pwrite_c};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{
    ftruncate64 as ftruncate_c, off64_t as off_t, pread64 as pread_c, pwrite64 as pwrite_c,
};

/// fcntl(2): `{ok, Returned, Arg}`. The argument is a number or a pointer as for prctl.
pub fn fcntl(p: &mut Process, fd: i32, op: i64, arg: Ptr<'_>) -> Flat<(i64, Argument)> {
    let call = |fd, op: i64, word: usize| {
        let op = c_int::try_from(op).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a pointer is to memory that the kernel may write to. That it is as large as
        // the operation wants is the user's to see to.
        Errno::result(unsafe { libc::fcntl(fd, op, word) })
    };
    Flat(control(p, fd, op, arg, call))
}

/// ioctl(2): `{ok, Returned, Arg}`. The argument is a number or a pointer as for prctl.
pub fn ioctl(p: &mut Process, fd: i32, request: i64, arg: Ptr<'_>) -> Flat<(i64, Argument)> {
    let call = |fd, request: i64, word: usize| {
        let request = u32::try_from(request)
            .or_else(|_| i32::try_from(request).map(|request| request as u32))
            .map_err(|_| Errno::EINVAL)?;
        // SAFETY: as for fcntl.
        Errno::result(unsafe { libc::ioctl(fd, request as _, word) })
    };
    Flat(control(p, fd, request, arg, call))
}

fn control(
    p: &Process,
    fd: i32,
    what: i64,
    arg: Ptr<'_>,
    call: impl FnOnce(c_int, i64, usize) -> nix::Result<c_int>,
) -> Outcome<(i64, Argument)> {
    let fd = user_fd(p, fd)?;
    let mut arg = Argument::new(&mut Budget::new(), arg)?;
    let returned = call(fd, what, arg.word()?)?;
    Ok((returned.into(), arg))
}

/// dup(2).
pub fn dup(p: &mut Process, fd: i32) -> Outcome<i32> {
    let fd = user_fd(p, fd)?;
    // SAFETY: the new descriptor is in a free place.
    Ok(Errno::result(unsafe { libc::dup(fd) })?)
}

/// dup2(2): makes `to` what `fd` is.
pub fn dup2(p: &mut Process, fd: i32, to: i32) -> Outcome<i32> {
    let (fd, to) = (user_fd(p, fd)?, user_fd(p, to)?);
    // SAFETY: alcove has no other descriptor than the one that `user_fd` refuses.
    Ok(Errno::result(unsafe { libc::dup2(fd, to) })?)
}

/// pipe(2): `{ok, Reader, Writer}`.
pub fn pipe(_: &mut Process) -> Flat<(i32, i32)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel fills in two numbers.
    let made = Errno::result(unsafe { libc::pipe(ends.as_mut_ptr()) });
    Flat(made.map(|_| (ends[0], ends[1])).map_err(Into::into))
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "offsets have 32 bits on some platforms"
)]
fn offset(offset: i64) -> nix::Result<off_t> {
    off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)
}

/// ftruncate(2): sets the size of a file.
pub fn ftruncate(p: &mut Process, fd: i32, length: i64) -> Outcome {
    let (fd, length) = (user_fd(p, fd)?, offset(length)?);
    // SAFETY: no memory is touched.
    done(unsafe { ftruncate_c(fd, length) })
}

/// fsync(2): waits until a file is on its disk.
pub fn fsync(p: &mut Process, fd: i32) -> Outcome {
    let fd = user_fd(p, fd)?;
    // SAFETY: no memory is touched.
    done(unsafe { libc::fsync(fd) })
}

/// pread(2): as read, from a place in a file.
pub fn pread(p: &mut Process, fd: i32, count: usize, at: i64) -> Outcome<Vec<u8>> {
    let (fd, at) = (user_fd(p, fd)?, offset(at)?);
    let most = most(p, fd, count);
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(most).map_err(|_| Errno::ENOMEM)?;
    // SAFETY: there is room for `most` bytes, and the kernel has written the first `n`.
    unsafe {
        let n = Errno::result(pread_c(fd, bytes.as_mut_ptr().cast(), most, at))?;
        bytes.set_len(n as usize);
    }
    Ok(bytes)
}

/// pwrite(2): as write, to a place in a file.
pub fn pwrite(p: &mut Process, fd: i32, buf: &[u8], at: i64) -> Outcome<i64> {
    let (fd, at) = (user_fd(p, fd)?, offset(at)?);
    // SAFETY: the buffer is as long as is said.
    let n = Errno::result(unsafe { pwrite_c(fd, buf.as_ptr().cast(), buf.len(), at) })?;
    Ok(n as i64)
}

/// openat2(2): opens a file, and says how its path is to be resolved.
#[cfg(target_os = "linux")]
pub fn openat2(
    p: &mut Process,
    dirfd: i32,
    path: &CStr,
    flags: u64,
    mode: u32,
    resolve: u64,
) -> Outcome<i32> {
    let dirfd = user_fd(p, dirfd)?;
    let how = How {
        flags,
        mode: mode.into(),
        resolve,
    };
    Ok(sys::openat2(dirfd, path, &how)?.into_raw_fd())
}

/// memfd_create(2): a file that is nowhere but in memory.
#[cfg(target_os = "linux")]
pub fn memfd_create(_: &mut Process, name: &CStr, flags: u64) -> Outcome<i32> {
    let flags = libc::c_uint::try_from(flags).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the name ends with a NUL.
    Ok(Errno::result(unsafe {
        libc::memfd_create(name.as_ptr(), flags)
    })?)
}
