//! Whole conversations with processes that say what they like.
//!
//! Bytes choose what happens, in which order: callers make calls, poll for replies, wait, give up
//! and end; processes send frames that are due and others, torn anywhere, with descriptors that fit
//! and others, and hang up; the router reads. Everything is real but the Erlang processes: the
//! sockets, the descriptors, the poller, and the code that the NIF runs between them.
//!
//! Whatever happens,
//!
//! * nothing panics or waits;
//! * each call is answered, once;
//! * a frame that isn't due ends the channel of the process that sent it, and one that is due
//!   doesn't;
//! * at the end no descriptor is left open, and no thread runs.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alcove_core::erlang::{Binary, Buffer, Erlang};
use alcove_core::keeper;
use alcove_core::launch::{CHANNEL_SORTS, Sort};
use alcove_core::mail::{self, Answer};
use alcove_core::pipe::PipeEnd;
use alcove_core::poller::{Channel, Events, Poller, Source};
use alcove_core::process::calls::{Asked, Kind, Pending, Queued};
use alcove_core::process::claim::Claim;
use alcove_core::process::turn::{Ended, Turn};
use alcove_core::process::{self, Channels, Role, calls};
use alcove_core::reader::Received;
use alcove_core::routes::Routes;
use alcove_core::scm;
use alcove_core::stream::Told;
use alcove_core::sys::End;
use alcove_core::tree::{Command, SCRATCH};
use alcove_proto::calls::{leaves_loop, number};
use alcove_proto::frame::{self, CHANNELS, Frame, MAX_FRAME, RUSAGE, from};
use alcove_proto::keep::{Order, Over, Stream, Why};
use alcove_proto::wire::{self, Atom, Builder, Malformed, Put, PutTerm};
use crossbeam_channel::Receiver;

/// A conversation that these bytes choose.
pub fn conversations(bytes: &[u8]) {
    let before = open();
    let (sender, commands) = crossbeam_channel::unbounded();
    let poller = Poller::new().expect("a poller");
    let (drv, owner, reporter) = (0, 1, Some(2));
    let note = Box::from([]);
    let tree = Tree::new(drv, owner, (true, true), reporter, note, poller, sender);
    let mut world = World::new(&tree, &commands);
    let mut input = Input(bytes);
    let can_route = input.below(4) != 0;
    while !input.0.is_empty() {
        world.step(&mut input);
    }
    world.end(can_route);
    drop(world);
    drop((tree, commands));
    // What came from processes is closed by a thread.
    let deadline = Instant::now() + Duration::from_secs(60);
    while open() != before {
        assert!(Instant::now() < deadline, "a descriptor is left open");
        std::thread::yield_now();
    }
}

/// How many descriptors and threads this process has, as far as that can be told.
fn open() -> [Option<usize>; 2] {
    ["/dev/fd", "/proc/self/task"].map(|path| Some(std::fs::read_dir(path).ok()?.count()))
}

/// Bytes that are taken one by one. There are zeros behind them.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// No Erlang: a process is a number, and terms say nothing.
enum Plain {}

impl Erlang for Plain {
    type Pid = usize;
    type Term = ();
    type Binary = Nothing;
    type Buffer = Nothing;
}

struct Nothing;

impl Binary for Nothing {
    fn with<R>(&self, _: impl FnOnce(&[u8]) -> R) -> Option<R> {
        None
    }
}

impl Buffer for Nothing {
    fn new(_: usize) -> Self {
        Nothing
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut []
    }
}

type Tree = alcove_core::tree::Tree<Plain>;
type Process = alcove_core::process::Process<Plain>;
type Waiter = calls::Waiter<Plain>;
type Ticket = alcove_core::ticket::Ticket<Plain>;

/// An Erlang process that has made a call.
struct Caller {
    ticket: Arc<Ticket>,
    answers: usize,
    claim: Option<Arc<Claim>>,
    /// It has ended, or was told at once that there is no such process.
    over: bool,
}

