//! The receiving side of a control socket.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use alcove_proto::frame::{self, Raw};
use alcove_proto::wire::Malformed;
use nix::errno::Errno;

use crate::closer::Closer;
use crate::scm;

/// The size of the pieces in which a long frame is received: memory is allocated as bytes
/// come, not as a header promises.
const PIECE: usize = 256 * 1024;

/// A frame from a process.
pub struct Came<'a> {
    /// What it says.
    pub frame: Raw<'a>,
    /// Descriptors that came with it.
    pub fds: &'a mut VecDeque<OwnedFd>,
}

/// The result of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Bytes came; there may be more.
    Some,
    /// Nothing has come now.
    Nothing,
    /// Nothing will come any more.
    End,
    /// What came isn't the protocol.
    Malformed,
}

/// The receiving side of a control socket.
pub struct Reader {
    partial: Vec<u8>,
    fds: VecDeque<OwnedFd>,
    stage: Stage,
    closer: Arc<Closer>,
}

/// How far a control socket was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There may be more.
    Open,
    /// Nothing more is read: the process broke the protocol, or the socket can't be read.
    Broken,
    /// Everything was read, and nothing will follow.
    Ended,
}

impl Reader {
    /// Nothing was received yet.
    pub fn new(closer: &Arc<Closer>) -> Self {
        Reader {
            partial: Vec::new(),
            fds: VecDeque::new(),
            stage: Stage::Open,
            closer: Arc::clone(closer),
        }
    }

