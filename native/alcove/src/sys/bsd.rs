//! What other systems than Linux have.

use nix::errno::Errno;
use std::ffi::CStr;

/// mount(2).
pub fn mount(
    fstype: &CStr,
    target: &CStr,
    flags: libc::c_int,
    data: Option<&CStr>,
) -> nix::Result<()> {
    let data = data.map_or(std::ptr::null_mut(), |data| data.as_ptr().cast_mut().cast());
    // SAFETY: the strings end with a NUL; the kernel reads what `data` points to.
    Errno::result(unsafe { libc::mount(fstype.as_ptr(), target.as_ptr(), flags, data) }).map(drop)
}

/// unmount(2).
pub fn unmount(path: &CStr) -> nix::Result<()> {
    // SAFETY: the path ends with a NUL.
    Errno::result(unsafe { libc::unmount(path.as_ptr(), 0) }).map(drop)
}

/// pledge(2).
#[cfg(target_os = "openbsd")]
pub fn pledge(promises: &CStr, execpromises: &CStr) -> nix::Result<()> {
    // SAFETY: the strings end with a NUL.
    Errno::result(unsafe { libc::pledge(promises.as_ptr(), execpromises.as_ptr()) }).map(drop)
}

/// unveil(2). Without arguments it ends.
#[cfg(target_os = "openbsd")]
pub fn unveil(given: Option<(&CStr, &CStr)>) -> nix::Result<()> {
    let (path, permissions) = given.map_or((std::ptr::null(), std::ptr::null()), |given| {
        (given.0.as_ptr(), given.1.as_ptr())
    });
    // SAFETY: the strings end with a NUL, or both are null.
    Errno::result(unsafe { libc::unveil(path, permissions) }).map(drop)
}

/// jail_attach(2).
#[cfg(target_os = "freebsd")]
pub fn jail_attach(jid: libc::c_int) -> nix::Result<()> {
    // SAFETY: takes a number.
    Errno::result(unsafe { libc::jail_attach(jid) }).map(drop)
}

/// jail_remove(2).
#[cfg(target_os = "freebsd")]
pub fn jail_remove(jid: libc::c_int) -> nix::Result<()> {
    // SAFETY: takes a number.
    Errno::result(unsafe { libc::jail_remove(jid) }).map(drop)
}

/// cap_enter(2).
#[cfg(target_os = "freebsd")]
pub fn cap_enter() -> nix::Result<()> {
    // SAFETY: touches no memory.
    Errno::result(unsafe { libc::cap_enter() }).map(drop)
}
