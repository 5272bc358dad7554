//! A tree of Unix processes: what a Drv stands for.
//!
//! Two kinds of threads work on it: the router, which reads every channel, and
//! schedulers in a call, which read a control socket for some microseconds. The
//! thread that reads a frame handles it, so everything here runs on both.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alcove_core::keeper::{self, Pool};
use alcove_core::process::calls::Keeping;
use alcove_core::process::{Channels, End};
use alcove_core::reader::{Came, Reader, Received};
use alcove_proto::calls::number;
use alcove_proto::frame::{self, from, notify};
use alcove_proto::keep::{self, Over};
use alcove_proto::wire::{self, Malformed};
use crossbeam_channel::Sender;
use nix::errno::Errno;
use parking_lot::{Mutex, MutexGuard, RwLock};
use rustler::{Encoder, Env, LocalPid, Term};

use crate::deliver::{Answer, Mail};
use crate::vm::{Calls, Claim, Kind, Pending, Process, Role, Vm, Waiter};
use crate::{call, terms};
use alcove_core::closer::Closer;
use alcove_core::launch::{self, CHANNEL_SORTS};
use alcove_core::poller::Poller;

/// The most parts of a reply that a scheduler turns into terms.
const LIGHT_PARTS: usize = 1024;

/// The longest reply that a scheduler turns into terms.
const LIGHT_BYTES: usize = 256 * 1024;

/// The frames that a process may send, when it may send them, and their handlers. A frame that
/// isn't due ends its channel. HELLO isn't among these, since it comes before there is a tree.
///
/// In addition, a frame that names a call must name the one that is due: see [`Calls::due`].
const DUE: [Due; 8] = [
    Due(from::REPLY, Calls::is_answering, Handle::Reply),
    Due(from::FORKED, Calls::is_forking, Handle::Forked),
    Due(from::PARTIAL, Calls::is_leaving, Handle::Partial),
    Due(from::SIGNAL, Calls::is_trapping, Handle::Signal),
    Due(from::CHILD, Calls::may_lose_children, Handle::Child),
    Due(from::KEPT, Calls::is_starting, Handle::Kept),
    Due(from::OVER, Calls::is_busy, Handle::Over),
    Due(from::FREE, Calls::is_busy, Handle::Free),
];

/// A type of frame, the state of a process in which it is due, and its handler.
struct Due(u8, fn(&Calls) -> bool, Handle);

/// The handler of a frame.
#[derive(Clone, Copy, Debug)]
enum Handle {
    Reply,
    Forked,
    Signal,
    Child,
    Partial,
    Kept,
    Over,
    Free,
}

/// Scratch space of a thread that reads control sockets.
pub const SCRATCH: usize = 64 * 1024;

/// What the router is asked to do.
pub enum Command {
    /// End the tree.
    Stop,
    /// Something happened of which the router tells the owner, in order.
    Event(Event),
    /// Look at a process's stdin again.
    Stdin(Arc<Process>),
    /// A process may send more output.
    Flow(Arc<Process>),
    /// The owner that a token stands for reads on.
    Resume(u64),
    /// An owner of fork paths died.
    OwnerGone(LocalPid),
    /// The Erlang process that asked for a program has ended.
    Abandon(Arc<Claim>),
    /// Answer a call of the process with this id: the answer was too much work for a scheduler.
    Answer(u64, Box<Pending>, Owned),
}

/// A copy of an answer, as the process encoded it.
pub enum Owned {
    /// A reply.
    Reply(Vec<u8>),
    /// The results of a batch that left the event loop.
    Left(Vec<u8>),
}

/// What a process does besides replying.
pub enum Event {
    /// It caught a signal.
    Signal(Arc<Process>, i32),
    /// It left its event loop.
    Left(Arc<Process>),
    /// It ended; its parent says how.
    Ended(Arc<Process>, End),
    /// It ended, and its channels never arrived.
    Lost(Box<[u32]>, End),
    /// It doesn't speak the protocol.
    Malformed(Arc<Process>),
}

