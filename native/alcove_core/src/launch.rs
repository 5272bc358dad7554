//! Starts a tree: runs the executable and waits until its root says hello.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alcove_proto::calls::table_hash;
use alcove_proto::frame::{self, CHANNELS, Frame, Hello, Init, Raw};
use alcove_proto::wire::Malformed;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use crate::closer::{Closer, Foreign};
use crate::poller::Poller;
use crate::sys::End;
use crate::{scm, sys};

/// How long a failed start waits for the processes it kills.
const REAP: Duration = Duration::from_secs(1);

/// What to start and how.
pub struct Plan {
    /// The whole command line.
    pub argv: Vec<CString>,
    /// The options and the environment for root.
    pub init: Init,
    /// Whether root's stderr is its stdout.
    pub stderr_to_stdout: bool,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A system call failed; most often there is no such executable.
    Errno(Errno),
    /// The executable didn't answer in time.
    Timeout,
    /// The executable, or the command that runs it, exited.
    Status(i32),
    /// It ended, and its status can't be known.
    Exited,
    /// The executable has another version than this library.
    Version(String),
    /// The executable isn't alcove's.
    NotAlcove,
    /// The Drv ended meanwhile.
    Cancelled,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Errno(errno)
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Failure::NotAlcove
    }
}

/// A tree that runs.
pub struct Launched {
    /// The process that was started: the guardian, or the command that runs it.
    pub child: Child,
    /// Root's pid, as root sees it.
    pub root: u32,
    /// Root's channels.
    pub channels: [OwnedFd; CHANNELS],
    /// The connection to the guardian: it ends when the tree is gone.
    pub lifeline: Foreign,
}

/// The process that was started.
pub struct Child {
    pid: Pid,
    pidfd: Option<OwnedFd>,
}

static NOFILE: OnceLock<(i32, u64)> = OnceLock::new();

/// Raises the VM's soft limit of open files to the hard one, once, since each process takes
/// four. Remembers the former limit, which root sets for itself again.
fn raise_nofile() -> (i32, u64) {
    *NOFILE.get_or_init(|| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        let now = if raised { hard } else { soft };
        (i32::try_from(now).unwrap_or(i32::MAX), wide(soft))
    })
}

/// A limit's type isn't the same everywhere.
const fn wide(limit: nix::libc::rlim_t) -> u64 {
    limit as u64
}

/// What a descriptor that a process sends should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The VM's end of a control socket.
    Control,
    /// An end of a pipe.
    Pipe(End),
    /// The master of a terminal.
    Terminal,
}

/// What comes with a new process: control, stdin, stdout and stderr.
pub const CHANNEL_SORTS: [Sort; CHANNELS] = [
    Sort::Control,
    Sort::Pipe(End::Write),
    Sort::Pipe(End::Read),
    Sort::Pipe(End::Read),
];

/// The descriptors that came with a frame, if they are what they should be. Other descriptors could
/// block when they are read or added to a poller.
pub fn received(
    fds: &mut VecDeque<OwnedFd>,
    sorts: &[Sort],
    closer: &Arc<Closer>,
) -> Result<Vec<OwnedFd>, Errno> {
    if fds.len() != sorts.len() {
        closer.close(fds.drain(..));
        // The kernel drops descriptors for which the VM's table has no room.
        return Err(Errno::EMFILE);
    }
    let mut fit = Vec::with_capacity(fds.len());
    let mut failed = None;
    for (fd, sort) in fds.drain(..).zip(sorts) {
        match usable(fd, *sort, closer) {
            Ok(fd) => fit.push(fd),
            Err(errno) => failed = Some(errno),
        }
    }
    match failed {
        None => Ok(fit),
        Some(errno) => {
            closer.close(fit);
            Err(errno)
        }
    }
}

fn usable(fd: OwnedFd, sort: Sort, closer: &Arc<Closer>) -> Result<OwnedFd, Errno> {
    let fits = match sort {
        Sort::Control => sys::is_stream_socket(fd.as_fd()),
        Sort::Pipe(end) => sys::is_pipe(fd.as_fd(), end),
        Sort::Terminal => sys::is_terminal_master(fd.as_fd()),
    };
    if !fits {
        closer.close([fd]);
        return Err(Errno::EBADF);
    }
    raised(match sort {
        Sort::Pipe(end) => sys::unshare(fd, end),
        Sort::Control | Sort::Terminal => fd,
    })
}

/// Moves a descriptor out of the low numbers, which the VM needs: its own sockets and files can't
/// have numbers at or above the limit that it was started with.
fn raised(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    match lowest() {
        Some(lowest) => sys::copy(fd, lowest),
        None => Ok(fd),
    }
}

