//! Arguments and terms as bytes.
//!
//! Arguments have no tags: their kinds are in the table. Terms, which come from
//! Unix processes and aren't trusted, have a tag each and a vocabulary that can't
//! name a new atom, a fun or a pid; their nesting and size are bounded by the
//! reader. All integers are little endian.

use std::ffi::CStr;

pub use crate::frame::{Hello, Init};

/// Bytes that aren't what the protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("malformed frame")
    }
}

impl std::error::Error for Malformed {}

/// A cursor over received bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// An error unless everything was read.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        if n > self.bytes.len() {
            return Err(Malformed);
        }
        let (head, tail) = self.bytes.split_at(n);
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(Malformed)?;
        self.bytes = tail;
        Ok(*head)
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// 16 bits.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// 32 bits.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// 32 bits, signed.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    /// 64 bits.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// 64 bits, signed.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.u32()? as usize;
        self.take(n)
    }

    /// A length and as many bytes, the last of which is the only NUL.
    pub fn cstr(&mut self) -> Result<&'a CStr, Malformed> {
        CStr::from_bytes_with_nul(self.bytes()?).map_err(|_| Malformed)
    }
}

/// Writes what a [`Reader`] reads.
pub trait Put {
    /// Appends bytes as they are.
    fn raw(&mut self, bytes: &[u8]);

    /// A byte.
    fn put_u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    /// 16 bits.
    fn put_u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// 32 bits.
    fn put_u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// 32 bits, signed.
    fn put_i32(&mut self, value: i32) {
        self.raw(&value.to_le_bytes());
    }

    /// 64 bits.
    fn put_u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// 64 bits, signed.
    fn put_i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// A length and the bytes.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(bytes.len() as u32);
        self.raw(bytes);
    }

    /// A C string; `bytes` has no NUL.
    fn put_cstr(&mut self, bytes: &[u8]) {
        self.put_u32(bytes.len() as u32 + 1);
        self.raw(bytes);
        self.put_u8(0);
    }
}

impl Put for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The types that the kinds of arguments have in Rust.
pub mod arg {
    use super::{Malformed, Reader};
    use std::ffi::CStr;

    /// A kind of argument: how to read it.
    pub trait Arg {
        /// What `sys` functions get.
        type Out<'a>;

        /// Reads an argument.
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Self::Out<'a>, Malformed>;
    }

    macro_rules! numbers {
        ($($(#[$doc:meta])* $kind:ident: $type:ident $read:ident;)*) => {$(
            $(#[$doc])*
            pub struct $kind;
            impl Arg for $kind {
                type Out<'a> = $type;
                fn read<'a>(reader: &mut Reader<'a>) -> Result<$type, Malformed> {
                    reader.$read().map(|value| value as $type)
                }
            }
        )*};
    }

    numbers! {
        /// See [`crate::calls::ArgKind::I32`].
        I32: i32 i32;
        /// See [`crate::calls::ArgKind::U32`].
        U32: u32 u32;
        /// See [`crate::calls::ArgKind::I64`].
        I64: i64 i64;
        /// See [`crate::calls::ArgKind::U64`].
        U64: u64 u64;
        /// See [`crate::calls::ArgKind::Fd`].
        Fd: i32 i32;
        /// See [`crate::calls::ArgKind::Pid`].
        Pid: i32 i32;
        /// See [`crate::calls::ArgKind::Mode`].
        Mode: u32 u32;
        /// See [`crate::calls::ArgKind::Id`].
        Id: u32 u32;
        /// See [`crate::calls::ArgKind::IdOrKeep`].
        IdOrKeep: u32 u32;
        /// See [`crate::calls::ArgKind::Count`].
        Count: usize u32;
        /// See [`crate::calls::ArgKind::Signal`].
        Signal: i32 i32;
        /// See [`crate::calls::ArgKind::CloneFlags`].
        CloneFlags: u64 u64;
        /// See [`crate::calls::ArgKind::OpenFlags`].
        OpenFlags: u64 u64;
        /// See [`crate::calls::ArgKind::MountFlags`].
        MountFlags: u64 u64;
        /// See [`crate::calls::ArgKind::Whence`].
        Whence: u64 u64;
        /// See [`crate::calls::ArgKind::Resource`].
        Resource: u64 u64;
        /// See [`crate::calls::ArgKind::PrctlOption`].
        PrctlOption: u64 u64;
        /// See [`crate::calls::ArgKind::Flags`].
        Flags: u64 u64;
        /// See [`crate::calls::ArgKind::Const`].
        Const: i64 i64;
        /// See [`crate::calls::ArgKind::DirFd`].
        DirFd: i32 i32;
        /// See [`crate::calls::ArgKind::Caps`].
        Caps: u64 u64;
        /// See [`crate::calls::ArgKind::Millis`].
        Millis: i32 i32;
        /// See [`crate::calls::ArgKind::SyscallNumber`].
        SyscallNumber: u64 u64;
    }

    /// See [`crate::calls::ArgKind::Str`].
    pub struct Str;
    impl Arg for Str {
        type Out<'a> = &'a CStr;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<&'a CStr, Malformed> {
            reader.cstr()
        }
    }