/// The Erlang processes.
#[derive(Default)]
struct Callers {
    /// A scheduler reads a control socket, not the router.
    is_scheduler: bool,
    /// The scheduler has the answer to the call that it is in.
    answered: bool,
    all: Vec<Caller>,
    /// The fork paths of processes that were added to the tree.
    added: Vec<Box<[u32]>>,
    /// How many processes with a fork path are told of and not gone, and how many of them are not
    /// over. A process may lie about the pid of its child.
    there: HashMap<Box<[u32]>, [usize; 2]>,
}

impl Callers {
    fn wait(&mut self) -> Waiter {
        let ticket = Arc::new(Ticket::new(self.all.len()));
        self.all.push(Caller {
            ticket: Arc::clone(&ticket),
            answers: 0,
            claim: None,
            over: false,
        });
        Waiter::Ticket(ticket)
    }

    fn settle(&mut self, ticket: &Ticket) {
        // An early outcome is kept. An outcome that comes late is sent as another message.
        let _ = ticket.settle(|reference| reference.is_none().then_some(()));
        let caller = &mut self.all[ticket.to];
        caller.answers += 1;
        assert_eq!(caller.answers, 1, "a call is answered again");
    }
}

impl mail::Mail<Plain> for Callers {
    fn is_scheduler(&self) -> bool {
        self.is_scheduler
    }

    fn defer(&mut self, waiter: &mut Waiter) {
        assert!(self.is_scheduler);
        if matches!(waiter, Waiter::Inline) {
            *waiter = self.wait();
            self.answered = true;
        }
    }

    fn answer(
        &mut self,
        _drv: usize,
        _path: &[u32],
        pending: Pending<Plain>,
        answer: Answer<'_>,
    ) -> Result<(), Malformed> {
        match pending.waiter {
            Waiter::Inline => {
                assert!(self.is_scheduler, "only the scheduler can tell its caller");
                assert!(!self.answered, "a call is answered again");
                self.answered = true;
            }
            Waiter::Ticket(ticket) => self.settle(&ticket),
        }
        match (&pending.kind, answer) {
            (_, Answer::Reply(bytes)) | (Kind::Batch(_), Answer::Left(Some(bytes))) => read(bytes),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, told: Vec<Told<Plain>>) {
        told.iter().for_each(|told| self.settle(&told.ticket));
    }

    fn forked(&mut self, _reporter: usize, path: &[u32]) {
        self.added.push(path.into());
        for count in self.there.entry(path.into()).or_default() {
            *count += 1;
        }
    }
}

impl mail::Post<Plain> for Callers {
    fn output(&mut self, _: &mail::To<'_, Plain>, _: Channel, _: mail::Bytes<'_, Nothing>) {
        panic!("nobody writes to a stream");
    }

    fn event(&mut self, to: &mail::To<'_, Plain>, news: mail::News<'_>) {
        if let mail::News::Over(_) = news {
            let [_, running] = self.there.entry(to.path.into()).or_default();
            *running = running.checked_sub(1).expect("a program is over once");
        }
    }

    fn ask(&mut self, _drv: usize, _owner: usize, _token: u64) {}

    fn gone(&mut self, _: usize, path: &[u32], _: Duration, _: Option<&process::End>) {
        let [there, _] = self.there.entry(path.into()).or_default();
        *there = there.checked_sub(1).expect("a process is gone once");
    }
}

/// A Unix process that has a control socket.
struct Peer {
    process: Arc<Process>,
    theirs: Option<UnixStream>,
    /// What it has yet to send, and the descriptors that go with the bytes at these places.
    out: Vec<u8>,
    fds: VecDeque<(usize, Vec<OwnedFd>)>,
    /// So far it has sent whole frames only, and each was read at once.
    orderly: bool,
    /// Calls that were sent to it may trap signals.
    traps: bool,
    /// Calls that were sent to it may fork.
    forks: bool,
    /// The calls for which it has reported a new process, one for each.
    forked: Vec<u32>,
}

impl Peer {
    fn new(process: Arc<Process>, theirs: UnixStream) -> Self {
        theirs.set_nonblocking(true).expect("an open socket");
        Peer {
            process,
            theirs: Some(theirs),
            out: Vec::new(),
            fds: VecDeque::new(),
            orderly: true,
            traps: false,
            forks: false,
            forked: Vec::new(),
        }
    }

