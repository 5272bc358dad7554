//! A Unix process: its four channels and the calls under way.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alcove_proto::frame::{self, Frame};
use alcove_proto::keep::{Order, Over};
use alcove_proto::wire::Malformed;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

use self::calls::{Calls, Given, Heritage, Pending, Reads};
use self::claim::{Claim, Keeper};
use crate::closer::{Closer, Foreign};
use crate::erlang::Erlang;
use crate::poller::{Channel, Interest, Poller, Source};
use crate::reader::{Came, Reader, Received};
use crate::stream::{Stdin, Stream};
use crate::sync::{self, AtomicI64};
use crate::{scm, sys};

pub mod calls;
pub mod claim;
pub mod turn;

/// How many bytes are written to a control socket before others have their turn.
const TURN: usize = 64 * 1024;

/// A process.
///
/// Locks are taken in the order `reader`, `calls`; both may be held when a
/// stream's or stdin's is taken.
pub struct Process<E: Erlang> {
    /// The number by which events name the process.
    pub id: u64,
    /// Its fork path; root's is empty.
    pub path: Box<[u32]>,
    control: Option<Foreign>,
    /// What it is.
    pub role: Role,
    /// The thread that holds this lock reads the control socket.
    pub reader: sync::Mutex<Reader>,
    /// The calls under way.
    pub calls: sync::Mutex<Calls<E>>,
    /// The write end of stdin and what waits for room in it.
    pub stdin: Mutex<Stdin<E>>,
    /// The read end of stdout.
    pub stdout: Mutex<Stream>,
    /// The read end of stderr.
    pub stderr: Mutex<Stream>,
    /// The Erlang process that gets its streams and events, if not the owner of the Drv.
    pub owner: Mutex<Option<E::Pid>>,
    /// How it ended.
    pub end: Mutex<Option<End>>,
    /// How many messages of output its owner wants; -1: all.
    flow: AtomicI64,
    /// When it was forked.
    pub since: Instant,
    /// The process that watches the tree was told that this one is gone, or need not be told.
    pub reported: AtomicBool,
    /// The number of children that left their event loop and whose end this process still has to
    /// report. No other event tells of it.
    leavers: AtomicI64,
}

/// What a process is.
pub enum Role {
    /// An event loop, or what became of one.
    EventLoop,
    /// A keeper, and what it inherited.
    Keeper(Heritage),
    /// A program that its parent, a keeper, runs.
    Program {
        /// The number of the request that it runs for.
        request: u32,
        /// The claim, which ends the program when its owner ends.
        claim: Arc<Claim>,
    },
}

/// The VM's ends of the channels of a process, as far as it has them.
#[derive(Default)]
pub struct Channels {
    /// The control socket.
    pub control: Option<OwnedFd>,
    /// The write end of its stdin.
    pub stdin: Option<OwnedFd>,
    /// The read end of its stdout.
    pub stdout: Option<OwnedFd>,
    /// The read end of its stderr.
    pub stderr: Option<OwnedFd>,
}

/// As many of them as there are, in this order: control, stdin, stdout, stderr.
impl FromIterator<OwnedFd> for Channels {
    fn from_iter<I: IntoIterator<Item = OwnedFd>>(list: I) -> Self {
        let mut list = list.into_iter();
        Channels {
            control: list.next(),
            stdin: list.next(),
            stdout: list.next(),
            stderr: list.next(),
        }
    }
}

/// The end of a process, as its parent reported it.
#[derive(Clone, Debug)]
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
    /// The report of a keeper.
    pub over: Option<Arc<Over>>,
}

impl End {
    /// The end of a program that a keeper ran.
    pub fn kept(over: Over) -> End {
        End {
            status: over.status.unwrap_or_default(),
            exit_status: false,
            termsig: false,
            rusage: false,
            used: over.used,
            told: false,
            over: Some(Arc::new(over)),
        }
    }
}

