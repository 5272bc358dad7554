//! clone(2), with flags that an event loop supports. Linux only.

use libc::{c_int, c_ulong};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The bits that say which signal tells the parent of the child's end, except
/// for the one that clone3(2) uses as a flag.
const EXIT_SIGNAL: u64 = 0x7f;
const CLONE_NEWTIME: u64 = 0x80;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_NEWUSER: u64 = libc::CLONE_NEWUSER as u32 as u64;

/// The flags that an event loop supports.
const POSSIBLE: u64 = CLONE_NEWTIME
    | CLONE_NEWUSER
    | (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_FS
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PTRACE
        | libc::CLONE_UNTRACED) as u32 as u64
    | libc::CLONE_IO as u32 as u64;

/// Removes the exit signal, which is always SIGCHLD, from the flags.
pub fn checked(flags: u64) -> Result<u64, Errno> {
    let exit_signal = flags & EXIT_SIGNAL;
    let flags = flags & !EXIT_SIGNAL;
    if (exit_signal != 0 && exit_signal != libc::SIGCHLD as u64) || flags & !POSSIBLE != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

/// Whether the child gets a user namespace of its own.
pub fn new_user(flags: u64) -> bool {
    flags & CLONE_NEWUSER != 0
}

/// Whether the child gets a pid namespace of its own.
pub fn new_pids(flags: u64) -> bool {
    flags & libc::CLONE_NEWPID as u32 as u64 != 0
}

/// `struct clone_args` of linux/sched.h in its third version.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

impl Arguments {
    /// The size of the first version, which every clone3(2) takes.
    const FIRST: usize = std::mem::offset_of!(Arguments, set_tid);
}

/// clone3(2), or clone(2) where there is none or a filter refuses it: 0 in the child.
pub fn clone(flags: u64) -> nix::Result<c_int> {
    let arguments = Arguments {
        flags,
        ..Arguments::default()
    };
    match clone3(arguments, Arguments::FIRST) {
        Err(Errno::ENOSYS | Errno::EPERM) if flags & CLONE_NEWTIME == 0 => older_clone(flags),
        created => created,
    }
}

/// As [`clone`], but the child starts in a control group of version 2. Moving it there later
/// would be slow, since the kernel then waits for all of the machine's processors. Linux 5.7.
pub fn clone_into(flags: u64, group: BorrowedFd<'_>) -> nix::Result<c_int> {
    let arguments = Arguments {
        flags: flags | CLONE_INTO_CGROUP,
        cgroup: group.as_raw_fd() as u64,
        ..Arguments::default()
    };
    clone3(arguments, size_of::<Arguments>())
}

/// clone3(2), with so many bytes of the arguments, which have no stack and not CLONE_VM.
fn clone3(mut arguments: Arguments, size: usize) -> nix::Result<c_int> {
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM and a stack this is a fork, and there is one thread.
    let created = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    Errno::result(created).map(|pid| pid as c_int)
}

fn older_clone(flags: u64) -> nix::Result<c_int> {
    let flags = flags as c_ulong | libc::SIGCHLD as c_ulong;
    let none: c_ulong = 0;
    // On s390x the order of the first two arguments differs.
    let (first, second) = if cfg!(target_arch = "s390x") {
        (none, flags)
    } else {
        (flags, none)
    };
    // SAFETY: as for clone3(2).
    let created = unsafe { libc::syscall(libc::SYS_clone, first, second, none, none, none) };
    Errno::result(created).map(|pid| pid as c_int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_signal_is_sigchld_or_none() {
        let newns = libc::CLONE_NEWNS as u64;
        assert_eq!(checked(newns | libc::SIGCHLD as u64), Ok(newns));
        assert_eq!(
            checked(CLONE_NEWTIME | libc::SIGCHLD as u64),
            Ok(CLONE_NEWTIME)
        );
        assert_eq!(checked(libc::SIGTERM as u64), Err(Errno::EINVAL));
    }

    #[test]
    fn what_shares_too_much_is_refused() {
        for flag in [
            libc::CLONE_VM,
            libc::CLONE_VFORK,
            libc::CLONE_FILES,
            libc::CLONE_PARENT,
        ] {
            assert_eq!(checked(flag as u64), Err(Errno::EINVAL));
        }
        assert_eq!(checked(1 << 40), Err(Errno::EINVAL));
    }
}
