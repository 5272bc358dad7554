//! The frames of a control socket.
//!
//! A frame is a length (32 bits, little endian, of what follows it), a type and a
//! payload. Each direction has its own types, so that a process can never make
//! the other side take an answer for a call.
//!
//! Each is a struct with one writer and one reader. One more frame: a type in [`to`] or
//! [`from`], and its fields.

use crate::wire::arg::{Arg, StrVec};
use crate::wire::{Malformed, Put, Reader};

/// Bytes of the length in front of a frame.
pub const HEADER: usize = 4;

/// The most bytes of data in one argument or reply: the documented cap.
pub const MAX_DATA: usize = 16 * 1024 * 1024;

/// The longest frame, without its header: [`MAX_DATA`] and some room for what goes with it.
pub const MAX_FRAME: usize = MAX_DATA + 1024 * 1024;

/// The channels of a new process, in the order in which its parent sends them:
/// control, stdin, stdout, stderr.
pub const CHANNELS: usize = 4;

/// The types of frames to a process.
pub mod to {
    /// See [`Call`](super::Call).
    pub const CALL: u8 = 1;
    /// See [`Batch`](super::Batch).
    pub const BATCH: u8 = 2;
    /// See [`Spawn`](super::Spawn).
    pub const SPAWN: u8 = 3;
    /// See [`Init`](super::Init).
    pub const INIT: u8 = 4;
    /// See [`Keeper`](super::Keeper).
    pub const KEEPER: u8 = 5;
    /// To a keeper that is free: see [`crate::keep::Keep`].
    pub const KEEP: u8 = 6;
    /// To a keeper whose program runs: see [`crate::keep::Order`].
    pub const ORDER: u8 = 7;
}

/// The types of frames from a process.
pub mod from {
    /// See [`Reply`](super::Reply).
    pub const REPLY: u8 = 1;
    /// See [`Forked`](super::Forked).
    pub const FORKED: u8 = 2;
    /// See [`Signal`](super::Signal).
    pub const SIGNAL: u8 = 3;
    /// See [`Child`](super::Child).
    pub const CHILD: u8 = 4;
    /// See [`Hello`](super::Hello).
    pub const HELLO: u8 = 5;
    /// See [`Partial`](super::Partial).
    pub const PARTIAL: u8 = 6;
    /// See [`Kept`](super::Kept).
    pub const KEPT: u8 = 7;
    /// A keeper's program has ended: see [`crate::keep::Over`].
    pub const OVER: u8 = 8;
    /// See [`Free`](super::Free).
    pub const FREE: u8 = 9;
}

/// What a frame says: a struct with one writer and one reader.
pub trait Frame<'a>: Sized {
    /// Its type.
    const KIND: u8;
    /// How many bytes its payload has, if that is always the same.
    const SIZE: Option<usize>;
    /// Appends the payload.
    fn put(&self, out: &mut impl Put);
    /// Reads the whole payload.
    fn read(payload: &'a [u8]) -> Result<Self, Malformed>;

    /// Appends the whole frame.
    fn write(&self, out: &mut Vec<u8>) {
        let at = self.begin(out);
        finish(out, at);
    }

    /// Appends what is known of a frame, whose last field is still to follow: [`finish`] ends
    /// what starts at the place that is given back.
    fn begin(&self, out: &mut Vec<u8>) -> usize {
        let at = start(out, Self::KIND);
        self.put(out);
        at
    }
}

/// A field of a frame.
pub trait Field<'a>: Sized {
    /// How many bytes it has, if that is always the same.
    const SIZE: Option<usize>;
    /// Appends it.
    fn put(&self, out: &mut impl Put);
    /// Reads it.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

macro_rules! fields {
    ($($type:ident $put:ident)*) => {$(
        impl Field<'_> for $type {
            const SIZE: Option<usize> = Some(size_of::<$type>());
            fn put(&self, out: &mut impl Put) {
                out.$put(*self);
            }
            fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                reader.$type()
            }
        }
    )*};
}

fields! { u8 put_u8 u16 put_u16 u32 put_u32 u64 put_u64 i32 put_i32 i64 put_i64 }

impl Field<'_> for bool {
    const SIZE: Option<usize> = Some(1);
    fn put(&self, out: &mut impl Put) {
        out.put_u8(u8::from(*self));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.u8()? != 0)
    }
}

impl<const N: usize> Field<'_> for [i64; N] {
    const SIZE: Option<usize> = Some(8 * N);
    fn put(&self, out: &mut impl Put) {
        self.iter().for_each(|number| out.put_i64(*number));
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = reader.i64()?;
        }
        Ok(numbers)
    }
}

