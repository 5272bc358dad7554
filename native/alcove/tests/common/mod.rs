//! What the router is to the executable: starts it, speaks its protocol and
//! holds a control socket and three pipes for every process of the tree.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod need;

use alcove_proto::calls::number;
use alcove_proto::frame::{self, HEADER, from, to};
use alcove_proto::frame::{Frame as _, Hello, Init, Raw};
use alcove_proto::wire::{self, ATOMS, Builder, Put, Reader};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long something may take on this machine, of what it may on a fast one:
/// `ALCOVE_TEST_SLOW=20` in the environment is a machine that is twenty times slower.
pub fn slow(time: Duration) -> Duration {
    match std::env::var("ALCOVE_TEST_SLOW") {
        Ok(factor) if !factor.is_empty() => time * factor.parse::<u32>().unwrap(),
        _ => time,
    }
}

/// How long anything may take.
pub fn patience() -> Duration {
    slow(Duration::from_secs(60))
}

/// A tree of processes: the guardian, its lifeline and root.
pub struct Tree {
    pub guardian: Child,
    pub lifeline: Option<UnixStream>,
    pub root: Option<Node>,
}

impl Tree {
    pub fn start() -> Tree {
        Tree::start_with(options())
    }

    pub fn start_with(init: Init) -> Tree {
        nofile();
        let (control, theirs) = UnixStream::pair().unwrap();
        let built = env!("CARGO_BIN_EXE_alcove").to_owned();
        let guardian = Command::new(std::env::var("ALCOVE").unwrap_or(built))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (lifeline, their_lifeline) = UnixStream::pair().unwrap();
        let (stdin, stdin_writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let (stdout_reader, stdout) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let (stderr_reader, stderr) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let mut bytes = Vec::new();
        init.write(&mut bytes);
        let fds = [
            their_lifeline.as_raw_fd(),
            stdin.as_raw_fd(),
            stdout.as_raw_fd(),
            stderr.as_raw_fd(),
        ];
        let rights = [ControlMessage::ScmRights(&fds)];
        let parts = [IoSlice::new(&bytes)];
        let sent = sendmsg::<()>(
            control.as_raw_fd(),
            &parts,
            &rights,
            MsgFlags::empty(),
            None,
        );
        (&control).write_all(&bytes[sent.unwrap()..]).unwrap();
        let channels = vec![control.into(), stdin_writer, stdout_reader, stderr_reader];
        lifeline.set_read_timeout(Some(patience())).unwrap();
        Tree {
            guardian,
            lifeline: Some(lifeline),
            root: Some(Node::new(channels, 0)),
        }
        .greeted()
    }

    fn greeted(mut self) -> Tree {
        match self.root().frame() {
            Frame::Hello(hello) => {
                assert_eq!(hello.table, alcove_proto::calls::table_hash());
                assert_eq!(hello.version, alcove_proto::VERSION);
                self.root().pid = hello.pid as i32;
            }
            frame => panic!("instead of a greeting: {frame:?}"),
        }
        self
    }

    pub fn root(&mut self) -> &mut Node {
        self.root.as_mut().unwrap()
    }

    /// What the lifeline says until its end: root's wait status, if that.
    pub fn last_words(&mut self) -> Option<i32> {
        let mut bytes = Vec::new();
        self.lifeline
            .take()
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
            .first_chunk()
            .map(|status| i32::from_le_bytes(*status))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.lifeline = None;
        self.root = None;
        let _ = self.guardian.wait();
    }
}

/// The soft limit of open files that the tests were started with, and the hard one. Each
/// process of a tree takes four descriptors here: as in the virtual machine, the soft limit
/// is raised, and root puts it back.
pub fn nofile() -> (u64, u64) {
    static LIMITS: OnceLock<(u64, u64)> = OnceLock::new();
    *LIMITS.get_or_init(|| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        (soft as u64, hard as u64)
    })
}

/// The options that most tests start with.
pub fn options() -> Init {
    Init {
        exit_status: true,
        termsig: true,
        maxforkdepth: 16,
        nofile: nofile().0,
        env: vec![b"PATH=/usr/bin:/bin".to_vec(), b"ALCOVE=test".to_vec()],
        ..Init::default()
    }
}

