//! A process's stdio, as the router's ends of three pipes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::termios::{self, LocalFlags};

use crate::erlang::{Binary, Erlang};
use crate::sys;
use crate::ticket::Ticket;

/// When more than this many bytes wait for a process to read them, the writer has to wait.
pub const HIGH_WATER: usize = 1024 * 1024;

/// What a calling scheduler writes at most before the router takes over: a pipe's
/// worth takes some tens of microseconds.
const AT_ONCE: usize = 64 * 1024;

/// The most that one message to the owner holds: larger reads are slower.
pub const MESSAGE: usize = 256 * 1024;

/// How many bytes a read of a terminal asks for: a terminal returns no more at once.
const TERMINAL: usize = 4096;

/// The longest line of a terminal, without its end. The kernel drops the rest, see termios(3).
const LINE: usize = 4095;

/// The characters that end a line: newline, return and control-D; and control-C, -U, -Z and -\,
/// which drop it.
const ENDS: [u8; 7] = [b'\n', b'\r', 4, 3, 21, 26, 28];

/// The size that a busy pipe gets.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LARGE_PIPE: i32 = 1024 * 1024;

/// The write end of a process's stdin.
pub struct Stdin<E: Erlang> {
    fd: Option<OwnedFd>,
    queue: VecDeque<Chunk<E>>,
    queued: usize,
    /// The poller tells the router when there is room.
    watched: bool,
    /// Stdin is to be closed when the queue is empty.
    eof: bool,
    /// Why nothing can be written any more.
    broken: Option<Errno>,
    /// For a terminal: the length of the line that was begun and isn't ended.
    line: Option<usize>,
}

/// A binary that waits for room in the pipe.
struct Chunk<E: Erlang> {
    binary: E::Binary,
    written: usize,
    length: usize,
    waiter: Option<Arc<Ticket<E>>>,
}

/// The result of a write.
pub enum Written<E: Erlang> {
    /// The data is in the pipe, or waits in a short queue.
    Taken,
    /// The data waits, and the writer has to wait, too.
    Wait(Arc<Ticket<E>>),
    /// The data can't be written.
    Failed(Errno),
}

/// The answer to a writer that waited.
pub struct Told<E: Erlang> {
    /// The writer.
    pub ticket: Arc<Ticket<E>>,
    /// `Ok`, or why the data wasn't written.
    pub result: Result<(), Errno>,
}

impl<E: Erlang> Stdin<E> {
    /// A pipe's write end, if there is one.
    pub fn new(fd: Option<OwnedFd>) -> Self {
        Stdin {
            fd,
            queue: VecDeque::new(),
            queued: 0,
            watched: false,
            eof: false,
            broken: None,
            line: None,
        }
    }

    /// Marks it as a terminal, which cuts long lines.
    pub fn set_terminal(&mut self) {
        self.line = Some(0);
    }

    /// How many bytes have to be looked at to write so many.
    pub fn weight(&self, bytes: usize) -> usize {
        self.line.map_or(0, |_| bytes)
    }

    /// The descriptor, while it is open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Whether bytes wait for room.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many bytes wait for room.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether bytes wait for the first time, so that the router has to watch the pipe from now on.
    pub fn first_wait(&mut self) -> bool {
        !self.queue.is_empty() && !std::mem::replace(&mut self.watched, true)
    }

    /// Writes a binary, or as much as there is room for, for an Erlang process. If some of it has
    /// to wait, `keep` makes what outlives this call.
    pub fn write(
        &mut self,
        binary: &[u8],
        keep: impl FnOnce() -> E::Binary,
        writer: E::Pid,
    ) -> Written<E> {
        if let Some(errno) = self.broken {
            return Written::Failed(errno);
        }
        let Some(fd) = self.fd.as_ref().filter(|_| !self.eof) else {
            return Written::Failed(Errno::EBADF);
        };
        if let Some(begun) = self.line {
            let (longest, rest) = lines(begun, binary);
            let is_long = longest > LINE;
            if is_long && cuts_lines(fd) {
                return Written::Failed(Errno::EMSGSIZE);
            }
            // Without lines no line is begun either, should the program turn lines on again.
            self.line = Some(if is_long { 0 } else { rest });
        }
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
        self.queued += length;
        let waiter = (self.queued > HIGH_WATER).then(|| Arc::new(Ticket::new(writer)));
        let outcome = waiter.clone().map_or(Written::Taken, Written::Wait);
        self.queue.push_back(Chunk {
            binary: keep(),
            written,
            length: binary.len(),
            waiter,
        });
        outcome
    }

