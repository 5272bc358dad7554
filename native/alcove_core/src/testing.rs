//! What the tests of several modules use.
#![cfg_attr(any(loom, miri), allow(dead_code, reason = "they use few of these"))]

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::erlang::{Binary, Buffer, Erlang};

/// No Erlang: a process is a number, and a term a text.
pub enum Plain {}

impl Erlang for Plain {
    type Pid = u32;
    type Term = String;
    type Binary = Vec<u8>;
    type Buffer = Vec<u8>;
}

impl Buffer for Vec<u8> {
    fn new(length: usize) -> Self {
        vec![0; length]
    }

    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

impl Binary for Vec<u8> {
    fn with<R>(&self, function: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Some(function(self))
    }
}

/// A pipe: the end to read from, and the one to write to. Neither waits.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("a pipe")
}

/// A socket and the process's end of it.
pub fn sockets() -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    (ours.into(), theirs)
}

/// Writes as much as there is room for; returns how much that was.
pub fn fill(socket: &mut UnixStream, bytes: &[u8]) -> usize {
    socket.set_nonblocking(true).expect("an open socket");
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(n) => written += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    written
}

/// Reads what is there now.
pub fn drain(fd: impl AsFd) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), [0; 64 * 1024]);
    while let Ok(n @ 1..) = nix::unistd::read(&fd, &mut buf) {
        all.extend(&buf[..n]);
    }
    all
}

/// Waits until something is true, which another thread makes true.
pub fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_true() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether nothing has the write end of a pipe any more.
pub fn is_closed(read_end: &OwnedFd) -> bool {
    nix::unistd::read(read_end, &mut [0]) == Ok(0)
}

/// Bytes that differ from place to place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}
