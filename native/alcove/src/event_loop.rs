//! The event loop: take a call, make it, answer.
//!
//! In its steady state it makes no system call but read(2) on the control
//! socket, write(2) to it and what the call itself is, so that a process can be
//! put under a filter or a limit and still answer. Brief polling, which spares
//! caller and loop a wake-up each, is given up under a filter.

use crate::dispatch::{self, Ended};
use crate::process::Process;
use crate::reply::Fail;
use crate::{die, leave, memory, signals, spawn, tree};
use alcove_proto::calls::leaves_loop;
use alcove_proto::calls::number;
use alcove_proto::frame::{self, HEADER, MAX_FRAME, from, to};
use alcove_proto::poll::Guard;
use alcove_proto::wire::{Atom, Hello, Malformed, Put, PutTerm, Reader};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// Bytes that are kept for frames; a longer frame gets memory of its own.
const KEPT: usize = 64 * 1024;

/// Runs root's event loop, after a greeting.
pub fn run_root(process: Process) -> ! {
    let mut hello = Vec::new();
    Hello {
        table: alcove_proto::calls::table_hash(),
        pid: std::process::id(),
        version: alcove_proto::VERSION.to_owned(),
    }
    .write(&mut hello);
    if write(process.control, &hello).is_err() {
        leave(1);
    }
    run(process)
}

fn run(process: Process) -> ! {
    let process: *mut Process = Box::leak(Box::new(process));
    let mut input = Input::new();
    let mut output = Output::new();
    let mut poll = Poll::new();
    loop {
        let frame = match input.next(process, &mut poll) {
            Ok(frame) => frame,
            Err(Malformed) => die(Malformed),
        };
        // SAFETY: `process` is never freed, and the loop isn't quiescent: it is used here alone.
        let here = unsafe { &mut *process };
        let children = here.children.len();
        let served = serve(here, frame, &mut output);
        output.wipe();
        match served {
            Ok(Served::Answered) => input.done(),
            // What is left of the input is the parent's to do.
            Ok(Served::Born) => input.clear(),
            Err(Malformed) => die(Malformed),
        }
        // A new process has more use for the processor.
        poll.due = !here.filtered && here.children.len() == children;
    }
}

/// What became of a frame.
enum Served {
    /// It was answered.
    Answered,
    /// This is the process that was forked on the way.
    Born,
}

/// Where the answer to a frame is made up.
struct Output {
    /// The frame.
    frame: Vec<u8>,
    /// The terms of a batch's calls so far, and their number.
    results: Vec<u8>,
    count: usize,
}

impl Output {
    fn new() -> Self {
        Output {
            frame: Vec::with_capacity(KEPT / 2),
            results: Vec::with_capacity(KEPT / 4),
            count: 0,
        }
    }

    /// Forgets everything, and gives back what isn't kept.
    fn wipe(&mut self) {
        for (buffer, kept) in [(&mut self.frame, KEPT / 2), (&mut self.results, KEPT / 4)] {
            memory::wipe(buffer);
            buffer.clear();
            if buffer.capacity() > kept {
                *buffer = Vec::with_capacity(kept);
            }
        }
        self.count = 0;
    }

    /// Starts a frame that answers a call.
    fn begin(&mut self, kind: u8, id: u32) {
        self.frame.clear();
        frame::start(&mut self.frame, kind);
        self.frame.put_u32(id);
    }

    /// Sends the frame.
    fn send(&mut self, process: &mut Process) {
        if self.frame.len() > HEADER + MAX_FRAME {
            let id = self.frame[HEADER + 1..]
                .first_chunk()
                .map_or(0, |id| u32::from_le_bytes(*id));
            memory::wipe(&mut self.frame);
            self.begin(from::REPLY, id);
            put_error(&mut self.frame, Errno::EMSGSIZE);
        }
        frame::finish(&mut self.frame, 0);
        if write(process.control, &self.frame).is_err() {
            lost(process);
        }
    }

    /// Sends the list of the results so far.
    fn send_results(&mut self, process: &mut Process, kind: u8, id: u32) {
        self.begin(kind, id);
        if kind == from::REPLY {
            self.frame.term_tuple(2);
            self.frame.term_atom(Atom::Ok);
        }
        self.frame.term_list(self.count);
        self.frame.raw(&self.results);
        self.send(process);
    }

    /// Sends `{error, {Index, Reason}}`; `reason` is a term.
    fn send_failure(&mut self, process: &mut Process, id: u32, index: usize, reason: &[u8]) {
        self.begin(from::REPLY, id);
        self.frame.term_tuple(2);
        self.frame.term_atom(Atom::Error);
        self.frame.term_tuple(2);
        self.frame.term_int(index as i64);
        self.frame.raw(reason);
        self.send(process);
    }
}