/// Numbers for [`info`](crate::info).
#[derive(Default)]
pub struct Counters {
    /// Calls made.
    pub calls: AtomicU64,
    /// Calls that were answered without a message.
    pub inline: AtomicU64,
    /// Processes forked.
    pub forks: AtomicU64,
    /// Bytes written to stdin.
    pub stdin: AtomicU64,
    /// Bytes delivered from stdout and stderr.
    pub output: AtomicU64,
    /// Streams held because their owner has a long queue.
    pub held: AtomicU64,
}

/// A tree.
pub struct Tree {
    /// The Erlang process that stands for it.
    pub drv: LocalPid,
    /// The Erlang process that gets streams and events, unless a fork path has an owner of its own.
    pub owner: LocalPid,
    /// Whether the owner wants to know root's exit status, or termination signal.
    pub tells: (bool, bool),
    /// The Erlang process that is told of each process that is forked, and of each that is gone.
    pub reporter: Option<LocalPid>,
    /// A term of Drv's that others can read without asking Drv.
    pub note: Box<[u8]>,
    /// The processes by fork path.
    paths: RwLock<HashMap<Box<[u32]>, Arc<Process>>>,
    /// The processes whose channels are watched.
    ids: Mutex<HashMap<u64, Arc<Process>>>,
    /// The free keepers.
    pub pool: Mutex<Pool<Vm>>,
    /// Watches the channels.
    pub poller: Arc<Poller>,
    /// Closes descriptors that came from processes.
    pub closer: Arc<Closer>,
    commands: Sender<Command>,
    next: AtomicU64,
    closed: AtomicBool,
    /// The counters that `info` shows.
    pub counters: Counters,
}

impl Tree {
    /// A tree without processes.
    pub fn new(
        drv: LocalPid,
        owner: LocalPid,
        tells: (bool, bool),
        reporter: Option<LocalPid>,
        note: Box<[u8]>,
        poller: Arc<Poller>,
        commands: Sender<Command>,
    ) -> Self {
        Tree {
            drv,
            owner,
            tells,
            reporter,
            note,
            paths: RwLock::default(),
            ids: Mutex::default(),
            pool: Mutex::default(),
            poller,
            closer: Closer::new(),
            commands,
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Asks the router for something.
    pub fn command(&self, command: Command) {
        // If the router is gone, the command doesn't matter any more.
        if self.commands.send(command).is_ok() {
            self.poller.wake();
        }
    }

    /// Leaves something that came with a frame to the router. The router looks for commands after
    /// it has handled frames; a scheduler wakes the router once it has read.
    fn leave(&self, command: Command) {
        // If the router is gone, the command doesn't matter any more.
        let _ = self.commands.send(command);
    }

    fn event(&self, event: Event) {
        self.leave(Command::Event(event));
    }

    /// Sends a message to the process that watches the tree, if there is one.
    pub fn report(&self, mail: &mut Mail<'_>, build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) {
        if let Some(reporter) = &self.reporter {
            // If that process is gone, the Drv is about to end.
            let _ = mail.post(reporter, build);
        }
    }

    /// The process at a fork path.
    pub fn find(&self, path: &[u32]) -> Option<Arc<Process>> {
        self.paths.read().get(path).cloned()
    }

    /// Whether a process is still the one at its fork path.
    fn is_linked(&self, process: &Process) -> bool {
        self.find(&process.path)
            .is_some_and(|found| found.id == process.id)
    }

    /// The process that an event is about.
    pub fn by_id(&self, id: u64) -> Option<Arc<Process>> {
        self.ids.lock().get(&id).cloned()
    }

    /// How many processes are known.
    pub fn count(&self) -> usize {
        self.ids.lock().len()
    }

    /// Every process that is known.
    pub fn all(&self) -> Vec<Arc<Process>> {
        self.ids.lock().values().cloned().collect()
    }

    /// A process that is not yet in the tree. `first` is the number of its first call.
    pub fn process(
        &self,
        path: Box<[u32]>,
        role: Role,
        channels: Channels,
        owner: Option<LocalPid>,
        first: u32,
    ) -> Arc<Process> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let closer = &self.closer;
        Arc::new(Process::new(id, path, role, channels, closer, owner, first))
    }

    /// Adds a process and watches its channels. `calls` are those of the process.
    pub fn add(&self, process: &Arc<Process>, calls: &mut Calls) -> Result<(), Errno> {
        self.ids.lock().insert(process.id, Arc::clone(process));
        if let Err(errno) = process.register(&self.poller, calls) {
            self.ids.lock().remove(&process.id);
            return Err(errno);
        }
        self.paths
            .write()
            .insert(process.path.clone(), Arc::clone(process));
        // The tree may have been closed since the parent was looked up.
        if self.closed.load(Ordering::SeqCst) {
            process.hang_up();
        }
        Ok(())
    }

    /// Makes every process below a path unreachable by its path.
    pub fn unlink_below(&self, path: &[u32]) {
        let is_below = |other: &[u32]| other.len() > path.len() && other.starts_with(path);
        self.paths.write().retain(|other, _| !is_below(other));
    }

    /// Makes this process unreachable by its path, unless the path leads to another one by now.
    pub fn unlink_process(&self, process: &Process) {
        let mut paths = self.paths.write();
        if paths
            .get(&process.path)
            .is_some_and(|other| other.id == process.id)
        {
            paths.remove(&process.path);
        }
    }

    /// Forgets a process whose channels are all closed.
    pub fn forget(&self, process: &Process) {
        self.unlink_process(process);
        self.ids.lock().remove(&process.id);
        if matches!(process.role, Role::Keeper(_)) {
            self.pool.lock().remove(process);
        }
    }

    /// Sends no calls to any process from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.paths.write().clear();
    }