    /// See [`crate::calls::ArgKind::Bytes`].
    pub struct Bytes;
    impl Arg for Bytes {
        type Out<'a> = &'a [u8];
        fn read<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
            reader.bytes()
        }
    }

    /// See [`crate::calls::ArgKind::StrVec`].
    pub struct StrVec;
    impl Arg for StrVec {
        type Out<'a> = Vec<&'a CStr>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a CStr>, Malformed> {
            let n = reader.u32()? as usize;
            // A string takes five bytes at least: a count that can't be true asks for no memory.
            if n > reader.rest().len() / 5 {
                return Err(Malformed);
            }
            (0..n).map(|_| reader.cstr()).collect()
        }
    }

    /// See [`crate::calls::ArgKind::Fds`].
    pub struct Fds;
    impl Arg for Fds {
        type Out<'a> = Vec<i32>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<i32>, Malformed> {
            many(reader, 4, Reader::i32)
        }
    }

    /// See [`crate::calls::ArgKind::Ids`].
    pub struct Ids;
    impl Arg for Ids {
        type Out<'a> = Vec<u32>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<u32>, Malformed> {
            many(reader, 4, Reader::u32)
        }
    }

    /// See [`crate::calls::ArgKind::Cpus`].
    pub struct Cpus;
    impl Arg for Cpus {
        type Out<'a> = Vec<u32>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<u32>, Malformed> {
            many(reader, 4, Reader::u32)
        }
    }

    /// A count and so many values, each of `size` bytes at least: a count that can't be
    /// true asks for no memory.
    fn many<'a, T>(
        reader: &mut Reader<'a>,
        size: usize,
        mut each: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let n = reader.u32()? as usize;
        if n > reader.rest().len() / size {
            return Err(Malformed);
        }
        (0..n).map(|_| each(reader)).collect()
    }

    /// A descriptor and what to wait for, as [`crate::calls::ArgKind::PollFds`] gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PollFd {
        /// The descriptor.
        pub fd: i32,
        /// The events, as poll(2) has them.
        pub events: i16,
    }

    /// See [`crate::calls::ArgKind::PollFds`].
    pub struct PollFds;
    impl Arg for PollFds {
        type Out<'a> = Vec<PollFd>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<PollFd>, Malformed> {
            many(reader, 6, |reader| {
                Ok(PollFd {
                    fd: reader.i32()?,
                    events: reader.u16()? as i16,
                })
            })
        }
    }

    /// A time of a file, as [`crate::calls::ArgKind::FileTime`] gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FileTime {
        /// As it is.
        Omit,
        /// The time of the call.
        Now,
        /// Nanoseconds since 1970.
        At(i64),
    }

    /// The tags of [`FileTime`].
    pub mod time_tag {
        /// As it is.
        pub const OMIT: u8 = 0;
        /// The time of the call.
        pub const NOW: u8 = 1;
        /// 64 bits of nanoseconds follow.
        pub const AT: u8 = 2;
    }

    impl Arg for FileTime {
        type Out<'a> = FileTime;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<FileTime, Malformed> {
            match reader.u8()? {
                time_tag::OMIT => Ok(FileTime::Omit),
                time_tag::NOW => Ok(FileTime::Now),
                time_tag::AT => reader.i64().map(FileTime::At),
                _ => Err(Malformed),
            }
        }
    }

    /// An address of a socket, as [`crate::calls::ArgKind::Sockaddr`] gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Sockaddr<'a> {
        /// As the kernel has it.
        Raw(&'a [u8]),
        /// An IPv4 address and a port.
        Inet([u8; 4], u16),
        /// An IPv6 address and a port.
        Inet6([u8; 16], u16),
        /// A path; one that begins with NUL is Linux's abstract kind.
        Local(&'a [u8]),
    }

    /// The tags of [`Sockaddr`].
    pub mod sockaddr_tag {
        /// Bytes follow.
        pub const RAW: u8 = 0;
        /// 4 bytes and a port follow.
        pub const INET: u8 = 1;
        /// 16 bytes and a port follow.
        pub const INET6: u8 = 2;
        /// Bytes follow.
        pub const LOCAL: u8 = 3;
    }

    impl Arg for Sockaddr<'_> {
        type Out<'a> = Sockaddr<'a>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Sockaddr<'a>, Malformed> {
            match reader.u8()? {
                sockaddr_tag::RAW => reader.bytes().map(Sockaddr::Raw),
                sockaddr_tag::INET => Ok(Sockaddr::Inet(reader.array()?, reader.u16()?)),
                sockaddr_tag::INET6 => Ok(Sockaddr::Inet6(reader.array()?, reader.u16()?)),
                sockaddr_tag::LOCAL => reader.bytes().map(Sockaddr::Local),
                _ => Err(Malformed),
            }
        }
    }

    /// The most arguments that a system call has.
    pub const MAX_PTRS: usize = 6;

    /// See [`crate::calls::ArgKind::Ptrs`].
    pub struct Ptrs;
    impl Arg for Ptrs {
        type Out<'a> = Vec<Ptr<'a>>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<Ptr<'a>>, Malformed> {
            let pointers = many(reader, 5, <Ptr<'_> as Arg>::read)?;
            if pointers.len() > MAX_PTRS {
                return Err(Malformed);
            }
            Ok(pointers)
        }
    }

    /// No limit, whatever number a platform has for that.
    pub const RLIM_INFINITY: u64 = u64::MAX;

    /// A resource limit, as [`crate::calls::ArgKind::Rlimit`] gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rlimit {
        /// The soft limit.
        pub cur: u64,
        /// The hard limit.
        pub max: u64,
    }
    impl Arg for Rlimit {
        type Out<'a> = Rlimit;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Rlimit, Malformed> {
            Ok(Rlimit {
                cur: reader.u64()?,
                max: reader.u64()?,
            })
        }
    }

    /// A time to wait, as [`crate::calls::ArgKind::Timeval`] gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Timeval {
        /// Seconds.
        pub sec: i64,
        /// Microseconds.
        pub usec: i64,
    }
    impl Arg for Timeval {
        type Out<'a> = Option<Timeval>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Option<Timeval>, Malformed> {
            let given = reader.u8()? != 0;
            let value = Timeval {
                sec: reader.i64()?,
                usec: reader.i64()?,
            };
            Ok(given.then_some(value))
        }
    }

    /// An option of the event loop.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Opt {
        /// Debugging output on stderr.
        Verbose = 0,
        /// How many children this process may have.
        Childlimit = 1,
        /// Whether the owner learns exit statuses.
        ExitStatus = 2,
        /// The childlimit of processes forked from here.
        Maxchild = 3,
        /// The longest fork path.
        Maxforkdepth = 4,
        /// Whether the owner learns termination signals.
        Termsig = 5,
        /// Whether the owner learns what children used.
        Rusage = 6,
        /// How many messages of output the router may send of a child.
        Flowcontrol = 7,
        /// The signal for a child when this process loses its connection.
        Signaloneof = 8,
        /// There is no such option.
        Unknown = 255,
    }
    impl Opt {
        /// Every option, with its name in Erlang.
        pub const ALL: &'static [(&'static str, Opt)] = &[
            ("verbose", Opt::Verbose),
            ("childlimit", Opt::Childlimit),
            ("exit_status", Opt::ExitStatus),
            ("maxchild", Opt::Maxchild),
            ("maxforkdepth", Opt::Maxforkdepth),
            ("termsig", Opt::Termsig),
            ("rusage", Opt::Rusage),
            ("flowcontrol", Opt::Flowcontrol),
            ("signaloneof", Opt::Signaloneof),
        ];
    }
    impl Arg for Opt {
        type Out<'a> = Opt;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Opt, Malformed> {
            let number = reader.u8()?;
            let known = Opt::ALL.iter().find(|(_, opt)| *opt as u8 == number);
            Ok(known.map_or(Opt::Unknown, |(_, opt)| *opt))
        }
    }

    /// See [`crate::calls::ArgKind::Calls`]: the calls to deny, or those to allow.
    pub struct Calls;
    impl Arg for Calls {
        /// The calls to deny.
        type Out<'a> = crate::calls::Set;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<crate::calls::Set, Malformed> {
            let allow = reader.u8()? != 0;
            let n = reader.u32()? as usize;
            if n > reader.rest().len() / 2 {
                return Err(Malformed);
            }
            let mut set = crate::calls::Set::default();
            for _ in 0..n {
                set.add(reader.u16()?);
            }
            Ok(if allow { set.others() } else { set })
        }
    }

    /// What to do with a signal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Handler {
        /// The default action.
        Dfl = 0,
        /// Ignore it.
        Ign = 1,
        /// Catch it and send an event.
        Trap = 2,
    }
    impl Handler {
        /// Every handler, with its names in Erlang.
        pub const ALL: &'static [(&'static str, Handler)] = &[
            ("dfl", Handler::Dfl),
            ("ign", Handler::Ign),
            ("trap", Handler::Trap),
            ("sig_dfl", Handler::Dfl),
            ("sig_ign", Handler::Ign),
        ];
    }
    impl Arg for Handler {
        type Out<'a> = Handler;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Handler, Malformed> {
            match reader.u8()? {
                0 => Ok(Handler::Dfl),
                1 => Ok(Handler::Ign),
                2 => Ok(Handler::Trap),
                _ => Err(Malformed),
            }
        }
    }

    /// An argument that a system call takes as a number or as a pointer.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Ptr<'a> {
        /// The number itself.
        Int(u64),
        /// A pointer to a copy of these bytes.
        Bytes(&'a [u8]),
        /// A pointer to a structure.
        Struct(Vec<Field<'a>>),
    }

    /// A part of a structure.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Field<'a> {
        /// The bytes themselves.
        Bytes(&'a [u8]),
        /// A pointer to so many zero bytes.
        Zeroed(usize),
        /// A pointer to a copy of these bytes.
        Pointer(&'a [u8]),
    }

    /// The most memory that one argument's pointers may ask for.
    pub const MAX_ZEROED: usize = 1024 * 1024;

    /// See [`crate::calls::ArgKind::Ptr`].
    pub mod ptr_tag {
        /// An integer follows.
        pub const INT: u8 = 0;
        /// Bytes follow.
        pub const BYTES: u8 = 1;
        /// A count and fields follow.
        pub const STRUCT: u8 = 2;
    }

    /// The tags of a structure's fields.
    pub mod field_tag {
        /// Bytes follow.
        pub const BYTES: u8 = 0;
        /// A size follows.
        pub const ZEROED: u8 = 1;
        /// Bytes follow.
        pub const POINTER: u8 = 2;
    }

    impl Arg for Ptr<'_> {
        type Out<'a> = Ptr<'a>;
        fn read<'a>(reader: &mut Reader<'a>) -> Result<Ptr<'a>, Malformed> {
            match reader.u8()? {
                ptr_tag::INT => reader.u64().map(Ptr::Int),
                ptr_tag::BYTES => reader.bytes().map(Ptr::Bytes),
                ptr_tag::STRUCT => {
                    let n = reader.u32()? as usize;
                    if n > reader.rest().len() / 5 {
                        return Err(Malformed);
                    }
                    (0..n)
                        .map(|_| field(reader))
                        .collect::<Result<_, _>>()
                        .map(Ptr::Struct)
                }
                _ => Err(Malformed),
            }
        }
    }

    fn field<'a>(reader: &mut Reader<'a>) -> Result<Field<'a>, Malformed> {
        match reader.u8()? {
            field_tag::BYTES => reader.bytes().map(Field::Bytes),
            field_tag::ZEROED => match reader.u32()? as usize {
                size if size > MAX_ZEROED => Err(Malformed),
                size => Ok(Field::Zeroed(size)),
            },
            field_tag::POINTER => reader.bytes().map(Field::Pointer),
            _ => Err(Malformed),
        }
    }
}