    fn say(&mut self, frame: &Said) {
        if !frame.fds.is_empty() {
            let fds = frame.fds.iter().map(|fd| fd.try_clone().expect("room"));
            self.fds.push_back((self.out.len(), fds.collect()));
        }
        self.out.extend(&frame.bytes);
    }

    /// Sends so many bytes, or as many as there is room for.
    fn send(&mut self, mut bytes: usize) {
        let Some(theirs) = &self.theirs else { return };
        while bytes > 0 && !self.out.is_empty() {
            let mut fds = Vec::new();
            if self.fds.front().is_some_and(|(at, _)| *at == 0) {
                fds = self.fds.pop_front().map(|(_, fds)| fds).unwrap_or_default();
            }
            let end = self.fds.front().map_or(self.out.len(), |(at, _)| *at);
            let part = &self.out[..end.min(bytes)];
            let Ok(sent) = scm::send_fds_now(theirs.as_fd(), part, &fds) else {
                // The VM has hung up, or doesn't read.
                self.theirs = None;
                return;
            };
            bytes -= sent;
            self.out.drain(..sent);
            self.fds.iter_mut().for_each(|(at, _)| *at -= sent);
        }
    }

    /// Takes what was sent to it, with the descriptors.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(Ok(1..)) = self.theirs.as_mut().map(|theirs| theirs.read(&mut buffer)) {}
    }
}

/// A frame that a process is about to send.
#[derive(Debug)]
struct Said {
    kind: u8,
    id: u32,
    pid: u32,
    /// What it says can be read.
    sound: bool,
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// A tree, its processes and their callers.
struct World<'t> {
    tree: &'t Tree,
    commands: &'t Receiver<Command<Plain>>,
    routes: Routes<'t, Plain, Callers>,
    peers: Vec<Peer>,
    programs: Vec<Arc<Process>>,
    /// The fork paths of processes that are about to be added, and their ends of the control
    /// sockets.
    births: Vec<(Box<[u32]>, UnixStream)>,
    pids: u32,
    scratch: Vec<u8>,
    events: Events,
}

/// The numbers of calls: those that mean something for the process, and some other.
const CALLS: [u16; 7] = [
    number::getpid,
    number::fork,
    number::clone,
    number::execve,
    number::exit,
    number::sigaction,
    number::chdir,
];

impl<'t> World<'t> {
    fn new(tree: &'t Tree, commands: &'t Receiver<Command<Plain>>) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        let channels = Channels::from_iter([ours.into()]);
        let root = tree.process(Box::from([]), Role::EventLoop, channels, None, 0);
        let added = tree.add(&root, &mut root.calls.lock());
        added.expect("a socket");
        World {
            tree,
            commands,
            routes: Routes::new(tree, Arc::clone(&root), Callers::default()),
            peers: vec![Peer::new(root, theirs)],
            programs: Vec::new(),
            births: Vec::new(),
            pids: 10,
            scratch: vec![0; SCRATCH],
            events: Events::with_capacity(64),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let what = input.below(24);
        let open = |peer: &&Peer| !peer.process.calls.lock().is_closed();
        let count = self.peers.iter().filter(open).count();
        let which = input.below(count);
        let Some(at) = (0..self.peers.len())
            .filter(|at| open(&&self.peers[*at]))
            .nth(which)
        else {
            // Nobody is there any more.
            input.0 = &[];
            return;
        };
        match what {
            0..4 => self.call(at, input),
            4..7 => self.keep(at, input),
            7 => self.order(input),
            8 => self.caller(input),
            9..20 => self.check(at, input),
            20..23 => self.route(),
            // Most conversations go on in an orderly way.
            _ if input.below(4) != 0 => self.route(),
            _ => self.disorder(at, input),
        }
    }

