//! Starts a tree: runs the executable and waits until its root says hello.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use alcove_proto::calls::table_hash;
use alcove_proto::frame::{self, CHANNELS, from};
use alcove_proto::wire::{Hello, Init, Malformed, Reader};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use crate::poller::Poller;
use crate::{scm, sys};

/// How long a failed start waits for the processes it kills.
const REAP: Duration = Duration::from_secs(1);

/// What to start and how.
pub struct Plan {
    /// The whole command line.
    pub argv: Vec<CString>,
    /// What root is told.
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
    /// Nothing was heard in time.
    Timeout,
    /// The executable, or what was to run it, exited.
    Status(i32),
    /// It ended, and how can't be known.
    Exited,
    /// It is another version than this library.
    Version(String),
    /// It isn't alcove's.
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
    /// The process that was started: the guardian, or what runs it.
    pub child: Child,
    /// Root's pid, in its own eyes.
    pub root: u32,
    /// Root's channels.
    pub channels: [OwnedFd; CHANNELS],
    /// The connection to the guardian: it ends when the tree is gone.
    pub lifeline: OwnedFd,
}

/// The process that was started.
pub struct Child {
    pid: Pid,
    pidfd: Option<OwnedFd>,
}

static NOFILE: OnceLock<(i32, u64)> = OnceLock::new();

/// Raises the soft limit of open files to the hard one, once; a process takes
/// four. Remembers what it was, for root to put back.
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

/// Leaves the low numbers to the VM, whose own sockets and files can't have numbers from
/// the limit on that it was started with.
pub fn out_of_the_way(channels: [OwnedFd; CHANNELS]) -> Result<[OwnedFd; CHANNELS], Errno> {
    let (now, before) = raise_nofile();
    let lowest = i32::try_from(before).unwrap_or(i32::MAX);
    if lowest >= now {
        return Ok(channels);
    }
    let [control, stdin, stdout, stderr] = channels;
    let raise = |fd| sys::raise(fd, lowest);
    Ok([
        raise(control)?,
        raise(stdin)?,
        raise(stdout)?,
        raise(stderr)?,
    ])
}

/// How many files the VM may have open, by its own limit as it is now.
pub fn nofile() -> i32 {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    i32::try_from(soft).unwrap_or(i32::MAX)
}

/// Starts a tree. After a failure nothing is left of it. A command to the router,
/// which can only be to stop, ends the wait.
pub fn launch(mut plan: Plan, poller: &Poller) -> Result<Launched, Failure> {
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
    let child = Child {
        pid,
        pidfd: sys::pidfd_open(pid.as_raw()),
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
        .and_then(|()| hello(&control, deadline))
        .map_err(|failure| child.abandon(failure, deadline));
    drop((its_lifeline, its_stdin, its_stdout, its_stderr));
    let hello = hello?;
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

/// The environment may be longer than a socket takes at once.
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

/// A socket whose other end is closed says that the process ended.
fn ended(errno: Errno) -> Failure {
    match errno {
        Errno::EPIPE | Errno::ECONNRESET => Failure::Exited,
        errno => Failure::Errno(errno),
    }
}

/// Until when to wait, and what else ends the wait.
#[derive(Clone, Copy)]
pub struct Deadline<'p> {
    at: Instant,
    poller: Option<&'p Poller>,
}

impl Deadline<'_> {
    /// So long from now.
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

/// Reads the frame that root sends first.
fn hello(control: &OwnedFd, deadline: Deadline<'_>) -> Result<Hello, Failure> {
    let mut bytes = Vec::new();
    let mut fds = VecDeque::new();
    let mut space = [0; frame::HEADER + 4096];
    let payload = loop {
        // No more than the header, and then the frame: what follows it is the router's.
        let end = match frame::length(&bytes)? {
            Some(length) if length > 4096 => return Err(Failure::NotAlcove),
            Some(length) => frame::HEADER + length,
            None => frame::HEADER,
        };
        if end > frame::HEADER && bytes.len() == end {
            break &bytes[frame::HEADER..];
        }
        wait(control, PollFlags::POLLIN, deadline)?;
        let missing = &mut space[..end - bytes.len()];
        match scm::receive(control.as_fd(), missing, &mut fds) {
            Ok(0) => return Err(Failure::Exited),
            Ok(n) => bytes.extend(&missing[..n]),
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(ended(errno)),
        }
    };
    let Some((&from::HELLO, payload)) = payload.split_first() else {
        return Err(Failure::NotAlcove);
    };
    let hello = Hello::read(&mut Reader::new(payload))?;
    if hello.table != table_hash() {
        return Err(Failure::Version(hello.version));
    }
    Ok(hello)
}

impl Child {
    /// Ends what a failed start may have left and finds out why it failed.
    fn abandon(&self, failure: Failure, deadline: Deadline<'_>) -> Failure {
        // One that closed the channel is about to exit: its status tells more.
        let told = if failure == Failure::Exited {
            self.status(deadline)
        } else {
            None
        };
        // It has a session of its own, and so a process group: what runs the
        // executable may have children.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = self.status(Deadline::after(REAP));
        told.map_or(failure, Failure::Status)
    }

    /// Waits for the end of the process; gives its status if it can be known.
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

/// The status of a process whose end was announced: the kernel has it a moment later.
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
/// posix_spawn(3) doesn't copy the VM's page tables, which fork(2) takes
/// milliseconds for.
fn spawn(argv: &[CString], env: &[Vec<u8>], control: &OwnedFd) -> Result<Pid, Failure> {
    let env: Vec<CString> = env
        .iter()
        .filter_map(|variable| CString::new(variable.as_slice()).ok())
        .collect();
    let program = argv.first().ok_or(Errno::EINVAL)?;
    Ok(sys::spawn(program, argv, &env, control)?)
}