macro_rules! atoms {
    ($($atom:ident $name:literal,)*) => {
        /// The atoms that replies may hold, besides the names of errors and signals. The
        /// NIF has them ready; a process names one by its place.
        pub const ATOMS: &[&str] = &[$($name),*];

        /// A place in [`ATOMS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[allow(missing_docs)]
        pub enum Atom {
            $($atom),*
        }
    };
}

atoms! {
    Ok "ok",
    Error "error",
    True "true",
    False "false",
    Unsupported "unsupported",
    Undefined "undefined",
    ExitStatus "exit_status",
    Termsig "termsig",
    Stopsig "stopsig",
    Continued "continued",
    AlcoveRlimit "alcove_rlimit",
    AlcoveTimeval "alcove_timeval",
    Ptr "ptr",
    Infinity "infinity",
    Effective "effective",
    Permitted "permitted",
    Inheritable "inheritable",
    Type "type",
    Dev "dev",
    Ino "ino",
    Mode "mode",
    Nlink "nlink",
    Uid "uid",
    Gid "gid",
    Rdev "rdev",
    Size "size",
    Blksize "blksize",
    Blocks "blocks",
    Atime "atime",
    Mtime "mtime",
    Ctime "ctime",
    Regular "regular",
    Directory "directory",
    Symlink "symlink",
    Character "character",
    Block "block",
    Fifo "fifo",
    Socket "socket",
    Unknown "unknown",
    Utime "utime",
    Stime "stime",
    Maxrss "maxrss",
    Minflt "minflt",
    Majflt "majflt",
    Inblock "inblock",
    Oublock "oublock",
    Nvcsw "nvcsw",
    Nivcsw "nivcsw",
    Pollin "pollin",
    Pollpri "pollpri",
    Pollout "pollout",
    Pollerr "pollerr",
    Pollhup "pollhup",
    Pollnval "pollnval",
    Pollrdhup "pollrdhup",
    Pollrdnorm "pollrdnorm",
    Pollrdband "pollrdband",
    Pollwrnorm "pollwrnorm",
    Pollwrband "pollwrband",
    Inet "inet",
    Inet6 "inet6",
    Local "local",
    Undef "undef",
}