    /// A process doesn't care for the protocol.
    fn disorder(&mut self, at: usize, input: &mut Input<'_>) {
        const LENGTHS: [u32; 4] = [0, MAX_FRAME as u32, MAX_FRAME as u32 + 1, u32::MAX];
        let what = input.below(5);
        let frame = (what < 2).then(|| self.frame(at, input)).flatten();
        let peer = &mut self.peers[at];
        peer.orderly = false;
        match (what, frame) {
            (_, Some(frame)) => {
                peer.say(&frame);
                peer.send(input.below(80));
            }
            (2, _) => {
                let length = input.below(16);
                peer.out.extend(input.take(length));
                peer.send(usize::MAX);
            }
            (3, _) => {
                peer.out.extend(LENGTHS[input.below(4)].to_le_bytes());
                peer.out.extend(input.take(1));
                peer.send(usize::MAX);
            }
            _ => peer.theirs = None,
        }
    }

    /// Somebody makes a call, and polls for the reply if nothing else is under way.
    fn call(&mut self, at: usize, input: &mut Input<'_>) {
        let kind = kind(input);
        let process = Arc::clone(&self.peers[at].process);
        let calls = process.calls.lock();
        // No caller sends anything to a keeper.
        if calls.is_closed() || matches!(process.role, Role::Keeper(_)) {
            return;
        }
        let own = match &kind {
            Kind::Call(call) => std::slice::from_ref(call),
            Kind::Batch(calls) => calls,
            _ => &[],
        };
        self.peers[at].traps |= own.contains(&number::sigaction);
        self.peers[at].forks |= kind.forks() > 0;
        let mut bytes = Vec::new();
        let (id, number) = (0, number::getpid);
        let arguments = &[];
        frame::Call {
            id,
            number,
            arguments,
        }
        .write(&mut bytes);
        let wait = || (self.routes.mail.wait(), ());
        if let Ok(turn) = process.call(&self.tree.poller, calls, kind, &mut bytes, wait) {
            self.turn(at, turn, input);
        }
    }

    /// A scheduler polls, while the process sends frames and the router is told of them.
    fn turn(&mut self, at: usize, mut turn: Turn<'_, Plain>, input: &mut Input<'_>) {
        let process = Arc::clone(&self.peers[at].process);
        for _ in 0..input.below(4) {
            let Some(frame) = self.frame(at, input) else {
                break;
            };
            let due = self.due(at, &frame);
            self.peers[at].say(&frame);
            self.peers[at].send(usize::MAX);
            if input.below(2) == 0 {
                self.visit();
            }
            self.routes.mail.is_scheduler = true;
            let reader = &mut turn.reader;
            let (tree, callers) = (self.tree, &mut self.routes.mail);
            while !callers.answered
                && tree.read(callers, &process, reader, &mut self.scratch) == Received::Some
            {
            }
            self.routes.mail.is_scheduler = false;
            self.held(at, &frame, due);
            if self.routes.mail.answered || process.calls.lock().is_closed() {
                break;
            }
        }
        let answered = std::mem::take(&mut self.routes.mail.answered);
        let wait = || (self.routes.mail.wait(), ());
        let ended = turn.end(&self.tree.poller, answered, wait);
        assert!(!matches!(ended, Ended::Gone), "a call is forgotten");
        self.adopt();
    }

    /// Somebody wants a program to run.
    fn keep(&mut self, at: usize, input: &mut Input<'_>) {
        const STREAMS: [Stream; 5] = [
            Stream::Null,
            Stream::Pipe,
            Stream::Stdout,
            Stream::Terminal,
            Stream::Given,
        ];
        let process = Arc::clone(&self.peers[at].process);
        if !matches!(process.role, Role::EventLoop) {
            return;
        }
        let streams = [(); 3].map(|()| STREAMS[input.below(STREAMS.len())]);
        let given = Stream::given(&streams);
        let fds = (0..given).map(|_| null()).collect();
        let claim = Claim::new(&self.tree.poller, 15, 0);
        let waiter = self.routes.mail.wait();
        let mut bytes = Vec::new();
        let (id, pid) = (0, 0);
        frame::Kept { id, pid }.write(&mut bytes);
        if let Some(caller) = self.routes.mail.all.last_mut() {
            caller.claim = Some(Arc::clone(&claim));
        }
        self.peers[at].forks = true;
        let calls = Box::from([number::chdir]);
        let kept = self.tree.keep(
            &process,
            Queued {
                frame: bytes,
                fds,
                asked: Asked {
                    calls,
                    streams,
                    flow: -1,
                    claim,
                },
                waiter,
            },
        );
        if let Some(caller) = self.routes.mail.all.last_mut() {
            caller.over = !kept;
        }
    }