/// The last field of a frame: everything up to its end.
impl<'a> Field<'a> for &'a [u8] {
    const SIZE: Option<usize> = None;
    fn put(&self, out: &mut impl Put) {
        out.raw(self);
    }
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let rest = reader.rest();
        reader.take(rest.len())
    }
}

/// The sum, if each is known.
const fn sum(sizes: &[Option<usize>]) -> Option<usize> {
    let (mut all, mut i) = (0, 0);
    while i < sizes.len() {
        match sizes[i] {
            Some(size) => all += size,
            None => return None,
        }
        i += 1;
    }
    Some(all)
}

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? = $side:ident::$kind:ident {
        $($(#[$about:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $($(#[$about])* pub $field: $type,)*
        }

        impl<'a> Frame<'a> for $name $(<$life>)? {
            const KIND: u8 = $side::$kind;
            const SIZE: Option<usize> = sum(&[$(<$type as Field>::SIZE),*]);
            fn put(&self, out: &mut impl Put) {
                let _ = &out;
                $(self.$field.put(out);)*
            }
            fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
                let reader = &mut Reader::new(payload);
                let frame = $name { $($field: Field::read(reader)?),* };
                reader.end()?;
                Ok(frame)
            }
        }
    )*};
}

frames! {
    /// Make a call.
    Call<'a> = to::CALL {
        /// What the reply names.
        id: u32,
        /// The number of the call in the table.
        number: u16,
        /// Its arguments, as [`crate::wire::arg`] reads them.
        arguments: &'a [u8],
    }

    /// Make calls until one fails.
    Batch<'a> = to::BATCH {
        /// What the reply names.
        id: u32,
        /// See [`Calls`].
        calls: &'a [u8],
    }

    /// Fork or clone, and let the new process make a batch.
    Spawn<'a> = to::SPAWN {
        /// What the reply names.
        id: u32,
        /// Flags of clone(2); 0: fork.
        flags: u64,
        /// See [`Calls`].
        calls: &'a [u8],
    }

    /// Fork a keeper. Answered like a fork, with a control socket alone.
    Keeper = to::KEEPER {
        /// What the reply names.
        id: u32,
    }

    /// The answer to a call or a batch.
    Reply<'a> = from::REPLY {
        /// The id of what is answered.
        id: u32,
        /// One term.
        term: &'a [u8],
    }

    /// A process was forked. Its channels come with the frame.
    Forked = from::FORKED {
        /// The id of the call, batch or spawn that made it.
        id: u32,
        /// The pid of the new process.
        pid: u32,
        /// Whether this is the reply; else one follows.
        last: bool,
        /// How many messages of its output may be sent; -1: no limit.
        flow: i32,
    }

    /// A signal was trapped.
    Signal = from::SIGNAL {
        /// Its number.
        signal: i32,
    }

    /// A child ended.
    Child = from::CHILD {
        /// Its pid.
        pid: u32,
        /// Its status, as wait(2) has it.
        status: i32,
        /// Which events its parent's options ask for: see [`notify`].
        notify: u8,
        /// What it used: see [`RUSAGE`].
        used: [i64; RUSAGE],
    }

    /// The results so far of a batch whose next call may not return.
    Partial<'a> = from::PARTIAL {
        /// The id of the batch.
        id: u32,
        /// A list, one term.
        results: &'a [u8],
    }

    /// A keeper's program runs. Its channels, as many as it has pipes, come with the frame.
    Kept = from::KEPT {
        /// The id of the request.
        id: u32,
        /// The program's pid, as the keeper sees it.
        pid: u32,
    }

    /// What was left of a keeper's program is gone, too: it can be used again.
    Free = from::FREE {}
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

/// What comes to a process is answered under a number that is filled in when it is sent.
const ID: std::ops::Range<usize> = HEADER + 1..HEADER + 5;

/// Fills in the number of a whole CALL, BATCH or SPAWN frame, whose first field it is.
pub fn set_id(frame: &mut [u8], id: u32) {
    frame[ID].copy_from_slice(&id.to_le_bytes());
}

/// A whole frame that is never longer than this, without memory of its own: a signal handler
/// can write it.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    bytes: [u8; Short::ROOM],
    length: usize,
}

impl Short {
    const ROOM: usize = 128;

    /// A frame's bytes.
    pub fn of<'a, F: Frame<'a>>(frame: &F) -> Self {
        let size = const {
            match F::SIZE {
                Some(size) if HEADER + 1 + size <= Short::ROOM => size,
                _ => panic!("not a short frame"),
            }
        };
        let mut short = Short {
            bytes: [0; Short::ROOM],
            length: 0,
        };
        short.put_u32(1 + size as u32);
        short.put_u8(F::KIND);
        frame.put(&mut short);
        short
    }
}