/// The tags of terms.
pub mod tag {
    /// A place in [`super::ATOMS`], 16 bits.
    pub const ATOM: u8 = 0;
    /// 64 bits, signed.
    pub const INT: u8 = 1;
    /// 64 bits, unsigned.
    pub const UINT: u8 = 2;
    /// Bytes.
    pub const BIN: u8 = 3;
    /// A count (32 bits) and as many terms.
    pub const LIST: u8 = 4;
    /// A count (8 bits) and as many terms.
    pub const TUPLE: u8 = 5;
    /// An error number (16 bits): its name.
    pub const ERRNO: u8 = 6;
    /// A signal number (16 bits): its name.
    pub const SIGNAL: u8 = 7;
    /// A count (32 bits) and as many pairs; the keys are atoms.
    pub const MAP: u8 = 8;
}

/// How deep a term may nest.
pub const MAX_DEPTH: usize = 8;

/// Writes terms.
pub trait PutTerm: Put {
    /// An atom.
    fn term_atom(&mut self, atom: Atom) {
        self.put_u8(tag::ATOM);
        self.put_u16(atom as u16);
    }

    /// An integer.
    fn term_int(&mut self, value: i64) {
        self.put_u8(tag::INT);
        self.put_i64(value);
    }

    /// An integer that may not fit in 63 bits.
    fn term_uint(&mut self, value: u64) {
        self.put_u8(tag::UINT);
        self.put_u64(value);
    }

