//! A process's stdio, as the router's ends of three pipes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use rustler::{Binary, LocalPid};

use crate::ticket::{Kept, Ticket};

/// Above this many bytes waiting for a process to read them, whoever writes waits.
pub const HIGH_WATER: usize = 1024 * 1024;

/// What a calling scheduler writes at most before the router takes over: a pipe's
/// worth takes some tens of microseconds.
const AT_ONCE: usize = 64 * 1024;

/// The most that one message to the owner holds: larger reads are slower.
pub const MESSAGE: usize = 256 * 1024;

/// A pipe through which a lot goes gets this size.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LARGE_PIPE: i32 = 1024 * 1024;

/// The write end of a process's stdin.
pub struct Stdin {
    fd: Option<OwnedFd>,
    queue: VecDeque<Chunk>,
    queued: usize,
    /// The router is told when there is room.
    watched: bool,
    /// Close it when the queue is empty.
    eof: bool,
    /// Why nothing can be written any more.
    broken: Option<Errno>,
}

/// A binary that waits for room in the pipe.
struct Chunk {
    binary: Kept,
    written: usize,
    length: usize,
    waiter: Option<Arc<Ticket>>,
}

/// What became of a write.
pub enum Written {
    /// It is in the pipe, or waits in a short queue.
    Taken,
    /// It waits; the writer is to wait too.
    Wait(Arc<Ticket>),
    /// It can't be written.
    Failed(Errno),
}

/// What a writer that waited is told.
pub struct Told {
    /// Who.
    pub ticket: Arc<Ticket>,
    /// `Ok` or why not.
    pub result: Result<(), Errno>,
}

impl Stdin {
    /// A pipe's write end.
    pub fn new(fd: OwnedFd) -> Self {
        Stdin {
            fd: Some(fd),
            queue: VecDeque::new(),
            queued: 0,
            watched: false,
            eof: false,
            broken: None,
        }
    }

    /// The descriptor, while it is open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether something waits for room.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many bytes wait for room.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether something waits for the first time: the router is to watch it now.
    pub fn first_wait(&mut self) -> bool {
        !self.queue.is_empty() && !std::mem::replace(&mut self.watched, true)
    }

    /// Writes a binary, or what there is room for, for a process.
    pub fn write(&mut self, binary: Binary<'_>, writer: LocalPid) -> Written {
        if let Some(errno) = self.broken {
            return Written::Failed(errno);
        }
        let Some(fd) = self.fd.as_ref().filter(|_| !self.eof) else {
            return Written::Failed(Errno::EBADF);
        };
        let mut written = 0;
        if self.queue.is_empty() {
            let at_once = &binary[..binary.len().min(AT_ONCE)];
            match write_some(fd, at_once) {
                Ok(n) => written = n,
                Err(errno) => {
                    self.fail(errno);
                    return Written::Failed(errno);
                }
            }
        }
        if written == binary.len() {
            return Written::Taken;
        }
        let length = binary.len() - written;
        // A binary is shared with the environment, not copied.
        let kept = Kept::new(|inner| binary.to_term(inner));
        self.queued += length;
        let waiter = (self.queued > HIGH_WATER).then(|| Arc::new(Ticket::new(writer)));
        let outcome = waiter.clone().map_or(Written::Taken, Written::Wait);
        self.queue.push_back(Chunk {
            binary: kept,
            written,
            length: binary.len(),
            waiter,
        });
        outcome
    }

