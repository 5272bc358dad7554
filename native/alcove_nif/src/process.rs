//! A Unix process as the router sees it: its four channels and the calls under way.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use alcove_proto::calls::{leaves_loop, number};
use alcove_proto::frame;
use alcove_proto::poll::{Guard, Patience};
use alcove_proto::wire::{Malformed, Reader as Bytes, tag};
use nix::errno::Errno;
use parking_lot::Mutex;
use rustler::LocalPid;

use crate::poller::{Channel, Interest, Poller, Source};
use crate::stream::{Stdin, Stream};
use crate::ticket::Ticket;
use crate::{scm, sys};

/// How large a piece a long frame is received in: memory is asked for as bytes
/// come, not as a header promises.
const PIECE: usize = 256 * 1024;

/// A process.
///
/// Locks are taken in the order `reader`, `calls`; both may be held when a
/// stream's or stdin's is taken.
pub struct Process {
    /// What events call it.
    pub id: u64,
    /// Its fork path; root's is empty.
    pub path: Box<[u32]>,
    control: OwnedFd,
    /// Whoever holds this reads the control socket.
    pub reader: Mutex<Reader>,
    /// The calls under way.
    pub calls: Mutex<Calls>,
    /// The write end of stdin and what waits for room in it.
    pub stdin: Mutex<Stdin>,
    /// The read end of stdout.
    pub stdout: Mutex<Stream>,
    /// The read end of stderr.
    pub stderr: Mutex<Stream>,
    /// Who gets its streams and events, if not the owner of the Drv.
    pub owner: Mutex<Option<LocalPid>>,
    /// How it ended.
    pub end: Mutex<Option<End>>,
    /// How many messages of output its owner wants; -1: all.
    flow: AtomicI64,
    /// When it was forked.
    pub since: Instant,
    /// Nobody is to be told any more that it is gone.
    pub reported: AtomicBool,
    /// Children that left their event loop and whose end is still to be reported: nothing
    /// else tells of it.
    leavers: AtomicI64,
}

/// The end of a process, as its parent reported it.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The status, as wait(2) has it.
    pub status: i32,
    /// Whether the owner wants to know an exit status.
    pub exit_status: bool,
    /// Whether the owner wants to know a termination signal.
    pub termsig: bool,
    /// Whether the owner wants to know what it used.
    pub rusage: bool,
    /// What it used.
    pub used: [i64; frame::RUSAGE],
    /// The owner was told, or need not be.
    pub told: bool,
}

/// The calls of a process.
pub struct Calls {
    next: u32,
    /// In the order in which they were sent, which is that of their replies.
    pub pending: VecDeque<Pending>,
    /// What the socket had no room for.
    unsent: VecDeque<u8>,
    /// A calling scheduler reads the socket; the router leaves it alone.
    pub inline: bool,
    /// The router left an event alone meanwhile.
    pub missed: bool,
    /// The router is told when there is something to read.
    armed: bool,
    /// It has forked: it may report the end of a child.
    parent: bool,
    /// It may trap signals, and report them.
    pub traps: bool,
    /// The process is in its event loop no more.
    pub closed: bool,
    /// It runs a program.
    pub execed: bool,
    /// Its parent has reported its end.
    pub ended: bool,
    /// Children whose channels never got here: of their ends nothing else is known.
    pub lost: u32,
    /// A spawn whose calls failed; it is answered when the process is gone.
    pub failed: Option<(Pending, Vec<u8>)>,
    /// Whether polling for a reply has been worth it lately.
    pub patience: Patience,
    /// Whether the processor is free enough to poll.
    pub guard: Guard,
}

/// A call that has no reply yet.
pub struct Pending {
    /// Its number in this process.
    pub id: u32,
    /// What was asked.
    pub kind: Kind,
    /// Who asked.
    pub waiter: Waiter,
    /// The results of a batch whose next call may not return.
    pub partial: Option<Vec<u8>>,
    /// How many processes it may still fork.
    pub forks: usize,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A call, by its number.
    Call(u16),
    /// A batch of calls.
    Batch(Box<[u16]>),
    /// A fork, and a batch in the new process.
    Spawn(Box<[u16]>),
    /// The batch of a spawn, in the new process.
    Spawned(Box<[u16]>),
}

impl Kind {
    /// How many processes it may fork.
    pub fn forks(&self) -> usize {
        let count = |calls: &[u16]| {
            calls
                .iter()
                .filter(|call| matches!(**call, number::fork | number::clone))
                .count()
        };
        match self {
            Kind::Call(call) => count(&[*call]),
            Kind::Batch(calls) | Kind::Spawned(calls) => count(calls),
            Kind::Spawn(calls) => 1 + count(calls),
        }
    }

