//! A tree of Unix processes: what a Drv stands for.
//!
//! Two kinds of threads work on it: the router, which reads every channel, and
//! schedulers in a call, which read a control socket for some microseconds. A
//! frame is handled by whoever read it, so everything here runs on both.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alcove_proto::calls::number;
use alcove_proto::frame::{CHANNELS, RUSAGE, from, notify};
use alcove_proto::wire::{Malformed, Reader as Bytes};
use crossbeam_channel::Sender;
use nix::errno::Errno;
use parking_lot::{Mutex, RwLock};
use rustler::{Encoder, Env, LocalPid, Term};

use crate::deliver::{Answer, Mail};
use crate::launch;
use crate::poller::Poller;
use crate::process::{Calls, End, Frame, Kind, Pending, Process, Reader, Received};
use crate::terms;

/// Scratch space of a thread that reads control sockets.
pub const SCRATCH: usize = 64 * 1024;

/// What the router is asked to do.
pub enum Command {
    /// End the tree.
    Stop,
    /// Something happened that the owner hears of in its turn.
    Event(Event),
    /// Look at a process's stdin again.
    Stdin(Arc<Process>),
    /// A process may send more output.
    Flow(Arc<Process>),
    /// The owner that a token stands for reads on.
    Resume(u64),
    /// An owner of fork paths died.
    OwnerGone(LocalPid),
}

/// What happens to a process besides replies.
pub enum Event {
    /// It caught a signal.
    Signal(Arc<Process>, i32),
    /// It left its event loop.
    Left(Arc<Process>),
    /// It ended; its parent says how.
    Ended(Arc<Process>, End),
    /// It ended, and its channels never got here.
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
    /// Who gets streams and events, unless a fork path has an owner of its own.
    pub owner: LocalPid,
    /// Whether the owner wants to know root's exit status, or termination signal.
    pub tells: (bool, bool),
    /// Who is told of each process that is forked, and of each that is gone.
    pub reporter: Option<LocalPid>,
    /// The processes by fork path.
    paths: RwLock<HashMap<Box<[u32]>, Arc<Process>>>,
    /// The processes whose channels are watched.
    ids: Mutex<HashMap<u64, Arc<Process>>>,
    /// Watches them.
    pub poller: Arc<Poller>,
    commands: Sender<Command>,
    next: AtomicU64,
    closed: AtomicBool,
    /// For the curious.
    pub counters: Counters,
}

impl Tree {
    /// A tree without processes.
    pub fn new(
        drv: LocalPid,
        owner: LocalPid,
        tells: (bool, bool),
        reporter: Option<LocalPid>,
        poller: Arc<Poller>,
        commands: Sender<Command>,
    ) -> Self {
        Tree {
            drv,
            owner,
            tells,
            reporter,
            paths: RwLock::default(),
            ids: Mutex::default(),
            poller,
            commands,
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Asks the router for something.
    pub fn command(&self, command: Command) {
        // Without a router there is nobody left to care.
        if self.commands.send(command).is_ok() {
            self.poller.wake();
        }
    }

    /// Has the router tell an event. It looks for commands itself after it has handled a
    /// frame: only somebody else has to wake it.
    fn event(&self, mail: &Mail<'_>, event: Event) {
        let command = Command::Event(event);
        match mail {
            Mail::Scheduler(_) => self.command(command),
            Mail::Router(_) => {
                // Without a router there is nobody left to care.
                let _ = self.commands.send(command);
            }
        }
    }

    /// Tells who watches the tree, if somebody does.
    pub fn report(&self, mail: &mut Mail<'_>, build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) {
        if let Some(reporter) = &self.reporter {
            // Without it the Drv is about to end.
            let _ = mail.post(reporter, build);
        }
    }

    /// The process at a fork path.
    pub fn find(&self, path: &[u32]) -> Option<Arc<Process>> {
        self.paths.read().get(path).cloned()
    }

    /// The process that an event is about.
    pub fn by_id(&self, id: u64) -> Option<Arc<Process>> {
        self.ids.lock().get(&id).cloned()
    }

    /// Every process that is known.
    pub fn all(&self) -> Vec<Arc<Process>> {
        self.ids.lock().values().cloned().collect()
    }

    /// A process that is not yet in the tree. `first` is the number of its first call.
    pub fn process(
        &self,
        path: Box<[u32]>,
        channels: [OwnedFd; CHANNELS],
        owner: Option<LocalPid>,
        first: u32,
    ) -> Arc<Process> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Arc::new(Process::new(id, path, channels, owner, first))
    }

    /// Adds a process, whose calls these are, and watches its channels.
    pub fn add(&self, process: &Arc<Process>, calls: &mut Calls) -> Result<(), Errno> {
        self.ids.lock().insert(process.id, Arc::clone(process));
        if let Err(errno) = process.register(&self.poller, calls) {
            self.ids.lock().remove(&process.id);
            return Err(errno);
        }
        self.paths
            .write()
            .insert(process.path.clone(), Arc::clone(process));
        // The tree may have been closed between the look-up of the parent and now.
        if self.closed.load(Ordering::SeqCst) {
            process.hang_up();
        }
        Ok(())
    }

    /// Takes every process below a path out of reach.
    pub fn unlink_below(&self, path: &[u32]) {
        let is_below = |other: &[u32]| other.len() > path.len() && other.starts_with(path);
        self.paths.write().retain(|other, _| !is_below(other));
    }

    /// Takes this very process out of reach of its path.
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
    }

