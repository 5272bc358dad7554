//! What happens to the processes of a tree, and what their owners are told of it: replies, events,
//! output and ends. Whoever has this is the router of the tree.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alcove_proto::frame::RUSAGE;
use alcove_proto::keep::{Over, Why};
use crossbeam_channel::Receiver;
use nix::errno::Errno;
use parking_lot::MutexGuard;

use crate::erlang::{Buffer, Erlang};
use crate::mail::{Bytes, News, Post, To};
use crate::owners::{Held, Owners};
use crate::poller::{self, Channel, Interest, Source};
use crate::process::calls::Life;
use crate::process::{End, Process, Role};
use crate::reader::{Reader, Received};
use crate::stream::{MESSAGE, Stream};
use crate::tree::{Command, Event, SCRATCH, Tree};

/// How many messages of a stream go out before the others have their turn.
const TURN: usize = 4;

/// How often a control socket is read before the others have their turn.
const FRAMES: usize = 2;

/// Output up to this size is copied; more is read into its place.
const SMALL: usize = 4096;

/// The processes of a tree.
pub struct Routes<'t, E: Erlang, M> {
    tree: &'t Tree<E>,
    /// What is told.
    pub mail: M,
    scratch: Box<[u8]>,
    /// Channels that have more to read.
    ready: VecDeque<Held<E>>,
    owners: Owners<E>,
    root: Arc<Process<E>>,
    /// The whole tree is ending, of which Drv tells the owners.
    pub is_ending: bool,
    /// It ends because root has left its event loop.
    lost: bool,
}

impl<'t, E: Erlang, M: Post<E>> Routes<'t, E, M> {
    /// Of a tree that has only root so far.
    pub fn new(tree: &'t Tree<E>, root: Arc<Process<E>>, mail: M) -> Self {
        Routes {
            tree,
            mail,
            scratch: vec![0; SCRATCH].into(),
            ready: VecDeque::new(),
            owners: Owners::default(),
            root,
            is_ending: false,
            lost: false,
        }
    }

    /// Whether a channel has more to read, for which the poller need not be asked.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Something happened to a channel.
    pub fn happened(&mut self, id: u64, channel: Channel, event: poller::Event) {
        if let Some(process) = self.tree.by_id(id) {
            self.channel(&process, channel, event);
        }
    }

    /// Each channel that has more to read has a turn.
    pub fn go_on(&mut self) {
        for _ in 0..self.ready.len() {
            match self.ready.pop_front() {
                Some((process, Channel::Control)) => {
                    self.flush(&process);
                    self.control(&process);
                }
                Some((process, Channel::Stdin)) => self.stdin(&process),
                Some((process, channel)) => self.pump(&process, channel),
                None => {}
            }
        }
    }

    /// Does what it was asked to. False if it was asked to end the tree.
    pub fn obey(&mut self, commands: &Receiver<Command<E>>) -> bool {
        let mut goes_on = true;
        while let Ok(command) = commands.try_recv() {
            goes_on &= self.command(command);
        }
        goes_on
    }

    fn command(&mut self, command: Command<E>) -> bool {
        match command {
            Command::Stop => return false,
            Command::Stdin(process) => self.stdin(&process),
            Command::Flow(process) => {
                for channel in [Channel::Stdout, Channel::Stderr] {
                    self.ready.push_back((Arc::clone(&process), channel));
                }
            }
            Command::Given(process) => {
                // The former owner may be behind, and this one need not be.
                if process.streams_held() > 0 {
                    self.owners.let_go(&process);
                    let both = [Channel::Stdout, Channel::Stderr];
                    self.release(both.map(|channel| (Arc::clone(&process), channel)));
                }
            }
            Command::Closed(process) => {
                self.settle(&process);
                self.closed(&process);
            }
            Command::Abandon(claim) => claim.abandon(),
            Command::Resume(token) => {
                let held = self.owners.resumed(token);
                self.release(held);
            }
            Command::OwnerGone(owner) => {
                let held = self.owners.gone(owner);
                self.release(held);
            }
            Command::Answer(id, pending, owned) => {
                self.tree.answer_heavy(&mut self.mail, id, *pending, &owned);
            }
            Command::Event(Event::Signal(process, signal)) => self.signal(&process, signal),
            Command::Event(Event::Malformed(process)) => {
                self.event(&process, News::Malformed);
            }
            Command::Event(Event::Left(process)) => self.left(&process),
            Command::Event(Event::Ended(process, end)) => self.ended(&process, end),
            Command::Event(Event::Lost(path, end)) => {
                let owner = self.tree.owner;
                self.tell(owner, &path, &end);
            }
        }
        true
    }

