//! Creating processes. All forks are here, except that the guardian forks root.
//!
//! The parent makes the new process's four channels and sends the VM's ends of them
//! up its own control socket, together with the new pid. It keeps no end. The new
//! process moves its own ends to their places and goes on as an event loop.

use crate::channels::{self, Channels, control_of_child};
use crate::exit::leave;
use crate::process::{MOST_DESCRIPTORS, Process, Progress, Request};
use crate::protect::{become_subreaper, set_dumpable};
use crate::reply::{Fail, Outcome};
#[cfg(target_os = "linux")]
use crate::sys::clone;
use crate::sys::fd::{close_ranges, place};
use crate::sys::process::fork;
use crate::sys::{pidfd, signal};
use crate::{procfs, signals, wanted};
use alcove_proto::frame::{Forked, Short};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{getpid, getppid};
use std::os::fd::{AsFd, OwnedFd};

/// Creates a child, by fork(2) if there are no flags. Returns in both processes:
/// in the child the request says that it was born.
pub fn create(process: &mut Process, flags: u64) -> Outcome<i32> {
    let flags = checked_flags(flags)?;
    if process.children.forked() as u64 >= u64::from(process.options.childlimit) {
        return Err(Errno::EAGAIN.into());
    }
    if process.depth >= process.options.maxforkdepth {
        return Err(Errno::EAGAIN.into());
    }
    close_if_mapped(process);
    let channels = Channels::new()?;
    process.children.reserve();
    if wanted::is_trapped(libc::SIGCHLD) {
        process.children.reserve_statuses();
    }
    // The handler must not run in the child as long as its state is the parent's.
    let unblocked = signal::block();
    let created = divide(process, flags, channels);
    signal::restore(&unblocked);
    created
}

/// Forks a keeper, which gets a control socket and nothing else. It doesn't count as a child for
/// the childlimit: its programs take descriptors of the VM as they need them. Returns in the
/// parent; the child calls `run`, with signals blocked.
pub fn create_keeper(process: &mut Process, run: fn(Process) -> !) -> Outcome<i32> {
    let (control, parents_control) = channels::control()?;
    process.children.reserve();
    process.children.reserve_statuses();
    signals::watch_keepers();
    // This process becomes the parent of what a killed keeper leaves behind.
    become_subreaper(true);
    let unblocked = signal::block();
    let parent = Parent::new(process, 0);
    let place_of = control_of_child(process.control);
    let created = fork_closed(0);
    if created == Ok(0) {
        parent.tie();
        if place(control.as_fd(), place_of, true).is_err() {
            leave(127);
        }
        close_all_but(&[place_of], Some(process), procfs::trusted);
        std::mem::forget((control, parents_control));
        run(Process {
            control: place_of,
            depth: process.depth + 1,
            options: process.options.inherited(),
            children: Default::default(),
            open: false,
            filtered: process.filtered,
            divides: false,
            // What it inherited is closed.
            below: 0,
            denied: process.denied,
            request: Request::NONE,
        });
    }
    let result = created.map_err(Fail::from).and_then(|pid| {
        process.children.add(pid, process.options.signaloneof);
        process.children.mark_keeper(pid);
        channels::send(
            process.control,
            &announced(process, pid),
            &[parents_control],
        )
        .inspect_err(|_| {
            process.children.remove(pid);
            let _ = signal::kill(pid, libc::SIGKILL);
        })
        .map_err(Fail::from)
        .map(|()| pid)
    });
    drop(control);
    signal::restore(&unblocked);
    result
}

/// Flags for clone(2), if an event loop or a keeper can live with them.
pub fn checked_flags(flags: u64) -> Outcome<u64> {
    #[cfg(target_os = "linux")]
    return Ok(clone::checked(flags)?);
    #[cfg(not(target_os = "linux"))]
    return if flags == 0 {
        Ok(0)
    } else {
        Err(Fail::Unsupported)
    };
}

/// Calls fork(2) or clone(2): 0 in the child, which other processes can look into no more than
/// into this one.
pub fn fork_closed(flags: u64) -> nix::Result<i32> {
    #[cfg(target_os = "linux")]
    if flags != 0 {
        return clone::clone(flags);
    }
    let _ = flags;
    fork()
}