    /// Reads once what a process sent. `reader` is that of `process`. The answer for the
    /// calling scheduler goes to `inline`.
    pub fn read<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        reader: &mut Reader,
        scratch: &mut [u8],
        inline: &mut Option<Term<'a>>,
    ) -> Received {
        let received = process.receive(reader, scratch, |frame| {
            self.frame(mail, process, frame, inline)
        });
        match received {
            Received::Malformed => self.break_off(mail, process, inline),
            Received::End => self.left(mail, process, inline),
            Received::Some => {}
            Received::Nothing => return received,
        }
        if matches!(mail, Mail::Scheduler(_)) && !self.commands.is_empty() {
            self.poller.wake();
        }
        received
    }

    /// A process doesn't speak the protocol.
    pub fn break_off<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        inline: &mut Option<Term<'a>>,
    ) {
        process.hang_up();
        self.event(Event::Malformed(Arc::clone(process)));
        self.left(mail, process, inline);
    }

    /// Handles a frame.
    fn frame<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        came: Came<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let calls = process.calls.lock();
        let row = DUE.iter().find(|due| due.0 == came.frame.kind);
        match row.ok_or(Malformed)? {
            Due(_, is_due, handle) if is_due(&calls) => {
                let handle = match handle {
                    Handle::Reply => Tree::reply,
                    Handle::Forked => Tree::forked,
                    Handle::Signal => Tree::signal,
                    Handle::Child => Tree::child,
                    Handle::Partial => Tree::partial,
                    Handle::Kept => Tree::kept,
                    Handle::Over => Tree::over,
                    Handle::Free => Tree::free,
                };
                handle(self, mail, process, calls, came, inline)
            }
            _ => Err(Malformed),
        }
    }

    /// The process caught a signal.
    fn signal<'a>(
        &self,
        _mail: &mut Mail<'a>,
        process: &Arc<Process>,
        calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        _inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        drop(calls);
        let frame::Signal { signal } = came.frame.read()?;
        self.event(Event::Signal(Arc::clone(process), signal));
        Ok(())
    }

    /// A child of the process ended.
    fn child<'a>(
        &self,
        _mail: &mut Mail<'a>,
        process: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        _inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let frame::Child {
            pid,
            status,
            notify,
            used,
        } = came.frame.read()?;
        let end = End {
            status,
            exit_status: notify & notify::EXIT_STATUS != 0,
            termsig: notify & notify::TERMSIG != 0,
            rusage: notify & notify::RUSAGE != 0,
            used,
            told: false,
            over: None,
        };
        let path = child_path(&process.path, pid);
        // The child can be found by its path until its output is delivered.
        if let Some(child) = self.find(&path) {
            drop(calls);
            let mut its = child.calls.lock();
            // It ends once.
            if std::mem::replace(&mut its.ended, true) {
                return Err(Malformed);
            }
            if its.closed {
                process.end_reported();
            }
            drop(its);
            self.event(Event::Ended(child, end));
        } else if calls.lost > 0 {
            calls.lost -= 1;
            self.event(Event::Lost(path, end));
        } else if !calls.ended && self.is_linked(process) {
            // The process can still be found by its path, and has no such child.
            return Err(Malformed);
        }
        Ok(())
    }

    /// A batch's results before its last call.
    fn partial<'a>(
        &self,
        _mail: &mut Mail<'a>,
        _process: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        _inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let frame::Partial { id, results } = came.frame.read()?;
        let at = calls.due(id)?;
        calls.pending[at].partial = Some(results.to_vec());
        Ok(())
    }

    /// A new process, with its channels.
    fn forked<'a>(
        &self,
        mail: &mut Mail<'a>,
        parent: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let frame::Forked {
            id,
            pid,
            last,
            flow,
        } = came.frame.read()?;
        let at = calls.due(id)?;
        let asked = &mut calls.pending[at];
        asked.forks = asked.forks.checked_sub(1).ok_or(Malformed)?;
        if asked.queued.is_some() {
            let pending = calls.pending.remove(at).ok_or(Malformed)?;
            return self.keeper_forked(mail, parent, calls, pending, pid, came, inline);
        }
        let is_spawn = matches!(asked.kind, Kind::Spawn(_));
        let pending = if is_spawn || last {
            calls.pending.remove(at)
        } else {
            None
        };
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        let channels = match launch::received(came.fds, &CHANNEL_SORTS, &self.closer) {
            Ok(channels) => channels.into_iter().collect(),
            Err(errno) => {
                calls.lost += 1;
                drop(calls);
                return self.fork_failed(mail, parent, pending, errno, inline);
            }
        };

        let first = if is_spawn { id.wrapping_add(1) } else { 0 };
        let owner = *parent.owner.lock();
        let child = self.process(
            child_path(&parent.path, pid),
            Role::EventLoop,
            channels,
            owner,
            first,
        );
        child.set_flow(flow.into());
        // The router may get events of the child as soon as it is added, and must find its pending
        // calls then.
        let mut its = child.calls.lock();
        its.traps = calls.traps;
        let pending = match pending {
            Some(Pending {
                id,
                kind: Kind::Spawn(list),
                waiter,
                ..
            }) => {
                let pending = Pending::new(id, Kind::Spawned(list), waiter);
                its.note(&pending.kind);
                its.pending.push_back(pending);
                None
            }
            pending => pending,
        };
        let added = self.add(&child, &mut its);
        if added.is_err() {
            calls.lost += 1;
        }
        drop(calls);
        let pending = match added {
            Ok(()) => pending,
            Err(_) => pending.or_else(|| its.pending.pop_front()),
        };
        drop(its);
        if added.is_ok() {
            self.report_forked(mail, &child);
        }
        match (added, pending) {
            (Ok(()), Some(pending)) => {
                self.answer(mail, parent, pending, Answer::Forked(pid), inline)
            }
            (Ok(()), None) => Ok(()),
            (Err(errno), pending) => self.fork_failed(mail, parent, pending, errno, inline),
        }
    }

    /// A process forked a keeper, for which a request waits.
    #[allow(clippy::too_many_arguments, reason = "what every frame comes with")]
    fn keeper_forked<'a>(
        &self,
        mail: &mut Mail<'a>,
        parent: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        mut pending: Pending,
        pid: u32,
        came: Came<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        let (Some(queued), Kind::Keeper(heritage)) = (pending.queued.take(), &pending.kind) else {
            return Err(Malformed);
        };
        let control = launch::received(came.fds, &CHANNEL_SORTS[..1], &self.closer);
        let added = control.and_then(|control| {
            let channels = control.into_iter().collect();
            let path = child_path(&parent.path, pid);
            let keeper = self.process(path, Role::Keeper(*heritage), channels, None, 0);
            let mut its = keeper.calls.lock();
            its.set_keeper(Keeping::Free);
            self.add(&keeper, &mut its)?;
            drop(its);
            Ok(keeper)
        });
        let keeper = match added {
            Ok(keeper) => keeper,
            Err(errno) => {
                queued.asked.claim.done();
                calls.lost += 1;
                drop(calls);
                return self.answer(mail, parent, pending, Answer::Failed(errno), inline);
            }
        };
        drop(calls);
        self.report_forked(mail, &keeper);
        match keeper::give(&self.poller, &keeper, *queued) {
            keeper::Gave::Sent => Ok(()),
            keeper::Gave::Unwanted => {
                self.pool.lock().put(&keeper);
                Ok(())
            }
            keeper::Gave::Back(queued) => {
                queued.asked.claim.done();
                self.answer(mail, parent, pending, Answer::Gone, inline)
            }
        }
    }

    /// A keeper runs a program.
    fn kept<'a>(
        &self,
        mail: &mut Mail<'a>,
        keeper: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let frame::Kept { id, pid } = came.frame.read()?;
        let at = calls.due(id)?;
        let pending = calls.pending.remove(at).ok_or(Malformed)?;
        let (Kind::Keep(asked), Waiter::Ticket(ticket)) = (&pending.kind, &pending.waiter) else {
            return Err(Malformed);
        };
        drop(calls);
        let channels = keeper::channels(&asked.streams, came.fds, &self.closer);
        let role = Role::Program {
            request: id,
            claim: Arc::clone(&asked.claim),
        };
        // If the channels can't be used, the program is added without them until it is ended.
        let failed = channels.as_ref().err().copied();
        let path = child_path(&keeper.path, pid);
        let channels = channels.unwrap_or_default();
        let program = self.process(path, role, channels, Some(ticket.to), 0);
        program.set_flow(asked.flow);
        if asked.streams.contains(&keep::Stream::Terminal) {
            program.stdout.lock().terminal = true;
            program.stdin.lock().set_terminal();
        }
        let added = {
            let mut its = program.calls.lock();
            its.closed = true;
            its.execed = true;
            self.add(&program, &mut its)
        };
        if added.is_err() {
            keeper.calls.lock().lost += 1;
        }
        if let Some(errno) = failed.or(added.err()) {
            asked.claim.abandon();
            return self.answer(mail, keeper, pending, Answer::Failed(errno), inline);
        }
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        self.report_forked(mail, &program);
        self.answer(mail, keeper, pending, Answer::Kept(&program.path), inline)
    }

    /// A keeper's program has ended.
    fn over<'a>(
        &self,
        _mail: &mut Mail<'a>,
        keeper: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        _inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let over: Over = came.frame.read()?;
        let some_left = over.some_left;
        let program = self.find(&child_path(&keeper.path, over.pid));
        let ended = match program.as_ref().map(|program| (program, &program.role)) {
            Some((program, Role::Program { claim, .. })) => {
                drop(calls);
                // It ends once.
                if std::mem::replace(&mut program.calls.lock().ended, true) {
                    return Err(Malformed);
                }
                // From now on, orders to the keeper would reach its next program.
                if !some_left {
                    claim.done();
                }
                Some(Event::Ended(Arc::clone(program), End::kept(over)))
            }
            _ => {
                calls.lost = calls.lost.checked_sub(1).ok_or(Malformed)?;
                drop(calls);
                None
            }
        };
        // The keeper is freed before the owner learns of the end, since the owner may then run the
        // next program.
        if !some_left {
            self.freed(keeper);
        }
        if let Some(ended) = ended {
            self.event(ended);
        }
        Ok(())
    }

    /// A keeper reports that it can be used again.
    fn free<'a>(
        &self,
        _mail: &mut Mail<'a>,
        keeper: &Arc<Process>,
        calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        _inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        drop(calls);
        let frame::Free {} = came.frame.read()?;
        self.freed(keeper);
        Ok(())
    }

    fn freed(&self, keeper: &Arc<Process>) {
        keeper.calls.lock().set_keeper(Keeping::Free);
        self.pool.lock().put(keeper);
    }

    /// Tells the process that watches the tree that a process was added.
    fn report_forked(&self, mail: &mut Mail<'_>, process: &Process) {
        self.report(mail, |env| {
            (
                terms::alcove_nif(),
                terms::forked(),
                terms::path(env, &process.path),
            )
                .encode(env)
        });
    }

    /// A process was forked but can't be reached. Without its channels it exits.
    fn fork_failed<'a>(
        &self,
        mail: &mut Mail<'a>,
        parent: &Process,
        pending: Option<Pending>,
        errno: Errno,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        match pending {
            Some(pending) => self.answer(mail, parent, pending, Answer::Failed(errno), inline),
            None => Ok(()),
        }
    }

    /// Answers a call.
    fn reply<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        mut calls: MutexGuard<'_, Calls>,
        came: Came<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let frame::Reply { id, term: bytes } = came.frame.read()?;
        let at = calls.due(id)?;
        let pending = calls.pending.remove(at).ok_or(Malformed)?;
        if let Kind::Keep(asked) = &pending.kind {
            asked.claim.done();
        }
        let answer = match pending.kind {
            Kind::Spawned(_) if terms::is_error(bytes) => {
                // The caller is answered when the process is gone, so that nothing is left by then.
                calls.failed = Some((pending, bytes.to_vec()));
                return Ok(());
            }
            Kind::Spawned(_) => Answer::Forked(process.pid()),
            _ => Answer::Reply(bytes),
        };
        drop(calls);
        self.answer(mail, process, pending, answer, inline)
    }

    /// Sends an answer, or keeps it for the scheduler that asked. The router handles an answer that
    /// is much work.
    fn answer<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Process,
        mut pending: Pending,
        answer: Answer<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        if let Mail::Scheduler(env) = mail {
            if let Some(owned) = heavy(&answer) {
                if matches!(pending.waiter, Waiter::Inline) {
                    let (waiter, ticket) = call::ticket(*env);
                    pending.waiter = waiter;
                    *inline = Some(ticket);
                }
                self.leave(Command::Answer(process.id, Box::new(pending), owned));
                return Ok(());
            }
        }
        mail.answer(self.drv, &process.path, pending, answer, inline)
    }

    /// Answers a call for a scheduler.
    pub fn answer_heavy(&self, mail: &mut Mail<'_>, id: u64, pending: Pending, owned: &Owned) {
        let answer = match owned {
            Owned::Reply(bytes) => Answer::Reply(bytes),
            Owned::Left(bytes) => Answer::Left(Some(bytes)),
        };
        let process = self.by_id(id);
        let path = process.as_ref().map_or(&[][..], |process| &process.path);
        let answered = mail.answer(self.drv, path, pending, answer, &mut None);
        if let (Err(Malformed), Some(process)) = (answered, process) {
            let _reader = process.reader.lock();
            self.break_off(mail, &process, &mut None);
        }
    }

    /// A process is in its event loop no more: answers its pending calls.
    pub fn left<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        inline: &mut Option<Term<'a>>,
    ) {
        let (pending, ended) = {
            let mut calls = process.calls.lock();
            if calls.closed {
                return;
            }
            calls.close();
            if let Some(call) = calls.pending.front().and_then(Pending::leaves_by) {
                calls.execed = call != number::exit;
            }
            (std::mem::take(&mut calls.pending), calls.ended)
        };
        let parent = (!ended).then(|| self.parent(process)).flatten();
        if let Some(parent) = parent {
            parent.expect_end(&self.poller);
        }
        for (index, pending) in pending.into_iter().enumerate() {
            let partial = pending.partial.clone();
            let answer = match (&pending.kind, pending.leaves_by()) {
                (Kind::Spawned(_), Some(_)) if index == 0 => Answer::Forked(process.pid()),
                (_, Some(_)) if index == 0 => Answer::Left(partial.as_deref()),
                _ => Answer::Gone,
            };
            if let Kind::Keep(asked) = &pending.kind {
                asked.claim.done();
            }
            // The results of the batch can't be read; its caller was told that the process is gone.
            let _ = self.answer(mail, process, pending, answer, inline);
        }
        self.event(Event::Left(Arc::clone(process)));
    }

    /// Answers a spawn whose calls failed, now that its process is gone.
    pub fn answer_failed(&self, mail: &mut Mail<'_>, process: &Process) -> bool {
        let failed = process.calls.lock().failed.take();
        let Some((pending, bytes)) = failed else {
            return false;
        };
        let _ = self.answer(mail, process, pending, Answer::Reply(&bytes), &mut None);
        true
    }

    /// Answers the callers that wait for a process that is gone.
    pub fn dismiss(&self, mail: &mut Mail<'_>, process: &Process) {
        self.answer_failed(mail, process);
        let mut told = Vec::new();
        process.stdin.lock().close(&mut told);
        mail.tell(told);
    }

    /// Whether no process will report the end of a process, since its parent runs no event loop.
    pub fn is_orphan(&self, process: &Process) -> bool {
        !process.path.is_empty()
            && self
                .parent(process)
                .is_none_or(|parent| parent.calls.lock().closed)
    }

    /// The parent of a process, while it can be found by its path.
    fn parent(&self, process: &Process) -> Option<Arc<Process>> {
        let (_, parent) = process.path.split_last()?;
        self.find(parent)
    }

    /// The processes that a process forked.
    pub fn children(&self, process: &Process) -> Vec<Arc<Process>> {
        let is_child = |other: &&Arc<Process>| {
            other
                .path
                .split_last()
                .is_some_and(|(_, parent)| *parent == *process.path)
        };
        self.ids.lock().values().filter(is_child).cloned().collect()
    }
}

/// A copy of an answer that takes long to turn into a term.
fn heavy(answer: &Answer<'_>) -> Option<Owned> {
    let is_heavy =
        |bytes: &[u8]| bytes.len() > LIGHT_BYTES || wire::has_more_parts(bytes, LIGHT_PARTS);
    match answer {
        Answer::Reply(bytes) if is_heavy(bytes) => Some(Owned::Reply(bytes.to_vec())),
        Answer::Left(Some(bytes)) if is_heavy(bytes) => Some(Owned::Left(bytes.to_vec())),
        _ => None,
    }
}

/// The path of a process's child.
fn child_path(path: &[u32], pid: u32) -> Box<[u32]> {
    [path, &[pid]].concat().into()
}
