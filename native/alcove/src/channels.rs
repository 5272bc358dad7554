//! The four channels of a new process: makes them, puts them in their places, and sends the VM's
//! ends.

use crate::descendants;
use crate::exit::leave;
use crate::io::write_all;
use crate::process::Process;
use crate::sys::fd::{close_row, duplicate, ensure_open, place};
use crate::sys::scm;
use alcove_proto::frame::CHANNELS;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The most descriptors that come with a request: a program's streams.
pub const STREAMS: usize = 3;

/// The channels of a new process, both ends of each, in the order in which they
/// are sent.
pub struct Channels {
    childs: [OwnedFd; CHANNELS],
    parents: [OwnedFd; CHANNELS],
}

impl Channels {
    /// Makes them. None of the child's ends has the number of a standard descriptor.
    pub fn new() -> nix::Result<Channels> {
        let (control, parents_control) = control()?;
        let (stdin, parents_stdin) = pipe()?;
        let (parents_stdout, stdout) = pipe()?;
        let (parents_stderr, stderr) = pipe()?;
        let above = out_of_the_way;
        Ok(Channels {
            childs: [control, above(stdin)?, above(stdout)?, above(stderr)?],
            parents: [
                parents_control,
                parents_stdin,
                parents_stdout,
                parents_stderr,
            ],
        })
    }

    /// In the child: puts its ends in their places and closes the parent's.
    pub fn settle(self, process: &Process, control: i32) {
        let [control_end, stdin, stdout, stderr] = &self.childs;
        let placed = place(control_end.as_fd(), control, true)
            .and_then(|()| place(stdin.as_fd(), libc::STDIN_FILENO, false))
            .and_then(|()| place(stdout.as_fd(), libc::STDOUT_FILENO, false))
            .and_then(|()| place(stderr.as_fd(), libc::STDERR_FILENO, false));
        if placed.is_err() {
            leave(127);
        }
        if process.control != control {
            // The child doesn't use the parent's control socket, and nothing owns it.
            let _ = nix::unistd::close(process.control);
        }
        // If the parent had its standard descriptors closed, its ends of the pipes may have got
        // their numbers, which now hold the child's ends.
        let (kept, done): (Vec<_>, Vec<_>) = self
            .ends()
            .partition(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO);
        kept.into_iter().for_each(std::mem::forget);
        close(process, done);
    }

    /// In the parent: closes all of them.
    pub fn close(self, process: &Process) {
        close(process, self.ends().collect());
    }

    fn ends(self) -> impl Iterator<Item = OwnedFd> {
        self.childs.into_iter().chain(self.parents)
    }

    /// In the parent: sends bytes and its own ends of the channels.
    pub fn send(&self, control: i32, bytes: &[u8]) -> nix::Result<()> {
        send(control, bytes, &self.parents)
    }
}

/// A control socket: the child's end, which isn't one of the standard descriptors, and the VM's.
pub fn control() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (childs, parents) = socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    Ok((out_of_the_way(childs)?, parents))
}

/// Sends bytes, and descriptors with them.
pub fn send(control: i32, bytes: &[u8], fds: &[OwnedFd]) -> nix::Result<()> {
    /// How long the VM may take to receive descriptors that are under way.
    const PATIENCE: Duration = Duration::from_secs(10);
    if fds.is_empty() {
        return write_all(control, bytes);
    }
    let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let start = Instant::now();
    let sent = loop {
        let parts = [IoSlice::new(bytes)];
        match sendmsg::<()>(control, &parts, &rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            // The kernel refuses: more descriptors are in flight than the user may have open.
            Err(Errno::ETOOMANYREFS) if start.elapsed() < PATIENCE => descendants::pause(),
            sent => break sent?,
        }
    };
    write_all(control, &bytes[sent..])
}

/// Sends bytes, and gives descriptors away with them: by the time that all bytes have come, this
/// process has none of them any more. So what the VM then closes is closed.
pub fn give(control: i32, bytes: &[u8], fds: Vec<OwnedFd>) -> nix::Result<()> {
    if fds.is_empty() {
        return write_all(control, bytes);
    }
    let (first, others) = bytes.split_at(bytes.len().min(1));
    send(control, first, &fds)?;
    drop(fds);
    write_all(control, others)
}

/// Descriptors that were received and aren't used yet.
#[derive(Default)]
pub struct Received {
    /// In the order in which they came. Exec closes them.
    pub fds: VecDeque<OwnedFd>,
    /// Some were lost, since this process had no descriptor numbers left.
    pub cut: bool,
}

/// Waits for bytes and receives them with the descriptors that come with them; 0 bytes are the end.
pub fn receive(control: i32, buffer: &mut [u8], received: &mut Received) -> nix::Result<usize> {
    let message = scm::receive(control, buffer, STREAMS)?;
    received.fds.extend(message.fds);
    received.cut |= message.cut;
    Ok(message.length)
}

/// Closes descriptors, with one system call if their numbers are in a row. That call isn't used
/// under a filter, which may not allow it.
fn close(process: &Process, fds: Vec<OwnedFd>) {
    if process.filtered {
        drop(fds);
    } else {
        close_row(fds);
    }
}

/// A pipe that exec closes: its reading and its writing end.
pub fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// Moves a descriptor that has the number of a standard one, which the user may
/// have closed, to another number.
pub fn out_of_the_way(fd: OwnedFd) -> nix::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(fd);
    }
    duplicate(fd.as_raw_fd(), libc::STDERR_FILENO + 1)
}

/// Where the child has its control socket: where the parent has it, or if the
/// limit of open files no longer allows that, in the highest free place.
pub fn control_of_child(parents: i32) -> i32 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    match i32::try_from(limit) {
        Ok(limit) if limit <= parents => (libc::STDERR_FILENO + 1..limit)
            .rev()
            .find(|fd| ensure_open(*fd).is_err())
            .unwrap_or(parents),
        _ => parents,
    }
}
