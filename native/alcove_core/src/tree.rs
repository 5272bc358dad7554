//! A tree of Unix processes: what a Drv stands for.
//!
//! Two kinds of threads work on it: the router, which reads every channel, and
//! schedulers in a call, which read a control socket for some microseconds. The
//! thread that reads a frame handles it, so everything here runs on both.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alcove_proto::constants;
use alcove_proto::frame::{self, from, notify};
use alcove_proto::keep::{self, Over};
use alcove_proto::wire::{self, Malformed};
use crossbeam_channel::{Receiver, Sender};
use nix::errno::Errno;
use parking_lot::{Mutex, RwLock};

use crate::closer::Closer;
use crate::erlang::Erlang;
use crate::keeper::{self, Pool};
use crate::launch::{self, CHANNEL_SORTS};
use crate::mail::{Answer, Mail, To};
use crate::poller::Poller;
use crate::process::calls::{Calls, Keeping, Kind, Life, Pending, Queued, Waiter};
use crate::process::claim::Claim;
use crate::process::{Channels, End, Process, Role};
use crate::reader::{Came, Reader, Received};
use crate::sync::MutexGuard;

/// The most parts of a reply that a scheduler turns into terms.
const LIGHT_PARTS: usize = 1024;

/// The longest reply that a scheduler turns into terms.
const LIGHT_BYTES: usize = 256 * 1024;

/// When a type of frame is due, and its handler.
type Due<E> = (fn(&Calls<E>) -> bool, Handle);

/// The frames that a process may send, when it may send them, and their handlers. A frame that
/// isn't due ends its channel. HELLO isn't among these, since it comes before there is a tree.
///
/// In addition, a frame that names a call must name the one that is due: see [`Calls::due`].
fn due<E: Erlang>(kind: u8) -> Result<Due<E>, Malformed> {
    Ok(match kind {
        from::REPLY => (Calls::is_answering, Handle::Reply),
        from::FORKED => (Calls::is_forking, Handle::Forked),
        from::PARTIAL => (Calls::is_leaving, Handle::Partial),
        from::SIGNAL => (Calls::is_trapping, Handle::Signal),
        from::CHILD => (Calls::may_lose_children, Handle::Child),
        from::KEPT => (Calls::is_starting, Handle::Kept),
        from::OVER => (Calls::is_busy, Handle::Over),
        from::FREE => (Calls::is_busy, Handle::Free),
        _ => return Err(Malformed),
    })
}

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
pub enum Command<E: Erlang> {
    /// End the tree.
    Stop,
    /// Something happened of which the router tells the owner, in order.
    Event(Event<E>),
    /// Look at a process's stdin again.
    Stdin(Arc<Process<E>>),
    /// A process may send more output.
    Flow(Arc<Process<E>>),
    /// A process has another owner.
    Given(Arc<Process<E>>),
    /// The user closed a stream of a process, and so gave up what wasn't delivered of it.
    Closed(Arc<Process<E>>),
    /// The owner that a token stands for reads on.
    Resume(u64),
    /// An owner of fork paths died.
    OwnerGone(E::Pid),
    /// The Erlang process that asked for a program has ended.
    Abandon(Arc<Claim>),
    /// Answer a call of the process with this id: the answer was too much work for a scheduler.
    Answer(u64, Box<Pending<E>>, Owned),
}

/// A copy of an answer, as the process encoded it.
pub enum Owned {
    /// A reply.
    Reply(Vec<u8>),
    /// The results of a batch that left the event loop.
    Left(Vec<u8>),
}