    /// Somebody sends an order about a program.
    fn order(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.programs.len());
        let Some(program) = self.programs.get(at) else {
            return;
        };
        let (Some(of), Some((_, path))) = (program.request(), program.path.split_last()) else {
            return;
        };
        let Some(keeper) = self.tree.find(path) else {
            return;
        };
        let mut calls = keeper.calls.lock();
        if calls.is_closed() {
            return;
        }
        let id = calls.next_id();
        let signal = 1;
        let action = alcove_proto::keep::Action::Signal { id, signal };
        let mut bytes = Vec::new();
        Order { of, action }.write(&mut bytes);
        let pending = Pending::new(id, Kind::Order, self.routes.mail.wait());
        keeper.enqueue(&self.tree.poller, &mut calls, pending, &bytes);
    }

    /// A caller waits, gives up, or ends.
    fn caller(&mut self, input: &mut Input<'_>) {
        let at = input.below(self.routes.mail.all.len());
        let Some(caller) = self.routes.mail.all.get_mut(at) else {
            return;
        };
        match input.below(3) {
            0 => drop(caller.ticket.wait(())),
            1 => drop(caller.ticket.cancel()),
            _ => {
                if let Some(claim) = &caller.claim {
                    claim.abandon();
                    caller.over = true;
                }
            }
        }
    }

    /// A process sends a frame, torn or not, and the router reads. What happens is what should.
    fn check(&mut self, at: usize, input: &mut Input<'_>) {
        self.route();
        if self.peers[at].process.calls.lock().is_closed() {
            return;
        }
        let Some(frame) = self.frame(at, input) else {
            return self.call(at, input);
        };
        let mut due = self.due(at, &frame);
        let ends = matches!(frame.kind, from::CHILD | from::OVER);
        let lost = self.peers[at].process.calls.lock().lost;
        let peer = &mut self.peers[at];
        peer.say(&frame);
        if ends && lost == 0 && input.below(8) == 0 {
            // Nothing ends twice.
            peer.say(&frame);
            due = due.map(|_| false);
        }
        for _ in 0..input.below(3) {
            let length = input.below(40);
            self.peers[at].send(length);
            self.visit();
        }
        self.peers[at].send(usize::MAX);
        self.visit();
        self.held(at, &frame, due);
        self.route();
    }

    /// Whether a frame that is sent now is due, if that is known.
    fn due(&self, at: usize, frame: &Said) -> Option<bool> {
        let peer = &self.peers[at];
        let process = &peer.process;
        let children = self.tree.children(process);
        let child = self.tree.find(&[&process.path[..], &[frame.pid]].concat());
        let ended = |child: &Process| child.calls.lock().has_ended();
        let leaver = |child: &Arc<Process>| {
            let calls = child.calls.lock();
            calls.is_closed() && !calls.has_ended()
        };
        let leavers = children.iter().any(leaver);
        let calls = process.calls.lock();
        let is_keeper = matches!(process.role, Role::Keeper(_));
        let first = calls.pending.front();
        let is_first = first.is_some_and(|first| first.id == frame.id);
        let named = calls.pending.iter().find(|call| call.id == frame.id);
        // Nobody reads it.
        let watched = is_keeper || peer.traps || calls.lost > 0 || first.is_some() || leavers;
        if !peer.orderly
            || !peer.out.is_empty()
            || peer.theirs.is_none()
            || calls.is_closed()
            || calls.has_ended()
        {
            return None;
        }
        let found = self.tree.find(&process.path);
        if !watched || found.is_none_or(|found| found.id != process.id) {
            return None;
        }
        let takes_fds = matches!(frame.kind, from::FORKED | from::KEPT);
        if frame.fds.len() > if takes_fds { CHANNELS } else { 0 } {
            return Some(false);
        }
        let due = match frame.kind {
            from::REPLY => is_first || is_keeper && named.is_some(),
            from::FORKED => {
                let before = peer.forked.iter().filter(|id| **id == frame.id).count();
                is_first && first.is_some_and(|first| first.kind.forks() > before)
            }
            from::PARTIAL => {
                let leaves = |calls: &[u16]| calls.last().copied().is_some_and(leaves_loop);
                is_first
                    && first.is_some_and(|first| match &first.kind {
                        Kind::Batch(calls) | Kind::Spawned(calls) => {
                            first.partial.is_none() && leaves(calls)
                        }
                        _ => false,
                    })
            }
            from::SIGNAL => peer.traps,
            from::CHILD if is_keeper || !peer.forks => false,
            from::CHILD => child.map_or(calls.lost > 0, |child| !ended(&child)),
            from::KEPT => {
                calls.is_busy() && named.is_some_and(|call| matches!(call.kind, Kind::Keep(_)))
            }
            from::OVER => {
                let program = child.filter(|child| child.request().is_some());
                calls.is_busy() && program.map_or(calls.lost > 0, |program| !ended(&program))
            }
            from::FREE => calls.is_busy(),
            _ => false,
        };
        // A reply that can't be read is found out when it is turned into a term.
        (frame.sound || !due).then_some(due)
    }

    /// A frame that was due has ended no channel, and another has.
    fn held(&mut self, at: usize, frame: &Said, due: Option<bool>) {
        let (closed, ended) = {
            let calls = self.peers[at].process.calls.lock();
            (calls.is_closed(), calls.has_ended())
        };
        if frame.kind == from::FORKED {
            self.peers[at].forked.push(frame.id);
        }
        match due {
            // Its parent has meanwhile said that it is gone, so it isn't judged any more.
            Some(_) if ended => {}
            Some(due) => assert_eq!(due, !closed, "whether it was due and is open: {frame:?}"),
            None => self.peers[at].orderly = false,
        }
    }

    /// A frame, mostly one that is due, if there is such.
    fn frame(&mut self, at: usize, input: &mut Input<'_>) -> Option<Said> {
        let process = Arc::clone(&self.peers[at].process);
        let children = self.tree.children(&process);
        let calls = process.calls.lock();
        let due = [
            (from::REPLY, calls.is_answering()),
            (from::FORKED, calls.is_forking()),
            (from::FORKED, calls.is_forking()),
            (from::PARTIAL, calls.is_leaving()),
            (from::SIGNAL, self.peers[at].traps),
            (from::CHILD, self.peers[at].forks && !children.is_empty()),
            (from::KEPT, calls.is_starting()),
            (from::KEPT, calls.is_starting()),
            (from::OVER, calls.is_busy() && !children.is_empty()),
            (from::FREE, calls.is_busy()),
        ];
        let mut due: Vec<u8> = due.iter().filter(|due| due.1).map(|due| due.0).collect();
        let byte = input.byte();
        if byte < 250 && due.is_empty() {
            return None;
        }
        if byte >= 250 {
            due = (0..11).collect();
        }
        let kind = due[input.below(due.len())];
        let which = input.byte();
        let named = calls.pending.iter().filter(|call| match kind {
            from::KEPT => which >= 250 || matches!(call.kind, Kind::Keep(_)),
            _ => true,
        });
        let place = match process.role {
            // A keeper may answer out of order.
            Role::Keeper(_) => usize::from(which) % calls.pending.len().max(1),
            _ => usize::from(which > 250),
        };
        let named = named.clone().nth(place).or_else(|| named.clone().next());
        let id = named.map_or(0, |call| call.id);
        let id = if which == 255 { id.wrapping_add(7) } else { id };
        let mut sorts = Vec::new();
        match (kind, named.map(|call| &call.kind)) {
            (from::FORKED, Some(Kind::Keeper(_))) => sorts.extend(&CHANNEL_SORTS[..1]),
            (from::FORKED, _) => sorts.extend(&CHANNEL_SORTS),
            (from::KEPT, Some(Kind::Keep(asked))) => sorts = keeper::sorts(&asked.streams),
            _ => {}
        }
        drop(calls);
        // A child that there is, or a new one.
        let known = children.get(input.below(children.len() + 1));
        let is_new = known.is_none() || matches!(kind, from::FORKED | from::KEPT) && which < 250;
        let pid = match known {
            Some(known) if !is_new => known.pid(),
            _ => {
                self.pids += 1;
                self.pids
            }
        };
        let mut frame = Said {
            kind,
            id,
            pid,
            sound: true,
            bytes: Vec::new(),
            fds: Vec::new(),
        };
        self.descriptors(&process, &mut frame, &sorts, is_new, input);
        payload(&mut frame, input);
        Some(frame)
    }

    /// The descriptors that go with a frame: mostly those that should.
    fn descriptors(
        &mut self,
        process: &Process,
        frame: &mut Said,
        sorts: &[Sort],
        is_new: bool,
        input: &mut Input<'_>,
    ) {
        let how = input.below(64);
        if how == 61 {
            return;
        }
        for (place, sort) in sorts.iter().enumerate() {
            frame.fds.push(match sort {
                _ if how == 60 || how == 59 && place + 1 == sorts.len() => null(),
                Sort::Control => {
                    let (ours, theirs) = UnixStream::pair().expect("two sockets");
                    if is_new {
                        let path = [&process.path[..], &[frame.pid]].concat();
                        self.births.push((path.into(), theirs));
                    }
                    ours.into()
                }
                Sort::Pipe(end) => {
                    let [read, write] = PipeEnd::pair().expect("a pipe");
                    let end = if *end == End::Read { read } else { write };
                    end.copy().expect("an open end")
                }
                Sort::Terminal => {
                    let master = File::options().read(true).write(true).open("/dev/ptmx");
                    master.map_or_else(|_| null(), OwnedFd::from)
                }
            });
        }
        if how >= 62 {
            frame.fds.extend((62..=how).map(|_| null()));
        }
    }

    /// The router looks what has come, and handles it.
    fn route(&mut self) {
        self.visit();
        while !self.commands.is_empty() {
            let goes_on = self.routes.obey(self.commands);
            assert!(goes_on, "nobody has asked for the end");
            self.visit();
        }
        self.peers.iter_mut().for_each(Peer::listen);
    }

    /// The router reads what has come.
    fn visit(&mut self) {
        let (poller, now) = (&self.tree.poller, Some(Duration::ZERO));
        while poller.wait(&mut self.events, now).expect("a poller") || self.routes.has_more() {
            for event in self.events.iter() {
                if let Source::Process(id, channel) = event.source {
                    self.routes.happened(id, channel, event);
                }
            }
            self.routes.go_on();
        }
        self.adopt();
    }

    /// Processes were added to the tree.
    fn adopt(&mut self) {
        for path in std::mem::take(&mut self.routes.mail.added) {
            let Some(process) = self.tree.find(&path) else {
                continue;
            };
            if process.request().is_some() {
                self.programs.push(process);
                continue;
            }
            let birth = self.births.iter().position(|(born, _)| *born == path);
            if let Some(birth) = birth {
                let (_, theirs) = self.births.swap_remove(birth);
                let mut peer = Peer::new(Arc::clone(&process), theirs);
                let calls = process.calls.lock();
                let first = calls.pending.front();
                peer.traps = calls.traps;
                peer.forks = first.is_some_and(|first| first.kind.forks() > 0);
                self.peers.push(peer);
            }
        }
    }

    /// The Drv ends: the router has looked once more, or can't any more.
    fn end(&mut self, can_route: bool) {
        if can_route {
            self.route();
            for peer in &mut self.peers {
                peer.theirs = None;
            }
            self.route();
            self.routes.finish(self.commands, Some(0), false);
        }
        self.tree.end(&mut self.routes.mail, self.commands);
        assert!(self.tree.all().is_empty());
        for caller in &self.routes.mail.all {
            assert!(caller.over || caller.answers == 1, "a call isn't answered");
        }
    }
}

