//! The router: one thread per tree that reads every channel and tells the owners.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alcove_proto::frame::RUSAGE;
use alcove_proto::poll::Eager;
use crossbeam_channel::Receiver;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::MutexGuard;
use rustler::{Encoder, Env, LocalPid, OwnedBinary, Term};

use crate::deliver::Mail;
use crate::launch::{Deadline, Launched};
use crate::poller::{self, Channel, Events, Interest, Source};
use crate::process::{End, Process, Reader, Received};
use crate::stream::{MESSAGE, Stream};
use crate::terms;
use crate::tree::{Command, Event, SCRATCH, Tree};

/// After so much, the Drv looks whether the owner keeps up.
const ASK: usize = 2 * 1024 * 1024;

/// After so much without an answer, an owner's busy streams are held.
const HOLD: usize = 8 * 1024 * 1024;

/// A stream that sent less than this since the owner last kept up is never held.
const QUIET: usize = 64 * 1024;

/// What a message costs its owner's memory besides its bytes.
const OVERHEAD: usize = 256;

/// How many messages of a stream go out before the others have their turn.
const TURN: usize = 4;

/// How often a control socket is read before the others have their turn.
const FRAMES: usize = 2;

/// Output up to this size is copied; more is read into its place.
const SMALL: usize = 4096;

/// How long the process that was started has to end after its tree.
const LAST: Duration = Duration::from_secs(1);

/// How long the guardian has to end a tree.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a tree ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to.
    Asked,
    /// Root ended with this status.
    Root(i32),
    /// It is gone, and nobody said how.
    Unknown,
    /// It was asked to, and hasn't for long.
    Late,
}

/// What an owner was sent since it last kept up.
#[derive(Default)]
struct Load {
    /// Which look at the owner this follows.
    window: u64,
    sent: usize,
    asked: Option<u64>,
    held: Vec<(Arc<Process>, Channel)>,
    /// Signals, and the processes that caught them, that it was told of when it had enough.
    signals: HashSet<(u64, i32)>,
}

struct Router<'t> {
    tree: &'t Tree,
    mail: Mail<'static>,
    scratch: Box<[u8]>,
    /// Channels that have more to read.
    ready: VecDeque<(Arc<Process>, Channel)>,
    loads: HashMap<LocalPid, Load>,
    tokens: u64,
    root: Arc<Process>,
    lifeline: OwnedFd,
    root_status: Option<i32>,
    stopping: Option<Instant>,
    eager: Eager,
}

/// Routes until the tree is gone; `ready` is called when calls can be made.
pub fn run(
    tree: &Tree,
    launched: Launched,
    commands: &Receiver<Command>,
    ready: impl FnOnce(),
) -> Result<Ending, Errno> {
    let Launched {
        child,
        channels,
        lifeline,
        ..
    } = launched;
    let root = tree.process(Box::from([]), channels, None, 0);
    tree.add(&root, &mut root.calls.lock())?;
    tree.poller
        .add(&lifeline, Source::Lifeline, Interest::READ)?;
    ready();
    let mut router = Router {
        tree,
        mail: Mail::router(),
        scratch: vec![0; SCRATCH].into(),
        ready: VecDeque::new(),
        loads: HashMap::new(),
        tokens: 0,
        root,
        lifeline,
        root_status: None,
        stopping: None,
        eager: Eager::default(),
    };
    let ending = router.route(commands);
    // With it goes the lifeline, and with that the guardian, if it still lives.
    drop(router);
    if ending.is_ok() {
        // Reaps what was started, if the VM left that to us.
        let _ = child.status(Deadline::after(LAST));
    }
    ending
}