/// The lowest number that channels have, unless they may have any.
pub fn lowest() -> Option<i32> {
    let (now, before) = raise_nofile();
    i32::try_from(before).ok().filter(|lowest| *lowest < now)
}

/// How many files the VM may have open, by its current limit.
pub fn nofile() -> i32 {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    i32::try_from(soft).unwrap_or(i32::MAX)
}

/// Starts a tree. After a failure nothing is left of it. A command to the router, which at
/// this point can only be to stop, ends the wait.
pub fn launch(mut plan: Plan, poller: &Poller, closer: &Arc<Closer>) -> Result<Launched, Failure> {
    let deadline = Deadline {
        at: Instant::now() + plan.timeout,
        poller: Some(poller),
    };
    plan.init.nofile = raise_nofile().1;

    let (control, its_control) = pair()?;
    let (lifeline, its_lifeline) = pair()?;
    let (its_stdin, stdin) = pipe2(OFlag::O_CLOEXEC)?;
    let (stdout, its_stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (stderr, its_stderr) = pipe2(OFlag::O_CLOEXEC)?;

    let pid = spawn(&plan.argv, &plan.init.env, &its_control)?;
    drop(its_control);
    let group = sys::Group::of(pid);
    let child = Child {
        pid,
        pidfd: sys::pidfd_open(pid),
    };

    let mut frame = Vec::new();
    plan.init.write(&mut frame);
    let mut fds = vec![
        its_lifeline.as_raw_fd(),
        its_stdin.as_raw_fd(),
        its_stdout.as_raw_fd(),
    ];
    if plan.stderr_to_stdout {
        fds.push(its_stdout.as_raw_fd());
    }
    let hello = send_init(&control, &frame, &fds, deadline)
        .and_then(|()| hello(&control, closer, deadline))
        .map_err(|failure| child.abandon(group.as_ref(), failure, deadline));
    drop((its_lifeline, its_stdin, its_stdout, its_stderr));
    let lifeline = Foreign::new(lifeline, closer);
    let hello = match hello {
        Ok(hello) => hello,
        Err(failure) => {
            closer.close([control]);
            return Err(failure);
        }
    };
    Ok(Launched {
        child,
        root: hello.pid,
        channels: [control, stdin, stdout, stderr],
        lifeline,
    })
}

fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
}

/// Sends the first frame in parts, as the environment may be longer than a socket takes at once.
fn send_init(
    control: &OwnedFd,
    frame: &[u8],
    fds: &[i32],
    deadline: Deadline<'_>,
) -> Result<(), Failure> {
    let head = &frame[..frame.len().min(4096)];
    let mut rest = &frame[scm::send_fds(control.as_fd(), head, fds).map_err(ended)?..];
    while !rest.is_empty() {
        match scm::send_now(control.as_fd(), rest) {
            Ok(n) => rest = &rest[n..],
            Err(Errno::EAGAIN) => wait(control, PollFlags::POLLOUT, deadline)?,
            Err(errno) => return Err(ended(errno)),
        }
    }
    Ok(())
}

/// If the other end of the socket is closed, the process has ended.
fn ended(errno: Errno) -> Failure {
    match errno {
        Errno::EPIPE | Errno::ECONNRESET => Failure::Exited,
        errno => Failure::Errno(errno),
    }
}

/// Until when to wait, and the commands that end the wait earlier.
#[derive(Clone, Copy)]
pub struct Deadline<'p> {
    at: Instant,
    poller: Option<&'p Poller>,
}

impl Deadline<'_> {
    /// The given time from now.
    pub fn after(time: Duration) -> Self {
        Deadline {
            at: Instant::now() + time,
            poller: None,
        }
    }
}