    /// Whether it may change what signals do.
    fn traps(&self) -> bool {
        match self {
            Kind::Call(call) => *call == number::sigaction,
            Kind::Batch(calls) | Kind::Spawned(calls) => calls.contains(&number::sigaction),
            Kind::Spawn(_) => false,
        }
    }
}

impl Pending {
    /// A call that was just sent.
    pub fn new(id: u32, kind: Kind, waiter: Waiter) -> Self {
        let forks = kind.forks();
        Pending {
            id,
            kind,
            waiter,
            partial: None,
            forks,
        }
    }

    /// The call by which the process leaves its event loop, if that is what it is at.
    pub fn leaves_by(&self) -> Option<u16> {
        let call = match &self.kind {
            Kind::Call(call) => *call,
            Kind::Batch(calls) | Kind::Spawned(calls) => {
                // The results that came before it say which call it is.
                let mut results = Bytes::new(self.partial.as_deref()?);
                (results.u8() == Ok(tag::LIST)).then_some(())?;
                *calls.get(results.u32().ok()? as usize)?
            }
            Kind::Spawn(_) => return None,
        };
        leaves_loop(call).then_some(call)
    }
}

/// Who waits for a reply, and how.
pub enum Waiter {
    /// The scheduler that holds the reader.
    Inline,
    /// A process that has a ticket for it.
    Ticket(Arc<Ticket>),
}

impl Calls {
    fn new(first: u32) -> Self {
        Calls {
            next: first,
            pending: VecDeque::new(),
            unsent: VecDeque::new(),
            inline: false,
            missed: false,
            armed: false,
            parent: false,
            traps: false,
            closed: false,
            execed: false,
            ended: false,
            lost: 0,
            failed: None,
            patience: Patience::new(0),
            guard: Guard::new(),
        }
    }

    /// A number for a call.
    pub fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        id
    }

    /// Takes a pending call out.
    pub fn take(&mut self, id: u32) -> Option<Pending> {
        // Replies come in the order of the calls: it is the first.
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        self.pending.remove(at)
    }

    /// Whether it may have children.
    pub fn has_forked(&self) -> bool {
        self.parent
    }

    /// The process takes no more calls.
    pub fn close(&mut self) {
        self.closed = true;
        self.unsent = VecDeque::new();
    }

    /// Whether a caller may poll for a reply itself.
    pub fn may_poll(&mut self) -> bool {
        if self.inline || !self.pending.is_empty() || !self.unsent.is_empty() {
            return false;
        }
        self.patience.allows() && self.guard.allows(Instant::now())
    }
}

impl Process {
    /// A process with its channels: control, stdin, stdout, stderr. `first` is
    /// the number of its first call.
    pub fn new(
        id: u64,
        path: Box<[u32]>,
        channels: [OwnedFd; frame::CHANNELS],
        owner: Option<LocalPid>,
        first: u32,
    ) -> Self {
        let [control, stdin, stdout, stderr] = channels;
        Process {
            id,
            path,
            control,
            reader: Mutex::new(Reader::default()),
            calls: Mutex::new(Calls::new(first)),
            stdin: Mutex::new(Stdin::new(stdin)),
            stdout: Mutex::new(Stream::new(stdout)),
            stderr: Mutex::new(Stream::new(stderr)),
            owner: Mutex::new(owner),
            end: Mutex::new(None),
            flow: AtomicI64::new(-1),
            since: Instant::now(),
            reported: AtomicBool::new(false),
            leavers: AtomicI64::new(0),
        }
    }

    /// Its number in its parent's eyes; 0 for root.
    pub fn pid(&self) -> u32 {
        self.path.last().copied().unwrap_or_default()
    }

    /// How many messages of output its owner wants; -1: all.
    pub fn flow(&self) -> i64 {
        self.flow.load(Ordering::SeqCst)
    }

    /// Sets how many it wants.
    pub fn set_flow(&self, messages: i64) {
        self.flow.store(messages, Ordering::SeqCst);
    }

    /// Counts a message.
    pub fn sent_message(&self) {
        let less = |flow: i64| if flow > 0 { Some(flow - 1) } else { None };
        let _ = self
            .flow
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }

    /// One of its output streams.
    pub fn stream(&self, channel: Channel) -> &Mutex<Stream> {
        if channel == Channel::Stderr {
            &self.stderr
        } else {
            &self.stdout
        }
    }

