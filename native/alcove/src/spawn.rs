//! Creating processes. Nothing else forks, but for the guardian, once.
//!
//! The parent makes the new process's four channels, and sends its ends of them
//! up its own control socket together with the new pid; it keeps none. The new
//! process puts its ends in their places and goes on as an event loop.

use crate::process::{Process, Request};
use crate::reply::{Fail, Outcome};
use crate::sys::ns;
use crate::{event_loop, guardian, leave, signals, tree};
use alcove_proto::frame::{CHANNELS, from};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use nix::unistd::{getpid, getppid};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// fork(2): a child that is in its event loop. `{ok, Pid}`.
///
/// `eagain` when the process has as many children as its childlimit says,
/// `einval` when the fork path would be longer than maxforkdepth.
pub fn fork(process: &mut Process) -> Outcome<i32> {
    create(process, 0)
}

/// clone(2): a child in its event loop, with flags that say which namespaces are
/// new. `einval` besides for flags that an event loop can't live with: what
/// shares memory, descriptors or handlers, and what takes further arguments.
pub fn clone(process: &mut Process, flags: u64) -> Outcome<i32> {
    if cfg!(target_os = "linux") {
        create(process, flags)
    } else {
        Err(Fail::Unsupported)
    }
}

/// Creates a child, by fork(2) if there are no flags. Returns in both processes:
/// in the child the request says that it was born.
pub fn create(process: &mut Process, flags: u64) -> Outcome<i32> {
    #[cfg(target_os = "linux")]
    let flags = linux::checked(flags)?;
    #[cfg(not(target_os = "linux"))]
    if flags != 0 {
        return Err(Fail::Unsupported);
    }
    if process.children.len() as u64 >= u64::from(process.options.childlimit) {
        return Err(Fail::Errno(Errno::EAGAIN));
    }
    if process.depth >= process.options.maxforkdepth {
        return Err(Fail::Errno(Errno::EINVAL));
    }
    ns::close_if_mapped(process);
    let channels = Channels::new()?;
    process.children.reserve();
    if signals::is_trapped(libc::SIGCHLD) {
        process.children.reserve_statuses();
    }
    // The handler must not run in the child as long as its state is the parent's.
    let unblocked = signals::block();
    let created = divide(process, flags, channels);
    signals::restore(&unblocked);
    created
}

/// Creates the child; both processes do their part.
fn divide(process: &mut Process, flags: u64, channels: Channels) -> Outcome<i32> {
    let parent = Parent::new(process, flags);
    let control = control_of_child(process.control);
    match call(flags)? {
        0 => {
            parent.tie();
            channels.settle(process, control);
            // To free them would be to copy their pages first.
            std::mem::forget(std::mem::take(&mut process.children));
            *process = Process {
                control,
                depth: process.depth + 1,
                options: process.options.inherited(),
                children: Default::default(),
                open: makes_user_namespace(flags),
                filtered: process.filtered,
                divides: false,
                denied: process.denied,
                request: Request {
                    born: true,
                    ..process.request
                },
            };
            Ok(0)
        }
        pid => {
            process.children.add(pid, process.options.signaloneof);
            let announced = announce(process, &channels, pid);
            close(process, channels.ends().collect());
            if let Err(errno) = announced {
                // Nobody can reach it. Its end will be nobody's news.
                process.children.remove(pid);
                // SAFETY: sends a signal to a child that wasn't reaped.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                return Err(Fail::Errno(errno));
            }
            process.request.answered = process.request.alone;
            Ok(pid)
        }
    }
}

/// Calls fork(2) or clone(2): 0 in the child, which nobody but the superuser may
/// look into. With a new user namespace its parent has to, through /proc, to say
/// what the ids in it mean.
fn call(flags: u64) -> nix::Result<i32> {
    #[cfg(target_os = "linux")]
    if flags != 0 {
        let open = makes_user_namespace(flags);
        // Before, so that the child is open as soon as the parent knows of it.
        if open {
            guardian::set_dumpable(true);
        }
        let created = linux::clone(flags);
        if created != Ok(0) || !open {
            guardian::set_dumpable(false);
        }
        return created;
    }
    let _ = flags;
    // SAFETY: there is one thread.
    let created = Errno::result(unsafe { libc::fork() });
    if created == Ok(0) {
        guardian::set_dumpable(false);
    }
    created
}

/// Whether these flags of clone(2) make a user namespace.
fn makes_user_namespace(flags: u64) -> bool {
    #[cfg(target_os = "linux")]
    return linux::new_user(flags);
    #[cfg(not(target_os = "linux"))]
    return Some(flags).is_none();
}