    /// A binary.
    fn term_bin(&mut self, bytes: &[u8]) {
        self.put_u8(tag::BIN);
        self.put_bytes(bytes);
    }

    /// The head of a list; `n` terms must follow.
    fn term_list(&mut self, n: usize) {
        self.put_u8(tag::LIST);
        self.put_u32(n as u32);
    }

    /// The head of a tuple; `n` terms must follow.
    fn term_tuple(&mut self, n: u8) {
        self.put_u8(tag::TUPLE);
        self.put_u8(n);
    }

    /// The head of a map; `n` pairs must follow.
    fn term_map(&mut self, n: usize) {
        self.put_u8(tag::MAP);
        self.put_u32(n as u32);
    }

    /// The name of an error.
    fn term_errno(&mut self, errno: i32) {
        self.put_u8(tag::ERRNO);
        self.put_u16(errno as u16);
    }

    /// The name of a signal.
    fn term_signal(&mut self, signal: i32) {
        self.put_u8(tag::SIGNAL);
        self.put_u16(signal as u16);
    }
}

impl<T: Put + ?Sized> PutTerm for T {}

/// Makes terms of what a [`Reader`] has; the NIF's are Erlang terms.
pub trait Builder {
    /// A term.
    type Term;
    /// An atom by its place in [`ATOMS`].
    fn atom(&mut self, place: u16) -> Option<Self::Term>;
    /// The name of an error.
    fn errno(&mut self, number: u16) -> Self::Term;
    /// The name of a signal.
    fn signal(&mut self, number: u16) -> Self::Term;
    /// An integer.
    fn int(&mut self, value: i64) -> Self::Term;
    /// An integer.
    fn uint(&mut self, value: u64) -> Self::Term;
    /// A binary.
    fn bin(&mut self, bytes: &[u8]) -> Option<Self::Term>;
    /// A list.
    fn list(&mut self, terms: Vec<Self::Term>) -> Self::Term;
    /// A tuple.
    fn tuple(&mut self, terms: Vec<Self::Term>) -> Self::Term;
    /// A map.
    fn map(&mut self, pairs: Vec<(Self::Term, Self::Term)>) -> Option<Self::Term>;
}