impl Router<'_> {
    fn route(&mut self, commands: &Receiver<Command>) -> Result<Ending, Errno> {
        let mut events = Events::with_capacity(256);
        let mut eager = false;
        loop {
            let block = self.ready.is_empty();
            let mut gone = false;
            self.wait(&mut events, block, eager)?;
            eager = false;
            for event in events.iter() {
                match event.source {
                    // Commands are looked at in any case.
                    Source::Wake => {}
                    Source::Lifeline => gone = self.lifeline()?,
                    Source::Process(id, channel) => {
                        // A stream is read at the pace of whoever writes it.
                        eager |= channel == Channel::Control;
                        if let Some(process) = self.tree.by_id(id) {
                            self.channel(&process, channel, event);
                        }
                    }
                }
            }
            for _ in 0..self.ready.len() {
                match self.ready.pop_front() {
                    Some((process, Channel::Control)) => self.control(&process),
                    Some((process, channel)) => self.pump(&process, channel),
                    None => {}
                }
            }
            while let Ok(command) = commands.try_recv() {
                self.command(command);
            }
            if gone {
                return Ok(self.finish(commands));
            }
            if self
                .stopping
                .is_some_and(|since| since.elapsed() > PATIENCE)
            {
                return Ok(Ending::Late);
            }
        }
    }

    fn wait(&mut self, events: &mut Events, block: bool, eager: bool) -> Result<(), Errno> {
        let limit = match self.stopping {
            _ if !block => Some(Duration::ZERO),
            Some(since) => Some((since + PATIENCE).saturating_duration_since(Instant::now())),
            None => None,
        };
        let poller = &self.tree.poller;
        if block
            && eager
            && self
                .eager
                .poll(|| poller.wait(events, Some(Duration::ZERO)))?
        {
            return Ok(());
        }
        poller.wait(events, limit).map(drop)
    }

    /// The guardian says how root ended, and then goes. True when it is gone.
    fn lifeline(&mut self) -> Result<bool, Errno> {
        loop {
            let mut status = [0; 4];
            let mut fds = VecDeque::new();
            match crate::scm::receive(self.lifeline.as_fd(), &mut status, &mut fds) {
                Ok(4) => self.root_status = Some(i32::from_le_bytes(status)),
                Err(Errno::EAGAIN) => return Ok(false),
                Ok(_) | Err(_) => return Ok(true),
            }
        }
    }

    /// Everything has ended. What it wrote is delivered, unless the owner asked for the end.
    fn finish(&mut self, commands: &Receiver<Command>) -> Ending {
        self.tree.close();
        for process in self.tree.all() {
            self.drain_control(&process);
        }
        while let Ok(command) = commands.try_recv() {
            self.command(command);
        }
        let asked = self.stopping.is_some();
        if let Some(status) = self.root_status.filter(|_| !asked) {
            let (exit_status, termsig) = self.tree.tells;
            let root = Arc::clone(&self.root);
            self.ended(
                &root,
                End {
                    status,
                    exit_status,
                    termsig,
                    rusage: false,
                    used: [0; RUSAGE],
                    told: false,
                },
            );
        }
        for process in self.tree.all() {
            if !asked {
                self.pump_all(&process);
            }
            self.gone(&process);
        }
        match self.root_status {
            _ if asked => Ending::Asked,
            Some(status) => Ending::Root(status),
            None => Ending::Unknown,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Stop => self.stop(),
            Command::Stdin(process) => self.stdin(&process),
            Command::Flow(process) => {
                for channel in [Channel::Stdout, Channel::Stderr] {
                    self.ready.push_back((Arc::clone(&process), channel));
                }
            }
            Command::Resume(token) => self.resume(token),
            Command::OwnerGone(owner) => {
                if let Some(load) = self.loads.remove(&owner) {
                    self.release(load);
                }
            }
            Command::Event(Event::Signal(process, signal)) => self.signal(&process, signal),
            Command::Event(Event::Malformed(process)) => {
                self.event(&process, |env| {
                    (terms::error(), terms::badproto()).encode(env)
                });
            }
            Command::Event(Event::Left(process)) => self.left(&process),
            Command::Event(Event::Ended(process, end)) => self.ended(&process, end),
            Command::Event(Event::Lost(path, end)) => {
                let owner = self.tree.owner;
                self.tell(owner, &path, end);
            }
        }
    }

    /// Tells that a process caught a signal. An owner that lags behind is told of each once,
    /// as a process is that has not handled a signal yet.
    fn signal(&mut self, process: &Process, signal: i32) {
        let owner = process.owner.lock().unwrap_or(self.tree.owner);
        let load = self.loads.entry(owner).or_default();
        if load.sent >= HOLD && !load.signals.insert((process.id, signal)) {
            return;
        }
        load.sent += OVERHEAD;
        let ask = load.sent >= ASK && load.asked.is_none();
        self.event(process, |env| {
            (terms::signal(), terms::signal_name(env, signal)).encode(env)
        });
        if ask {
            self.ask(owner);
        }
    }

    /// Ends the tree: the guardian sees the end of its lifeline, and every event
    /// loop that of its control socket.
    fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now());
            self.tree.close();
            let _ = shutdown(self.lifeline.as_raw_fd(), Shutdown::Write);
            for process in self.tree.all() {
                process.hang_up();
            }
        }
    }

    fn channel(&mut self, process: &Arc<Process>, channel: Channel, event: poller::Event) {
        match channel {
            Channel::Control => {
                if event.writable {
                    process.flush(&self.tree.poller, &mut process.calls.lock());
                }
                self.control(process);
            }
            Channel::Stdin => self.stdin(process),
            Channel::Stdout | Channel::Stderr => {
                process.stream(channel).lock().hangup |= event.hangup;
                self.pump(process, channel);
            }
        }
    }

    /// Reads a control socket, unless a calling scheduler does.
    fn control(&mut self, process: &Arc<Process>) {
        {
            let mut calls = process.calls.lock();
            if calls.inline {
                calls.missed = true;
                return;
            }
        }
        let mut reader = process.reader.lock();
        for _ in 0..FRAMES {
            if !self.read(process, &mut reader) {
                return;
            }
        }
        self.ready
            .push_back((Arc::clone(process), Channel::Control));
    }

    /// Reads what there is; false when there is no more.
    fn read(&mut self, process: &Arc<Process>, reader: &mut Reader) -> bool {
        self.tree.read(
            &mut self.mail,
            process,
            reader,
            &mut self.scratch,
            &mut None,
        ) == Received::Some
    }

    /// Reads all that a process has sent that is said to send no more.
    fn drain_control(&mut self, process: &Arc<Process>) {
        process.hang_up();
        let mut reader = process.reader.lock();
        while self.read(process, &mut reader) {}
    }

    /// Writes what waits for stdin.
    fn stdin(&mut self, process: &Process) {
        let mut told = Vec::new();
        {
            let mut stdin = process.stdin.lock();
            if stdin.first_wait()
                && let Some(fd) = stdin.fd()
            {
                let source = Source::Process(process.id, Channel::Stdin);
                // Without kernel memory for it, what waits goes out with the next write.
                let _ = self.tree.poller.add(fd, source, Interest::WRITE);
            }
            stdin.flush(&mut told);
        }
        self.mail.tell(told);
    }

    /// Delivers what a stream has, for one turn.
    fn pump(&mut self, process: &Arc<Process>, channel: Channel) {
        for _ in 0..TURN {
            if !self.message(process, channel, true) {
                return;
            }
        }
        self.ready.push_back((Arc::clone(process), channel));
    }

    /// Delivers all that a process has written by now: what survived may write for ever.
    fn pump_all(&mut self, process: &Arc<Process>) {
        for channel in [Channel::Stdout, Channel::Stderr] {
            {
                let mut stream = process.stream(channel).lock();
                stream.held = false;
                stream.owed = stream.available();
            }
            while process.stream(channel).lock().owed > 0 {
                self.message(process, channel, false);
            }
        }
    }

    /// Delivers a message of a stream. False when there is nothing to deliver now.
    fn message(&mut self, process: &Arc<Process>, channel: Channel, hold: bool) -> bool {
        let mut stream = process.stream(channel).lock();
        if stream.held {
            return false;
        }
        let available = stream.available();
        if available == 0 {
            let over = stream.hangup;
            self.dry(process, stream, over);
            return false;
        }
        if hold && process.flow() == 0 {
            return false;
        }
        let owner = process.owner.lock().unwrap_or(self.tree.owner);
        let load = self.loads.entry(owner).or_default();
        if stream.window != load.window {
            stream.window = load.window;
            stream.recent = 0;
        }
        if hold && load.sent >= HOLD && stream.recent >= QUIET {
            stream.held = true;
            load.held.push((Arc::clone(process), channel));
            self.tree.counters.held.fetch_add(1, Ordering::Relaxed);
            return false;
        }

        let length = available.min(MESSAGE);
        let mut large = (length > SMALL).then(|| OwnedBinary::new(length));
        let space = match &mut large {
            Some(binary) => binary.as_mut_slice(),
            None => &mut self.scratch[..length],
        };
        let n = match stream.read(space) {
            Ok(n @ 1..) => n,
            read => {
                self.dry(process, stream, read != Err(Errno::EAGAIN));
                return false;
            }
        };
        let cost = n + OVERHEAD;
        stream.recent += cost;
        load.sent += cost;
        let ask = load.sent >= ASK && load.asked.is_none();
        let paid = stream.owed == 0;
        drop(stream);
        process.sent_message();
        self.tree
            .counters
            .output
            .fetch_add(n as u64, Ordering::Relaxed);

        let tag = match channel {
            Channel::Stderr => terms::alcove_stderr(),
            _ => terms::alcove_stdout(),
        };
        let (drv, small) = (self.tree.drv, &self.scratch);
        self.mail.post_or(&owner, &self.tree.owner, |env| {
            let data = match large {
                Some(mut binary) => {
                    // Somebody else may have read of this pipe: then there was less.
                    if n < binary.len() {
                        binary.realloc_or_copy(n);
                    }
                    binary.release(env).to_term(env)
                }
                None => terms::binary(env, &small[..n]),
            };
            (tag, drv, terms::path(env, &process.path), data).encode(env)
        });
        if ask {
            self.ask(owner);
        }
        if paid {
            self.settle(process);
        }
        true
    }

    /// A stream has nothing now, and if it is `over` never will. What was owed of it has been
    /// read by somebody else.
    fn dry(&mut self, process: &Arc<Process>, mut stream: MutexGuard<'_, Stream>, over: bool) {
        let owed = std::mem::take(&mut stream.owed) > 0;
        let closed = over && stream.close().is_ok();
        drop(stream);
        if closed {
            self.closed(process);
        }
        if owed {
            self.settle(process);
        }
    }

    /// Has the Drv look whether an owner keeps up.
    fn ask(&mut self, owner: LocalPid) {
        self.tokens += 1;
        let token = self.tokens;
        self.loads.entry(owner).or_default().asked = Some(token);
        self.mail.post(&self.tree.drv, |env| {
            (terms::alcove_nif(), terms::busy(), owner, token).encode(env)
        });
    }

    /// An owner keeps up.
    fn resume(&mut self, token: u64) {
        let asked = self
            .loads
            .values_mut()
            .find(|load| load.asked == Some(token));
        let Some(load) = asked else { return };
        let before = std::mem::replace(
            load,
            Load {
                window: token,
                ..Load::default()
            },
        );
        self.release(before);
    }

    fn release(&mut self, load: Load) {
        for (process, channel) in load.held {
            process.stream(channel).lock().held = false;
            self.ready.push_back((process, channel));
        }
    }

    /// A process ended: what it wrote goes first, then its end is told.
    fn ended(&mut self, process: &Arc<Process>, end: End) {
        if process.calls.lock().has_forked() {
            // What is below it ends with it, and its end is nobody's news.
            self.tree.unlink_below(&process.path);
        }
        self.drain_control(process);
        {
            // Its end of the socket may live on in nobody's hands for a moment.
            let _reader = process.reader.lock();
            self.tree.left(&mut self.mail, process, &mut None);
        }
        for channel in [Channel::Stdout, Channel::Stderr] {
            let mut stream = process.stream(channel).lock();
            stream.owed = stream.available();
        }
        *process.end.lock() = Some(end);
        for channel in [Channel::Stdout, Channel::Stderr] {
            self.pump(process, channel);
        }
        self.settle(process);
    }

    /// Tells the end of a process whose output is all delivered.
    fn settle(&mut self, process: &Arc<Process>) {
        let end = {
            let mut end = process.end.lock();
            match &mut *end {
                Some(end) if !end.told && !process.owes() => {
                    end.told = true;
                    *end
                }
                _ => return,
            }
        };
        // Whoever is told of the end finds nobody at the path any more.
        self.tree.unlink_process(process);
        // Of a spawn that failed, its caller hears.
        if !self.tree.answer_failed(&mut self.mail, process) {
            let owner = process.owner.lock().unwrap_or(self.tree.owner);
            self.tell(owner, &process.path, end);
        }
        self.gone(process);
    }

    /// Sends `rusage`, and `exit_status` or `termsig`, if they are asked for.
    fn tell(&mut self, owner: LocalPid, path: &[u32], end: End) {
        let status = end.status;
        if end.rusage {
            self.post_event(&owner, path, |env| {
                (terms::rusage(), terms::usage(env, &end.used)).encode(env)
            });
        }
        if libc::WIFEXITED(status) && end.exit_status || libc::WIFSIGNALED(status) && end.termsig {
            self.post_event(&owner, path, |env| terms::status(env, status));
        }
    }

    /// A process left its event loop.
    fn left(&mut self, process: &Arc<Process>) {
        let execed = process.calls.lock().execed;
        if !execed && self.tree.is_orphan(process) {
            self.gone(process);
        } else {
            self.orphans(process);
        }
    }

    /// A process is gone; its output may live on in processes that it left behind.
    fn gone(&mut self, process: &Arc<Process>) {
        self.tree.unlink_process(process);
        self.tree.dismiss(&mut self.mail, process);
        self.report(process);
        self.closed(process);
        self.orphans(process);
    }

    /// Tells who watches the tree that a process is gone: its fork path, for how many
    /// nanoseconds it was there, and its end and what it used, if its parent told.
    fn report(&mut self, process: &Process) {
        if process.path.is_empty() || process.reported.swap(true, Ordering::SeqCst) {
            return;
        }
        let (time, end) = (process.since.elapsed(), *process.end.lock());
        self.tree.report(&mut self.mail, |env| {
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let end = end.map_or_else(
                || terms::undefined().encode(env),
                |end| {
                    let status = terms::status(env, end.status);
                    (status, terms::usage(env, &end.used)).encode(env)
                },
            );
            let path = terms::path(env, &process.path);
            (terms::alcove_nif(), terms::gone(), path, nanoseconds, end).encode(env)
        });
    }

    /// Nobody will report the end of the children of a process without an event loop.
    fn orphans(&mut self, process: &Process) {
        if !process.calls.lock().has_forked() {
            return;
        }
        for child in self.tree.children(process) {
            let over = {
                let calls = child.calls.lock();
                calls.closed && !calls.execed
            };
            if over && self.tree.by_id(child.id).is_some() {
                self.gone(&child);
            }
        }
    }

    /// Forgets a process that is gone when its output has ended too.
    fn closed(&mut self, process: &Arc<Process>) {
        let left = process.calls.lock().closed;
        let told = process.end.lock().is_some_and(|end| end.told);
        if left && !process.has_output() && (told || self.tree.is_orphan(process)) {
            // Nobody finds it again: not its parent's end either, which may not be known yet.
            self.tree.dismiss(&mut self.mail, process);
            self.tree.forget(process);
        }
    }

    /// Sends an event of a process to its owner.
    fn event(&mut self, process: &Process, event: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) {
        let owner = process.owner.lock().unwrap_or(self.tree.owner);
        self.post_event(&owner, &process.path, event);
    }

    fn post_event(
        &mut self,
        owner: &LocalPid,
        path: &[u32],
        event: impl for<'e> FnOnce(Env<'e>) -> Term<'e>,
    ) {
        let drv = self.tree.drv;
        self.mail.post_or(owner, &self.tree.owner, |env| {
            (
                terms::alcove_event(),
                drv,
                terms::path(env, path),
                event(env),
            )
                .encode(env)
        });
    }
}