    /// The whole tree has ended, root with this status, if that is known. Delivers what the
    /// processes wrote, unless the owner asked for the end.
    pub fn finish(&mut self, commands: &Receiver<Command<E>>, root: Option<i32>, asked: bool) {
        self.tree.close();
        self.is_ending = true;
        for process in self.tree.all() {
            self.drain_control(&process);
        }
        self.obey(commands);
        if let Some(status) = root.filter(|_| !asked) {
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
                    over: None,
                },
            );
        }
        for process in self.tree.all() {
            if !asked {
                self.pump_all(&process);
            }
            self.gone(&process);
        }
    }

    /// Tells the owner that a process caught a signal.
    fn signal(&mut self, process: &Process<E>, signal: i32) {
        let owner = self.owner(process);
        if self.owners.tells(owner, process.id, signal) {
            let question = self.owners.told(owner);
            self.event(process, News::Signal(signal));
            self.ask(owner, question);
        }
    }

    /// The owner of a process.
    fn owner(&self, process: &Process<E>) -> E::Pid {
        process.owner.lock().unwrap_or(self.tree.owner)
    }

    fn channel(&mut self, process: &Arc<Process<E>>, channel: Channel, event: poller::Event) {
        match channel {
            Channel::Control => {
                if event.writable {
                    self.flush(process);
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
    fn control(&mut self, process: &Arc<Process<E>>) {
        if !process.is_routers() {
            return;
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

    /// Reads what has come; false when there is no more.
    fn read(&mut self, process: &Arc<Process<E>>, reader: &mut Reader) -> bool {
        self.tree
            .read(&mut self.mail, process, reader, &mut self.scratch)
            == Received::Some
    }

    /// Reads everything that a process has sent that was reported to have ended.
    fn drain_control(&mut self, process: &Arc<Process<E>>) {
        process.hang_up();
        let mut reader = process.reader.lock();
        while self.read(process, &mut reader) {}
    }

    /// Sends bytes that wait for room in a control socket, for one turn.
    fn flush(&mut self, process: &Arc<Process<E>>) {
        let more = process.flush(&self.tree.poller, &mut process.calls.lock());
        if more {
            self.ready
                .push_back((Arc::clone(process), Channel::Control));
        }
    }

    /// Writes bytes that wait for room in stdin, for one turn.
    fn stdin(&mut self, process: &Arc<Process<E>>) {
        let mut told = Vec::new();
        let more = {
            let mut stdin = process.stdin.lock();
            if stdin.first_wait() {
                if let Some(fd) = stdin.fd() {
                    let source = Source::Process(process.id, Channel::Stdin);
                    // If the kernel has no memory for this, the next write sends what waits.
                    let _ = self.tree.poller.add(fd, source, Interest::WRITE);
                }
            }
            stdin.flush(&mut told)
        };
        self.mail.tell(told);
        if more {
            self.ready.push_back((Arc::clone(process), Channel::Stdin));
        }
    }

    /// Delivers the output of a stream, for one turn.
    fn pump(&mut self, process: &Arc<Process<E>>, channel: Channel) {
        for _ in 0..TURN {
            if !self.message(process, channel, true) {
                return;
            }
        }
        self.ready.push_back((Arc::clone(process), channel));
    }

    /// Delivers everything that was written to a process's streams by now, and no more: a process
    /// that survived may write for ever.
    fn pump_all(&mut self, process: &Arc<Process<E>>) {
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
    fn message(&mut self, process: &Arc<Process<E>>, channel: Channel, hold: bool) -> bool {
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
        let owner = self.owner(process);
        if hold && !self.owners.allows(owner, process, channel, &mut stream) {
            self.tree.counters.held.fetch_add(1, Ordering::Relaxed);
            return false;
        }

        let length = available.min(MESSAGE);
        let mut large = (length > SMALL).then(|| E::Buffer::new(length));
        let space = match &mut large {
            Some(buffer) => buffer.bytes(),
            None => &mut self.scratch[..length],
        };
        let n = match stream.read(space) {
            Ok(n @ 1..) => n,
            read => {
                self.dry(process, stream, read != Err(Errno::EAGAIN));
                return false;
            }
        };
        let question = self.owners.sent(owner, &mut stream, n);
        let paid = stream.owed == 0;
        drop(stream);
        process.sent_message();
        self.tree
            .counters
            .output
            .fetch_add(n as u64, Ordering::Relaxed);

        let bytes = match large {
            // Another process may have read from this pipe: then there was less.
            Some(buffer) => Bytes::Large(buffer, n),
            None => Bytes::Small(&self.scratch[..n]),
        };
        let to = self.tree.to(owner, &process.path);
        self.mail.output(&to, channel, bytes);
        self.ask(owner, question);
        if paid {
            self.settle(process);
        }
        true
    }

    /// A stream has no bytes now, and if it is `over`, never will. If the owner was still owed some
    /// of it, another process has read them.
    fn dry(&mut self, process: &Arc<Process<E>>, mut stream: MutexGuard<'_, Stream>, over: bool) {
        // A terminal that its program has left is owed until its end, which comes soon.
        let owed = (over || stream.owed != usize::MAX) && std::mem::take(&mut stream.owed) > 0;
        let closed = over && stream.close().is_ok();
        drop(stream);
        if closed {
            self.closed(process);
        }
        if owed {
            self.settle(process);
        }
    }

    /// Has the Drv ask an owner whether it keeps up, if there is a question for it.
    fn ask(&mut self, owner: E::Pid, question: Option<u64>) {
        if let Some(token) = question {
            self.mail.ask(self.tree.drv, owner, token);
        }
    }

    /// Streams that were held go on.
    fn release(&mut self, held: impl IntoIterator<Item = Held<E>>) {
        for (process, channel) in held {
            process.stream(channel).lock().held = false;
            self.ready.push_back((process, channel));
        }
    }

    /// A process ended. The owner gets first what it wrote, then the event of its end.
    fn ended(&mut self, process: &Arc<Process<E>>, end: End) {
        if process.calls.lock().has_forked() {
            // The processes below it end with it, and no owner is told of their ends.
            self.tree.unlink_below(&process.path);
        }
        self.drain_control(process);
        {
            // The process's end of the socket may stay open for a moment after the process is gone,
            // so the router doesn't wait for the end of the connection.
            let _reader = process.reader.lock();
            self.tree.left(&mut self.mail, process);
        }
        // What a program has left in its pipes isn't held back: it is no more than the pipes take,
        // and the process that waits for the end may be the one that should read it.
        if end.over.is_some() {
            process.set_flow(-1);
        }
        for channel in [Channel::Stdout, Channel::Stderr] {
            let mut stream = process.stream(channel).lock();
            stream.owe();
        }
        *process.end.lock() = Some(end);
        for channel in [Channel::Stdout, Channel::Stderr] {
            self.pump(process, channel);
        }
        self.settle(process);
    }

    /// Tells the owner about the end of a process, once all its output is delivered.
    fn settle(&mut self, process: &Arc<Process<E>>) {
        let end = {
            let mut end = process.end.lock();
            match &mut *end {
                Some(end) if !end.told && !process.owes() => {
                    end.told = true;
                    end.clone()
                }
                _ => return,
            }
        };
        // The owner that is told of the end must find no process at the path any more.
        self.tree.unlink_process(process);
        if let Some(over) = end.over {
            self.tell_over(process, &over);
        } else if !self.tree.answer_failed(&mut self.mail, process) {
            let owner = self.owner(process);
            if !matches!(process.role, Role::Keeper(_)) {
                self.tell(owner, &process.path, &end);
            }
        }
        self.gone(process);
    }

    /// Tells the owner of a program that it is over: `{over, Map}`. If the owner is gone, the
    /// owner of the Drv isn't told, since it has no use for that.
    fn tell_over(&mut self, program: &Process<E>, over: &Over) {
        // It was ended with the tree, whatever it says itself: Drv tells the owner.
        if self.is_lost() {
            return;
        }
        let Some(owner) = *program.owner.lock() else {
            return;
        };
        let to = To {
            other: None,
            ..self.tree.to(owner, &program.path)
        };
        self.mail.event(&to, News::Over(over));
    }

    /// Sends `rusage`, and `exit_status` or `termsig`, if they are asked for.
    fn tell(&mut self, owner: E::Pid, path: &[u32], end: &End) {
        let status = end.status;
        if end.rusage {
            self.post_event(owner, path, News::Usage(&end.used));
        }
        if libc::WIFEXITED(status) && end.exit_status || libc::WIFSIGNALED(status) && end.termsig {
            self.post_event(owner, path, News::Status(status));
        }
    }

    /// A process left its event loop.
    fn left(&mut self, process: &Arc<Process<E>>) {
        let life = process.calls.lock().life;
        if life == Life::Left && process.path.is_empty() {
            self.lose_root();
        }
        if life == Life::Left && self.tree.is_orphan(process) {
            self.gone(process);
        } else if !matches!(process.role, Role::Keeper(_)) {
            self.orphans(process);
        }
    }

    /// A process is gone. Processes that it left behind may still write to its streams.
    fn gone(&mut self, process: &Arc<Process<E>>) {
        self.tree.unlink_process(process);
        self.tree.dismiss(&mut self.mail, process);
        self.report(process);
        self.closed(process);
        self.orphans(process);
    }

    /// Tells the process that watches the tree that a process is gone: its fork path, how many
    /// nanoseconds it lived, and its end and what it used, if its parent reported them. No keeper
    /// has reported the end of a program whose status isn't known.
    fn report(&mut self, process: &Process<E>) {
        if process.path.is_empty() || process.reported.swap(true, Ordering::SeqCst) {
            return;
        }
        let end = process.end.lock().clone();
        // A keeper has measured the time from the start.
        let time = match end.as_ref().and_then(|end| end.over.as_ref()) {
            Some(over) => Duration::from_nanos(over.wall),
            None => process.since.elapsed(),
        };
        let known = end.filter(|end| {
            let over = end.over.as_ref();
            over.is_none_or(|over| over.status.is_some())
        });
        if let Some(reporter) = self.tree.reporter {
            self.mail
                .gone(reporter, &process.path, time, known.as_ref());
        }
    }

    /// A process has no event loop any more, so no process will report the ends of its children.
    fn orphans(&mut self, process: &Process<E>) {
        if !process.calls.lock().has_forked() {
            return;
        }
        for child in self.tree.children(process) {
            if matches!(child.role, Role::Program { .. }) {
                self.keeper_lost(&child);
                continue;
            }
            let left = child.calls.lock().life == Life::Left;
            if left && self.tree.by_id(child.id).is_some() {
                self.gone(&child);
            }
        }
    }

    /// The keeper of a program is gone, and can't tell how the program ended. The keeper's parent,
    /// if it runs, has killed what was left before it reported the keeper's end.
    fn keeper_lost(&mut self, program: &Arc<Process<E>>) {
        // If the whole tree ends, Drv tells the owner.
        if self.is_lost() || self.is_ending {
            return;
        }
        if !program.calls.lock().end() {
            return;
        }
        let over = Over {
            pid: program.pid(),
            status: None,
            why: Why::Itself,
            wall: u64::try_from(program.since.elapsed().as_nanos()).unwrap_or(u64::MAX),
            used: [0; RUSAGE],
            free: false,
            some_left: true,
            left: Vec::new(),
        };
        self.ended(program, End::kept(over));
    }

    /// Root has left its event loop: the tree ends.
    pub fn lose_root(&mut self) {
        self.lost |= !self.is_ending;
        self.is_ending = true;
    }

    /// Whether the tree ends since root has left its event loop, and not because the VM has asked
    /// for that. A process learns of its parent's end after the parent's channel has ended, so that
    /// of root can be read before those of the others.
    fn is_lost(&mut self) -> bool {
        if !self.is_ending {
            self.control(&Arc::clone(&self.root));
            if self.root.calls.lock().life == Life::Left {
                self.lose_root();
            }
        }
        self.lost
    }

    /// Forgets a process that is gone, once its output has ended, too.
    fn closed(&mut self, process: &Arc<Process<E>>) {
        let left = process.calls.lock().is_closed();
        let told = process.end.lock().as_ref().is_some_and(|end| end.told);
        // The owner of a program is always told of its end, even if the keeper is gone.
        let untold = process.request().is_none() && self.tree.is_orphan(process);
        if left && !process.has_output() && (told || untold) {
            // After this the process can't be found again, not even when its parent ends, which may
            // not be known yet. So callers that wait for it are answered now.
            self.tree.dismiss(&mut self.mail, process);
            self.tree.forget(process);
            self.forget_owners();
        }
    }

    /// Forgets what owners were sent that own nothing any more, when there may be many of them:
    /// each program that a keeper runs has one.
    fn forget_owners(&mut self) {
        if !self.owners.are_many() {
            return;
        }
        let processes = self.tree.all();
        let owners = processes.iter().map(|process| self.owner(process));
        let owners: HashSet<_> = owners.chain([self.tree.owner]).collect();
        self.owners.keep(&owners, processes.len());
    }

    /// Sends an event of a process to its owner.
    fn event(&mut self, process: &Process<E>, news: News<'_>) {
        self.post_event(self.owner(process), &process.path, news);
    }

    fn post_event(&mut self, owner: E::Pid, path: &[u32], news: News<'_>) {
        self.mail.event(&self.tree.to(owner, path), news);
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use alcove_proto::wire::Malformed;

    use super::*;
    use crate::mail::{Answer, Mail};
    use crate::poller::Poller;
    use crate::process::Channels;
    use crate::process::calls::{Pending, Waiter};
    use crate::process::claim::Claim;
    use crate::stream::Told;
    use crate::testing::{Plain, pipe};

    /// The owner of the Drv.
    const OWNER: u32 = 1;

    /// What owners got: bytes, and the number of events.
    #[derive(Default)]
    struct Got(Vec<(u32, usize)>, Vec<u32>);

    impl Got {
        fn bytes(&self, owner: u32) -> usize {
            let its = self.0.iter().filter(|(of, _)| *of == owner);
            its.map(|(_, bytes)| bytes).sum()
        }
    }

    impl Mail<Plain> for Got {
        fn is_scheduler(&self) -> bool {
            false
        }
        fn defer(&mut self, _: &mut Waiter<Plain>) {}
        fn answer(
            &mut self,
            _: u32,
            _: &[u32],
            _: Pending<Plain>,
            _: Answer<'_>,
        ) -> Result<(), Malformed> {
            Ok(())
        }
        fn tell(&mut self, _: Vec<Told<Plain>>) {}
        fn forked(&mut self, _: u32, _: &[u32]) {}
    }

    impl Post<Plain> for Got {
        fn output(&mut self, to: &To<'_, Plain>, _: Channel, bytes: Bytes<'_, Vec<u8>>) {
            let length = match bytes {
                Bytes::Small(bytes) => bytes.len(),
                Bytes::Large(_, length) => length,
            };
            self.0.push((to.owner, length));
        }
        fn event(&mut self, to: &To<'_, Plain>, _: News<'_>) {
            self.1.push(to.owner);
        }
        fn ask(&mut self, _: u32, _: u32, _: u64) {}
        fn gone(&mut self, _: u32, _: &[u32], _: Duration, _: Option<&End>) {}
    }

    type Commands = Receiver<Command<Plain>>;

    fn tree() -> (Tree<Plain>, Commands) {
        let (sender, commands) = crossbeam_channel::unbounded();
        let poller = Poller::new().expect("a poller");
        let tree = Tree::new(0, OWNER, (true, true), None, Box::from([]), poller, sender);
        (tree, commands)
    }

    fn routes(tree: &Tree<Plain>) -> Routes<'_, Plain, Got> {
        let root = tree.process(Box::from([]), Role::EventLoop, Channels::default(), None, 0);
        let added = tree.add(&root, &mut root.calls.lock());
        added.expect("no channels");
        Routes::new(tree, root, Got::default())
    }

    /// A process of an owner, and the end of its stdout to write to.
    fn added(
        tree: &Tree<Plain>,
        pid: u32,
        role: Role,
        owner: Option<u32>,
    ) -> (Arc<Process<Plain>>, File) {
        let (stdout, write) = pipe();
        let channels = Channels {
            stdout: Some(stdout),
            ..Channels::default()
        };
        let process = tree.process([pid].into(), role, channels, owner, 0);
        let mut calls = process.calls.lock();
        calls.life = Life::Program;
        tree.add(&process, &mut calls).expect("a pipe");
        drop(calls);
        (process, File::from(write))
    }

    fn ended() -> End {
        End {
            status: 3 << 8,
            exit_status: true,
            termsig: true,
            rusage: false,
            used: [0; RUSAGE],
            told: false,
            over: None,
        }
    }

    fn turn(routes: &mut Routes<'_, Plain, Got>, commands: &Commands) {
        routes.obey(commands);
        while routes.has_more() {
            routes.go_on();
        }
    }

    fn event(id: u64, hangup: bool) -> poller::Event {
        poller::Event {
            source: Source::Process(id, Channel::Stdout),
            hangup,
            writable: false,
        }
    }

    /// Writes until the stream is held; how many bytes that were.
    fn hold(
        routes: &mut Routes<'_, Plain, Got>,
        process: &Arc<Process<Plain>>,
        write: &mut File,
    ) -> usize {
        let mut written = 0;
        while process.streams_held() == 0 {
            written += write.write(&[0; 4096]).expect("room");
            routes.happened(process.id, Channel::Stdout, event(process.id, false));
            routes.go_on();
        }
        written
    }

    #[test]
    fn a_new_owner_gets_what_the_former_one_was_too_slow_for() {
        let (tree, commands) = tree();
        let mut routes = routes(&tree);
        let (process, mut write) = added(&tree, 7, Role::EventLoop, Some(5));
        let written = hold(&mut routes, &process, &mut write);
        assert_eq!(written - routes.mail.bytes(5), 4096);
        tree.command(Command::Event(Event::Ended(Arc::clone(&process), ended())));
        turn(&mut routes, &commands);
        assert_eq!(routes.mail.1, []);

        tree.give(Arc::clone(&process), Some(6));
        turn(&mut routes, &commands);
        assert_eq!(routes.mail.bytes(6), 4096);
        assert_eq!((process.streams_held(), &routes.mail.1[..]), (0, &[6][..]));
        // The answer of the former owner changes nothing.
        tree.command(Command::Resume(1));
        turn(&mut routes, &commands);
        assert_eq!(routes.mail.1, [6]);
    }

    /// The new owner is behind, too, and then keeps up.
    #[test]
    fn a_stream_that_changes_hands_is_held_again_and_goes_on() {
        let (tree, commands) = tree();
        let mut routes = routes(&tree);
        let (other, mut its) = added(&tree, 8, Role::EventLoop, Some(6));
        hold(&mut routes, &other, &mut its);
        let (process, mut write) = added(&tree, 7, Role::EventLoop, Some(5));
        let written = hold(&mut routes, &process, &mut write);
        for owner in [6, 5, 6] {
            tree.give(Arc::clone(&process), Some(owner));
            turn(&mut routes, &commands);
            assert_eq!(process.streams_held(), 1);
        }
        tree.command(Command::Resume(1));
        turn(&mut routes, &commands);
        assert_eq!(process.streams_held(), 0);
        assert_eq!(routes.mail.bytes(5) + 4096, written);
    }

    #[test]
    fn the_end_is_told_when_the_user_gives_up_what_was_not_delivered() {
        for is_held in [false, true] {
            let (tree, commands) = tree();
            let mut routes = routes(&tree);
            let (process, mut write) = added(&tree, 7, Role::EventLoop, None);
            if is_held {
                hold(&mut routes, &process, &mut write);
            } else {
                process.set_flow(0);
                write.write_all(b"hello").expect("room");
            }
            drop(write);
            tree.command(Command::Event(Event::Ended(Arc::clone(&process), ended())));
            turn(&mut routes, &commands);
            assert_eq!(routes.mail.1, []);

            process.stdout.lock().close().expect("an open stream");
            tree.command(Command::Closed(Arc::clone(&process)));
            turn(&mut routes, &commands);
            assert_eq!(routes.mail.1, [OWNER]);
            assert_eq!((process.streams_held(), tree.count()), (0, 1));
            // Once.
            tree.command(Command::Closed(process));
            turn(&mut routes, &commands);
            assert_eq!(routes.mail.1, [OWNER]);
        }
    }

    /// A stream that is closed while its process lives ends nothing.
    #[test]
    fn a_process_outlives_its_streams() {
        let (tree, commands) = tree();
        let mut routes = routes(&tree);
        let (process, _write) = added(&tree, 7, Role::EventLoop, None);
        process.stdout.lock().close().expect("an open stream");
        tree.command(Command::Closed(process));
        turn(&mut routes, &commands);
        assert_eq!((tree.count(), &routes.mail.1[..]), (2, &[][..]));
    }

    /// Each program that a keeper runs has an owner of its own, of whose end nobody tells.
    #[test]
    fn owners_of_programs_that_are_over_are_forgotten() {
        let (tree, commands) = tree();
        let mut routes = routes(&tree);
        let (process, mut write) = added(&tree, 7, Role::EventLoop, None);
        hold(&mut routes, &process, &mut write);
        let mut most = 0;
        for program in 100..2100 {
            let role = Role::Program {
                request: 0,
                claim: Claim::new(&tree.poller, 15, 0),
            };
            let (its, mut write) = added(&tree, program, role, Some(program));
            write.write_all(b"x").expect("room");
            drop(write);
            let id = its.id;
            tree.command(Command::Event(Event::Ended(its, ended())));
            turn(&mut routes, &commands);
            routes.happened(id, Channel::Stdout, event(id, true));
            most = most.max(routes.owners.count());
        }
        assert_eq!(routes.mail.bytes(2000), 1);
        assert!(most < 200, "{most} owners");
        // Who has processes is remembered.
        assert_eq!(process.streams_held(), 1);
        tree.command(Command::Resume(1));
        turn(&mut routes, &commands);
        assert_eq!(process.streams_held(), 0);
    }
}