    /// Whether it wrote something before its end that isn't delivered yet.
    pub fn owes(&self) -> bool {
        self.stdout.lock().owed > 0 || self.stderr.lock().owed > 0
    }

    /// How many of its streams wait for their owner.
    pub fn streams_held(&self) -> usize {
        usize::from(self.stdout.lock().held) + usize::from(self.stderr.lock().held)
    }

    /// Whether one of its streams is open.
    pub fn has_output(&self) -> bool {
        self.stdout.lock().is_open() || self.stderr.lock().is_open()
    }

    /// Puts its channels into a poller; stdin follows when something waits for it.
    pub fn register(&self, poller: &Poller, calls: &mut Calls) -> Result<(), Errno> {
        let control = Source::Process(self.id, Channel::Control);
        calls.armed = calls.traps || !calls.pending.is_empty();
        let interest = Interest {
            read: calls.armed,
            write: false,
        };
        poller.add(&self.control, control, interest)?;
        for channel in [Channel::Stdout, Channel::Stderr] {
            if let Some(fd) = self.stream(channel).lock().fd() {
                poller.add(fd, Source::Process(self.id, channel), Interest::READ)?;
            }
        }
        Ok(())
    }

    /// Sends a frame, or as much of it as there is room for now.
    pub fn send(&self, poller: &Poller, calls: &mut Calls, bytes: &[u8]) {
        let mut sent = 0;
        if calls.unsent.is_empty() {
            while sent < bytes.len() {
                match scm::send_now(self.control.as_fd(), &bytes[sent..]) {
                    Ok(n) => sent += n,
                    Err(Errno::EAGAIN) => break,
                    // The process is gone: the reader finds the end and answers.
                    Err(_) => return,
                }
            }
        }
        if sent < bytes.len() {
            calls.unsent.extend(&bytes[sent..]);
            self.interest(poller, calls);
        }
    }

    /// Sends what had no room.
    pub fn flush(&self, poller: &Poller, calls: &mut Calls) {
        if calls.unsent.is_empty() {
            // To change the interest is to be told once more, of an end for ever.
            return;
        }
        while !calls.unsent.is_empty() {
            match scm::send_now(self.control.as_fd(), calls.unsent.as_slices().0) {
                Ok(n) => drop(calls.unsent.drain(..n)),
                Err(Errno::EAGAIN) => return,
                Err(_) => calls.unsent.clear(),
            }
        }
        calls.unsent.shrink_to(0);
        self.interest(poller, calls);
    }

    /// Gives the socket to the router, or takes it back.
    pub fn arm(&self, poller: &Poller, calls: &mut Calls, armed: bool) {
        calls.armed = armed;
        self.interest(poller, calls);
    }

    /// Takes the socket from the router, if it has it.
    pub fn disarm(&self, poller: &Poller, calls: &mut Calls) {
        if calls.armed {
            self.arm(poller, calls, false);
        }
    }

    /// The scheduler that read the socket is done. The router gets it if something may come
    /// that nobody calls for; what came meanwhile is told at once.
    pub fn end_poll(&self, poller: &Poller, calls: &mut Calls) {
        calls.inline = false;
        let missed = std::mem::take(&mut calls.missed);
        let expects = calls.traps || calls.lost > 0 || !calls.pending.is_empty();
        if missed || expects || self.leavers.load(Ordering::SeqCst) > 0 {
            self.arm(poller, calls, true);
        }
    }

    /// A child left its event loop: its end is the next that is heard of it, from here.
    pub fn expect_end(&self, poller: &Poller) {
        self.leavers.fetch_add(1, Ordering::SeqCst);
        let mut calls = self.calls.lock();
        if !calls.inline && !calls.armed {
            self.arm(poller, &mut calls, true);
        }
    }