/// What is asked of a process.
fn kind(input: &mut Input<'_>) -> Kind {
    let which = input.below(4);
    let mut call = || CALLS[input.below(CALLS.len())];
    if which < 2 {
        return Kind::Call(call());
    }
    let first = call();
    let list = (0..first % 4).map(|_| call()).collect();
    if which == 2 {
        Kind::Batch(list)
    } else {
        Kind::Spawn(list)
    }
}

/// Writes a frame.
fn payload(frame: &mut Said, input: &mut Input<'_>) {
    let (id, pid, out) = (frame.id, frame.pid, &mut frame.bytes);
    match frame.kind {
        from::REPLY => {
            let mut term = Vec::new();
            frame.sound = reply(&mut term, input);
            let term = &term;
            frame::Reply { id, term }.write(out);
        }
        from::FORKED => {
            let last = input.below(4) != 0;
            let flow = -1;
            frame::Forked {
                id,
                pid,
                last,
                flow,
            }
            .write(out);
        }
        from::SIGNAL => frame::Signal { signal: 10 }.write(out),
        from::CHILD => {
            let (status, notify, used) = (0, 7, [0; RUSAGE]);
            frame::Child {
                pid,
                status,
                notify,
                used,
            }
            .write(out);
        }
        from::PARTIAL => {
            let mut results = Vec::new();
            results.term_list(input.below(3));
            let results = &results;
            frame::Partial { id, results }.write(out);
        }
        from::KEPT => frame::Kept { id, pid }.write(out),
        from::OVER => {
            let (free, some_left) = (input.below(2) == 0, input.below(2) == 0);
            Over {
                pid,
                status: Some(0),
                why: Why::Itself,
                wall: 1,
                used: [0; RUSAGE],
                free,
                some_left,
                left: vec![5; usize::from(some_left)],
            }
            .write(out);
        }
        from::FREE => frame::Free {}.write(out),
        kind => {
            let at = frame::start(out, kind);
            frame::finish(out, at);
        }
    }
}