/// The channels of a new process, both ends of each, in the order in which they
/// are sent.
struct Channels {
    childs: [OwnedFd; CHANNELS],
    parents: [OwnedFd; CHANNELS],
}

impl Channels {
    fn new() -> nix::Result<Channels> {
        let (control, parents_control) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let (stdin, parents_stdin) = pipe()?;
        let (parents_stdout, stdout) = pipe()?;
        let (parents_stderr, stderr) = pipe()?;
        let above = out_of_the_way;
        Ok(Channels {
            childs: [
                above(control)?,
                above(stdin)?,
                above(stdout)?,
                above(stderr)?,
            ],
            parents: [
                parents_control,
                parents_stdin,
                parents_stdout,
                parents_stderr,
            ],
        })
    }

    /// In the child: puts its ends in their places and closes the parent's.
    fn settle(self, process: &Process, control: i32) {
        let [control_end, stdin, stdout, stderr] = &self.childs;
        let placed = put(control_end, control, true)
            .and_then(|()| put(stdin, libc::STDIN_FILENO, false))
            .and_then(|()| put(stdout, libc::STDOUT_FILENO, false))
            .and_then(|()| put(stderr, libc::STDERR_FILENO, false));
        if placed.is_err() {
            leave(127);
        }
        if process.control != control {
            // SAFETY: the parent's control socket is of no use here, and nothing owns it.
            unsafe { libc::close(process.control) };
        }
        // The parent may have had its standard descriptors closed, so that pipes of its
        // were made in their places, which are the child's now.
        let (kept, done): (Vec<_>, Vec<_>) = self
            .ends()
            .partition(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO);
        kept.into_iter().for_each(std::mem::forget);
        close(process, done);
    }

    fn ends(self) -> impl Iterator<Item = OwnedFd> {
        self.childs.into_iter().chain(self.parents)
    }
}

/// Closes descriptors, at once if their numbers are in a row. A filter may not know the
/// system call.
fn close(process: &Process, mut fds: Vec<OwnedFd>) {
    fds.sort_unstable_by_key(AsRawFd::as_raw_fd);
    if !process.filtered && close_row(&fds) {
        fds.into_iter().for_each(std::mem::forget);
    }
}

/// Closes descriptors, which are sorted, if there is none between them that isn't among
/// them. False when none was closed.
fn close_row(fds: &[OwnedFd]) -> bool {
    #[cfg(target_os = "linux")]
    return linux::close_row(fds);
    #[cfg(not(target_os = "linux"))]
    return Some(fds).is_none();
}

/// A pipe that exec closes: its reading and its writing end.
fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// A descriptor that isn't in the place of a standard one, which the user may
/// have closed.
fn out_of_the_way(fd: OwnedFd) -> nix::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, fcntl};
    use std::os::fd::FromRawFd;
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    let moved = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(libc::STDERR_FILENO + 1))?;
    // SAFETY: the descriptor was just made.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// dup2(2), and whether exec closes the result.
fn put(from: &OwnedFd, to: i32, close_on_exec: bool) -> nix::Result<()> {
    // SAFETY: `to` is a standard descriptor or the place of the control socket; nothing in
    // this process owns it.
    unsafe {
        Errno::result(libc::dup2(from.as_raw_fd(), to))?;
        if close_on_exec {
            Errno::result(libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC))?;
        }
    }
    Ok(())
}

/// Where the child has its control socket: where the parent has it, or if the
/// limit of open files no longer allows that, in the highest free place.
fn control_of_child(parents: i32) -> i32 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    match i32::try_from(limit) {
        Ok(limit) if limit <= parents => (libc::STDERR_FILENO + 1..limit)
            .rev()
            // SAFETY: asks for flags only.
            .find(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } == -1)
            .unwrap_or(parents),
        _ => parents,
    }
}

/// In the parent: sends the new process's pid and channels.
fn announce(process: &Process, channels: &Channels, pid: i32) -> nix::Result<()> {
    let [a, b, c, d] = process.request.id.to_le_bytes();
    let [e, f, g, h] = pid.to_le_bytes();
    let last = u8::from(process.request.alone);
    let [i, j, k, l] = process.options.flowcontrol.to_le_bytes();
    let bytes = [
        14,
        0,
        0,
        0,
        from::FORKED,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        last,
        i,
        j,
        k,
        l,
    ];
    let sent = send(process.control, &bytes, channels)?;
    event_loop::write(process.control, &bytes[sent..])
}