impl Put for Short {
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl std::ops::Deref for Short {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The calls of a batch: a count, and for each its number, the length of its arguments, and
/// these.
#[derive(Clone, Debug)]
pub struct Calls<'a> {
    left: u16,
    reader: Reader<'a>,
}

impl<'a> Calls<'a> {
    /// Those of a [`Batch`] or [`Spawn`].
    pub fn read(calls: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(calls);
        let left = reader.u16()?;
        Ok(Calls { left, reader })
    }
}

impl<'a> Iterator for Calls<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    /// The next one's number and arguments. What follows the last one is an error.
    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            let end = self.reader.end();
            self.reader = Reader::new(&[]);
            return end.err().map(Err);
        };
        self.left = left;
        let number = self.reader.u16();
        Some(number.and_then(|number| Ok((number, self.reader.bytes()?))))
    }
}

/// Writes what [`Calls`] reads.
#[derive(Debug)]
pub struct CallsWriter {
    at: usize,
    count: usize,
}

impl CallsWriter {
    /// No calls yet.
    pub fn begin(out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.put_u16(0);
        CallsWriter { at, count: 0 }
    }

    /// A call, whose arguments `arguments` appends.
    pub fn call<E>(
        &mut self,
        out: &mut Vec<u8>,
        number: u16,
        arguments: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        out.put_u16(number);
        let at = out.len();
        out.put_u32(0);
        arguments(out)?;
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
        Ok(())
    }

    /// There are no more. `Err` when there are more than can be counted.
    pub fn finish(self, out: &mut [u8]) -> Result<(), Malformed> {
        let count = u16::try_from(self.count).map_err(|_| Malformed)?;
        out[self.at..self.at + 2].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }
}

/// The first frame that root gets: what the user's options ask for.
///
/// With the frame come the lifeline and root's stdin, stdout and, when it is not
/// the console's, stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Debugging output on stderr.
    pub verbose: u32,
    /// Whether owners learn exit statuses.
    pub exit_status: bool,
    /// Whether owners learn termination signals.
    pub termsig: bool,
    /// The childlimit of processes forked from root; none: root's own.
    pub maxchild: Option<u32>,
    /// The longest fork path.
    pub maxforkdepth: u32,
    /// How many messages of output may be sent of a process that root forks; -1: no limit.
    pub flowcontrol: i32,
    /// The signal for its programs when a process loses its connection; 0: none.
    pub signaloneof: u8,
    /// The soft limit of open files to put back, and to reckon childlimit from; 0: as it is.
    pub nofile: u64,
    /// The environment, as `NAME=value`.
    pub env: Vec<Vec<u8>>,
}

impl Frame<'_> for Init {
    const KIND: u8 = to::INIT;
    const SIZE: Option<usize> = None;

    fn put(&self, out: &mut impl Put) {
        out.put_u32(self.verbose);
        out.put_u8(u8::from(self.exit_status));
        out.put_u8(u8::from(self.termsig));
        out.put_i64(self.maxchild.map_or(-1, i64::from));
        out.put_u32(self.maxforkdepth);
        out.put_i32(self.flowcontrol);
        out.put_u8(self.signaloneof);
        out.put_u64(self.nofile);
        out.put_u32(self.env.len() as u32);
        for variable in &self.env {
            out.put_cstr(variable);
        }
    }

    fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let init = Init {
            verbose: reader.u32()?,
            exit_status: reader.u8()? != 0,
            termsig: reader.u8()? != 0,
            maxchild: u32::try_from(reader.i64()?).ok(),
            maxforkdepth: reader.u32()?,
            flowcontrol: reader.i32()?,
            signaloneof: reader.u8()?,
            nofile: reader.u64()?,
            env: {
                let env = StrVec::read(&mut reader)?;
                env.into_iter()
                    .map(|variable| variable.to_bytes().to_vec())
                    .collect()
            },
        };
        reader.end()?;
        Ok(init)
    }
}

/// The first frame from root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`crate::calls::table_hash`] of the executable.
    pub table: u64,
    /// Root's pid, as it sees itself.
    pub pid: u32,
    /// The version of the executable.
    pub version: String,
}

impl Frame<'_> for Hello {
    const KIND: u8 = from::HELLO;
    const SIZE: Option<usize> = None;

    fn put(&self, out: &mut impl Put) {
        out.put_u64(self.table);
        out.put_u32(self.pid);
        out.put_bytes(self.version.as_bytes());
    }

    fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let hello = Hello {
            table: reader.u64()?,
            pid: reader.u32()?,
            version: std::str::from_utf8(reader.bytes()?)
                .map_err(|_| Malformed)?
                .to_owned(),
        };
        reader.end()?;
        Ok(hello)
    }
}

/// How root ended, as the guardian writes it to the lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootStatus(pub i32);

