//! Mounts. Linux only.

use super::fd::made;
use libc::{c_int, c_uint};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// pivot_root(2).
pub fn pivot_root(new_root: &CStr, put_old: &CStr) -> nix::Result<()> {
    let (new_root, put_old) = (new_root.as_ptr(), put_old.as_ptr());
    // SAFETY: the paths end with a NUL.
    Errno::result(unsafe { libc::syscall(libc::SYS_pivot_root, new_root, put_old) }).map(drop)
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns: u64,
}

/// mount_setattr(2).
pub fn mount_setattr(
    dirfd: c_int,
    path: &CStr,
    flags: c_uint,
    attributes: &Attributes,
) -> nix::Result<()> {
    let (path, at, size) = (
        path.as_ptr(),
        &raw const *attributes,
        size_of_val(attributes),
    );
    // SAFETY: the path ends with a NUL, and the structure is as large as is said.
    let set = unsafe { libc::syscall(libc::SYS_mount_setattr, dirfd, path, flags, at, size) };
    Errno::result(set).map(drop)
}

/// open_tree(2).
pub fn open_tree(dirfd: c_int, path: &CStr, flags: c_uint) -> nix::Result<OwnedFd> {
    // SAFETY: the path ends with a NUL; the descriptor is new.
    unsafe {
        made(libc::syscall(
            libc::SYS_open_tree,
            dirfd,
            path.as_ptr(),
            flags,
        ))
    }
}

/// move_mount(2).
pub fn move_mount(
    (from_dirfd, from): (c_int, &CStr),
    (to_dirfd, to): (c_int, &CStr),
    flags: c_uint,
) -> nix::Result<()> {
    let (from, to) = (from.as_ptr(), to.as_ptr());
    // SAFETY: the paths end with a NUL.
    let moved =
        unsafe { libc::syscall(libc::SYS_move_mount, from_dirfd, from, to_dirfd, to, flags) };
    Errno::result(moved).map(drop)
}

/// fsopen(2).
pub fn fsopen(fstype: &CStr, flags: c_uint) -> nix::Result<OwnedFd> {
    // SAFETY: the name ends with a NUL; the descriptor is new.
    unsafe { made(libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), flags)) }
}

/// fsconfig(2). `value` is an address, or 0.
///
/// # Safety
/// A value is as the command wants it: a string ends with a NUL, and a binary one is as long as
/// `aux` says.
pub unsafe fn fsconfig(
    fd: c_int,
    command: c_uint,
    key: Option<&CStr>,
    value: usize,
    aux: c_int,
) -> nix::Result<()> {
    let key = key.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the key is null or ends with a NUL; the value is as the caller promises.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, aux) };
    Errno::result(done).map(drop)
}

/// fsmount(2).
pub fn fsmount(fd: c_int, flags: c_uint, attributes: c_uint) -> nix::Result<OwnedFd> {
    // SAFETY: takes numbers and touches no memory; the descriptor is new.
    unsafe { made(libc::syscall(libc::SYS_fsmount, fd, flags, attributes)) }
}
