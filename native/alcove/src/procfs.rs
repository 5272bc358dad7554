//! The /proc that alcove trusts: root opened it at its start, and found it to be a proc file
//! system. What a process later mounts on its own /proc doesn't matter to alcove.

use crate::sys::fd::duplicate;
use libc::c_int;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The descriptor of /proc that root opened; -1: none.
static PROC: AtomicI32 = AtomicI32::new(-1);

/// The lowest number that this descriptor may have, out of the way of what the user opens.
const LOWEST: c_int = 60;

/// Opens /proc, once, before there is any program.
pub fn remember() {
    let Some(proc) = open() else { return };
    if let Ok(moved) = duplicate(proc.as_raw_fd(), LOWEST) {
        PROC.store(moved.into_raw_fd(), Relaxed);
    }
}

/// The trusted /proc, if there is one.
pub fn trusted() -> Option<OwnedFd> {
    match PROC.load(Relaxed) {
        -1 => None,
        fd => duplicate(fd, libc::STDERR_FILENO + 1).ok(),
    }
}

/// Whether a descriptor is that of the trusted /proc.
pub fn is_trusted(fd: c_int) -> bool {
    fd >= 0 && fd == PROC.load(Relaxed)
}

/// The /proc of this process's root directory, if it is a proc file system.
pub fn open() -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let proc = nix::fcntl::open("/proc", flags, Mode::empty()).ok()?;
    #[cfg(target_os = "linux")]
    {
        let kind = nix::sys::statfs::fstatfs(&proc).ok()?.filesystem_type();
        (kind == nix::sys::statfs::PROC_SUPER_MAGIC).then_some(proc)
    }
    #[cfg(not(target_os = "linux"))]
    Some(proc)
}

/// The file of a /proc that lists the children of the calling process, if the kernel has one.
pub fn children(proc: impl AsFd) -> Option<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    openat(proc, "thread-self/children", flags, Mode::empty()).ok()
}

/// The most children that are found at a time.
const NEWEST: usize = 1024;

/// Calls `then` with the pids of the newest children, the newest first, of those in such a file. Of
/// many children most have ended, those that were there first. Whoever kills and reaps what this
/// finds again and again finds them all. Signal-safe: nothing allocates.
pub fn newest_children(children: &OwnedFd, mut then: impl FnMut(c_int)) {
    let (mut newest, mut count) = ([0; NEWEST], 0);
    each_child(children, |pid| {
        newest[count % NEWEST] = pid;
        count += 1;
    });
    for at in (count.saturating_sub(NEWEST)..count).rev() {
        then(newest[at % NEWEST]);
    }
}

/// Calls `then` with each pid in such a file, in the kernel's order.
pub fn each_child(children: &OwnedFd, mut then: impl FnMut(c_int)) {
    let (mut bytes, mut at, mut number) = ([0u8; 4096], 0, 0);
    loop {
        let n = pread(children, &mut bytes, at).unwrap_or(0);
        if n == 0 {
            return;
        }
        at += n as libc::off_t;
        for byte in &bytes[..n] {
            match byte {
                b'0'..=b'9' => number = 10 * number + c_int::from(byte - b'0'),
                // 0 stands for a process that isn't in the pid namespace of this /proc, and 1 is
                // nobody's child.
                _ => match std::mem::take(&mut number) {
                    0 | 1 => {}
                    pid => then(pid),
                },
            }
        }
    }
}

/// Calls `then` with each name in a directory that is a number. Signal-safe.
#[cfg(target_os = "linux")]
pub fn each_number(directory: &OwnedFd, mut then: impl FnMut(c_int)) {
    crate::sys::fd::each_name(directory.as_fd(), |name| {
        if let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) {
            then(number);
        }
    });
}

/// The calling process's open descriptors, as a /proc lists them.
#[cfg(target_os = "linux")]
pub fn descriptors(proc: impl AsFd) -> Option<Vec<c_int>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = openat(proc, "self/fd", flags, Mode::empty()).ok()?;
    let mut found = Vec::new();
    each_number(&directory, |fd| found.push(fd));
    // The list contains the descriptor of the directory itself, unless it is that of another
    // process.
    found.contains(&directory.as_raw_fd()).then_some(found)
}

/// Other systems have no such list.
#[cfg(not(target_os = "linux"))]
pub fn descriptors(_proc: impl AsFd) -> Option<Vec<c_int>> {
    None
}
