//! Landlock. Linux only; see landlock(7).

use super::fd::made;
use libc::{c_int, c_uint};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// landlock_create_ruleset(2): the version of Landlock that the kernel has.
pub fn version() -> nix::Result<c_int> {
    /// Asks for the version: linux/landlock.h.
    const VERSION: c_uint = 1;
    let (none, size) = (std::ptr::null::<u64>(), 0_usize);
    // SAFETY: no structure is given.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, size, VERSION) };
    Errno::result(version).map(|version| version as c_int)
}

/// landlock_create_ruleset(2). `attr` is a `struct landlock_ruleset_attr`. Older kernels take a
/// longer one than theirs if what they don't know is zero.
pub fn create_ruleset(attr: [u64; 3]) -> nix::Result<OwnedFd> {
    let (at, size, flags) = (attr.as_ptr(), size_of_val(&attr), 0 as c_uint);
    // SAFETY: the structure is as large as is said; the descriptor is new.
    unsafe {
        made(libc::syscall(
            libc::SYS_landlock_create_ruleset,
            at,
            size,
            flags,
        ))
    }
}

/// What a rule is about.
#[derive(Clone, Copy)]
pub enum Object {
    /// What is beneath an open directory.
    Beneath(c_int),
    /// A port.
    Port(u64),
}

/// landlock_add_rule(2).
pub fn add_rule(ruleset: c_int, access: u64, object: Object) -> nix::Result<()> {
    // Both structures begin with 64 bits of access; a descriptor or 64 bits of a port follow.
    let mut attr = [0; 16];
    attr[..8].copy_from_slice(&access.to_ne_bytes());
    let rule: c_uint = match object {
        Object::Beneath(directory) => {
            attr[8..12].copy_from_slice(&directory.to_ne_bytes());
            1
        }
        Object::Port(port) => {
            attr[8..].copy_from_slice(&port.to_ne_bytes());
            2
        }
    };
    let (at, flags) = (attr.as_ptr(), 0 as c_uint);
    // SAFETY: the structure is at least as large as the rule's.
    let added = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, rule, at, flags) };
    Errno::result(added).map(drop)
}

/// landlock_restrict_self(2).
pub fn restrict_self(ruleset: c_int, flags: c_uint) -> nix::Result<()> {
    // SAFETY: takes numbers and touches no memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, flags) })
        .map(drop)
}