/// Sends bytes and the parent's ends of the channels.
fn send(control: i32, bytes: &[u8], channels: &Channels) -> nix::Result<usize> {
    /// How long the VM may take to receive descriptors that are under way.
    const PATIENCE: Duration = Duration::from_secs(10);
    let fds = channels.parents.each_ref().map(AsRawFd::as_raw_fd);
    let rights = [ControlMessage::ScmRights(&fds)];
    let start = Instant::now();
    loop {
        let parts = [IoSlice::new(bytes)];
        match sendmsg::<()>(control, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            // More descriptors are under way than the user may have open.
            Err(Errno::ETOOMANYREFS) if start.elapsed() < PATIENCE => tree::pause(),
            sent => return sent,
        }
    }
}

/// What the child has to know of its parent, to end with it.
struct Parent {
    pid: i32,
    /// A descriptor of the parent, for a child that can't see it.
    held: Option<OwnedFd>,
}

impl Parent {
    /// The parent, which is this process. A filter may not know the system call.
    fn new(process: &Process, flags: u64) -> Parent {
        let pid = getpid().as_raw();
        let unseen = process.divides || new_pids(flags);
        Parent {
            pid,
            held: if unseen && !process.filtered {
                hold(pid)
            } else {
                None
            },
        }
    }

    /// In the child, while signals are blocked: ends with the parent from now on.
    fn tie(self) {
        // A parent in an outer pid namespace is 0, dead or alive.
        let seen = getppid().as_raw();
        signals::begin_child(if seen == 0 { 0 } else { self.pid });
        if seen == 0 && self.held.is_some_and(|parent| has_ended(&parent)) {
            leave(1);
        }
    }
}

/// Whether a child with these flags has pids of its own.
fn new_pids(flags: u64) -> bool {
    #[cfg(target_os = "linux")]
    return linux::new_pids(flags);
    #[cfg(not(target_os = "linux"))]
    return flags != 0;
}

/// A descriptor of a process.
fn hold(pid: i32) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return linux::pidfd_open(pid);
    #[cfg(not(target_os = "linux"))]
    return Some(pid).and(None);
}

/// Whether a process that is held has ended.
fn has_ended(held: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}

#[cfg(target_os = "linux")]
mod linux {
    use libc::{c_int, c_ulong};
    use nix::errno::Errno;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// The bits that say which signal tells the parent of the child's end, but
    /// for the one that clone3(2) took for a flag.
    const EXIT_SIGNAL: u64 = 0x7f;
    const CLONE_NEWTIME: u64 = 0x80;
    const CLONE_NEWUSER: u64 = libc::CLONE_NEWUSER as u32 as u64;

    /// What an event loop can live with.
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

    /// Takes the exit signal, which is always SIGCHLD, from the flags.
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

    /// See [`super::close_row`].
    pub fn close_row(fds: &[OwnedFd]) -> bool {
        let (Some(first), Some(last)) = (fds.first(), fds.last()) else {
            return false;
        };
        let (first, last) = (first.as_raw_fd(), last.as_raw_fd());
        if usize::try_from(last - first + 1) != Ok(fds.len()) {
            return false;
        }
        // SAFETY: the range is what the caller owns, and forgets when it is closed.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
    }

    /// `struct clone_args` of linux/sched.h in its first version.
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
    }

    /// clone3(2), or clone(2) where there is none: 0 in the child.
    pub fn clone(flags: u64) -> nix::Result<c_int> {
        let mut arguments = Arguments {
            flags,
            exit_signal: libc::SIGCHLD as u64,
            ..Arguments::default()
        };
        // SAFETY: without CLONE_VM and a stack this is a fork, and there is one thread.
        let created = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                &raw mut arguments,
                size_of_val(&arguments),
            )
        };
        match Errno::result(created) {
            Err(Errno::ENOSYS) if flags & CLONE_NEWTIME == 0 => older_clone(flags),
            created => created.map(|pid| pid as c_int),
        }
    }

    fn older_clone(flags: u64) -> nix::Result<c_int> {
        let flags = flags as c_ulong | libc::SIGCHLD as c_ulong;
        let none: c_ulong = 0;
        // The order of the first two arguments is the one thing that differs.
        let (first, second) = if cfg!(target_arch = "s390x") {
            (none, flags)
        } else {
            (flags, none)
        };
        // SAFETY: as for clone3(2).
        let created = unsafe { libc::syscall(libc::SYS_clone, first, second, none, none, none) };
        Errno::result(created).map(|pid| pid as c_int)
    }

    /// See [`super::hold`].
    pub fn pidfd_open(pid: c_int) -> Option<OwnedFd> {
        // SAFETY: takes numbers only; the descriptor is new and close-on-exec.
        unsafe {
            match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
                -1 => None,
                fd => Some(OwnedFd::from_raw_fd(fd as c_int)),
            }
        }
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
}