/// Appends `{error, Errno}`.
fn put_error(out: &mut Vec<u8>, errno: Errno) {
    out.raw(&ERROR);
    out.term_errno(errno as i32);
}

/// How `{error, Reason}` begins: with this, then the reason.
const ERROR: [u8; 5] = {
    let [low, high] = (Atom::Error as u16).to_le_bytes();
    [
        alcove_proto::wire::tag::TUPLE,
        2,
        alcove_proto::wire::tag::ATOM,
        low,
        high,
    ]
};

fn serve(process: &mut Process, frame: &[u8], output: &mut Output) -> Result<Served, Malformed> {
    let mut reader = Reader::new(frame);
    match reader.u8()? {
        to::CALL => {
            let id = reader.u32()?;
            serve_call(process, id, &mut reader, output)
        }
        to::BATCH => {
            let id = reader.u32()?;
            serve_batch(process, id, &mut reader, output).map(|(served, _)| served)
        }
        to::SPAWN => {
            let id = reader.u32()?;
            let flags = reader.u64()?;
            serve_spawn(process, id, flags, &mut reader, output)
        }
        _ => Err(Malformed),
    }
}

fn serve_call(
    process: &mut Process,
    id: u32,
    reader: &mut Reader<'_>,
    output: &mut Output,
) -> Result<Served, Malformed> {
    let number = reader.u16()?;
    process.request.begin(id, true);
    output.begin(from::REPLY, id);
    match dispatch::call(process, number, reader.rest(), &mut output.frame)? {
        _ if process.request.born => return Ok(Served::Born),
        // The frame with the new process's channels was the answer.
        _ if process.request.answered => {}
        Ended::Well | Ended::Badly => output.send(process),
    }
    Ok(Served::Answered)
}

/// Makes the calls of a batch; whether all of them went well.
fn serve_batch(
    process: &mut Process,
    id: u32,
    reader: &mut Reader<'_>,
    output: &mut Output,
) -> Result<(Served, bool), Malformed> {
    let count = usize::from(reader.u16()?);
    for index in 1..=count {
        let number = reader.u16()?;
        let arguments = reader.bytes()?;
        if leaves_loop(number) {
            output.send_results(process, from::PARTIAL, id);
        }
        process.request.begin(id, false);
        let at = output.results.len();
        let mut ended = dispatch::call(process, number, arguments, &mut output.results)?;
        if process.request.born {
            return Ok((Served::Born, true));
        }
        if output.results.len() > MAX_FRAME {
            output.results.truncate(at);
            put_error(&mut output.results, Errno::EMSGSIZE);
            ended = Ended::Badly;
        }
        if let Ended::Badly = ended {
            let reason = output.results.split_off(at + ERROR.len());
            output.send_failure(process, id, index, &reason);
            return Ok((Served::Answered, false));
        }
        output.count += 1;
    }
    reader.end()?;
    output.send_results(process, from::REPLY, id);
    Ok((Served::Answered, true))
}

fn serve_spawn(
    process: &mut Process,
    id: u32,
    flags: u64,
    reader: &mut Reader<'_>,
    output: &mut Output,
) -> Result<Served, Malformed> {
    process.request.begin(id, false);
    let call = if flags == 0 {
        number::fork
    } else {
        number::clone
    };
    let created = if process.denied.has(call) {
        Err(Fail::Filtered)
    } else {
        spawn::create(process, flags)
    };
    match created {
        Ok(_) if process.request.born => {
            match serve_batch(process, id, reader, output)? {
                // There is no use for a process that isn't what was asked for.
                (Served::Answered, false) => leave(127),
                _ => Ok(Served::Born),
            }
        }
        Ok(_) => Ok(Served::Answered),
        Err(fail) => {
            let mut reason = Vec::new();
            crate::reply::Term::put(&fail, &mut reason);
            output.send_failure(process, id, 0, &reason[ERROR.len()..]);
            Ok(Served::Answered)
        }
    }
}

/// The bytes that came and were not yet served.
struct Input {
    /// Where frames are read to.
    kept: Box<[u8]>,
    /// The part of `kept` that holds what wasn't served.
    start: usize,
    end: usize,
    /// How many bytes of `kept` the frame that is being served takes.
    current: usize,
    /// A frame that is longer than `kept`.
    long: Vec<u8>,
}

impl Input {
    fn new() -> Self {
        let kept = vec![0; KEPT].into_boxed_slice();
        Input {
            kept,
            start: 0,
            end: 0,
            current: 0,
            long: Vec::new(),
        }
    }