impl<E: Erlang> Process<E> {
    /// A process with its channels: control, stdin, stdout, stderr. `first` is
    /// the number of its first call.
    pub fn new(
        id: u64,
        path: Box<[u32]>,
        role: Role,
        channels: Channels,
        closer: &Arc<Closer>,
        owner: Option<E::Pid>,
        first: u32,
    ) -> Self {
        let Channels {
            control,
            stdin,
            stdout,
            stderr,
        } = channels;
        Process {
            id,
            path,
            control: control.map(|fd| Foreign::new(fd, closer)),
            role,
            reader: sync::Mutex::new(Reader::new(closer)),
            calls: sync::Mutex::new(Calls::new(first)),
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

    /// The number of the request that it runs for, if a keeper runs it.
    pub fn request(&self) -> Option<u32> {
        match self.role {
            Role::Program { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Its pid as its parent sees it; 0 for root.
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

    /// How many of its streams are held until their owner keeps up.
    pub fn streams_held(&self) -> usize {
        usize::from(self.stdout.lock().held) + usize::from(self.stderr.lock().held)
    }

    /// Whether one of its streams is open.
    pub fn has_output(&self) -> bool {
        self.stdout.lock().is_open() || self.stderr.lock().is_open()
    }

    /// Adds its channels to a poller; stdin follows when bytes wait for it.
    pub fn register(&self, poller: &Poller, calls: &mut Calls<E>) -> Result<(), Errno> {
        if let Some(control) = &self.control {
            // A keeper reports the ends of its programs at any time, and no scheduler ever reads
            // its control socket.
            let is_keeper = matches!(self.role, Role::Keeper(_));
            let expects = is_keeper || calls.expects();
            calls.reads = if expects {
                Reads::Router
            } else {
                Reads::Nobody
            };
            let interest = Interest {
                read: expects,
                write: false,
            };
            poller.add(
                control,
                Source::Process(self.id, Channel::Control),
                interest,
            )?;
        }
        for channel in [Channel::Stdout, Channel::Stderr] {
            if let Some(fd) = self.stream(channel).lock().fd() {
                poller.add(fd, Source::Process(self.id, channel), Interest::READ)?;
            }
        }
        Ok(())
    }

    /// Sends a frame, or as much of it as there is room for now.
    pub fn send(&self, poller: &Poller, calls: &mut Calls<E>, bytes: &[u8]) {
        self.send_with(poller, calls, bytes, Vec::new());
    }

    /// The same, with descriptors.
    fn send_with(
        &self,
        poller: &Poller,
        calls: &mut Calls<E>,
        bytes: &[u8],
        mut fds: Vec<OwnedFd>,
    ) {
        let Some(control) = &self.control else { return };
        let mut sent = 0;
        if calls.unsent.is_empty() {
            // The router sends the rest of a long frame: the process may read as fast as this
            // writes, so the loop could go on for long.
            let turn = &bytes[..bytes.len().min(TURN)];
            while sent < turn.len() {
                match scm::send_fds_now(control.as_fd(), &turn[sent..], &fds) {
                    Ok(n) => {
                        sent += n;
                        fds.clear();
                    }
                    Err(Errno::EAGAIN) => break,
                    // The process is gone. The reader finds the end of the socket and answers.
                    Err(_) if fds.is_empty() => return,
                    // The process is gone, or so many descriptors are in flight that the kernel
                    // takes no more.
                    Err(_) => return self.hang_up(),
                }
            }
        }
        if sent < bytes.len() {
            if !fds.is_empty() {
                let at = calls.unsent.len();
                calls.given.push_back(Given { at, fds });
            }
            calls.unsent.extend(&bytes[sent..]);
            self.interest(poller, calls);
        }
    }

    /// Sends unsent bytes, for one turn. True when there may be room for more.
    pub fn flush(&self, poller: &Poller, calls: &mut Calls<E>) -> bool {
        if calls.unsent.is_empty() {
            // The interest must stay as it is: a change makes the poller report again what it has
            // reported, and after the end of a connection that would wake the router for ever.
            return false;
        }
        let Some(control) = &self.control else {
            return false;
        };
        let mut left = TURN;
        while !calls.unsent.is_empty() {
            if left == 0 {
                return true;
            }
            let part = calls.unsent.as_slices().0;
            let mut length = part.len().min(left);
            let mut fds = &[][..];
            let mut given = calls.given.iter();
            let mut next = given.next();
            if let Some(Given { fds: first, .. }) = next.filter(|first| first.at == 0) {
                fds = first;
                next = given.next();
            }
            if let Some(Given { at, .. }) = next {
                length = length.min(*at);
            }
            match scm::send_fds_now(control.as_fd(), &part[..length], fds) {
                Ok(n) => {
                    left -= n;
                    drop(calls.unsent.drain(..n));
                    if calls.given.front().is_some_and(|first| first.at == 0) {
                        calls.given.pop_front();
                    }
                    calls.given.iter_mut().for_each(|given| given.at -= n);
                }
                Err(Errno::EAGAIN) => return false,
                Err(_) => {
                    if !fds.is_empty() {
                        self.hang_up();
                    }
                    calls.drop_unsent();
                }
            }
        }
        calls.unsent.shrink_to(0);
        self.interest(poller, calls);
        false
    }

    /// Gives the socket to the router, which the poller tells at once if something has come. If a
    /// scheduler reads it, that one does so at the end of its turn.
    fn give_to_router(&self, poller: &Poller, calls: &mut Calls<E>) {
        if calls.reads == Reads::Nobody {
            calls.reads = Reads::Router;
            self.interest(poller, calls);
        }
    }

    /// A scheduler takes the socket for a turn, from the router if that has it.
    fn take_turn(&self, poller: &Poller, calls: &mut Calls<E>) {
        let before = std::mem::replace(&mut calls.reads, Reads::Scheduler { missed: false });
        if before == Reads::Router {
            self.interest(poller, calls);
        }
    }

    /// The scheduler's turn is over. The router takes over if something may come that no caller
    /// waits for.
    fn end_turn(&self, poller: &Poller, calls: &mut Calls<E>) {
        let missed = calls.reads == Reads::Scheduler { missed: true };
        calls.reads = Reads::Nobody;
        if missed || calls.expects() || self.leavers.load(Ordering::SeqCst) > 0 {
            self.give_to_router(poller, calls);
        }
    }

    /// Whether the router is to read the socket now. If a scheduler reads it, the router is told
    /// again once that is done.
    pub fn is_routers(&self) -> bool {
        match &mut self.calls.lock().reads {
            Reads::Scheduler { missed } => {
                *missed = true;
                false
            }
            Reads::Nobody | Reads::Router => true,
        }
    }

    /// A child left its event loop. The next event about it is its end, which this process reports.
    pub fn expect_end(&self, poller: &Poller) {
        self.leavers.fetch_add(1, Ordering::SeqCst);
        self.give_to_router(poller, &mut self.calls.lock());
    }

    /// The end of such a child was reported.
    pub fn end_reported(&self) {
        self.leavers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Adds a call that the router is to answer, and gives the router the socket.
    pub fn enqueue(
        &self,
        poller: &Poller,
        calls: &mut Calls<E>,
        pending: Pending<E>,
        bytes: &[u8],
    ) {
        self.enqueue_with(poller, calls, pending, bytes, Vec::new());
    }

    /// The same, with descriptors, which the VM closes once they are sent.
    pub fn enqueue_with(
        &self,
        poller: &Poller,
        calls: &mut Calls<E>,
        pending: Pending<E>,
        bytes: &[u8],
        fds: Vec<OwnedFd>,
    ) {
        calls.note(&pending.kind);
        calls.pending.push_back(pending);
        self.give_to_router(poller, calls);
        self.send_with(poller, calls, bytes, fds);
    }

    fn interest(&self, poller: &Poller, calls: &Calls<E>) {
        let Some(control) = &self.control else { return };
        let interest = Interest {
            read: calls.reads == Reads::Router,
            write: !calls.unsent.is_empty(),
        };
        // The socket is registered before the process can be found, so this can only fail if
        // the kernel lacks memory. A later attempt would fail, too.
        let _ = poller.modify(
            control,
            Source::Process(self.id, Channel::Control),
            interest,
        );
    }

    /// Ends the connection. The process then reads the end of its control socket and exits.
    pub fn hang_up(&self) {
        if let Some(control) = &self.control {
            let _ = shutdown(control.as_fd().as_raw_fd(), Shutdown::Both);
        }
    }

    /// Sleeps until something can be received, or for some time.
    pub fn wait(&self, limit: Duration) {
        if let Some(control) = &self.control {
            sys::wait_readable(control.as_fd(), limit);
        }
    }

    /// Receives what has come and passes each complete frame to `each`.
    pub fn receive(
        &self,
        reader: &mut Reader,
        scratch: &mut [u8],
        each: impl FnMut(Came<'_>) -> Result<(), Malformed>,
    ) -> Received {
        match &self.control {
            Some(control) => reader.receive(control.as_fd(), scratch, each),
            None => Received::End,
        }
    }
}

impl<E: Erlang> Keeper for Process<E> {
    fn order(&self, poller: &Poller, order: Order) {
        let mut frame = Vec::with_capacity(16);
        order.write(&mut frame);
        let mut calls = self.calls.lock();
        if !calls.is_closed() {
            self.send(poller, &mut calls, &frame);
        }
    }
}

impl<E: Erlang> Drop for Process<E> {
    fn drop(&mut self) {
        let ended = self.reader.get_mut().has_ended();
        if let Some(control) = self.control.as_mut().filter(|_| ended) {
            control.set_empty();
        }
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::collections::VecDeque;
    use std::io::Read;
    use std::ops::Range;
    use std::os::unix::net::UnixStream;

    use alcove_proto::calls::number;

    use super::calls::{Kind, Waiter};
    use super::*;
    use crate::poller::{Event, Events};
    use crate::testing::{Plain, is_closed, pattern, pipe, sockets};

    /// A process in its event loop, its end of the control socket, and the router's poller.
    struct Looping {
        process: Process<Plain>,
        theirs: UnixStream,
        poller: Arc<Poller>,
        events: Events,
    }

    impl Looping {
        fn new() -> Self {
            let (ours, theirs) = sockets();
            let poller = Poller::new().expect("a poller");
            let channels = [ours].into_iter().collect();
            let closer = Closer::new();
            let process = Process::new(5, [7].into(), Role::EventLoop, channels, &closer, None, 0);
            process
                .register(&poller, &mut process.calls.lock())
                .expect("a socket");
            theirs.set_nonblocking(true).expect("an open socket");
            Looping {
                process,
                theirs,
                poller,
                events: Events::with_capacity(8),
            }
        }

        /// What the poller reports now.
        fn reported(&mut self) -> Vec<Event> {
            let now = Some(Duration::ZERO);
            self.poller.wait(&mut self.events, now).expect("a poller");
            self.events.iter().collect()
        }

        fn call(&self, bytes: &[u8], fds: Vec<OwnedFd>) {
            let mut calls = self.process.calls.lock();
            let id = calls.next_id();
            let pending = Pending::new(id, Kind::Call(number::getpid), Waiter::Inline);
            self.process
                .enqueue_with(&self.poller, &mut calls, pending, bytes, fds);
        }

        /// What the process receives now: bytes, and descriptors with the places of the bytes that
        /// they came with.
        fn receive(&self, all: &mut Vec<u8>, fds: &mut Vec<(Range<usize>, OwnedFd)>) {
            let mut buf = vec![0; 64 * 1024];
            let mut came = VecDeque::new();
            while let Ok(received) = scm::receive(self.theirs.as_fd(), &mut buf, &mut came) {
                let places = all.len()..all.len() + received.bytes;
                fds.extend(came.drain(..).map(|fd| (places.clone(), fd)));
                all.extend(&buf[..received.bytes]);
            }
        }
    }

    #[test]
    fn the_router_reads_only_while_something_may_come() {
        let mut looping = Looping::new();
        std::io::Write::write_all(&mut looping.theirs, b"x").expect("room");
        // Nothing is expected.
        assert!(looping.reported().is_empty());
        looping.call(b"frame", Vec::new());
        assert_eq!(looping.reported().len(), 1);
        // It is reported once.
        assert!(looping.reported().is_empty());
        let mut calls = looping.process.calls.lock();
        looping.process.take_turn(&looping.poller, &mut calls);
        drop(calls);
        assert!(looping.reported().is_empty());
    }

    /// A scheduler reads the socket; what the router left alone meanwhile is reported again.
    #[test]
    fn what_was_missed_is_reported_again() {
        for (missed, pends, expects) in [
            (false, false, false),
            (true, false, true),
            (false, true, true),
        ] {
            let mut looping = Looping::new();
            {
                let mut calls = looping.process.calls.lock();
                looping.process.take_turn(&looping.poller, &mut calls);
            }
            if pends {
                looping.call(b"frame", Vec::new());
            }
            std::io::Write::write_all(&mut looping.theirs, b"x").expect("room");
            assert!(looping.reported().is_empty(), "a scheduler reads it");
            let mut calls = looping.process.calls.lock();
            calls.reads = Reads::Scheduler { missed };
            looping.process.end_turn(&looping.poller, &mut calls);
            assert_eq!(calls.reads == Reads::Router, expects);
            drop(calls);
            assert_eq!(!looping.reported().is_empty(), expects);
        }
    }

    #[test]
    fn the_router_reads_while_a_child_may_end() {
        let mut looping = Looping::new();
        looping.process.expect_end(&looping.poller);
        std::io::Write::write_all(&mut looping.theirs, b"x").expect("room");
        assert_eq!(looping.reported().len(), 1);
        looping.process.end_reported();
        let mut calls = looping.process.calls.lock();
        looping.process.take_turn(&looping.poller, &mut calls);
        looping.process.end_turn(&looping.poller, &mut calls);
        drop(calls);
        assert!(looping.reported().is_empty());
    }

    /// Frames that the socket doesn't take at once are sent later, whole and in order, and each
    /// descriptor comes with the first byte of its frame.
    #[test]
    fn what_the_socket_does_not_take_is_sent_later() {
        let mut looping = Looping::new();
        let (read, write) = pipe();
        let long = pattern(1_000_000);
        let mut sent = Vec::new();
        let mut places = Vec::new();
        for with_fds in [true, false, true, true] {
            let fds = if with_fds {
                places.push(sent.len());
                vec![write.try_clone().expect("room")]
            } else {
                Vec::new()
            };
            looping.call(&long, fds);
            sent.extend(&long);
        }
        drop(write);
        // The router is told when there is room.
        assert!(looping.reported().is_empty());
        let (mut all, mut fds) = (Vec::new(), Vec::new());
        while all.len() < sent.len() {
            looping.receive(&mut all, &mut fds);
            let writable = looping.reported().iter().any(|event| event.writable);
            let mut calls = looping.process.calls.lock();
            assert!(writable || calls.unsent.is_empty());
            while looping.process.flush(&looping.poller, &mut calls) {}
        }
        assert!(all == sent);
        assert_eq!(fds.len(), places.len());
        for ((came_with, _), place) in fds.iter().zip(places) {
            assert!(came_with.contains(&place), "{came_with:?} {place}");
        }
        // The VM's copies are closed.
        assert!(!is_closed(&read));
        drop(fds);
        assert!(is_closed(&read));
        assert!(looping.process.calls.lock().pending.len() == 4);
    }

    #[test]
    fn a_process_that_is_gone_gets_nothing() {
        let mut looping = Looping::new();
        looping
            .theirs
            .shutdown(std::net::Shutdown::Both)
            .expect("open");
        let (read, write) = pipe();
        looping.call(b"frame", vec![write]);
        assert!(is_closed(&read));
        assert!(looping.reported().iter().any(|event| event.hangup));
        let mut reader = looping.process.reader.lock();
        let received = looping
            .process
            .receive(&mut reader, &mut [0; 64], |_| Ok(()));
        assert_eq!(received, Received::End);
    }

    #[test]
    fn a_process_reads_the_end_of_a_connection_that_is_hung_up() {
        let mut looping = Looping::new();
        looping.process.hang_up();
        assert_eq!(looping.theirs.read(&mut [0; 8]).ok(), Some(0));
    }

    #[test]
    fn the_messages_that_an_owner_wants_are_counted() {
        let looping = Looping::new();
        assert_eq!(looping.process.flow(), -1);
        looping.process.sent_message();
        assert_eq!(looping.process.flow(), -1);
        looping.process.set_flow(2);
        for left in [1, 0, 0] {
            looping.process.sent_message();
            assert_eq!(looping.process.flow(), left);
        }
    }
}