/// Reads one term that came from a process.
pub fn read_term<B: Builder>(
    reader: &mut Reader<'_>,
    builder: &mut B,
) -> Result<B::Term, Malformed> {
    nested(reader, builder, MAX_DEPTH)
}

fn nested<B: Builder>(
    reader: &mut Reader<'_>,
    builder: &mut B,
    depth: usize,
) -> Result<B::Term, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    match reader.u8()? {
        tag::ATOM => builder.atom(reader.u16()?).ok_or(Malformed),
        tag::INT => Ok(builder.int(reader.i64()?)),
        tag::UINT => Ok(builder.uint(reader.u64()?)),
        tag::BIN => builder.bin(reader.bytes()?).ok_or(Malformed),
        tag::LIST => {
            let n = reader.u32()? as usize;
            let terms = many(reader, builder, depth, n)?;
            Ok(builder.list(terms))
        }
        tag::TUPLE => {
            let n = usize::from(reader.u8()?);
            let terms = many(reader, builder, depth, n)?;
            Ok(builder.tuple(terms))
        }
        tag::ERRNO => Ok(builder.errno(reader.u16()?)),
        tag::SIGNAL => Ok(builder.signal(reader.u16()?)),
        tag::MAP => {
            let n = reader.u32()? as usize;
            if n > reader.rest().len() / 2 {
                return Err(Malformed);
            }
            // Pairs take more room than their bytes, and maps that nest may promise the same bytes
            // each: so room is made as pairs come.
            let mut pairs = Vec::new();
            for _ in 0..n {
                let key = nested(reader, builder, 1)?;
                pairs.push((key, nested(reader, builder, depth)?));
            }
            builder.map(pairs).ok_or(Malformed)
        }
        _ => Err(Malformed),
    }
}

fn many<B: Builder>(
    reader: &mut Reader<'_>,
    builder: &mut B,
    depth: usize,
    n: usize,
) -> Result<Vec<B::Term>, Malformed> {
    // A term takes two bytes at least: a count that can't be true asks for no memory.
    if n > reader.rest().len() / 2 {
        return Err(Malformed);
    }
    (0..n).map(|_| nested(reader, builder, depth)).collect()
}

/// Whether an encoded term is `{error, _}`.
pub fn is_error(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    matches!(
        (reader.u8(), reader.u8(), reader.u8(), reader.u16()),
        (Ok(tag::TUPLE), Ok(2), Ok(tag::ATOM), Ok(place)) if place == Atom::Error as u16
    )
}