/// Waits for an event of a descriptor.
fn wait(fd: &OwnedFd, flags: PollFlags, deadline: Deadline<'_>) -> Result<(), Failure> {
    let left = deadline.at.saturating_duration_since(Instant::now());
    let millis = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    let limit = if left.is_zero() {
        PollTimeout::ZERO
    } else {
        millis
    };
    let mut fds = vec![PollFd::new(fd.as_fd(), flags)];
    fds.extend(
        deadline
            .poller
            .map(|poller| PollFd::new(poller.as_fd(), PollFlags::POLLIN)),
    );
    match poll(&mut fds, limit) {
        Ok(0) => Err(Failure::Timeout),
        Ok(_) if fds[0].any() != Some(true) => Err(Failure::Cancelled),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads the frame that root sends first. Descriptors that come with it are dropped.
fn hello(
    control: &OwnedFd,
    closer: &Arc<Closer>,
    deadline: Deadline<'_>,
) -> Result<Hello, Failure> {
    let mut bytes = Vec::new();
    let mut fds = VecDeque::new();
    let mut space = [0; frame::HEADER + 4096];
    let payload = loop {
        // Reads no more than the header, and then the frame: the router reads what follows.
        let end = match frame::length(&bytes)? {
            Some(length) if length > 4096 => return Err(Failure::NotAlcove),
            Some(length) => frame::HEADER + length,
            None => frame::HEADER,
        };
        if end > frame::HEADER && bytes.len() == end {
            break &bytes[frame::HEADER..];
        }
        wait(control, PollFlags::POLLIN, deadline)?;
        if closer.is_full() && scm::brings_descriptors(control.as_fd()) {
            return Err(Failure::NotAlcove);
        }
        let missing = &mut space[..end - bytes.len()];
        let received = scm::receive(control.as_fd(), missing, &mut fds);
        closer.close(fds.drain(..));
        match received.map(|received| received.bytes) {
            Ok(0) => return Err(Failure::Exited),
            Ok(n) => bytes.extend(&missing[..n]),
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(ended(errno)),
        }
    };
    let hello: Hello = Raw::new(payload)?.read()?;
    if hello.table != table_hash() {
        return Err(Failure::Version(hello.version));
    }
    Ok(hello)
}

impl Child {
    /// Ends what a failed start may have left and finds out why it failed.
    fn abandon(
        &self,
        group: Option<&sys::Group>,
        failure: Failure,
        deadline: Deadline<'_>,
    ) -> Failure {
        // A process that closed the channel is about to exit, and its status tells more.
        let told = if failure == Failure::Exited {
            self.status(deadline)
        } else {
            None
        };
        // The process has a session of its own, and so a process group, which is killed as a whole:
        // the command that runs the executable may have children.
        self.kill_group(group);
        let _ = self.status(Deadline::after(REAP));
        told.map_or(failure, Failure::Status)
    }

    fn kill_group(&self, group: Option<&sys::Group>) {
        let done =
            self.pidfd.as_ref().is_some_and(sys::kill_group) || group.is_some_and(sys::Group::kill);
        // Once the process has been reaped, its pid may belong to another process.
        if !done && self.alive().is_some() {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// Its pid, if it has not ended.
    pub fn alive(&self) -> Option<i32> {
        match &self.pidfd {
            Some(pidfd) => !sys::is_readable(pidfd.as_fd()),
            None => matches!(self.reap(), Reaped::Alive),
        }
        .then_some(self.pid.as_raw())
    }

    /// Continues the process, since a program of the same user may have stopped it.
    pub fn wake(&self) {
        let held = self.pidfd.as_ref();
        let sent = held.map(|pidfd| sys::send_signal(pidfd, Signal::SIGCONT, 0));
        if !matches!(sent, Some(Ok(()))) && self.alive().is_some() {
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGCONT);
        }
    }

    /// Waits for the end of the process, and returns its status if it can be known.
    pub fn status(&self, deadline: Deadline<'_>) -> Option<i32> {
        if let Some(pidfd) = &self.pidfd {
            while let Ok(()) = wait(pidfd, PollFlags::POLLIN, deadline) {
                match self.reap() {
                    Reaped::Alive => {}
                    Reaped::Status(status) => return Some(status),
                    Reaped::Gone => return told(pidfd),
                }
            }
            return None;
        }
        loop {
            match self.reap() {
                Reaped::Status(status) => return Some(status),
                Reaped::Gone => return None,
                Reaped::Alive if Instant::now() >= deadline.at => return None,
                Reaped::Alive => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn reap(&self) -> Reaped {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Reaped::Status(code << 8),
            Ok(WaitStatus::Signaled(_, signal, _)) => Reaped::Status(signal as i32),
            Ok(_) => Reaped::Alive,
            // The VM ignores SIGCHLD, so that the kernel has reaped it.
            Err(_) => Reaped::Gone,
        }
    }
}

/// The status of a process whose end a pidfd has reported. The kernel has the status a moment
/// later.
fn told(pidfd: &OwnedFd) -> Option<i32> {
    (0..20).find_map(|_| {
        let status = sys::exit_status(pidfd);
        if status.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        status
    })
}

enum Reaped {
    Alive,
    Status(i32),
    Gone,
}

/// Runs a command line in a new session, with the control socket as its stdin,
/// nothing as its stdout, and the VM's stderr.
///
/// This uses posix_spawn(3), since fork(2) takes milliseconds to copy the VM's
/// page tables.
fn spawn(argv: &[CString], env: &[Vec<u8>], control: &OwnedFd) -> Result<Pid, Failure> {
    let env: Vec<CString> = env
        .iter()
        .filter_map(|variable| CString::new(variable.as_slice()).ok())
        .collect();
    let program = argv.first().ok_or(Errno::EINVAL)?;
    Ok(sys::spawn(program, argv, &env, control)?)
}