/// A reply; whether it can be read.
fn reply(term: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    match input.below(8) {
        0 => {
            let length = input.below(16);
            term.extend(input.take(length));
            false
        }
        1 | 2 => {
            term.term_tuple(2);
            term.term_atom(Atom::Error);
            term.term_int(1);
            true
        }
        3 => {
            // More than a scheduler turns into terms.
            term.term_list(2000);
            (0..2000).for_each(|_| term.term_tuple(0));
            true
        }
        4 => {
            term.term_list(2000);
            term.put_u8(255);
            false
        }
        _ => {
            term.term_atom(Atom::Ok);
            true
        }
    }
}

fn null() -> OwnedFd {
    File::open("/dev/null").expect("/dev/null").into()
}

/// Reads a term, and nothing behind it.
fn read(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = wire::Reader::new(bytes);
    wire::read_term(&mut reader, &mut Nothing)?;
    reader.end()
}

impl Builder for Nothing {
    type Term = ();
    fn atom(&mut self, place: u16) -> Option<()> {
        (usize::from(place) < wire::ATOMS.len()).then_some(())
    }
    fn errno(&mut self, _: u16) {}
    fn signal(&mut self, _: u16) {}
    fn int(&mut self, _: i64) {}
    fn uint(&mut self, _: u64) {}
    fn bin(&mut self, _: &[u8]) -> Option<()> {
        Some(())
    }
    fn list(&mut self, _: Vec<()>) {}
    fn tuple(&mut self, _: Vec<()>) {}
    fn map(&mut self, _: Vec<((), ())>) -> Option<()> {
        Some(())
    }
}