    /// The end of such a child was reported.
    pub fn end_reported(&self) {
        self.leavers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Adds a call that the router is to answer, and sees to it that it does.
    pub fn enqueue(&self, poller: &Poller, calls: &mut Calls, pending: Pending, bytes: &[u8]) {
        self.note(calls, &pending.kind);
        calls.pending.push_back(pending);
        if !calls.inline && !calls.armed {
            self.arm(poller, calls, true);
        }
        self.send(poller, calls, bytes);
    }

    /// Remembers what a call means for the process.
    pub fn note(&self, calls: &mut Calls, kind: &Kind) {
        calls.parent |= kind.forks() > 0;
        calls.traps |= kind.traps();
    }

    fn interest(&self, poller: &Poller, calls: &Calls) {
        let interest = Interest {
            read: calls.armed,
            write: !calls.unsent.is_empty(),
        };
        // It was registered before anybody could know of it, so this can only fail
        // for want of kernel memory, which no later attempt would fare better with.
        let _ = poller.modify(
            &self.control,
            Source::Process(self.id, Channel::Control),
            interest,
        );
    }

    /// Ends the connection: the process sees the end of its control socket and exits.
    pub fn hang_up(&self) {
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.control),
            nix::sys::socket::Shutdown::Both,
        );
    }

    /// Sleeps until something can be received, or for some time.
    pub fn wait(&self, limit: Duration) {
        sys::wait_readable(&self.control, limit);
    }

    /// Receives what there is and hands each whole frame to `each`.
    pub fn receive(
        &self,
        reader: &mut Reader,
        scratch: &mut [u8],
        each: impl FnMut(Frame<'_>) -> Result<(), Malformed>,
    ) -> Received {
        reader.receive(&self.control, scratch, each)
    }
}

/// A frame from a process.
pub struct Frame<'a> {
    /// Its type, one of [`frame::from`].
    pub kind: u8,
    /// What follows the type.
    pub payload: &'a [u8],
    /// Descriptors that came with it.
    pub fds: &'a mut VecDeque<OwnedFd>,
}

/// What receiving came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Something came; there may be more.
    Some,
    /// There is nothing now.
    Nothing,
    /// There will be nothing any more.
    End,
    /// What came isn't the protocol.
    Malformed,
}

/// The receiving side of a control socket.
#[derive(Default)]
pub struct Reader {
    partial: Vec<u8>,
    fds: VecDeque<OwnedFd>,
    /// Something came that isn't the protocol: what follows means nothing.
    broken: bool,
}

impl Reader {
    fn receive(
        &mut self,
        control: &OwnedFd,
        scratch: &mut [u8],
        mut each: impl FnMut(Frame<'_>) -> Result<(), Malformed>,
    ) -> Received {
        if self.broken {
            return Received::End;
        }
        let outcome = if self.partial.is_empty() {
            match scm::receive(control.as_fd(), scratch, &mut self.fds) {
                Ok(0) => return Received::End,
                Ok(n) => frames(&scratch[..n], &mut self.fds, &mut each)
                    .map(|used| self.partial.extend_from_slice(&scratch[used..n])),
                Err(Errno::EAGAIN) => return Received::Nothing,
                Err(_) => return Received::End,
            }
        } else {
            let have = self.partial.len();
            let want = match frame::length(&self.partial) {
                Ok(Some(length)) => frame::HEADER + length - have,
                Ok(None) => frame::HEADER - have,
                Err(Malformed) => return self.malformed(),
            };
            self.partial.resize(have + want.min(PIECE), 0);
            let received = scm::receive(control.as_fd(), &mut self.partial[have..], &mut self.fds);
            self.partial.truncate(have + received.unwrap_or(0));
            match received {
                Ok(0) => return Received::End,
                Ok(_) => {
                    let partial = std::mem::take(&mut self.partial);
                    let used = frames(&partial, &mut self.fds, &mut each);
                    // What was asked for ends with the frame: it is whole or it isn't.
                    if used == Ok(0) {
                        self.partial = partial;
                    }
                    used.map(drop)
                }
                Err(Errno::EAGAIN) => return Received::Nothing,
                Err(_) => return Received::End,
            }
        };
        if self.partial.is_empty() {
            // Descriptors come with the frame that announces them; others weren't asked for.
            self.fds.clear();
        }
        self.fds.truncate(frame::CHANNELS);
        match outcome {
            Ok(()) => Received::Some,
            Err(Malformed) => self.malformed(),
        }
    }

    fn malformed(&mut self) -> Received {
        *self = Reader {
            broken: true,
            ..Reader::default()
        };
        Received::Malformed
    }
}

/// Hands the whole frames to `each`; says how many bytes they took.
fn frames(
    bytes: &[u8],
    fds: &mut VecDeque<OwnedFd>,
    each: &mut impl FnMut(Frame<'_>) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let mut used = 0;
    while let Some(length) = frame::length(&bytes[used..])? {
        let start = used + frame::HEADER;
        let Some(body) = bytes.get(start..start + length) else {
            break;
        };
        let (kind, payload) = body.split_first().ok_or(Malformed)?;
        each(Frame {
            kind: *kind,
            payload,
            fds,
        })?;
        used = start + length;
    }
    Ok(used)
}
