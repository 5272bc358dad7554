//! The supplementary groups.

use nix::errno::Errno;

/// getgroups(2). nix asks the C library first how many there may be, which reads a file.
pub fn getgroups() -> nix::Result<Vec<libc::gid_t>> {
    // SAFETY: without room nothing is written.
    let count = Errno::result(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut groups = vec![0; count as usize];
    // SAFETY: there is room for `count` groups.
    let count = Errno::result(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(count as usize);
    Ok(groups)
}

/// setgroups(2).
pub fn setgroups(groups: &[libc::gid_t]) -> nix::Result<()> {
    let count = groups.len().try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: the list is as long as is said.
    Errno::result(unsafe { libc::setgroups(count, groups.as_ptr()) }).map(drop)
}
