//! The event loop: take a call, make it, answer.
//!
//! In its steady state it makes no system call but read(2) on the control
//! socket, write(2) to it and the call itself. So a process can be put under a
//! filter or a limit and still answer. The loop polls briefly before it reads, which
//! saves caller and loop a wake-up each; under a filter it doesn't.

use crate::descendants::Patience;
use crate::dispatch::{self, ERROR, Ended};
use crate::exit::{die, leave};
use crate::io::write_all;
use crate::process::{Process, Progress, Request};
use crate::reply::Fail;
use crate::sys::io;
use crate::sys::signal::kill;
use crate::sys::wait::wait4;
use crate::{descendants, keeper, memory, signals, spawn};
use alcove_proto::calls::leaves_loop;
use alcove_proto::calls::number;
use alcove_proto::frame::{self, Batch, Call, Calls, Frame, HEADER, Keeper, MAX_FRAME, Partial};
use alcove_proto::frame::{Raw, Reply, Spawn, to};
use alcove_proto::poll::Guard;
use alcove_proto::wire::{Atom, Malformed, Put, PutTerm};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::time::{Duration, Instant};

/// Bytes that are kept for frames; a longer frame gets memory of its own.
const KEPT: usize = 64 * 1024;

/// The most bytes of a batch's results, so that they fit in a frame: around them are its type, the
/// number of the call, `{ok, _}` and the head of the list. A PARTIAL has less around them.
const MAX_RESULTS: usize = MAX_FRAME - (1 + 4 + 5 + 5);

/// Runs the event loop of a process.
pub fn run(process: Process) -> ! {
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
            // The parent handles the rest of the input.
            Ok(Served::Born) => input.clear(),
            Err(Malformed) => die(Malformed),
        }
        // After a fork the loop doesn't poll, since the new process needs the processor.
        poll.due = !here.filtered && here.children.len() == children;
    }
}

/// What became of a frame.
enum Served {
    /// It was answered.
    Answered,
    /// The frame forked, and this is the new process.
    Born,
}

