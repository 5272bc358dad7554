//! Mounts by file descriptors.

use super::io::user_fd;
use super::ptr::{Argument, Budget};
use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::mount::{self, Attributes};
use alcove_proto::wire::arg::Ptr;
use libc::c_uint;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::IntoRawFd;

fn bits(flags: u64) -> nix::Result<c_uint> {
    c_uint::try_from(flags).map_err(|_| Errno::EINVAL)
}

/// mount_setattr(2): sets and clears attributes of a mount, and its propagation. `userns` is a
/// user namespace's descriptor for `mount_attr_idmap`, and 0 otherwise.
#[allow(clippy::too_many_arguments, reason = "they are the system call's")]
pub fn mount_setattr(
    p: &mut Process,
    dirfd: i32,
    path: &CStr,
    flags: u64,
    set: u64,
    clear: u64,
    propagation: u64,
    userns: i32,
) -> Outcome {
    let (dirfd, flags) = (user_fd(p, dirfd)?, bits(flags)?);
    if userns == p.control {
        return Err(Errno::EBADF.into());
    }
    let attributes = Attributes {
        set,
        clear,
        propagation,
        userns: userns as u64,
    };
    Ok(mount::mount_setattr(dirfd, path, flags, &attributes)?)
}

/// open_tree(2): a mount, or a copy of one that is nowhere yet, as a descriptor.
pub fn open_tree(p: &mut Process, dirfd: i32, path: &CStr, flags: u64) -> Outcome<i32> {
    let (dirfd, flags) = (user_fd(p, dirfd)?, bits(flags)?);
    Ok(mount::open_tree(dirfd, path, flags)?.into_raw_fd())
}

/// move_mount(2): puts a mount somewhere.
pub fn move_mount(
    p: &mut Process,
    from_dirfd: i32,
    from: &CStr,
    to_dirfd: i32,
    to: &CStr,
    flags: u64,
) -> Outcome {
    let (from_dirfd, to_dirfd) = (user_fd(p, from_dirfd)?, user_fd(p, to_dirfd)?);
    let flags = bits(flags)?;
    Ok(mount::move_mount(
        (from_dirfd, from),
        (to_dirfd, to),
        flags,
    )?)
}

/// fsopen(2): a file system to be configured, as a descriptor.
pub fn fsopen(_: &mut Process, fstype: &CStr, flags: u64) -> Outcome<i32> {
    Ok(mount::fsopen(fstype, bits(flags)?)?.into_raw_fd())
}

/// fsconfig(2): a parameter of such a file system, or what is to be done with it.
///
/// An empty key is none, and 0 no value; a value of bytes ends with a NUL by itself.
pub fn fsconfig(
    p: &mut Process,
    fd: i32,
    command: i64,
    key: &CStr,
    value: Ptr<'_>,
    aux: i32,
) -> Outcome {
    /// For this command `aux` is a descriptor: linux/mount.h.
    const SET_FD: c_uint = 5;
    let fd = user_fd(p, fd)?;
    let command = c_uint::try_from(command).map_err(|_| Errno::EINVAL)?;
    let aux = if command == SET_FD {
        user_fd(p, aux)?
    } else {
        aux
    };
    let key = (!key.is_empty()).then_some(key);
    let mut value = Argument::new(&mut Budget::new(), value)?;
    let value = value.word()?;
    // SAFETY: a value of bytes ends with a NUL. That a binary one is as long as `aux` says is the
    // user's to see to.
    Ok(unsafe { mount::fsconfig(fd, command, key, value, aux) }?)
}

/// fsmount(2): a mount of such a file system, that is nowhere yet, as a descriptor.
pub fn fsmount(p: &mut Process, fd: i32, flags: u64, attr: u64) -> Outcome<i32> {
    let (fd, flags, attr) = (user_fd(p, fd)?, bits(flags)?, bits(attr)?);
    Ok(mount::fsmount(fd, flags, attr)?.into_raw_fd())
}