/// A process in its event loop, or what it was replaced by.
#[derive(Debug)]
pub struct Node {
    pub pid: i32,
    control: UnixStream,
    pub stdin: Option<File>,
    pub stdout: Option<File>,
    pub stderr: Option<File>,
    /// Events that came while something else was waited for.
    events: VecDeque<Event>,
    /// Children that were announced while something else was waited for.
    pub born: Vec<Node>,
    received: Vec<OwnedFd>,
    id: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Signal(i32),
    Child { pid: i32, status: i32, notify: u8 },
}

/// A frame from a process; terms as text.
#[derive(Debug)]
pub enum Frame {
    Hello(Hello),
    Reply(u32, String),
    Partial(u32, String),
    Forked {
        id: u32,
        last: bool,
        node: Box<Node>,
    },
    Event(Event),
    End,
}

impl Node {
    fn new(channels: Vec<OwnedFd>, pid: i32) -> Node {
        let mut channels = channels.into_iter();
        let control = UnixStream::from(channels.next().unwrap());
        control.set_read_timeout(Some(patience())).unwrap();
        let mut file = || channels.next().map(File::from);
        Node {
            pid,
            control,
            stdin: file(),
            stdout: file(),
            stderr: file(),
            events: VecDeque::new(),
            born: Vec::new(),
            received: Vec::new(),
            id: 0,
        }
    }

    /// Sends a frame; returns its id.
    pub fn send(&mut self, kind: u8, payload: &[u8]) -> u32 {
        self.id += 1;
        let mut bytes = Vec::new();
        let at = frame::start(&mut bytes, kind);
        bytes.put_u32(self.id);
        bytes.raw(payload);
        frame::finish(&mut bytes, at);
        self.control.write_all(&bytes).unwrap();
        self.id
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.control.write_all(bytes).unwrap();
    }

    pub fn send_call(&mut self, number: u16, arguments: &[u8]) -> u32 {
        let mut payload = Vec::new();
        payload.put_u16(number);
        payload.raw(arguments);
        self.send(to::CALL, &payload)
    }

    /// Makes a call that answers with a term.
    pub fn call(&mut self, number: u16, arguments: &[u8]) -> String {
        let id = self.send_call(number, arguments);
        self.reply(id)
    }

    /// Waits for an answer.
    pub fn reply(&mut self, id: u32) -> String {
        match self.wait() {
            Frame::Reply(of, term) if of == id => term,
            frame => panic!("instead of a reply: {frame:?}"),
        }
    }

    /// How long a call takes, with a reader that polls or one that waits.
    pub fn round_trip(&mut self, number: u16, polling: bool) -> Duration {
        let mut bytes = [7, 0, 0, 0, to::CALL, 1, 0, 0, 0, 0, 0];
        bytes[9..].copy_from_slice(&number.to_le_bytes());
        let mut buffer = [0; 64];
        let flags = if polling {
            MsgFlags::MSG_DONTWAIT
        } else {
            MsgFlags::empty()
        };
        let start = Instant::now();
        self.control.write_all(&bytes).unwrap();
        while let Err(errno) = nix::sys::socket::recv(self.control.as_raw_fd(), &mut buffer, flags)
        {
            assert_eq!(errno, Errno::EAGAIN);
            std::thread::yield_now();
        }
        start.elapsed()
    }

    pub fn getpid(&mut self) -> i32 {
        self.call(number::getpid, &[]).parse().unwrap()
    }

    pub fn fork(&mut self) -> Node {
        self.forked(number::fork, &[])
    }

    pub fn clone_with(&mut self, flags: i32) -> Node {
        self.forked(number::clone, &u64::from(flags as u32).to_le_bytes())
    }

    fn forked(&mut self, number: u16, arguments: &[u8]) -> Node {
        let id = self.send_call(number, arguments);
        match self.wait() {
            Frame::Forked {
                id: of,
                last: true,
                node,
            } if of == id => *node,
            frame => panic!("instead of a process: {frame:?}"),
        }
    }

    pub fn batch(&mut self, calls: &[(u16, Vec<u8>)]) -> u32 {
        self.send(to::BATCH, &batch(calls))
    }