/// The answer to a frame, while it is put together.
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

    /// Forgets everything, and frees the memory above what is kept.
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
    fn begin<'a>(&mut self, frame: &impl Frame<'a>) {
        self.frame.clear();
        frame.begin(&mut self.frame);
    }

    /// Sends the frame.
    fn send(&mut self, process: &mut Process) {
        if self.frame.len() > HEADER + MAX_FRAME {
            memory::wipe(&mut self.frame);
            let id = process.request.id;
            self.begin(&Reply { id, term: &[] });
            put_error(&mut self.frame, Errno::EMSGSIZE);
        }
        frame::finish(&mut self.frame, 0);
        if write_all(process.control, &self.frame).is_err() {
            lost(process);
        }
    }

    /// Sends the list of the results so far, in the frame that was begun.
    fn send_results(&mut self, process: &mut Process) {
        self.frame.term_list(self.count);
        self.frame.raw(&self.results);
        self.send(process);
    }

    /// Sends `{error, {Index, Reason}}`; `reason` is a term.
    fn send_failure(&mut self, process: &mut Process, id: u32, index: usize, reason: &[u8]) {
        self.begin(&Reply { id, term: &[] });
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

fn serve(process: &mut Process, frame: &[u8], output: &mut Output) -> Result<Served, Malformed> {
    let frame = Raw::new(frame)?;
    match frame.kind {
        to::CALL => serve_call(process, frame.read()?, output),
        to::BATCH => {
            let Batch { id, calls } = frame.read()?;
            serve_batch(process, id, calls, output).map(|(served, _)| served)
        }
        to::KEEPER => serve_keeper(process, frame.read()?, output),
        to::SPAWN => serve_spawn(process, frame.read()?, output),
        _ => Err(Malformed),
    }
}

fn serve_call(
    process: &mut Process,
    Call {
        id,
        number,
        arguments,
    }: Call<'_>,
    output: &mut Output,
) -> Result<Served, Malformed> {
    process.request = Request::single(id);
    output.begin(&Reply { id, term: &[] });
    dispatch::call(process, number, arguments, &mut output.frame)?;
    match process.request.progress {
        Progress::Born => return Ok(Served::Born),
        Progress::Answered => {}
        Progress::Single | Progress::Listed => output.send(process),
    }
    Ok(Served::Answered)
}

/// Makes the calls of a batch; whether all of them went well.
fn serve_batch(
    process: &mut Process,
    id: u32,
    calls: &[u8],
    output: &mut Output,
) -> Result<(Served, bool), Malformed> {
    for (index, call) in (1..).zip(Calls::read(calls)?) {
        let (number, arguments) = call?;
        if leaves_loop(number) {
            output.begin(&Partial { id, results: &[] });
            output.send_results(process);
        }
        process.request = Request::listed(id);
        let at = output.results.len();
        let mut ended = dispatch::call(process, number, arguments, &mut output.results)?;
        if process.request.progress == Progress::Born {
            return Ok((Served::Born, true));
        }
        if output.results.len() > MAX_RESULTS {
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
    output.begin(&Reply { id, term: &[] });
    output.frame.term_tuple(2);
    output.frame.term_atom(Atom::Ok);
    output.send_results(process);
    Ok((Served::Answered, true))
}

fn serve_spawn(
    process: &mut Process,
    Spawn { id, flags, calls }: Spawn<'_>,
    output: &mut Output,
) -> Result<Served, Malformed> {
    process.request = Request::listed(id);
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
        Ok(_) if process.request.progress == Progress::Born => {
            match serve_batch(process, id, calls, output)? {
                // A call of the batch failed: a process that isn't as requested must not go on.
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

/// Forks a keeper.
fn serve_keeper(
    process: &mut Process,
    Keeper { id }: Keeper,
    output: &mut Output,
) -> Result<Served, Malformed> {
    process.request = Request::single(id);
    let created = if process.denied.has(number::fork) {
        Err(Fail::Filtered)
    } else {
        spawn::create_keeper(process, keeper::run)
    };
    if let Err(fail) = created {
        output.begin(&Reply { id, term: &[] });
        crate::reply::Term::put(&fail, &mut output.frame);
        output.send(process);
    }
    Ok(Served::Answered)
}

/// The bytes that were received and not yet served.
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

    /// Waits for a frame, and returns it without its header. Ends the process when the control
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

    /// Receives a long frame, of which all bytes that are there are a part.
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
    if std::mem::take(&mut poll.due) {
        if let Some(n) = poll.receive(control, buffer) {
            return n;
        }
    }
    loop {
        // SAFETY: `process` is never freed, and until `wake` this function only uses the number
        // of its control socket, which it has read already.
        unsafe { signals::settle(process) };
        let received = io::read(control, buffer);
        signals::wake();
        match received {
            Ok(n @ 1..) => return n,
            Err(Errno::EINTR) => {}
            // SAFETY: the loop isn't quiescent.
            _ => lost(unsafe { &mut *process }),
        }
    }
}

/// Polls for the next call for a short time, and yields the processor to other processes
/// meanwhile.
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
            match recv(control, buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(n @ 1..) => return Some(n),
                Err(Errno::EAGAIN) if before - start <= Self::TIME => {}
                // read(2) will report the end and errors again.
                _ => return None,
            }
            std::thread::yield_now();
            let now = Instant::now();
            if !self.guard.yielded(now - before, now) {
                return None;
            }
            before = now;
        }
    }
}

/// The control socket is gone, so the VM can't reach this process any more. It gives its
/// children some time to end, and ends itself.
fn lost(process: &mut Process) -> ! {
    for at in 0..process.children.len() {
        let pid = process.children.pids()[at];
        let signal = process.children.signal(pid).map_or(0, |signal| *signal);
        descendants::ask(pid, signal.into());
    }
    // If the guardian dies, the other end of root's control socket closes before the kernel tells
    // root about the death. So root itself has to end what is left.
    if process.depth == 0 {
        descendants::end(process.children.pids());
        leave(0);
    }
    let mut patience = Patience::new(descendants::GRACE_OF_ALL);
    while process.children.len() > 0 && !patience.is_over() {
        match wait4(-1, libc::WNOHANG) {
            Ok(child) if child.pid == 0 => descendants::pause(),
            // A child that asked to be traced shows its stops, too.
            Ok(child) if libc::WIFSTOPPED(child.status) => {}
            Ok(child) => {
                process.children.remove(child.pid);
            }
            Err(_) => break,
        }
    }
    for pid in process.children.pids() {
        let _ = kill(*pid, libc::SIGKILL);
    }
    leave(0)
}
