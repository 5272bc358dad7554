//! The frames of a control socket.
//!
//! A frame is a length (32 bits, little endian, of what follows it), a type and a
//! payload. Each direction has its own types, so that a process can never make
//! the other side take an answer for a call.

/// Bytes of the length in front of a frame.
pub const HEADER: usize = 4;

/// The most bytes of data in one argument or reply: the documented cap.
pub const MAX_DATA: usize = 16 * 1024 * 1024;

/// The longest frame, without its header: [`MAX_DATA`] and some room for what goes with it.
pub const MAX_FRAME: usize = MAX_DATA + 1024 * 1024;

/// The channels of a new process, in the order in which its parent sends them:
/// control, stdin, stdout, stderr.
pub const CHANNELS: usize = 4;

/// Frames to a process.
pub mod to {
    /// Make a call: id, call number, arguments.
    pub const CALL: u8 = 1;
    /// Make calls until one fails: id, count, then for each its number, the length of its arguments, and these.
    pub const BATCH: u8 = 2;
    /// Fork (flags 0) or clone and let the new process make a batch: id, flags, batch.
    pub const SPAWN: u8 = 3;
    /// The first frame that root gets: see [`crate::wire::Init`].
    pub const INIT: u8 = 4;
}

/// Frames from a process.
pub mod from {
    /// The answer to a call or a batch: id, term.
    pub const REPLY: u8 = 1;
    /// A process was forked: id, its pid, whether that is the reply (1) or a
    /// reply follows (0), and how many messages of its output may be sent (-1: no
    /// limit). Its channels come with the frame.
    pub const FORKED: u8 = 2;
    /// A signal was trapped: its number.
    pub const SIGNAL: u8 = 3;
    /// A child ended: its pid, its wait status, which events its parent's options ask for,
    /// see [`crate::frame::notify`], and what it used, see [`crate::frame::RUSAGE`].
    pub const CHILD: u8 = 4;
    /// The first frame from root: see [`crate::wire::Hello`].
    pub const HELLO: u8 = 5;
    /// The answers so far of a batch whose next call may not return: id, list.
    pub const PARTIAL: u8 = 6;
}

/// What the owner of a child is told of its end.
pub mod notify {
    /// Its exit status.
    pub const EXIT_STATUS: u8 = 1;
    /// The signal that ended it.
    pub const TERMSIG: u8 = 2;
    /// What it used.
    pub const RUSAGE: u8 = 4;
}

/// What a child used: so many numbers of 64 bits, which are seconds and microseconds of
/// utime and of stime, maxrss, minflt, majflt, inblock, oublock, nvcsw and nivcsw.
pub const RUSAGE: usize = 11;

/// Reads the length of a frame from its header.
///
/// `Ok(None)` when the header isn't complete, `Err` when the frame is empty or
/// longer than [`MAX_FRAME`].
pub fn length(bytes: &[u8]) -> Result<Option<usize>, crate::wire::Malformed> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    match u32::from_le_bytes(*header) as usize {
        0 => Err(crate::wire::Malformed),
        length if length > MAX_FRAME => Err(crate::wire::Malformed),
        length => Ok(Some(length)),
    }
}

/// Starts a frame in `out`; the length is filled in by [`finish`].
pub fn start(out: &mut Vec<u8>, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEADER]);
    out.push(kind);
    at
}

/// Ends the frame that was started at `at`.
pub fn finish(out: &mut [u8], at: usize) {
    let length = (out.len() - at - HEADER) as u32;
    out[at..at + HEADER].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_length_in_front() {
        let mut out = Vec::new();
        let at = start(&mut out, to::CALL);
        out.extend_from_slice(b"abc");
        finish(&mut out, at);
        assert_eq!(out, [4, 0, 0, 0, to::CALL, b'a', b'b', b'c']);
        assert_eq!(length(&out), Ok(Some(4)));
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(length(&[1, 0, 0]), Ok(None));
        assert!(length(&[0, 0, 0, 0]).is_err());
        assert!(length(&(MAX_FRAME as u32 + 1).to_le_bytes()).is_err());
        assert_eq!(
            length(&(MAX_FRAME as u32).to_le_bytes()),
            Ok(Some(MAX_FRAME))
        );
    }
}