    pub fn spawn(&mut self, flags: u64, calls: &[(u16, Vec<u8>)]) -> (u32, Node) {
        let mut payload = flags.to_le_bytes().to_vec();
        payload.raw(&batch(calls));
        let id = self.send(to::SPAWN, &payload);
        match self.wait() {
            Frame::Forked {
                id: of,
                last: false,
                node,
            } if of == id => (id, *node),
            frame => panic!("instead of a process: {frame:?}"),
        }
    }

    /// Replaces the process by a program.
    pub fn exec(&mut self, argv: &[&str]) {
        self.send_call(number::execvp, &execvp(argv));
        match self.wait() {
            Frame::End => {}
            frame => panic!("instead of the end: {frame:?}"),
        }
    }

    pub fn sigaction(&mut self, signal: i32, handler: wire::arg::Handler) -> String {
        let mut arguments = signal.to_le_bytes().to_vec();
        arguments.push(handler as u8);
        self.call(number::sigaction, &arguments)
    }

    pub fn kill(&mut self, pid: i32, signal: i32) -> String {
        self.call(
            number::kill,
            &[pid.to_le_bytes(), signal.to_le_bytes()].concat(),
        )
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        match self.frame() {
            Frame::Event(event) => event,
            frame => panic!("instead of an event: {frame:?}"),
        }
    }

    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next frame that isn't an event.
    pub fn wait(&mut self) -> Frame {
        loop {
            match self.frame() {
                Frame::Event(event) => self.events.push_back(event),
                frame => return frame,
            }
        }
    }

    /// Everything that the process and what it forked write to stdout.
    pub fn output(&mut self) -> String {
        let mut output = String::new();
        self.stdout
            .take()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        output
    }

    /// The next line of stdout.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            self.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            match byte {
                [b'\n'] => return String::from_utf8(line).unwrap(),
                [byte] => line.push(byte),
            }
        }
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        let mut header = [0; HEADER];
        if !self.fill(&mut header) {
            return Frame::End;
        }
        let length = frame::length(&header).unwrap().unwrap();
        let mut bytes = vec![0; length];
        assert!(self.fill(&mut bytes), "a frame is cut off");
        let raw = Raw::new(&bytes).unwrap();
        match raw.kind {
            from::HELLO => Frame::Hello(raw.read().unwrap()),
            from::REPLY => {
                let reply: frame::Reply = raw.read().unwrap();
                Frame::Reply(reply.id, text(&mut Reader::new(reply.term)))
            }
            from::PARTIAL => {
                let partial: frame::Partial = raw.read().unwrap();
                Frame::Partial(partial.id, text(&mut Reader::new(partial.results)))
            }
            from::SIGNAL => {
                let frame::Signal { signal } = raw.read().unwrap();
                Frame::Event(Event::Signal(signal))
            }
            from::CHILD => {
                let child: frame::Child = raw.read().unwrap();
                // What it used: seconds and microseconds are no more than these can be.
                let used = child.used;
                assert!(used.iter().all(|number| *number >= 0) && used[1] < 1_000_000);
                Frame::Event(Event::Child {
                    pid: child.pid as i32,
                    status: child.status,
                    notify: child.notify,
                })
            }
            from::FORKED => {
                let forked: frame::Forked = raw.read().unwrap();
                assert_eq!(self.received.len(), frame::CHANNELS);
                let node = Node::new(self.received.split_off(0), forked.pid as i32);
                Frame::Forked {
                    id: forked.id,
                    last: forked.last,
                    node: Box::new(node),
                }
            }
            kind => panic!("a frame of type {kind}"),
        }
    }

    /// Fills a buffer; `false` at the end.
    fn fill(&mut self, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let mut space = cmsg_space!([i32; frame::CHANNELS]);
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let mut parts = [IoSliceMut::new(buffer)];
            let received = recvmsg::<()>(
                self.control.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                flags,
            );
            let n = match received {
                Ok(message) => {
                    for part in message.cmsgs().unwrap() {
                        if let ControlMessageOwned::ScmRights(fds) = part {
                            // SAFETY: the kernel made these descriptors for this process.
                            let owned = fds.iter().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
                            self.received.extend(owned);
                        }
                    }
                    message.bytes
                }
                Err(Errno::ECONNRESET) => 0,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("nothing comes from {}: {errno}", self.pid),
            };
            if n == 0 {
                return false;
            }
            buffer = &mut buffer[n..];
        }
        true
    }
}