    /// Writes what waits, as far as there is room. `told` gets whoever need not wait any more.
    pub fn flush(&mut self, told: &mut Vec<Told>) {
        while let (Some(fd), Some(chunk)) = (&self.fd, self.queue.front_mut()) {
            let Kept { env, term } = &chunk.binary;
            let wrote = env.run(|env| {
                let binary: Binary<'_> = term.load(env).decode().map_err(|_| Errno::EINVAL)?;
                write_some(fd, &binary[chunk.written..])
            });
            match wrote {
                Ok(0) => break,
                Ok(n) => {
                    chunk.written += n;
                    self.queued -= n;
                    if chunk.written == chunk.length {
                        let chunk = self.queue.pop_front();
                        told.extend(chunk.and_then(|chunk| chunk.waiter).map(done));
                    }
                }
                Err(errno) => {
                    self.fail(errno);
                    self.give_up(errno, told);
                }
            }
        }
        if self.queued <= HIGH_WATER / 2 {
            let waiters = self
                .queue
                .iter_mut()
                .filter_map(|chunk| chunk.waiter.take());
            told.extend(waiters.map(done));
        }
        if self.eof && self.queue.is_empty() {
            self.fd = None;
        }
    }

    /// Closes stdin after what waits.
    pub fn eof(&mut self) -> Result<(), Errno> {
        if self.eof || self.fd.is_none() {
            return Err(self.broken.unwrap_or(Errno::EBADF));
        }
        self.eof = true;
        if self.queue.is_empty() {
            self.fd = None;
        }
        Ok(())
    }

    /// The process is gone.
    pub fn close(&mut self, told: &mut Vec<Told>) {
        self.fail(Errno::EPIPE);
        self.give_up(Errno::EPIPE, told);
    }

    fn fail(&mut self, errno: Errno) {
        self.broken = Some(errno);
        self.fd = None;
    }

    fn give_up(&mut self, errno: Errno, told: &mut Vec<Told>) {
        self.queued = 0;
        let waiters = self.queue.drain(..).filter_map(|chunk| chunk.waiter);
        told.extend(waiters.map(|ticket| Told {
            ticket,
            result: Err(errno),
        }));
    }
}

fn done(ticket: Arc<Ticket>) -> Told {
    Told {
        ticket,
        result: Ok(()),
    }
}

/// Gives a pipe more room, once it has been full. Refused when the user's share of
/// pipe memory is used up: it works without.
fn enlarge(fd: &OwnedFd) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETPIPE_SZ(LARGE_PIPE));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = fd;
}

/// Writes until there is no room; says how much.
fn write_some(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match crate::sys::write_now(fd, &bytes[written..]) {
            Ok(n) => written += n,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}

/// The read end of a process's stdout or stderr.
pub struct Stream {
    fd: Option<OwnedFd>,
    large: bool,
    /// No process has the write end any more.
    pub hangup: bool,
    /// The owner has enough for now.
    pub held: bool,
    /// What was sent since the look at the owner that `window` names.
    pub recent: usize,
    /// See `recent`.
    pub window: u64,
    /// Bytes that the process had written when it ended and that aren't delivered yet.
    pub owed: usize,
}

impl Stream {
    /// A pipe's read end.
    pub fn new(fd: OwnedFd) -> Self {
        Stream {
            fd: Some(fd),
            large: false,
            hangup: false,
            held: false,
            recent: 0,
            window: 0,
            owed: 0,
        }
    }

    /// The descriptor, while it is open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.fd.is_some()
    }

    /// Closes it: the process's next write fails.
    pub fn close(&mut self) -> Result<(), Errno> {
        self.owed = 0;
        self.fd.take().map(drop).ok_or(Errno::EBADF)
    }

    /// How many bytes can be read.
    pub fn available(&self) -> usize {
        self.fd.as_ref().map_or(0, crate::sys::available)
    }

    /// Reads into `buf`, which must not be longer than what is [`available`](Self::available).
    /// `EAGAIN` when somebody else, who may be the process itself, has read it since.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let fd = self.fd.as_ref().ok_or(Errno::EBADF)?;
        let n = loop {
            match crate::sys::read_now(fd, buf) {
                Err(Errno::EINTR) => continue,
                result => break result?,
            }
        };
        if n >= AT_ONCE && !std::mem::replace(&mut self.large, true) {
            enlarge(fd);
        }
        self.owed = self.owed.saturating_sub(n);
        Ok(n)
    }
}