    /// Sends calls to nobody from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.paths.write().clear();
    }

    /// Reads once what a process sent. `reader` is that of `process`. The answer to the
    /// scheduler that calls goes to `inline`.
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
            Received::Malformed => {
                process.hang_up();
                self.event(mail, Event::Malformed(Arc::clone(process)));
                self.left(mail, process, inline);
            }
            Received::End => self.left(mail, process, inline),
            Received::Some | Received::Nothing => {}
        }
        received
    }

    /// Handles a frame.
    fn frame<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Arc<Process>,
        frame: Frame<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let mut payload = Bytes::new(frame.payload);
        match frame.kind {
            from::REPLY => {
                let id = payload.u32()?;
                self.reply(mail, process, id, payload.rest(), inline)
            }
            from::FORKED => {
                let forked = Forked {
                    id: payload.u32()?,
                    pid: payload.u32()?,
                    last: payload.u8()? != 0,
                    flow: payload.i32()?,
                };
                payload.end()?;
                self.forked(mail, process, forked, frame.fds, inline)
            }
            from::SIGNAL => {
                let signal = payload.i32()?;
                payload.end()?;
                // Nobody asked for it: it is dropped.
                if !process.calls.lock().traps {
                    return Ok(());
                }
                self.event(mail, Event::Signal(Arc::clone(process), signal));
                Ok(())
            }
            from::CHILD => {
                let (pid, status, asked) = (payload.u32()?, payload.i32()?, payload.u8()?);
                let mut used = [0; RUSAGE];
                for number in &mut used {
                    *number = payload.i64()?;
                }
                payload.end()?;
                let end = End {
                    status,
                    exit_status: asked & notify::EXIT_STATUS != 0,
                    termsig: asked & notify::TERMSIG != 0,
                    rusage: asked & notify::RUSAGE != 0,
                    used,
                    told: false,
                };
                let path = child_path(&process.path, pid);
                // It stays within reach until what it wrote is delivered.
                let event = match self.find(&path) {
                    Some(child) => {
                        let mut calls = child.calls.lock();
                        if !std::mem::replace(&mut calls.ended, true) && calls.closed {
                            process.end_reported();
                        }
                        drop(calls);
                        Event::Ended(child, end)
                    }
                    None => {
                        let mut calls = process.calls.lock();
                        let Some(lost) = calls.lost.checked_sub(1) else {
                            // It has no such child.
                            return Ok(());
                        };
                        calls.lost = lost;
                        Event::Lost(path, end)
                    }
                };
                self.event(mail, event);
                Ok(())
            }
            from::PARTIAL => {
                let id = payload.u32()?;
                let mut calls = process.calls.lock();
                if let Some(pending) = calls.pending.iter_mut().find(|pending| pending.id == id) {
                    pending.partial = Some(payload.rest().to_vec());
                }
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    /// A new process, with its channels.
    fn forked<'a>(
        &self,
        mail: &mut Mail<'a>,
        parent: &Process,
        Forked {
            id,
            pid,
            last,
            flow,
        }: Forked,
        fds: &mut VecDeque<OwnedFd>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let channels: Result<[OwnedFd; CHANNELS], _> = fds
            .drain(..fds.len().min(CHANNELS))
            .collect::<Vec<_>>()
            .try_into();
        let mut calls = parent.calls.lock();
        let asked = calls.pending.iter_mut().find(|pending| pending.id == id);
        // Nobody asked for it: without its channels it exits.
        let Some(asked) = asked.filter(|pending| pending.forks > 0) else {
            return Ok(());
        };
        asked.forks -= 1;
        let is_spawn = matches!(asked.kind, Kind::Spawn(_));
        let pending = if is_spawn || last {
            calls.take(id)
        } else {
            None
        };
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        // The kernel drops what it has no room for in this process's table.
        let channels = channels.map_err(|_| Errno::EMFILE);
        let channels = match channels.and_then(launch::out_of_the_way) {
            Ok(channels) => channels,
            Err(errno) => {
                calls.lost += 1;
                drop(calls);
                return self.fork_failed(mail, parent, pending, errno, inline);
            }
        };

        let first = if is_spawn { id.wrapping_add(1) } else { 0 };
        let owner = *parent.owner.lock();
        let child = self.process(child_path(&parent.path, pid), channels, owner, first);
        child.set_flow(flow.into());
        // The router may hear of it as soon as it is added, and finds what is pending then.
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
                child.note(&mut its, &pending.kind);
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
            self.report(mail, |env| {
                (
                    terms::alcove_nif(),
                    terms::forked(),
                    terms::path(env, &child.path),
                )
                    .encode(env)
            });
        }
        match (added, pending) {
            (Ok(()), Some(pending)) => {
                self.answer(mail, parent, pending, Answer::Forked(pid), inline)
            }
            (Ok(()), None) => Ok(()),
            (Err(errno), pending) => self.fork_failed(mail, parent, pending, errno, inline),
        }
    }

    /// A process was forked, and can't be reached: without its channels it exits.
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
        process: &Process,
        id: u32,
        bytes: &[u8],
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let mut calls = process.calls.lock();
        // Nobody asked for it: it is dropped.
        let Some(pending) = calls.take(id) else {
            return Ok(());
        };
        let answer = match pending.kind {
            Kind::Spawned(_) if terms::is_error(bytes) => {
                // Answered when the process is gone, so that nothing is left by then.
                calls.failed = Some((pending, bytes.to_vec()));
                return Ok(());
            }
            Kind::Spawned(_) => Answer::Forked(process.pid()),
            _ => Answer::Reply(bytes),
        };
        drop(calls);
        self.answer(mail, process, pending, answer, inline)
    }

    /// Sends an answer, or keeps it for the scheduler that asked.
    fn answer<'a>(
        &self,
        mail: &mut Mail<'a>,
        process: &Process,
        pending: Pending,
        answer: Answer<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        mail.answer(self.drv, &process.path, pending, answer, inline)
    }

    /// A process is in its event loop no more: what is pending is answered.
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
        if !ended && let Some(parent) = self.parent(process) {
            parent.expect_end(&self.poller);
        }
        for (index, pending) in pending.into_iter().enumerate() {
            let partial = pending.partial.clone();
            let answer = match (&pending.kind, pending.leaves_by()) {
                (Kind::Spawned(_), Some(_)) if index == 0 => Answer::Forked(process.pid()),
                (_, Some(_)) if index == 0 => Answer::Left(partial.as_deref()),
                _ => Answer::Gone,
            };
            // A batch's results that can't be read: its caller was told that it is gone.
            let _ = self.answer(mail, process, pending, answer, inline);
        }
        self.event(mail, Event::Left(Arc::clone(process)));
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

    /// Answers whoever waits for a process that is gone.
    pub fn dismiss(&self, mail: &mut Mail<'_>, process: &Process) {
        self.answer_failed(mail, process);
        let mut told = Vec::new();
        process.stdin.lock().close(&mut told);
        mail.tell(told);
    }

    /// Whether nobody will report the end of a process: its parent runs no event loop.
    pub fn is_orphan(&self, process: &Process) -> bool {
        !process.path.is_empty()
            && self
                .parent(process)
                .is_none_or(|parent| parent.calls.lock().closed)
    }

    /// The process that forked a process, while it is within reach.
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

/// What a process says of one that it forked.
struct Forked {
    id: u32,
    pid: u32,
    last: bool,
    flow: i32,
}

/// The path of a process's child.
fn child_path(path: &[u32], pid: u32) -> Box<[u32]> {
    [path, &[pid]].concat().into()
}