    /// Writes bytes that wait, as far as there is room, for one turn only, since a program may read
    /// as fast as this writes. Adds writers that need not wait any more to `told`. True when more
    /// can be written.
    pub fn flush(&mut self, told: &mut Vec<Told<E>>) -> bool {
        let mut left = AT_ONCE;
        while let (1.., Some(fd), Some(chunk)) = (left, &self.fd, self.queue.front_mut()) {
            let end = chunk.length.min(chunk.written + left);
            let wrote = chunk
                .binary
                .with(|binary| write_some(fd, &binary[chunk.written..end]))
                .unwrap_or(Err(Errno::EINVAL));
            match wrote {
                Ok(0) => break,
                Ok(n) => {
                    left -= n;
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
        left == 0 && self.fd.is_some() && !self.queue.is_empty()
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
    pub fn close(&mut self, told: &mut Vec<Told<E>>) {
        self.fail(Errno::EPIPE);
        self.give_up(Errno::EPIPE, told);
    }

    fn fail(&mut self, errno: Errno) {
        self.broken = Some(errno);
        self.fd = None;
    }

    fn give_up(&mut self, errno: Errno, told: &mut Vec<Told<E>>) {
        self.queued = 0;
        let waiters = self.queue.drain(..).filter_map(|chunk| chunk.waiter);
        told.extend(waiters.map(|ticket| Told {
            ticket,
            result: Err(errno),
        }));
    }
}

/// The length of the longest line in the line that was begun and these bytes, and of the last line
/// so far.
fn lines(begun: usize, bytes: &[u8]) -> (usize, usize) {
    let mut longest = 0;
    let mut length = begun;
    for line in bytes.split_inclusive(|byte| ENDS.contains(byte)) {
        let is_ended = line.last().is_some_and(|byte| ENDS.contains(byte));
        length += line.len() - usize::from(is_ended);
        longest = longest.max(length);
        if is_ended {
            length = 0;
        }
    }
    (longest, length)
}

/// Whether a terminal takes lines, as it does until its program changes that.
fn cuts_lines(fd: &OwnedFd) -> bool {
    termios::tcgetattr(fd).is_ok_and(|modes| modes.local_flags.contains(LocalFlags::ICANON))
}

fn done<E: Erlang>(ticket: Arc<Ticket<E>>) -> Told<E> {
    Told {
        ticket,
        result: Ok(()),
    }
}

/// Gives a pipe more room, once it has been full. The kernel refuses that when the user's share
/// of pipe memory is used up; the pipe works without it.
fn enlarge(fd: &OwnedFd) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETPIPE_SZ(LARGE_PIPE));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = fd;
}

/// Writes until there is no room; returns how many bytes it wrote.
fn write_some(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match sys::write_now(fd, &bytes[written..]) {
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
    /// It is the master of a terminal. Only a read tells how many bytes it has, and the error EIO
    /// tells that no process has the terminal any more.
    pub terminal: bool,
    /// No process has the write end any more.
    pub hangup: bool,
    /// The stream is held back until its owner keeps up.
    pub held: bool,
    /// How many bytes were sent since the owner answered the question that `window` names.
    pub recent: usize,
    window: u64,
    /// Bytes that the process had written when it ended and that aren't delivered yet.
    pub owed: usize,
}

impl Stream {
    /// A pipe's read end, if there is one.
    pub fn new(fd: Option<OwnedFd>) -> Self {
        Stream {
            fd,
            large: false,
            terminal: false,
            hangup: false,
            held: false,
            recent: 0,
            window: 0,
            owed: 0,
        }
    }

    /// Begins to count anew what is sent, if the owner has answered a question since.
    pub fn begin_window(&mut self, window: u64) {
        if self.window != window {
            self.window = window;
            self.recent = 0;
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
        self.held = false;
        self.fd.take().map(drop).ok_or(Errno::EBADF)
    }

    /// How many bytes can be read.
    pub fn available(&self) -> usize {
        self.fd.as_ref().map_or(0, |fd| {
            if self.terminal {
                TERMINAL
            } else {
                sys::available(fd)
            }
        })
    }

    /// A process has ended. Its owner has to get what it wrote before the event of its end.
    pub fn owe(&mut self) {
        self.owed = match self.available() {
            // The kernel may need a moment until the terminal reports its end.
            TERMINAL if self.terminal => usize::MAX,
            available => available,
        };
    }

    /// Reads into `buf`, which must not be longer than what is [`available`](Self::available).
    /// `EAGAIN` when another process, which may be the one that wrote, has read it since.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let fd = self.fd.as_ref().ok_or(Errno::EBADF)?;
        let n = loop {
            match sys::read_now(fd, buf) {
                Err(Errno::EINTR) => continue,
                result => break result?,
            }
        };
        if n >= AT_ONCE && !std::mem::replace(&mut self.large, true) {
            enlarge(fd);
        }
        if self.owed != usize::MAX {
            self.owed = self.owed.saturating_sub(n);
        }
        Ok(n)
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::testing::{Plain, drain, is_closed, pattern, pipe};

    fn stdin() -> (Stdin<Plain>, OwnedFd) {
        let (read, write) = pipe();
        (Stdin::new(Some(write)), read)
    }

    fn write(stdin: &mut Stdin<Plain>, bytes: &[u8]) -> Written<Plain> {
        stdin.write(bytes, || bytes.to_vec(), 7)
    }

    /// Reads what the pipe has and writes what waits, until nothing waits.
    fn pump(stdin: &mut Stdin<Plain>, read: &OwnedFd, told: &mut Vec<Told<Plain>>) -> Vec<u8> {
        let mut all = drain(read);
        while stdin.is_waiting() {
            let (before, length) = (stdin.queued(), all.len());
            stdin.flush(told);
            all.extend(drain(read));
            assert_eq!(before - stdin.queued(), all.len() - length);
        }
        all
    }

    #[test]
    fn what_the_pipe_takes_does_not_wait() {
        let (mut stdin, read) = stdin();
        assert!(matches!(write(&mut stdin, b"hello"), Written::Taken));
        assert!(matches!(write(&mut stdin, b""), Written::Taken));
        assert!(!stdin.is_waiting() && !stdin.first_wait());
        assert_eq!(drain(&read), b"hello");
    }

    #[test]
    fn what_waits_is_written_in_order() {
        let (mut stdin, read) = stdin();
        let bytes = pattern(300_000);
        let mut kept = 0;
        for part in bytes.chunks(100_000) {
            let keep = || {
                kept += 1;
                part.to_vec()
            };
            assert!(matches!(stdin.write(part, keep, 7), Written::Taken));
        }
        assert_eq!(kept, 3);
        // A pipe of Linux takes 64 KiB, and no more is written at once anyway.
        assert!(stdin.queued() >= bytes.len() - AT_ONCE);
        assert!(stdin.first_wait());
        // The pipe is watched from now on.
        assert!(!stdin.first_wait());
        let mut told = Vec::new();
        assert_eq!(pump(&mut stdin, &read, &mut told), bytes);
        assert_eq!((stdin.queued(), told.len()), (0, 0));
    }

    #[test]
    fn a_turn_writes_no_more_than_its_share() {
        let (mut stdin, read) = stdin();
        write(&mut stdin, &pattern(4 * AT_ONCE));
        // There is room for more than one turn.
        enlarge(&read);
        drain(&read);
        let before = stdin.queued();
        let more = stdin.flush(&mut Vec::new());
        assert!(before - stdin.queued() <= AT_ONCE);
        // If the kernel gave it no more room, the turn ends with the room.
        assert_eq!(more, before - stdin.queued() == AT_ONCE);
    }

    #[test]
    fn a_writer_waits_above_the_high_water_mark() {
        let (mut stdin, read) = stdin();
        let half = pattern(HIGH_WATER / 2);
        assert!(matches!(write(&mut stdin, &half), Written::Taken));
        assert!(matches!(write(&mut stdin, &half), Written::Taken));
        let Written::Wait(ticket) = write(&mut stdin, &half) else {
            panic!("{} bytes wait, and the writer doesn't", stdin.queued());
        };
        assert_eq!(ticket.to, 7);
        let mut told = Vec::new();
        while told.is_empty() {
            assert!(stdin.queued() > HIGH_WATER / 2, "the writer still waits");
            drain(&read);
            stdin.flush(&mut told);
        }
        assert!(stdin.queued() > 0 && stdin.queued() <= HIGH_WATER / 2);
        assert!(Arc::ptr_eq(&told[0].ticket, &ticket));
        assert_eq!((told.len(), told[0].result), (1, Ok(())));
        // It is told once.
        pump(&mut stdin, &read, &mut told);
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn eof_comes_after_what_waits() {
        let (mut stdin, read) = stdin();
        write(&mut stdin, &pattern(3 * AT_ONCE));
        assert_eq!(stdin.eof(), Ok(()));
        assert_eq!(stdin.eof(), Err(Errno::EBADF));
        assert!(matches!(
            write(&mut stdin, b"late"),
            Written::Failed(Errno::EBADF)
        ));
        assert!(!is_closed(&read));
        let mut all = drain(&read);
        while stdin.fd().is_some() {
            assert!(stdin.is_waiting());
            stdin.flush(&mut Vec::new());
            all.extend(drain(&read));
        }
        // What is_closed has read is missing.
        assert_eq!(all.len(), 3 * AT_ONCE - 1);
        assert!(is_closed(&read));
    }

    #[test]
    fn eof_closes_at_once_when_nothing_waits() {
        let (mut stdin, read) = stdin();
        assert_eq!(stdin.eof(), Ok(()));
        assert!(stdin.fd().is_none() && is_closed(&read));
        assert_eq!(Stdin::<Plain>::new(None).eof(), Err(Errno::EBADF));
    }

    #[test]
    fn writers_learn_that_nobody_reads() {
        let (mut stdin, read) = stdin();
        write(&mut stdin, &pattern(HIGH_WATER));
        let Written::Wait(ticket) = write(&mut stdin, &pattern(HIGH_WATER)) else {
            panic!("the writer doesn't wait");
        };
        drop(read);
        let mut told = Vec::new();
        assert!(!stdin.flush(&mut told));
        assert_eq!((told.len(), told[0].result), (1, Err(Errno::EPIPE)));
        assert!(Arc::ptr_eq(&told[0].ticket, &ticket));
        assert_eq!((stdin.queued(), stdin.is_waiting()), (0, false));
        for _ in 0..2 {
            assert!(matches!(
                write(&mut stdin, b"more"),
                Written::Failed(Errno::EPIPE)
            ));
        }
        assert_eq!(stdin.eof(), Err(Errno::EPIPE));
    }

    #[test]
    fn writers_learn_that_the_process_is_gone() {
        let (mut stdin, read) = stdin();
        let Written::Wait(_) = write(&mut stdin, &pattern(2 * HIGH_WATER)) else {
            panic!("the writer doesn't wait");
        };
        let mut told = Vec::new();
        stdin.close(&mut told);
        assert_eq!((told.len(), told[0].result), (1, Err(Errno::EPIPE)));
        stdin.close(&mut told);
        assert_eq!(told.len(), 1);
        drain(&read);
        assert!(is_closed(&read));
    }

    #[test]
    fn lines_are_measured_across_writes() {
        assert_eq!(lines(0, b""), (0, 0));
        assert_eq!(lines(0, b"ab\nabcd\nabc"), (4, 3));
        assert_eq!(lines(5, b"ab\nabc"), (7, 3));
        assert_eq!(lines(5, b"\n"), (5, 0));
        assert_eq!(lines(1, b"a\x03\x04b"), (2, 1));
    }

    #[test]
    fn an_output_stream_counts_what_it_owes() {
        let (read, write) = pipe();
        let mut stream = Stream::new(Some(read));
        nix::unistd::write(&write, b"0123456789").expect("room");
        assert_eq!(stream.available(), 10);
        stream.owe();
        // What comes after the process has ended isn't owed.
        nix::unistd::write(&write, b"later").expect("room");
        let mut buf = [0; 6];
        assert_eq!(stream.read(&mut buf), Ok(6));
        assert_eq!((&buf, stream.owed), (b"012345", 4));
        assert_eq!(stream.read(&mut buf), Ok(6));
        assert_eq!((stream.owed, stream.available()), (0, 3));
        assert_eq!(stream.read(&mut buf), Ok(3));
        assert_eq!(stream.read(&mut buf), Err(Errno::EAGAIN));
        drop(write);
        assert_eq!(stream.read(&mut buf), Ok(0));
        assert_eq!(stream.close(), Ok(()));
        assert_eq!(stream.close(), Err(Errno::EBADF));
        assert_eq!((stream.available(), stream.is_open()), (0, false));
    }

    #[test]
    fn a_closed_stream_owes_nothing() {
        let (read, write) = pipe();
        let mut stream = Stream::new(Some(read));
        nix::unistd::write(&write, b"unread").expect("room");
        stream.owe();
        assert_eq!(stream.owed, 6);
        assert_eq!(stream.close(), Ok(()));
        assert_eq!(stream.owed, 0);
        assert_eq!(nix::unistd::write(&write, b"more"), Err(Errno::EPIPE));
    }
}