    /// Receives what has come and passes each complete frame to `each`.
    pub fn receive(
        &mut self,
        control: BorrowedFd<'_>,
        scratch: &mut [u8],
        mut each: impl FnMut(Came<'_>) -> Result<(), Malformed>,
    ) -> Received {
        if self.stage != Stage::Open {
            return Received::End;
        }
        // A process that sends descriptors faster than they can be closed loses its connection.
        if self.closer.is_full() && scm::brings_descriptors(control) {
            return self.malformed();
        }
        let (have, held) = (self.partial.len(), self.fds.len());
        let received = if have == 0 {
            scm::receive(control, scratch, &mut self.fds)
        } else {
            let want = match frame::length(&self.partial) {
                Ok(Some(length)) => frame::HEADER + length - have,
                Ok(None) => frame::HEADER - have,
                Err(Malformed) => return self.malformed(),
            };
            self.partial.resize(have + want.min(PIECE), 0);
            scm::receive(control, &mut self.partial[have..], &mut self.fds)
        };
        let got = received.map_or(0, |received| received.bytes);
        let outcome = match received {
            Ok(received) if received.bytes > 0 => {
                // All descriptors come in one message, with the frame that announces them.
                let more = self.fds.len() - held;
                if received.strange || more > 0 && (held > 0 || more > frame::CHANNELS) {
                    Err(Malformed)
                } else if have == 0 {
                    frames(&scratch[..got], &mut self.fds, &mut each)
                        .map(|used| self.partial.extend_from_slice(&scratch[used..got]))
                } else {
                    self.partial.truncate(have + got);
                    let partial = std::mem::take(&mut self.partial);
                    let used = frames(&partial, &mut self.fds, &mut each);
                    // No more was read than the rest of the frame, so the frame is complete or not,
                    // and nothing follows it.
                    if used == Ok(0) {
                        self.partial = partial;
                    }
                    used.map(drop)
                }
            }
            Err(Errno::EAGAIN) => {
                self.partial.truncate(have);
                return Received::Nothing;
            }
            Ok(_) | Err(Errno::ECONNRESET) => {
                self.give_up(Stage::Ended);
                return Received::End;
            }
            Err(_) => {
                self.give_up(Stage::Broken);
                return Received::End;
            }
        };
        match outcome {
            Ok(()) if self.partial.is_empty() && !self.fds.is_empty() => self.malformed(),
            Ok(()) => Received::Some,
            Err(Malformed) => self.malformed(),
        }
    }

    /// Whether everything was read, and nothing will follow.
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    fn malformed(&mut self) -> Received {
        self.give_up(Stage::Broken);
        Received::Malformed
    }

    fn give_up(&mut self, stage: Stage) {
        self.partial = Vec::new();
        self.closer.close(self.fds.drain(..));
        self.stage = stage;
    }
}

/// Passes the complete frames to `each`; returns how many bytes they took.
fn frames(
    bytes: &[u8],
    fds: &mut VecDeque<OwnedFd>,
    each: &mut impl FnMut(Came<'_>) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let mut rest = bytes;
    while let Some(frame) = Raw::next(&mut rest)? {
        each(Came { frame, fds })?;
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use alcove_proto::frame::{CHANNELS, Frame, HEADER, MAX_FRAME, Reply, from};

    use super::*;
    use crate::testing::{fill, is_closed, pattern, pipe, sockets, until};

    /// A control socket, and the process at its other end.
    struct Control {
        ours: OwnedFd,
        process: UnixStream,
        reader: Reader,
        scratch: Vec<u8>,
        /// The number, the length and the descriptors of each reply that came.
        came: Vec<(u32, usize, usize)>,
    }

    impl Control {
        fn new() -> Self {
            let (ours, process) = sockets();
            Control {
                ours,
                process,
                reader: Reader::new(&Closer::new()),
                scratch: vec![0; 64 * 1024],
                came: Vec::new(),
            }
        }

        fn receive(&mut self) -> Received {
            let came = &mut self.came;
            self.reader
                .receive(self.ours.as_fd(), &mut self.scratch, |frame| {
                    assert_eq!(frame.frame.kind, from::REPLY);
                    let Reply { id, term } = frame.frame.read()?;
                    assert_eq!(term, pattern(term.len()));
                    came.push((id, term.len(), frame.fds.drain(..).count()));
                    Ok(())
                })
        }

        /// Receives until nothing is there, or nothing will come.
        fn receive_all(&mut self) -> Received {
            loop {
                match self.receive() {
                    Received::Some => {}
                    other => return other,
                }
            }
        }

        /// Sends bytes, and descriptors with the first of them.
        fn send(&self, bytes: &[u8], fds: &[OwnedFd]) {
            let sent = scm::send_fds_now(self.process.as_fd(), bytes, fds);
            assert_eq!(sent, Ok(bytes.len()));
        }
    }

    fn reply(id: u32, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let term = &pattern(length);
        Reply { id, term }.write(&mut bytes);
        bytes
    }

    #[test]
    fn frames_that_come_together_are_taken_apart() {
        let mut control = Control::new();
        assert_eq!(control.receive(), Received::Nothing);
        control.send(&[reply(1, 0), reply(2, 5), reply(3, 1000)].concat(), &[]);
        assert_eq!(control.receive(), Received::Some);
        assert_eq!(control.came, [(1, 0, 0), (2, 5, 0), (3, 1000, 0)]);
        assert_eq!(control.receive(), Received::Nothing);
    }

    #[test]
    fn frames_may_be_torn_anywhere() {
        let bytes = [reply(1, 3), reply(2, 20), reply(3, 0)].concat();
        for cut in 1..bytes.len() {
            let mut control = Control::new();
            control.send(&bytes[..cut], &[]);
            assert_eq!(control.receive_all(), Received::Nothing);
            let before = control.came.len();
            control.send(&bytes[cut..], &[]);
            assert_eq!(control.receive_all(), Received::Nothing);
            assert_eq!(control.came, [(1, 3, 0), (2, 20, 0), (3, 0, 0)], "{cut}");
            let ends = [reply(1, 3).len(), bytes.len() - reply(3, 0).len()];
            assert_eq!(before, ends.iter().filter(|end| **end <= cut).count());
        }
    }

    #[test]
    fn frames_may_come_byte_by_byte() {
        let mut control = Control::new();
        for byte in [reply(1, 30), reply(2, 0)].concat() {
            control.send(&[byte], &[]);
            assert_eq!(control.receive(), Received::Some);
            assert_eq!(control.receive(), Received::Nothing);
        }
        assert_eq!(control.came, [(1, 30, 0), (2, 0, 0)]);
    }

    #[test]
    fn a_long_frame_comes_in_pieces() {
        let mut control = Control::new();
        let long = [reply(1, 3 * PIECE), reply(2, 1)].concat();
        let mut sent = 0;
        while sent < long.len() {
            sent += fill(&mut control.process, &long[sent..]);
            assert_eq!(control.receive_all(), Received::Nothing);
        }
        assert_eq!(control.came, [(1, 3 * PIECE, 0), (2, 1, 0)]);
    }

    /// A header alone makes the VM take no more memory than a piece.
    #[test]
    fn memory_is_taken_as_bytes_come() {
        let mut control = Control::new();
        control.send(&(MAX_FRAME as u32).to_le_bytes(), &[]);
        assert_eq!(control.receive_all(), Received::Nothing);
        control.send(&[from::REPLY], &[]);
        assert_eq!(control.receive_all(), Received::Nothing);
        assert_eq!(control.reader.partial.len(), HEADER + 1);
        assert!(control.reader.partial.capacity() < 4 * PIECE);
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused() {
        for torn in [false, true] {
            let mut control = Control::new();
            let header = (MAX_FRAME as u32 + 1).to_le_bytes();
            let cut = if torn { 3 } else { HEADER };
            control.send(&header[..cut], &[]);
            let first = control.receive();
            control.send(&[&header[cut..], &[from::REPLY]].concat(), &[]);
            let last = if torn {
                assert_eq!(first, Received::Some);
                control.receive_all()
            } else {
                first
            };
            assert_eq!(last, Received::Malformed);
            // Nothing more is read.
            assert_eq!(control.receive(), Received::End);
            assert!(!control.reader.has_ended());
        }
    }

    #[test]
    fn a_frame_without_a_type_is_refused() {
        let mut control = Control::new();
        control.send(&0_u32.to_le_bytes(), &[]);
        assert_eq!(control.receive_all(), Received::Malformed);
        assert_eq!(control.receive(), Received::End);
    }

    #[test]
    fn what_the_handler_refuses_is_malformed() {
        let mut control = Control::new();
        control.send(&[reply(1, 0), reply(2, 0), reply(3, 0)].concat(), &[]);
        let mut seen = 0;
        let fd = control.ours.as_fd();
        let received = control.reader.receive(fd, &mut control.scratch, |_| {
            seen += 1;
            if seen == 2 { Err(Malformed) } else { Ok(()) }
        });
        assert_eq!((received, seen), (Received::Malformed, 2));
        assert_eq!(control.receive(), Received::End);
    }

    #[test]
    fn the_end_may_come_anywhere() {
        let bytes = [reply(1, 8), reply(2, 8)].concat();
        for cut in 0..=bytes.len() {
            let mut control = Control::new();
            control.send(&bytes[..cut], &[]);
            control
                .process
                .shutdown(std::net::Shutdown::Both)
                .expect("open");
            assert_eq!(control.receive_all(), Received::End);
            assert_eq!(control.came.len(), cut / reply(1, 8).len());
            assert!(control.reader.has_ended());
            assert!(control.reader.partial.is_empty());
            assert_eq!(control.receive(), Received::End);
        }
    }

    #[test]
    fn descriptors_come_with_their_frame() {
        for fds in 1..=CHANNELS {
            let mut control = Control::new();
            let (_read, write) = pipe();
            let given: Vec<_> = (0..fds).map(|_| write.try_clone().expect("room")).collect();
            control.send(&[reply(1, 0), reply(2, 0)].concat(), &given);
            assert_eq!(control.receive(), Received::Some);
            assert_eq!(control.came, [(1, 0, fds), (2, 0, 0)]);
        }
    }

    #[test]
    fn descriptors_wait_for_the_rest_of_their_frame() {
        let bytes = reply(1, 100);
        // The descriptors come with the first part, or with the second.
        for (cut, first) in [(1, true), (50, true), (1, false), (50, false)] {
            let mut control = Control::new();
            let (read, write) = pipe();
            let mut given = vec![write];
            let (with_first, with_second) = if first {
                (std::mem::take(&mut given), Vec::new())
            } else {
                (Vec::new(), std::mem::take(&mut given))
            };
            control.send(&bytes[..cut], &with_first);
            drop(with_first);
            assert_eq!(control.receive_all(), Received::Nothing);
            control.send(&bytes[cut..], &with_second);
            drop(with_second);
            assert_eq!(control.receive_all(), Received::Nothing);
            assert_eq!(control.came, [(1, 100, 1)]);
            assert!(is_closed(&read));
        }
    }

    /// Sends parts, each with descriptors, to a handler that takes none of them. The process
    /// breaks the protocol, and the descriptors are closed.
    fn refused(parts: &[(&[u8], usize)]) {
        let mut control = Control::new();
        let (read, write) = pipe();
        let mut received = Received::Nothing;
        for (bytes, fds) in parts {
            let given: Vec<_> = (0..*fds)
                .map(|_| write.try_clone().expect("room"))
                .collect();
            control.send(bytes, &given);
            let fd = control.ours.as_fd();
            received = control.reader.receive(fd, &mut control.scratch, |_| Ok(()));
        }
        drop(write);
        assert_eq!(received, Received::Malformed);
        assert_eq!(control.receive(), Received::End);
        until("the descriptors are closed", || is_closed(&read));
    }

    #[test]
    fn descriptors_that_no_frame_announces_are_refused_and_closed() {
        refused(&[(&reply(1, 0), 1)]);
    }

    #[test]
    fn more_descriptors_than_a_frame_has_are_refused_and_closed() {
        refused(&[(&reply(1, 0)[..2], CHANNELS + 1)]);
    }

    #[test]
    fn descriptors_in_two_messages_are_refused_and_closed() {
        let bytes = reply(1, 9);
        refused(&[(&bytes[..4], 1), (&bytes[4..8], 1)]);
    }

    #[test]
    fn descriptors_are_closed_when_the_rest_of_their_frame_never_comes() {
        let mut control = Control::new();
        let (read, write) = pipe();
        control.send(&reply(1, 9)[..6], &[write]);
        assert_eq!(control.receive_all(), Received::Nothing);
        assert!(!is_closed(&read));
        control
            .process
            .shutdown(std::net::Shutdown::Both)
            .expect("open");
        assert_eq!(control.receive_all(), Received::End);
        until("the descriptor is closed", || is_closed(&read));
    }

    /// Only the process could have asked for its credentials to come along, if it has the VM's end.
    #[cfg(target_os = "linux")]
    #[test]
    fn control_data_of_other_kinds_is_refused() {
        let mut control = Control::new();
        nix::sys::socket::setsockopt(&control.ours, nix::sys::socket::sockopt::PassCred, &true)
            .expect("a Unix socket");
        control.process.write_all(&reply(1, 0)).expect("room");
        assert_eq!(control.receive(), Received::Malformed);
        assert!(control.came.is_empty());
    }

    #[test]
    fn a_socket_that_cannot_be_read_has_not_ended() {
        let mut reader = Reader::new(&Closer::new());
        let (read, _write) = pipe();
        let received = reader.receive(read.as_fd(), &mut [0; 64], |_| Ok(()));
        assert_eq!(received, Received::End);
        assert!(!reader.has_ended());
    }
}