/// What a process does besides replying.
pub enum Event<E: Erlang> {
    /// It caught a signal.
    Signal(Arc<Process<E>>, i32),
    /// It left its event loop.
    Left(Arc<Process<E>>),
    /// It ended; its parent says how.
    Ended(Arc<Process<E>>, End),
    /// It ended, and its channels never arrived.
    Lost(Box<[u32]>, End),
    /// It doesn't speak the protocol.
    Malformed(Arc<Process<E>>),
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

/// Processes by fork path.
type Paths<E> = HashMap<Box<[u32]>, Arc<Process<E>>>;

/// A tree.
pub struct Tree<E: Erlang> {
    /// The Erlang process that stands for it.
    pub drv: E::Pid,
    /// The Erlang process that gets streams and events, unless a fork path has an owner of its own.
    pub owner: E::Pid,
    /// Whether the owner wants to know root's exit status, or termination signal.
    pub tells: (bool, bool),
    /// The Erlang process that is told of each process that is forked, and of each that is gone.
    pub reporter: Option<E::Pid>,
    /// A term of Drv's that others can read without asking Drv.
    pub note: Box<[u8]>,
    /// The processes by fork path.
    paths: RwLock<Paths<E>>,
    /// The processes whose channels are watched.
    ids: Mutex<HashMap<u64, Arc<Process<E>>>>,
    /// The free keepers.
    pub pool: Mutex<Pool<E>>,
    /// Watches the channels.
    pub poller: Arc<Poller>,
    /// Closes descriptors that came from processes.
    pub closer: Arc<Closer>,
    commands: Sender<Command<E>>,
    next: AtomicU64,
    closed: AtomicBool,
    /// The counters that `info` shows.
    pub counters: Counters,
}

impl<E: Erlang> Tree<E> {
    /// A tree without processes.
    pub fn new(
        drv: E::Pid,
        owner: E::Pid,
        tells: (bool, bool),
        reporter: Option<E::Pid>,
        note: Box<[u8]>,
        poller: Arc<Poller>,
        commands: Sender<Command<E>>,
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
    pub fn command(&self, command: Command<E>) {
        // If the router is gone, the command doesn't matter any more.
        if self.commands.send(command).is_ok() {
            self.poller.wake();
        }
    }

    /// Leaves something that came with a frame to the router. The router looks for commands after
    /// it has handled frames; a scheduler wakes the router once it has read.
    fn leave(&self, command: Command<E>) {
        // If the router is gone, the command doesn't matter any more.
        let _ = self.commands.send(command);
    }

    fn event(&self, event: Event<E>) {
        self.leave(Command::Event(event));
    }

    /// The process at a fork path.
    pub fn find(&self, path: &[u32]) -> Option<Arc<Process<E>>> {
        self.paths.read().get(path).cloned()
    }

    /// Gives a process to an owner; `None`: to the Drv's.
    pub fn give(&self, process: Arc<Process<E>>, owner: Option<E::Pid>) {
        *process.owner.lock() = owner;
        // What the router does with the former owner in mind comes before this command.
        self.command(Command::Given(process));
    }

    /// An owner, and the process that it is told about. The Drv's owner is told if it doesn't live.
    pub fn to<'p>(&self, owner: E::Pid, path: &'p [u32]) -> To<'p, E> {
        To {
            owner,
            other: Some(self.owner),
            drv: self.drv,
            path,
        }
    }

    /// The process at a fork path, if it takes calls. A keeper takes none: it would end.
    pub fn find_event_loop(&self, path: &[u32]) -> Option<Arc<Process<E>>> {
        self.find(path)
            .filter(|process| matches!(process.role, Role::EventLoop))
    }

    /// Whether a process is still the one at its fork path.
    fn is_linked(&self, process: &Process<E>) -> bool {
        self.find(&process.path)
            .is_some_and(|found| found.id == process.id)
    }

    /// The process that an event is about.
    pub fn by_id(&self, id: u64) -> Option<Arc<Process<E>>> {
        self.ids.lock().get(&id).cloned()
    }

    /// How many processes are known.
    pub fn count(&self) -> usize {
        self.ids.lock().len()
    }

    /// Every process that is known.
    pub fn all(&self) -> Vec<Arc<Process<E>>> {
        self.ids.lock().values().cloned().collect()
    }

