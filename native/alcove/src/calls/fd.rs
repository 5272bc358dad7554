//! More of what is done with file descriptors.

use super::io::{most, offset, user_fd};
use super::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::{Flat, Outcome};
use crate::sys::fd as sys;
#[cfg(target_os = "linux")]
use crate::sys::fd::How;
use crate::sys::io;
use alcove_proto::wire::arg::Ptr;
use libc::c_int;
use nix::errno::Errno;
#[cfg(target_os = "linux")]
use nix::sys::memfd::{self, MFdFlags};
#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::os::fd::IntoRawFd;

/// fcntl(2): `{ok, Returned, Arg}`. The argument is a number or a pointer as for prctl.
pub fn fcntl(p: &mut Process, fd: i32, op: i64, arg: Ptr<'_>) -> Flat<(i64, Argument)> {
    let call = |fd, op: i64, word: usize| {
        let op = c_int::try_from(op).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a pointer is to memory that the kernel may write to. That it is as large as
        // the operation wants is the user's to see to.
        Errno::result(unsafe { libc::fcntl(fd, op, word) })
    };
    let done = control(p, fd, op, arg, call);
    if let Ok((returned, _)) = &done {
        if [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC]
            .map(i64::from)
            .contains(&op)
        {
            p.may_have(*returned);
        }
    }
    Flat(done)
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
    Ok(sys::dup(fd)?.into_raw_fd())
}

/// dup2(2): makes `to` what `fd` is.
pub fn dup2(p: &mut Process, fd: i32, to: i32) -> Outcome<i32> {
    let (fd, to) = (user_fd(p, fd)?, user_fd(p, to)?);
    let made = sys::dup2(fd, to)?;
    p.may_have(made.into());
    Ok(made)
}

/// pipe(2): `{ok, Reader, Writer}`.
pub fn pipe(_: &mut Process) -> Flat<(i32, i32)> {
    let made = nix::unistd::pipe();
    let numbers = made.map(|(reader, writer)| (reader.into_raw_fd(), writer.into_raw_fd()));
    Flat(numbers.map_err(Into::into))
}

/// ftruncate(2): sets the size of a file.
pub fn ftruncate(p: &mut Process, fd: i32, length: i64) -> Outcome {
    let (fd, length) = (user_fd(p, fd)?, offset(length)?);
    Ok(io::ftruncate(fd, length)?)
}

/// fsync(2): waits until a file is on its disk.
pub fn fsync(p: &mut Process, fd: i32) -> Outcome {
    let fd = user_fd(p, fd)?;
    Ok(io::fsync(fd)?)
}

/// pread(2): as read, from a place in a file.
pub fn pread(p: &mut Process, fd: i32, count: usize, at: i64) -> Outcome<Vec<u8>> {
    let (fd, at) = (user_fd(p, fd)?, offset(at)?);
    Ok(io::pread(fd, most(p, fd, count), at)?)
}

/// pwrite(2): as write, to a place in a file.
pub fn pwrite(p: &mut Process, fd: i32, buf: &[u8], at: i64) -> Outcome<i64> {
    let (fd, at) = (user_fd(p, fd)?, offset(at)?);
    Ok(io::pwrite(fd, buf, at)? as i64)
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
    Ok(memfd::memfd_create(name, MFdFlags::from_bits_retain(flags))?.into_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process};

    /// The highest of them stays known, whatever the limit of open files is later.
    #[test]
    fn numbers_of_the_users_choice_are_remembered() {
        in_child(|| {
            let mut p = process();
            assert_eq!(dup2(&mut p, 0, 300), Ok(300));
            assert_eq!(p.below, 301);
            assert!(dup2(&mut p, 0, i32::MAX).is_err());
            let from = Ptr::Int(310);
            let (made, _) = fcntl(&mut p, 0, libc::F_DUPFD.into(), from).0.expect("one");
            assert_eq!(i64::from(p.below), made + 1);
            let flags = libc::F_GETFL.into();
            assert!(fcntl(&mut p, 0, flags, Ptr::Int(0)).0.is_ok());
            assert_eq!(dup2(&mut p, 0, 299), Ok(299));
            assert_eq!(i64::from(p.below), made + 1);
        });
    }
}