/// Whether an encoded term has more parts than so many. Looks at no more of them.
pub fn has_more_parts(bytes: &[u8], limit: usize) -> bool {
    let mut reader = Reader::new(bytes);
    let mut parts = 0;
    while part(&mut reader).is_ok() {
        parts += 1;
        if parts > limit {
            return true;
        }
    }
    false
}

/// Passes one part of a term: a simple term, or the head of one that has others in it.
fn part(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let length = match reader.u8()? {
        tag::ATOM | tag::ERRNO | tag::SIGNAL => 2,
        tag::INT | tag::UINT => 8,
        tag::BIN => reader.u32()? as usize,
        tag::LIST | tag::MAP => 4,
        tag::TUPLE => 1,
        _ => return Err(Malformed),
    };
    reader.take(length).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the text of a term, to look at.
    struct Text;

    impl Builder for Text {
        type Term = String;
        fn atom(&mut self, place: u16) -> Option<String> {
            ATOMS.get(usize::from(place)).map(|name| (*name).to_owned())
        }
        fn errno(&mut self, number: u16) -> String {
            crate::errno::name(number).unwrap_or_default().to_owned()
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
            Some(format!("{bytes:?}"))
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

    fn text(bytes: &[u8]) -> Result<String, Malformed> {
        let mut reader = Reader::new(bytes);
        let text = read_term(&mut reader, &mut Text)?;
        reader.end()?;
        Ok(text)
    }

    #[test]
    fn atoms_have_their_places() {
        assert_eq!(ATOMS[Atom::AlcoveRlimit as usize], "alcove_rlimit");
        assert_eq!(ATOMS[Atom::Infinity as usize], "infinity");
        assert_eq!(ATOMS.last(), Some(&ATOMS[Atom::Undef as usize]));
    }

    #[test]
    fn terms_come_back() {
        let mut out = Vec::new();
        out.term_tuple(3);
        out.term_atom(Atom::Error);
        out.term_errno(libc::EACCES);
        out.term_list(2);
        out.term_int(-1);
        out.term_map(1);
        out.term_atom(Atom::Ok);
        out.term_uint(u64::MAX);
        assert_eq!(
            text(&out).as_deref(),
            Ok("{error,eacces,[-1,#{ok=>18446744073709551615}]}")
        );
    }

    #[test]
    fn every_prefix_of_a_term_is_malformed() {
        let mut out = Vec::new();
        out.term_list(2);
        out.term_bin(b"abc");
        out.term_tuple(1);
        out.term_int(1);
        for n in 0..out.len() {
            assert_eq!(text(&out[..n]), Err(Malformed), "{n}");
        }
    }

    #[test]
    fn nesting_and_counts_are_bounded() {
        let mut deep = Vec::new();
        for _ in 0..MAX_DEPTH {
            deep.term_list(1);
        }
        deep.term_list(0);
        assert_eq!(text(&deep), Err(Malformed));
        let mut long = Vec::new();
        long.term_list(u32::MAX as usize);
        assert_eq!(text(&long), Err(Malformed));
        // 80 is the tag of compressed terms in Erlang's own format.
        assert_eq!(text(&[80, 0, 0, 0, 1]), Err(Malformed));
    }

    #[test]
    fn parts_are_counted_to_a_limit() {
        let mut out = Vec::new();
        out.term_list(3);
        out.term_bin(b"abc");
        out.term_tuple(1);
        out.term_int(1);
        out.term_atom(Atom::Ok);
        assert!(has_more_parts(&out, 4));
        assert!(!has_more_parts(&out, 5));
        // What isn't a term is the decoder's to find.
        assert!(!has_more_parts(&[tag::BIN, 255, 255, 255, 255], 0));
        assert!(has_more_parts(&[tag::TUPLE, 0, tag::TUPLE, 0, 99], 1));
    }

    #[test]
    fn strings_have_one_nul_at_the_end() {
        let mut out = Vec::new();
        out.put_cstr(b"/tmp");
        assert_eq!(Reader::new(&out).cstr(), Ok(c"/tmp"));
        assert_eq!(Reader::new(&[2, 0, 0, 0, 0, 0]).cstr(), Err(Malformed));
        assert_eq!(Reader::new(&[1, 0, 0, 0, b'a']).cstr(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0, 0]).cstr(), Err(Malformed));
    }
}