    /// A process that is not yet in the tree. `first` is the number of its first call.
    pub fn process(
        &self,
        path: Box<[u32]>,
        role: Role,
        channels: Channels,
        owner: Option<E::Pid>,
        first: u32,
    ) -> Arc<Process<E>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let closer = &self.closer;
        Arc::new(Process::new(id, path, role, channels, closer, owner, first))
    }

    /// Adds a process and watches its channels. `calls` are those of the process.
    pub fn add(&self, process: &Arc<Process<E>>, calls: &mut Calls<E>) -> Result<(), Errno> {
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
    pub fn unlink_process(&self, process: &Process<E>) {
        let mut paths = self.paths.write();
        if paths
            .get(&process.path)
            .is_some_and(|other| other.id == process.id)
        {
            paths.remove(&process.path);
        }
    }

    /// Forgets a process whose channels are all closed.
    pub fn forget(&self, process: &Process<E>) {
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

    /// Reads once what a process sent. `reader` is that of `process`.
    pub fn read(
        &self,
        mail: &mut impl Mail<E>,
        process: &Arc<Process<E>>,
        reader: &mut Reader,
        scratch: &mut [u8],
    ) -> Received {
        let received = process.receive(reader, scratch, |frame| self.frame(mail, process, frame));
        match received {
            Received::Malformed => self.break_off(mail, process),
            Received::End => self.left(mail, process),
            Received::Some => {}
            Received::Nothing => return received,
        }
        if mail.is_scheduler() && !self.commands.is_empty() {
            self.poller.wake();
        }
        received
    }

    /// A process doesn't speak the protocol.
    pub fn break_off(&self, mail: &mut impl Mail<E>, process: &Arc<Process<E>>) {
        process.hang_up();
        self.event(Event::Malformed(Arc::clone(process)));
        self.left(mail, process);
    }

    /// Handles a frame.
    fn frame(
        &self,
        mail: &mut impl Mail<E>,
        process: &Arc<Process<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        let calls = process.calls.lock();
        let (is_due, handle) = due(came.frame.kind)?;
        if !is_due(&calls) {
            return Err(Malformed);
        }
        match handle {
            Handle::Reply => self.reply(mail, process, calls, came),
            Handle::Forked => self.forked(mail, process, calls, came),
            Handle::Signal => self.signal(process, calls, came),
            Handle::Child => self.child(process, calls, came),
            Handle::Partial => self.partial(calls, came),
            Handle::Kept => self.kept(mail, process, calls, came),
            Handle::Over => self.over(process, calls, came),
            Handle::Free => self.free(process, calls, came),
        }
    }

    /// The process caught a signal.
    fn signal(
        &self,
        process: &Arc<Process<E>>,
        calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        drop(calls);
        let frame::Signal { signal } = came.frame.read()?;
        // An owner that doesn't read gets each signal that there is, and no others.
        if !(1..=constants::largest_signal()).contains(&signal) {
            return Err(Malformed);
        }
        self.event(Event::Signal(Arc::clone(process), signal));
        Ok(())
    }

    /// A child of the process ended.
    fn child(
        &self,
        process: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
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
            if !its.end() {
                return Err(Malformed);
            }
            if its.is_closed() {
                process.end_reported();
            }
            drop(its);
            self.event(Event::Ended(child, end));
        } else if calls.lost > 0 {
            calls.lost -= 1;
            self.event(Event::Lost(path, end));
        } else if !calls.has_ended() && self.is_linked(process) {
            // The process can still be found by its path, and has no such child.
            return Err(Malformed);
        }
        Ok(())
    }

    /// A batch's results before its last call.
    fn partial(
        &self,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        let frame::Partial { id, results } = came.frame.read()?;
        let at = calls.due(id)?;
        calls.pending[at].partial = Some(results.to_vec());
        Ok(())
    }

    /// A new process, with its channels.
    fn forked(
        &self,
        mail: &mut impl Mail<E>,
        parent: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
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
            return self.keeper_forked(mail, parent, calls, pending, pid, came);
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
                return self.fork_failed(mail, parent, pending, errno);
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
            (Ok(()), Some(pending)) => self.answer(mail, parent, pending, Answer::Forked(pid)),
            (Ok(()), None) => Ok(()),
            (Err(errno), pending) => self.fork_failed(mail, parent, pending, errno),
        }
    }

    /// Has a free keeper of a process run a program, or one that the process forks. False when the
    /// process is gone, or whoever asked is.
    pub fn keep(&self, parent: &Arc<Process<E>>, mut queued: Queued<E>) -> bool {
        // Calls that were sent before this request are made before it, so the heritage includes
        // them.
        let heritage = parent.calls.lock().heritage();
        loop {
            let free = self.pool.lock().take(&parent.path, heritage);
            let Some(keeper) = free else { break };
            match keeper::give(&self.poller, &keeper, queued) {
                keeper::Gave::Sent => return true,
                keeper::Gave::Unwanted => return false,
                keeper::Gave::Back(back) => queued = back,
            }
        }
        keeper::fork(&self.poller, parent, queued)
    }

    /// A process forked a keeper, for which a request waits.
    #[allow(clippy::too_many_arguments, reason = "what every frame comes with")]
    fn keeper_forked(
        &self,
        mail: &mut impl Mail<E>,
        parent: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        mut pending: Pending<E>,
        pid: u32,
        came: Came<'_>,
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
                return self.answer(mail, parent, pending, Answer::Failed(errno));
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
                self.answer(mail, parent, pending, Answer::Gone)
            }
        }
    }

    /// A keeper runs a program.
    fn kept(
        &self,
        mail: &mut impl Mail<E>,
        keeper: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        let frame::Kept { id, pid } = came.frame.read()?;
        let at = calls.due(id)?;
        // The caller of another request still waits for its answer.
        if !matches!(calls.pending[at].kind, Kind::Keep(_)) {
            return Err(Malformed);
        }
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
        // Nobody is told of the end of a program of which nobody was told that it started.
        let owner = failed.is_none().then_some(ticket.to);
        let program = self.process(path, role, channels, owner, 0);
        program.reported.store(failed.is_some(), Ordering::SeqCst);
        program.set_flow(asked.flow);
        if asked.streams.contains(&keep::Stream::Terminal) {
            program.stdout.lock().terminal = true;
            program.stdin.lock().set_terminal();
        }
        let added = {
            let mut its = program.calls.lock();
            its.life = Life::Program;
            self.add(&program, &mut its)
        };
        if added.is_err() {
            keeper.calls.lock().lost += 1;
        }
        if let Some(errno) = failed.or(added.err()) {
            asked.claim.abandon();
            return self.answer(mail, keeper, pending, Answer::Failed(errno));
        }
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        self.report_forked(mail, &program);
        self.answer(mail, keeper, pending, Answer::Kept(&program.path))
    }

    /// A keeper's program has ended.
    fn over(
        &self,
        keeper: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        let over: Over = came.frame.read()?;
        let (free, some_left) = (over.free, over.some_left);
        let program = self.find(&child_path(&keeper.path, over.pid));
        let ended = match program.as_ref().map(|program| (program, &program.role)) {
            Some((program, Role::Program { claim, .. })) => {
                drop(calls);
                // It ends once.
                if !program.calls.lock().end() {
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
        // next program. A keeper that leaves something to live on ends, and is used by none.
        if free {
            self.freed(keeper);
        }
        if let Some(ended) = ended {
            self.event(ended);
        }
        Ok(())
    }

    /// A keeper reports that it can be used again.
    fn free(
        &self,
        keeper: &Arc<Process<E>>,
        calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        drop(calls);
        let frame::Free {} = came.frame.read()?;
        self.freed(keeper);
        Ok(())
    }

    fn freed(&self, keeper: &Arc<Process<E>>) {
        keeper.calls.lock().set_keeper(Keeping::Free);
        self.pool.lock().put(keeper);
    }

    /// Tells the process that watches the tree that a process was added.
    fn report_forked(&self, mail: &mut impl Mail<E>, process: &Process<E>) {
        if let Some(reporter) = self.reporter {
            mail.forked(reporter, &process.path);
        }
    }

    /// A process was forked but can't be reached. Without its channels it exits.
    fn fork_failed(
        &self,
        mail: &mut impl Mail<E>,
        parent: &Process<E>,
        pending: Option<Pending<E>>,
        errno: Errno,
    ) -> Result<(), Malformed> {
        match pending {
            Some(pending) => self.answer(mail, parent, pending, Answer::Failed(errno)),
            None => Ok(()),
        }
    }

    /// Answers a call.
    fn reply(
        &self,
        mail: &mut impl Mail<E>,
        process: &Arc<Process<E>>,
        mut calls: MutexGuard<'_, Calls<E>>,
        came: Came<'_>,
    ) -> Result<(), Malformed> {
        let frame::Reply { id, term: bytes } = came.frame.read()?;
        let at = calls.due(id)?;
        let pending = calls.pending.remove(at).ok_or(Malformed)?;
        if let Kind::Keep(asked) = &pending.kind {
            asked.claim.done();
        }
        let answer = match pending.kind {
            Kind::Spawned(_) if wire::is_error(bytes) => {
                // The caller is answered when the process is gone, so that nothing is left by then.
                calls.failed.push((pending, Some(bytes.to_vec())));
                return Ok(());
            }
            Kind::Spawned(_) => Answer::Forked(process.pid()),
            _ => Answer::Reply(bytes),
        };
        drop(calls);
        self.answer(mail, process, pending, answer)
    }

    /// Sends an answer, or keeps it for the scheduler that asked. The router handles an answer that
    /// is much work.
    fn answer(
        &self,
        mail: &mut impl Mail<E>,
        process: &Process<E>,
        mut pending: Pending<E>,
        answer: Answer<'_>,
    ) -> Result<(), Malformed> {
        if mail.is_scheduler() {
            if let Some(owned) = heavy(&answer) {
                mail.defer(&mut pending.waiter);
                self.leave(Command::Answer(process.id, Box::new(pending), owned));
                return Ok(());
            }
        }
        mail.answer(self.drv, &process.path, pending, answer)
    }

    /// Answers a call for a scheduler.
    pub fn answer_heavy(
        &self,
        mail: &mut impl Mail<E>,
        id: u64,
        pending: Pending<E>,
        owned: &Owned,
    ) {
        let answer = match owned {
            Owned::Reply(bytes) => Answer::Reply(bytes),
            Owned::Left(bytes) => Answer::Left(Some(bytes)),
        };
        let process = self.by_id(id);
        let path = process.as_ref().map_or(&[][..], |process| &process.path);
        let answered = mail.answer(self.drv, path, pending, answer);
        if let (Err(Malformed), Some(process)) = (answered, process) {
            let _reader = process.reader.lock();
            self.break_off(mail, &process);
        }
    }

    /// A process is in its event loop no more: answers its pending calls.
    pub fn left(&self, mail: &mut impl Mail<E>, process: &Arc<Process<E>>) {
        let (pending, ended) = {
            let mut calls = process.calls.lock();
            if calls.is_closed() {
                return;
            }
            calls.close();
            (std::mem::take(&mut calls.pending), calls.has_ended())
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
                if !ended {
                    // The program may run. Once the keeper's end is reported, it doesn't any more.
                    process.calls.lock().failed.push((pending, None));
                    continue;
                }
            }
            // The results of the batch can't be read; its caller was told that the process is gone.
            let _ = self.answer(mail, process, pending, answer);
        }
        self.event(Event::Left(Arc::clone(process)));
    }

    /// Answers the requests that failed, now that their process is gone. False if there are none.
    pub fn answer_failed(&self, mail: &mut impl Mail<E>, process: &Process<E>) -> bool {
        let failed = std::mem::take(&mut process.calls.lock().failed);
        let any = !failed.is_empty();
        for (pending, bytes) in failed {
            let answer = bytes.as_deref().map_or(Answer::Gone, Answer::Reply);
            let _ = self.answer(mail, process, pending, answer);
        }
        any
    }

    /// Answers the callers that wait for a process that is gone.
    pub fn dismiss(&self, mail: &mut impl Mail<E>, process: &Process<E>) {
        self.answer_failed(mail, process);
        let mut told = Vec::new();
        process.stdin.lock().close(&mut told);
        mail.tell(told);
    }

    /// The router is done: answers all callers that still wait.
    pub fn end(&self, mail: &mut impl Mail<E>, commands: &Receiver<Command<E>>) {
        self.close();
        for process in self.all() {
            process.hang_up();
            // A scheduler that reads the control socket answers its caller itself.
            let reader = process.reader.lock();
            self.left(mail, &process);
            drop(reader);
            self.dismiss(mail, &process);
            self.forget(&process);
        }
        // That scheduler may have left an answer to the router.
        while let Ok(command) = commands.try_recv() {
            if let Command::Answer(id, pending, owned) = command {
                self.answer_heavy(mail, id, *pending, &owned);
            }
        }
    }

    /// Whether no process will report the end of a process, since its parent runs no event loop.
    pub fn is_orphan(&self, process: &Process<E>) -> bool {
        !process.path.is_empty()
            && self
                .parent(process)
                .is_none_or(|parent| parent.calls.lock().is_closed())
    }

    /// The parent of a process, while it can be found by its path.
    fn parent(&self, process: &Process<E>) -> Option<Arc<Process<E>>> {
        let (_, parent) = process.path.split_last()?;
        self.find(parent)
    }

    /// The processes that a process forked.
    pub fn children(&self, process: &Process<E>) -> Vec<Arc<Process<E>>> {
        let is_child = |other: &&Arc<Process<E>>| {
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

#[cfg(all(test, loom))]
mod model {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use alcove_proto::calls::number;
    use alcove_proto::frame::{Call, Child, Frame, RUSAGE, Reply};
    use alcove_proto::keep::Stream;
    use crossbeam_channel::Receiver;
    use loom::thread;

    use super::*;
    use crate::poller::{Channel, Events, Source};
    use crate::process::calls::{Asked, Heritage, Waiter};
    use crate::process::turn::Ended;
    use crate::stream::Told;
    use crate::sync::kernel;
    use crate::testing::{Plain, sockets};
    use crate::ticket::Ticket;

    /// A process with its callers. The sockets and the poller are the kernel's own.
    struct World {
        tree: Tree<Plain>,
        process: Arc<Process<Plain>>,
        /// The process's end of its control socket.
        theirs: UnixStream,
        commands: Receiver<Command<Plain>>,
        /// How often each caller was answered.
        answers: [AtomicUsize; 2],
    }

    /// A thread that reads.
    struct Post<'w> {
        world: &'w World,
        is_scheduler: bool,
        answered: bool,
    }

    impl Mail<Plain> for Post<'_> {
        fn is_scheduler(&self) -> bool {
            self.is_scheduler
        }
        fn defer(&mut self, _waiter: &mut Waiter<Plain>) {
            panic!("no answer here is much work");
        }
        fn answer(
            &mut self,
            _drv: u32,
            _path: &[u32],
            pending: Pending<Plain>,
            _answer: Answer<'_>,
        ) -> Result<(), Malformed> {
            match pending.waiter {
                Waiter::Inline => {
                    assert!(self.is_scheduler && !self.answered);
                    self.answered = true;
                }
                Waiter::Ticket(ticket) => self.world.answered(ticket.to as usize),
            }
            Ok(())
        }
        fn tell(&mut self, _told: Vec<Told<Plain>>) {}
        fn forked(&mut self, _reporter: u32, _path: &[u32]) {}
    }

    fn call() -> Vec<u8> {
        let mut bytes = Vec::new();
        let (id, number) = (0, number::getpid);
        let arguments = &[];
        Call {
            id,
            number,
            arguments,
        }
        .write(&mut bytes);
        bytes
    }

    impl World {
        fn new(role: Role) -> Arc<Self> {
            let (sender, commands) = crossbeam_channel::unbounded();
            let poller = Poller::new().expect("a poller");
            let note = Box::from([]);
            let tree = Tree::new(0, 1, (true, true), None, note, poller, sender);
            let (process, theirs) = added(&tree, Box::from([]), role);
            Arc::new(World {
                tree,
                process,
                theirs,
                commands,
                answers: [AtomicUsize::new(0), AtomicUsize::new(0)],
            })
        }

        fn answered(&self, caller: usize) {
            self.answers[caller].fetch_add(1, Ordering::SeqCst);
        }

        /// A caller makes a call, and looks once for the reply if it has a turn.
        fn call(&self, caller: u32) {
            let (tree, process) = (&self.tree, &self.process);
            let wait = || (Waiter::Ticket(Arc::new(Ticket::new(caller))), ());
            let kind = Kind::Call(number::getpid);
            let calls = process.calls.lock();
            if calls.is_closed() {
                return;
            }
            let turn = process.call(&tree.poller, calls, kind, &mut call(), wait);
            let Ok(mut turn) = turn else { return };
            let mut post = Post {
                world: self,
                is_scheduler: true,
                answered: false,
            };
            tree.read(&mut post, process, &mut turn.reader, &mut [0; 256]);
            match turn.end(&tree.poller, post.answered, wait) {
                Ended::Answered => self.answered(caller as usize),
                Ended::Later(()) => {}
                Ended::Gone => panic!("a call is forgotten"),
            }
        }

        /// The router looks once. False when nothing has come.
        fn route(&self) -> bool {
            let mut events = Events::with_capacity(8);
            let poller = &self.tree.poller;
            let came = poller.wait(&mut events, Some(Duration::ZERO));
            let mut post = Post {
                world: self,
                is_scheduler: false,
                answered: false,
            };
            for event in events.iter() {
                let Source::Process(id, Channel::Control) = event.source else {
                    continue;
                };
                let process = self.tree.by_id(id).expect("a process");
                if process.is_routers() {
                    let mut reader = process.reader.lock();
                    let mut scratch = [0; 256];
                    while self
                        .tree
                        .read(&mut post, &process, &mut reader, &mut scratch)
                        == Received::Some
                    {}
                }
            }
            came.expect("a poller")
        }

        /// The process answers the calls that have come.
        fn reply(&self) {
            let length = call().len();
            let mut bytes = [0; 256];
            kernel();
            let came = (&self.theirs).read(&mut bytes).unwrap_or(0);
            for frame in bytes[..came].chunks(length) {
                let (id, term) = (
                    u32::from_le_bytes([frame[5], frame[6], frame[7], frame[8]]),
                    &[1][..],
                );
                let mut reply = Vec::new();
                Reply { id, term }.write(&mut reply);
                self.say(&reply);
            }
        }

        fn say(&self, bytes: &[u8]) {
            kernel();
            // The VM may have hung up.
            let _ = (&self.theirs).write_all(bytes);
        }

        /// Nothing happens any more but what the router finds.
        fn settle(&self) {
            self.reply();
            while self.route() {}
        }

        fn assert_answered(&self, callers: usize) {
            let answers = self.answers.each_ref().map(|n| n.load(Ordering::SeqCst));
            let expected = [1, 1].map(|one| one);
            assert_eq!(answers[..callers], expected[..callers]);
        }
    }

    fn added(
        tree: &Tree<Plain>,
        path: Box<[u32]>,
        role: Role,
    ) -> (Arc<Process<Plain>>, UnixStream) {
        let (ours, theirs) = sockets();
        theirs.set_nonblocking(true).expect("an open socket");
        let channels = [ours].into_iter().collect();
        let process = tree.process(path, role, channels, None, 0);
        let added = tree.add(&process, &mut process.calls.lock());
        added.expect("a socket");
        (process, theirs)
    }

    fn model(run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        // More changes of the thread at any point make this take hours, and find nothing else.
        builder.preemption_bound = Some(3);
        builder.check(run);
    }

    fn run(world: &Arc<World>, body: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
        let world = Arc::clone(world);
        thread::spawn(move || body(&world))
    }

    /// The reply comes while the scheduler polls, after its turn, or in between, and the router
    /// looks at any of these times.
    #[test]
    fn loom_turn_ends() {
        model(|| {
            let world = World::new(Role::EventLoop);
            let caller = run(&world, |world| world.call(0));
            let process = run(&world, World::reply);
            world.route();
            caller.join().expect("the caller");
            process.join().expect("the process");
            world.settle();
            world.assert_answered(1);
        });
    }

    /// A second caller finds the first in its turn, or after it.
    #[test]
    fn loom_two_callers() {
        model(|| {
            let world = World::new(Role::EventLoop);
            let first = run(&world, |world| world.call(0));
            let second = run(&world, |world| world.call(1));
            world.reply();
            world.route();
            first.join().expect("a caller");
            second.join().expect("a caller");
            world.settle();
            world.assert_answered(2);
        });
    }

    /// The router learns that a child has left its event loop while a scheduler has its turn at the
    /// parent's socket. The end of the child, which no caller waits for, is read.
    #[test]
    fn loom_child_leaves() {
        model(|| {
            let world = World::new(Role::EventLoop);
            world.process.calls.lock().note(&Kind::Call(number::fork));
            let (_child, its) = added(&world.tree, Box::from([7]), Role::EventLoop);
            drop(its);
            let caller = run(&world, |world| world.call(0));
            let process = run(&world, |world| {
                world.reply();
                let mut frame = Vec::new();
                let (pid, status, notify, used) = (7, 0, 0, [0; RUSAGE]);
                Child {
                    pid,
                    status,
                    notify,
                    used,
                }
                .write(&mut frame);
                world.say(&frame);
            });
            world.route();
            caller.join().expect("the caller");
            process.join().expect("the process");
            world.settle();
            world.assert_answered(1);
            let mut commands = world.commands.try_iter();
            assert!(commands.any(|command| matches!(command, Command::Event(Event::Ended(..)))));
        });
    }

    /// The process answers or not, and goes away, during a turn.
    #[test]
    fn loom_process_ends() {
        model(|| {
            let world = World::new(Role::EventLoop);
            let caller = run(&world, |world| world.call(0));
            let process = run(&world, |world| {
                world.reply();
                kernel();
                let _ = world.theirs.shutdown(std::net::Shutdown::Both);
            });
            world.route();
            caller.join().expect("the caller");
            process.join().expect("the process");
            while world.route() {}
            // The call was answered, or found no process.
            let calls = world.process.calls.lock();
            assert!(calls.is_closed() && calls.pending.is_empty());
            assert!(world.answers[0].load(Ordering::SeqCst) <= 1);
        });
    }

    /// The parent reports that the process has ended during a turn: the router reads the rest, but
    /// never the scheduler's own reply.
    #[test]
    fn loom_end_is_reported() {
        model(|| {
            let world = World::new(Role::EventLoop);
            let caller = run(&world, |world| world.call(0));
            let process = run(&world, World::reply);
            let ended = &world.process;
            kernel();
            ended.hang_up();
            {
                let mut post = Post {
                    world: &world,
                    is_scheduler: false,
                    answered: false,
                };
                let mut reader = ended.reader.lock();
                let (tree, scratch) = (&world.tree, &mut [0; 256]);
                while tree.read(&mut post, ended, &mut reader, scratch) == Received::Some {}
                tree.left(&mut post, ended);
            }
            caller.join().expect("the caller");
            process.join().expect("the process");
            let calls = ended.calls.lock();
            assert!(calls.is_closed() && calls.pending.is_empty());
            assert!(world.answers[0].load(Ordering::SeqCst) <= 1);
        });
    }

    /// A keeper gets a request while the process that asked for it ends: nothing, or the request
    /// and then the order to end it.
    #[test]
    fn loom_give_abandon() {
        model(|| {
            let world = World::new(Role::Keeper(Heritage::default()));
            let claim = Claim::new(&world.tree.poller, 15, 0);
            let asked = Asked {
                calls: Box::from([]),
                streams: [Stream::Null; 3],
                flow: -1,
                claim: Arc::clone(&claim),
            };
            let queued = Queued {
                frame: call(),
                fds: Vec::new(),
                asked,
                waiter: Waiter::Ticket(Arc::new(Ticket::new(0))),
            };
            let owner = thread::spawn(move || claim.abandon());
            let gave = keeper::give(&world.tree.poller, &world.process, queued);
            owner.join().expect("the owner");
            let mut bytes = [0; 256];
            let came = (&world.theirs).read(&mut bytes).unwrap_or(0);
            match gave {
                keeper::Gave::Sent => {
                    assert_eq!(bytes[..call().len()], call());
                    assert_eq!(bytes[call().len() + 4], frame::to::ORDER);
                }
                keeper::Gave::Unwanted => assert_eq!(came, 0),
                keeper::Gave::Back(_) => panic!("the keeper is there"),
            }
        });
    }
}
