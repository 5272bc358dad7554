//! Mounts by file descriptors. Linux only.

use crate::process::Process;
use crate::reply::Outcome;
use alcove_proto::wire::arg::Ptr;
use std::ffi::CStr;

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
    let attr = sys::MountAttr {
        set,
        clear,
        propagation,
        userns: userns as u64,
    };
    sys::mount_setattr(p, dirfd, path, flags, attr)
}

/// open_tree(2): a mount, or a copy of one that is nowhere yet, as a descriptor.
pub fn open_tree(p: &mut Process, dirfd: i32, path: &CStr, flags: u64) -> Outcome<i32> {
    sys::open_tree(p, dirfd, path, flags)
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
    sys::move_mount(p, [(from_dirfd, from), (to_dirfd, to)], flags)
}

/// fsopen(2): a file system to be configured, as a descriptor.
pub fn fsopen(_: &mut Process, fstype: &CStr, flags: u64) -> Outcome<i32> {
    sys::fsopen(fstype, flags)
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
    sys::fsconfig(p, fd, command, key, value, aux)
}

/// fsmount(2): a mount of such a file system, that is nowhere yet, as a descriptor.
pub fn fsmount(p: &mut Process, fd: i32, flags: u64, attr: u64) -> Outcome<i32> {
    sys::fsmount(p, fd, flags, attr)
}

#[cfg(target_os = "linux")]
mod sys {
    use super::*;
    use crate::sys::io::user_fd;
    use crate::sys::ptr::{Argument, Budget};
    use libc::{c_int, c_uint};
    use nix::errno::Errno;

    /// `struct mount_attr` of linux/mount.h.
    #[repr(C)]
    pub struct MountAttr {
        pub set: u64,
        pub clear: u64,
        pub propagation: u64,
        pub userns: u64,
    }

    fn bits(flags: u64) -> nix::Result<c_uint> {
        c_uint::try_from(flags).map_err(|_| Errno::EINVAL)
    }

    pub fn mount_setattr(
        p: &Process,
        dirfd: i32,
        path: &CStr,
        flags: u64,
        attr: MountAttr,
    ) -> Outcome {
        let (dirfd, flags) = (user_fd(p, dirfd)?, bits(flags)?);
        if attr.userns == p.control as u64 {
            return Err(Errno::EBADF.into());
        }
        // SAFETY: the path ends with a NUL, and the structure is as large as is said.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                dirfd,
                path.as_ptr(),
                flags,
                &raw const attr,
                size_of::<MountAttr>(),
            )
        })?;
        Ok(())
    }

    pub fn open_tree(p: &Process, dirfd: i32, path: &CStr, flags: u64) -> Outcome<i32> {
        let (dirfd, flags) = (user_fd(p, dirfd)?, bits(flags)?);
        // SAFETY: the path ends with a NUL.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, dirfd, path.as_ptr(), flags) };
        Ok(Errno::result(fd)? as i32)
    }

    pub fn move_mount(p: &Process, [from, to]: [(i32, &CStr); 2], flags: u64) -> Outcome {
        let (from_dirfd, to_dirfd) = (user_fd(p, from.0)?, user_fd(p, to.0)?);
        let (from, to, flags) = (from.1.as_ptr(), to.1.as_ptr(), bits(flags)?);
        // SAFETY: the paths end with a NUL.
        Errno::result(unsafe {
            libc::syscall(libc::SYS_move_mount, from_dirfd, from, to_dirfd, to, flags)
        })?;
        Ok(())
    }

    pub fn fsopen(fstype: &CStr, flags: u64) -> Outcome<i32> {
        let flags = bits(flags)?;
        // SAFETY: the name ends with a NUL.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), flags) };
        Ok(Errno::result(fd)? as i32)
    }

    pub fn fsconfig(
        p: &Process,
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
        let aux: c_int = if command == SET_FD {
            user_fd(p, aux)?
        } else {
            aux
        };
        let key = if key.is_empty() {
            std::ptr::null()
        } else {
            key.as_ptr()
        };
        let mut value = Argument::new(&mut Budget::new(), value)?;
        let value = value.word()?;
        // SAFETY: the key is null or ends with a NUL, and so does a value of bytes. That a
        // binary value is as long as `aux` says is the user's to see to.
        Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, fd, command, key, value, aux) })?;
        Ok(())
    }

    pub fn fsmount(p: &Process, fd: i32, flags: u64, attr: u64) -> Outcome<i32> {
        let (fd, flags, attr) = (user_fd(p, fd)?, bits(flags)?, bits(attr)?);
        // SAFETY: takes numbers and touches no memory.
        Ok(Errno::result(unsafe { libc::syscall(libc::SYS_fsmount, fd, flags, attr) })? as i32)
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::*;
    use crate::reply::Fail;

    #[allow(dead_code, reason = "the calls that read it are Linux's")]
    pub struct MountAttr {
        pub set: u64,
        pub clear: u64,
        pub propagation: u64,
        pub userns: u64,
    }

    pub fn mount_setattr(_: &Process, _: i32, _: &CStr, _: u64, _: MountAttr) -> Outcome {
        Err(Fail::Unsupported)
    }

    pub fn open_tree(_: &Process, _: i32, _: &CStr, _: u64) -> Outcome<i32> {
        Err(Fail::Unsupported)
    }

    pub fn move_mount(_: &Process, _: [(i32, &CStr); 2], _: u64) -> Outcome {
        Err(Fail::Unsupported)
    }

    pub fn fsopen(_: &CStr, _: u64) -> Outcome<i32> {
        Err(Fail::Unsupported)
    }

    pub fn fsconfig(_: &Process, _: i32, _: i64, _: &CStr, _: Ptr<'_>, _: i32) -> Outcome {
        Err(Fail::Unsupported)
    }

    pub fn fsmount(_: &Process, _: i32, _: u64, _: u64) -> Outcome<i32> {
        Err(Fail::Unsupported)
    }
}