impl RootStatus {
    /// How many bytes that takes.
    pub const SIZE: usize = 4;

    /// A status, as wait(2) has it.
    pub const fn bytes(self) -> [u8; Self::SIZE] {
        self.0.to_le_bytes()
    }

    /// Reads it.
    pub const fn read(bytes: [u8; Self::SIZE]) -> Self {
        RootStatus(i32::from_le_bytes(bytes))
    }
}

/// Reads the length of a frame from its header.
///
/// `Ok(None)` when the header isn't complete, `Err` when the frame is empty or
/// longer than [`MAX_FRAME`].
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    match u32::from_le_bytes(*header) as usize {
        0 => Err(Malformed),
        length if length > MAX_FRAME => Err(Malformed),
        length => Ok(Some(length)),
    }
}

/// A frame's type and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// One of [`to`] or of [`from`].
    pub kind: u8,
    /// What follows it.
    pub payload: &'a [u8],
}

impl<'a> Raw<'a> {
    /// A frame without its header.
    pub fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, payload) = body.split_first().ok_or(Malformed)?;
        Ok(Raw {
            kind: *kind,
            payload,
        })
    }

    /// Takes the first frame off `bytes`; `Ok(None)` when it isn't whole.
    pub fn next(bytes: &mut &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(length) = length(bytes)? else {
            return Ok(None);
        };
        let Some((frame, rest)) = bytes.split_at_checked(HEADER + length) else {
            return Ok(None);
        };
        *bytes = rest;
        Raw::new(&frame[HEADER..]).map(Some)
    }

    /// What it says, if it is of this type.
    pub fn read<F: Frame<'a>>(&self) -> Result<F, Malformed> {
        if self.kind == F::KIND {
            F::read(self.payload)
        } else {
            Err(Malformed)
        }
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
    fn frames_come_back() {
        let child = Child {
            pid: 7,
            status: -1,
            notify: notify::RUSAGE,
            used: [3; RUSAGE],
        };
        let mut out = Vec::new();
        child.write(&mut out);
        assert_eq!(&*Short::of(&child), &out[..]);
        let reply = Reply { id: 1, term: b"x" };
        reply.write(&mut out);
        let mut rest = &out[..];
        let first = Raw::next(&mut rest).expect("whole").expect("one");
        assert_eq!(first.read(), Ok(child));
        assert_eq!(first.read::<Signal>(), Err(Malformed));
        let second = Raw::next(&mut rest).expect("whole").expect("another");
        assert_eq!(second.read(), Ok(reply));
        assert_eq!(Raw::next(&mut rest), Ok(None));
    }

    #[test]
    fn a_short_frame_is_read_to_its_end() {
        for length in 0..10 {
            let read = Signal::read(&[0; 10][..length]);
            assert_eq!(read.is_ok(), Some(length) == Signal::SIZE, "{length}");
        }
    }

    #[test]
    fn batches_come_back() {
        let mut out = Vec::new();
        let mut writer = CallsWriter::begin(&mut out);
        for number in [5, 6] {
            let written = writer.call::<()>(&mut out, number, |out| {
                out.put_u8(number as u8);
                Ok(())
            });
            assert_eq!(written, Ok(()));
        }
        assert_eq!(writer.finish(&mut out), Ok(()));
        fn read(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Malformed> {
            Calls::read(bytes).and_then(Iterator::collect)
        }
        assert_eq!(read(&out), Ok(vec![(5, &[5][..]), (6, &[6][..])]));
        assert_eq!(read(&out[..out.len() - 1]), Err(Malformed));
        out.push(0);
        assert_eq!(read(&out), Err(Malformed));
    }

    #[test]
    fn init_and_hello_come_back() {
        let init = Init {
            verbose: 1,
            exit_status: true,
            maxchild: Some(7),
            maxforkdepth: 16,
            nofile: 1024,
            env: vec![b"A=b".to_vec(), b"C=".to_vec()],
            ..Init::default()
        };
        let hello = Hello {
            table: 1,
            pid: 2,
            version: "3".to_owned(),
        };
        let mut out = Vec::new();
        init.write(&mut out);
        hello.write(&mut out);
        let mut rest = &out[..];
        let mut next = || Raw::next(&mut rest).expect("whole").expect("one");
        assert_eq!(next().read(), Ok(init));
        assert_eq!(next().read(), Ok(hello));
    }

    #[test]
    fn a_number_is_filled_in() {
        let mut out = Vec::new();
        let call = Call {
            id: 0,
            number: 3,
            arguments: b"abc",
        };
        call.write(&mut out);
        set_id(&mut out, 9);
        let mut rest = &out[..];
        let read = Raw::next(&mut rest).expect("whole").expect("one").read();
        assert_eq!(read, Ok(Call { id: 9, ..call }));
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