/// Closes every descriptor except `kept`. Nothing in this process owns the closed ones.
///
/// close_range(2) closes them all at once. Without that call, `proc` opens the /proc that lists
/// those that are open. A seccomp filter may not allow the former, nor to open and read a
/// directory, and may end the process for it. Then, and without a list, each is closed that
/// `process` may have.
pub fn close_all_but(kept: &[i32], process: Option<&Process>, proc: fn() -> Option<OwnedFd>) {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    kept.sort_unstable();
    if !process.is_some_and(|process| process.filtered) {
        if close_ranges(&kept) {
            return;
        }
        if let Some(open) = proc().and_then(procfs::descriptors) {
            close_each(open.into_iter().filter_map(|fd| fd.try_into().ok()), &kept);
            return;
        }
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let below = process.map_or(0, |process| process.below);
    close_each(0..limit.min(MOST_DESCRIPTORS).max(below), &kept);
}

/// Closes those of `fds`, some of which may not be open, that aren't among the sorted `kept`.
fn close_each(fds: impl Iterator<Item = u32>, kept: &[u32]) {
    for fd in fds.filter(|fd| kept.binary_search(fd).is_err()) {
        let _ = nix::unistd::close(fd as i32);
    }
}

/// Is called before a fork. Once the user namespace that a process made for itself has its maps
/// of ids, no other process in that namespace, such as a program that is about to be forked, may
/// look into this process any more. Without a /proc, or under a filter, it stays open.
pub fn close_if_mapped(p: &mut Process) {
    let there = |map: &str| std::fs::read(map).is_ok_and(|map| !map.is_empty());
    if p.open && !p.filtered && there("/proc/self/uid_map") && there("/proc/self/gid_map") {
        set_dumpable(false);
        p.open = false;
    }
}

/// Creates the child; both processes do their part.
fn divide(process: &mut Process, flags: u64, channels: Channels) -> Outcome<i32> {
    let parent = Parent::new(process, flags);
    let control = control_of_child(process.control);
    match fork_with(flags)? {
        0 => {
            parent.tie();
            channels.settle(process, control);
            // Freeing them would make the kernel copy their pages first.
            std::mem::forget(std::mem::take(&mut process.children));
            *process = Process {
                control,
                depth: process.depth + 1,
                options: process.options.inherited(),
                children: Default::default(),
                open: makes_user_namespace(flags),
                filtered: process.filtered,
                divides: false,
                below: process.below,
                denied: process.denied,
                request: process.request.born(),
            };
            Ok(0)
        }
        pid => {
            process.children.add(pid, process.options.signaloneof);
            let announced = channels.send(process.control, &announced(process, pid));
            channels.close(process);
            if let Err(errno) = announced {
                // The VM can't reach the child, so it is killed, and no owner is told of its end.
                process.children.remove(pid);
                let _ = signal::kill(pid, libc::SIGKILL);
                return Err(errno.into());
            }
            process.request.announced();
            Ok(pid)
        }
    }
}

/// Calls fork(2) or clone(2): 0 in the child. Only the superuser may look into the child,
/// except that in a new user namespace its parent may, since the parent has to write the
/// maps of ids through /proc.
pub fn fork_with(flags: u64) -> nix::Result<i32> {
    #[cfg(target_os = "linux")]
    if flags != 0 {
        if makes_user_namespace(flags) {
            return clone_open(flags);
        }
        let created = clone::clone(flags);
        if created == Ok(0) {
            set_dumpable(false);
        }
        return created;
    }
    let _ = flags;
    let created = fork();
    if created == Ok(0) {
        set_dumpable(false);
    }
    created
}

/// Calls clone(2) for a child that others may look into. The child opens itself: if the parent
/// opened itself before the clone, others could look into it for a moment. The parent waits until
/// the child is open, so that a process that learns of the child finds it so.
#[cfg(target_os = "linux")]
fn clone_open(flags: u64) -> nix::Result<i32> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// How long the parent waits, in milliseconds, if something stopped the child at its birth.
    const PATIENCE: u16 = 1000;
    let (opened, opens) = channels::pipe()?;
    let created = clone::clone(flags)?;
    if created == 0 {
        set_dumpable(true);
    } else {
        drop(opens);
        // The child closes its end of the pipe when it is open, or when it ends.
        let mut ends = [PollFd::new(opened.as_fd(), PollFlags::empty())];
        let _ = poll(&mut ends, PollTimeout::from(PATIENCE));
    }
    Ok(created)
}

/// Whether these flags of clone(2) make a user namespace.
fn makes_user_namespace(flags: u64) -> bool {
    #[cfg(target_os = "linux")]
    return clone::new_user(flags);
    #[cfg(not(target_os = "linux"))]
    return Some(flags).is_none();
}

/// The frame that tells the VM of a new process.
fn announced(process: &Process, pid: i32) -> Short {
    Short::of(&Forked {
        id: process.request.id,
        pid: pid as u32,
        last: process.request.progress == Progress::Single,
        flow: process.options.flowcontrol,
    })
}

/// What a child has to know about its parent to end when the parent ends.
pub struct Parent {
    pid: i32,
    /// A pidfd of the parent, for a child that can't see the parent's pid.
    held: Option<OwnedFd>,
}

impl Parent {
    /// Describes this process as the parent. Under a filter pidfd_open(2) isn't called, since the
    /// filter may not allow it.
    pub fn new(process: &Process, flags: u64) -> Parent {
        let pid = getpid().as_raw();
        let unseen = process.divides || new_pids(flags);
        Parent {
            pid,
            held: if unseen && !process.filtered {
                // Not every kernel has the system call.
                pidfd::open(pid, 0).ok()
            } else {
                None
            },
        }
    }

    /// In the child, while signals are blocked: makes it end with the parent from now on.
    pub fn tie(self) {
        // For a parent in an outer pid namespace getppid(2) is 0, whether it is dead or alive.
        let seen = getppid().as_raw();
        signals::begin_child(if seen == 0 { 0 } else { self.pid });
        if seen == 0 && self.held.is_some_and(|parent| has_ended(&parent)) {
            leave(1);
        }
    }
}

/// Whether a child with these flags gets a pid namespace of its own.
pub fn new_pids(flags: u64) -> bool {
    #[cfg(target_os = "linux")]
    return clone::new_pids(flags);
    #[cfg(not(target_os = "linux"))]
    return flags != 0;
}

/// Whether the process of a pidfd has ended.
fn has_ended(held: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}