    /// Waits for a frame; without its header. Ends the process when the control
    /// socket has ended.
    fn next(&mut self, process: *mut Process, poll: &mut Poll) -> Result<&[u8], Malformed> {
        loop {
            let there = &self.kept[self.start..self.end];
            match frame::length(there)? {
                Some(length) if there.len() >= HEADER + length => {
                    // SAFETY: the loop isn't quiescent.
                    signals::drain(unsafe { &mut *process });
                    self.current = HEADER + length;
                    return Ok(&self.kept[self.start + HEADER..][..length]);
                }
                Some(length) if HEADER + length > KEPT => {
                    self.long(process, poll, length);
                    return Ok(&self.long);
                }
                _ => {}
            }
            if self.start > 0 {
                self.kept.copy_within(self.start..self.end, 0);
                let end = self.end - self.start;
                memory::wipe(&mut self.kept[end..self.end]);
                (self.start, self.end) = (0, end);
            }
            self.end += receive(process, &mut self.kept[self.end..], poll);
        }
    }

    /// Receives a long frame, which takes everything that is there.
    fn long(&mut self, process: *mut Process, poll: &mut Poll, length: usize) {
        self.long = vec![0; length];
        let mut filled = self.end - self.start - HEADER;
        self.long[..filled].copy_from_slice(&self.kept[self.start + HEADER..self.end]);
        self.current = self.end - self.start;
        while filled < length {
            filled += receive(process, &mut self.long[filled..], poll);
        }
    }

    /// Forgets the frame that was served.
    fn done(&mut self) {
        memory::wipe(&mut self.kept[self.start..self.start + self.current]);
        self.start += self.current;
        self.current = 0;
        self.long = Vec::new();
    }

    /// Forgets everything.
    fn clear(&mut self) {
        memory::wipe(&mut self.kept[..self.end]);
        self.long = Vec::new();
        (self.start, self.end, self.current) = (0, 0, 0);
    }
}

/// Receives some bytes. The loop is quiescent while it waits.
fn receive(process: *mut Process, buffer: &mut [u8], poll: &mut Poll) -> usize {
    // SAFETY: the loop isn't quiescent.
    let control = unsafe { (*process).control };
    if std::mem::take(&mut poll.due)
        && let Some(n) = poll.receive(control, buffer)
    {
        return n;
    }
    loop {
        // SAFETY: `process` is never freed, and only its descriptor's number, which is
        // known already, is used before `wake`.
        unsafe { signals::settle(process) };
        // SAFETY: the buffer is as long as is said.
        let n = unsafe { libc::read(control, buffer.as_mut_ptr().cast(), buffer.len()) };
        signals::wake();
        match Errno::result(n) {
            Ok(n) if n > 0 => return n as usize,
            Err(Errno::EINTR) => {}
            // SAFETY: the loop isn't quiescent.
            _ => lost(unsafe { &mut *process }),
        }
    }
}

/// Waiting for the next call without giving up the processor for longer than
/// others need it.
struct Poll {
    /// A call was just served: the next one may be near.
    due: bool,
    guard: Guard,
}

impl Poll {
    const TIME: Duration = Duration::from_micros(20);

    fn new() -> Self {
        Poll {
            due: false,
            guard: Guard::new(),
        }
    }

    /// Receives some bytes if they come soon.
    fn receive(&mut self, control: i32, buffer: &mut [u8]) -> Option<usize> {
        let start = Instant::now();
        if !self.guard.allows(start) {
            return None;
        }
        let mut before = start;
        loop {
            let flags = libc::MSG_DONTWAIT;
            // SAFETY: the buffer is as long as is said.
            let n = unsafe { libc::recv(control, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
            if n > 0 {
                return Some(n as usize);
            }
            // The end and errors are found again by read(2).
            if n == 0 || Errno::last() != Errno::EAGAIN || before - start > Self::TIME {
                return None;
            }
            // SAFETY: gives up the processor.
            unsafe { libc::sched_yield() };
            let now = Instant::now();
            if !self.guard.yielded(now - before, now) {
                return None;
            }
            before = now;
        }
    }
}

/// Writes all of it. May be called in a signal handler.
pub fn write(fd: i32, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the buffer is as long as is said.
        match Errno::result(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }) {
            Ok(n) => bytes = &bytes[n as usize..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The control socket is gone: nobody can reach this process any more. Its
/// children get some time to end, and it goes.
fn lost(process: &mut Process) -> ! {
    for at in 0..process.children.len() {
        let pid = process.children.pids()[at];
        let signal = process.children.signal(pid).map_or(0, |signal| *signal);
        tree::ask(pid, signal.into());
    }
    // A guardian that dies takes the control socket's other end with it before the kernel
    // says that it has died: what is left then is root's to end.
    if process.depth == 0 {
        tree::end(process.children.pids());
        leave(0);
    }
    let start = Instant::now();
    while process.children.len() > 0 && start.elapsed() < tree::GRACE {
        // SAFETY: no status is asked for.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => tree::pause(),
            pid if pid > 0 => {
                process.children.remove(pid);
            }
            _ => break,
        }
    }
    for pid in process.children.pids() {
        // SAFETY: sends a signal to a child that wasn't reaped.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
    }
    leave(0)
}