/// The payload of a batch, without its id.
fn batch(calls: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_u16(calls.len() as u16);
    for (number, arguments) in calls {
        payload.put_u16(*number);
        payload.put_bytes(arguments);
    }
    payload
}

/// The arguments of execvp.
pub fn execvp(argv: &[&str]) -> Vec<u8> {
    let mut arguments = Vec::new();
    arguments.put_cstr(argv[0].as_bytes());
    put_strings(&mut arguments, argv);
    arguments
}

pub fn put_strings(arguments: &mut Vec<u8>, strings: &[&str]) {
    arguments.put_u32(strings.len() as u32);
    for string in strings {
        arguments.put_cstr(string.as_bytes());
    }
}

pub fn cstr(string: &str) -> Vec<u8> {
    let mut arguments = Vec::new();
    arguments.put_cstr(string.as_bytes());
    arguments
}

/// The term that a reader is at, as Erlang writes it.
fn text(reader: &mut Reader<'_>) -> String {
    wire::read_term(reader, &mut Text).unwrap()
}

struct Text;

impl Builder for Text {
    type Term = String;
    fn atom(&mut self, place: u16) -> Option<String> {
        ATOMS.get(usize::from(place)).map(|name| (*name).to_owned())
    }
    fn errno(&mut self, number: u16) -> String {
        alcove_proto::errno::name(number).unwrap().to_owned()
    }
    fn signal(&mut self, number: u16) -> String {
        format!("sig{number}")
    }
    fn int(&mut self, value: i64) -> String {
        value.to_string()
    }
    fn uint(&mut self, value: u64) -> String {
        value.to_string()
    }
    fn bin(&mut self, bytes: &[u8]) -> Option<String> {
        Some(format!("<<\"{}\">>", String::from_utf8_lossy(bytes)))
    }
    fn list(&mut self, terms: Vec<String>) -> String {
        format!("[{}]", terms.join(","))
    }
    fn tuple(&mut self, terms: Vec<String>) -> String {
        format!("{{{}}}", terms.join(","))
    }
    fn map(&mut self, pairs: Vec<(String, String)>) -> Option<String> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}=>{v}")).collect();
        Some(format!("#{{{}}}", pairs.join(",")))
    }
}

/// A process that is held, so that its pid can't become another's.
pub struct Held {
    pub pid: i32,
    fd: OwnedFd,
}

impl Held {
    pub fn new(pid: i32) -> Option<Held> {
        // SAFETY: takes numbers only; the descriptor is ours.
        unsafe {
            match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
                -1 => None,
                fd => Some(Held {
                    pid,
                    fd: OwnedFd::from_raw_fd(fd as i32),
                }),
            }
        }
    }

    /// Waits for the end of the process.
    pub fn ends_within(&self, time: Duration) -> bool {
        self.ends_in_ticks(&mut Ticks::of(time))
    }

    /// Waits for the end of the process while there is time left.
    pub fn ends_in_ticks(&self, ticks: &mut Ticks) -> bool {
        let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(Ticks::LENGTH).unwrap();
        loop {
            if poll(&mut polled, timeout).unwrap() == 1 {
                return true;
            }
            if !ticks.tick() {
                return false;
            }
        }
    }
}

/// Time by the test's own progress: while a machine stands still, or is busy with others,
/// no more of it goes by for the test than for what it waits for.
pub struct Ticks(u32);

impl Ticks {
    const LENGTH: Duration = Duration::from_millis(5);

    pub fn of(time: Duration) -> Self {
        Ticks((time.as_millis() / Self::LENGTH.as_millis()) as u32)
    }

    fn tick(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

/// Every process below one.
pub fn descendants(of: i32) -> Vec<Held> {
    let mut found = Vec::new();
    let mut above = vec![of];
    while let Some(parent) = above.pop() {
        for pid in children(parent) {
            above.push(pid);
            found.extend(Held::new(pid));
        }
    }
    found
}

/// The children that a process has.
pub fn children(of: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < patience(), "never: {what}");
        std::thread::yield_now();
    }
}

/// A line of /proc/PID/status.
pub fn status(pid: i32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}
