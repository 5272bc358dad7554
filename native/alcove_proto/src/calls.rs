//! THE table of calls.
//!
//! A row is `number module::name(argument: Kind, ...) "man page" platforms
//! "summary";`. The executable expands the rows to its dispatch (a call to
//! `sys::module::name`, whose parameters have the Rust types of the kinds), the
//! NIF reads [`CALLS`] to check and encode arguments, and the documentation and
//! the tests are held against it.
//!
//! Numbers are explicit, unique and append-only: a number that was used once
//! never means another call.

use crate::constants::Group;

/// Hands the rows of the table to a macro.
#[macro_export]
macro_rules! for_each_call {
    ($then:path) => {
        $then! {
            1 process::version() "" all "the version of alcove";
            2 process::pid() "" all "the children of this process";
            3 process::getopt(option: Opt) "" all "an option of this event loop";
            4 process::setopt(option: Opt, value: I64) "" all "set an option of this event loop";

            10 spawn::fork() "fork(2)" all "create a child process";
            11 spawn::clone(flags: CloneFlags) "clone(2)" linux "create a child process in new namespaces";
            12 exec::execvp(file: Str, argv: StrVec) "execvp(3)" all "replace the process image, searching PATH";
            13 exec::execve(file: Str, argv: StrVec, env: StrVec) "execve(2)" all "replace the process image, with an environment";
            14 exec::exit(status: I32) "exit(3)" all "end the process";

            20 process::getpid() "getpid(2)" all "the process id";
            21 process::getpgrp() "getpgrp(2)" all "the process group";
            22 process::getsid(pid: Pid) "getsid(2)" all "the session of a process";
            23 process::setpgid(pid: Pid, pgid: Pid) "setpgid(2)" all "set a process group";
            24 process::setsid() "setsid(2)" all "create a session";

            30 cred::getuid() "getuid(2)" all "the real user id";
            31 cred::getgid() "getgid(2)" all "the real group id";
            32 cred::setuid(uid: Id) "setuid(2)" all "set the user id";
            33 cred::setgid(gid: Id) "setgid(2)" all "set the group id";

            40 fs::chdir(path: Str) "chdir(2)" all "change the working directory";
            41 fs::chmod(path: Str, mode: Mode) "chmod(2)" all "change the mode of a file";
            42 fs::chown(path: Str, owner: Id, group: Id) "chown(2)" all "change the owner of a file";
            43 fs::chroot(path: Str) "chroot(2)" all "change the root directory";
            44 fs::getcwd() "getcwd(3)" all "the working directory";
            45 fs::mkdir(path: Str, mode: Mode) "mkdir(2)" all "create a directory";
            46 fs::readdir(path: Str) "readdir(3)" all "the names in a directory";
            47 fs::rmdir(path: Str) "rmdir(2)" all "remove a directory";

            60 io::open(path: Str, flags: OpenFlags, mode: Mode) "open(2)" all "open a file";
            61 io::close(fd: Fd) "close(2)" all "close a file descriptor";
            62 io::read(fd: Fd, count: Count) "read(2)" all "read from a file descriptor";
            63 io::write(fd: Fd, buf: Bytes) "write(2)" all "write to a file descriptor";
            64 io::lseek(fd: Fd, offset: I64, whence: Whence) "lseek(2)" all "move the offset of a file descriptor";
            65 io::select(readfds: Fds, writefds: Fds, exceptfds: Fds, timeout: Timeval) "select(2)" all "wait for file descriptors";

            80 env::clearenv() "clearenv(3)" all "empty the environment";
            81 env::environ() "environ(7)" all "the environment";
            82 env::getenv(name: Str) "getenv(3)" all "an environment variable";
            83 env::setenv(name: Str, value: Str, overwrite: I32) "setenv(3)" all "set an environment variable";
            84 env::unsetenv(name: Str) "unsetenv(3)" all "remove an environment variable";

            90 host::gethostname() "gethostname(2)" all "the host name";
            91 host::sethostname(name: Str) "sethostname(2)" all "set the host name";

            100 limits::getrlimit(resource: Resource) "getrlimit(2)" all "a resource limit";
            101 limits::setrlimit(resource: Resource, limit: Rlimit) "setrlimit(2)" all "set a resource limit";

            110 signal::kill(pid: Pid, signal: Signal) "kill(2)" all "send a signal";
            111 signal::sigaction(signal: Signal, handler: Handler) "sigaction(2)" all "what a signal does";

            120 mount::mount(source: Str, target: Str, fstype: Str, flags: MountFlags, data: Str) "mount(2)" all "mount a file system";
            121 mount::umount(path: Str) "umount(2)" all "unmount a file system";

            130 ns::setns(namespace: Str) "setns(2)" linux "enter a namespace";
            131 ns::unshare(flags: CloneFlags) "unshare(2)" linux "leave namespaces for new ones";

            140 prctl::prctl(option: PrctlOption, arg2: Ptr, arg3: Ptr, arg4: Ptr, arg5: Ptr) "prctl(2)" linux "operations on a process";
        }
    };
}

/// How an argument looks in Erlang and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgKind {
    /// A signed 32 bit integer.
    I32,
    /// An unsigned 32 bit integer.
    U32,
    /// A signed 64 bit integer.
    I64,
    /// An unsigned 64 bit integer.
    U64,
    /// A file descriptor: an integer from -2^31; a number that is no descriptor is the kernel's to refuse.
    Fd,
    /// A process id, as kill(2) and setpgid(2) take it.
    Pid,
    /// A file mode: 0 to 8#7777.
    Mode,
    /// A user or group id: 0 to 2^32 - 2. The largest number means "no id" to the kernel and is refused.
    Id,
    /// A user or group id, or -1 to leave it as it is.
    IdOrKeep,
    /// How many bytes to read: 0 to [`crate::frame::MAX_DATA`].
    Count,
    /// iodata without a NUL byte; a C string on the wire.
    Str,
    /// A list of iodata without NUL bytes.
    StrVec,
    /// iodata.
    Bytes,
    /// A list of file descriptors.
    Fds,
    /// `#alcove_rlimit{}`; `infinity` or -1 stand for RLIM_INFINITY.
    Rlimit,
    /// `#alcove_timeval{}`, or `<<>>` for none.
    Timeval,
    /// An option of the event loop, an atom.
    Opt,
    /// A signal: its number or its name.
    Signal,
    /// `dfl | ign | trap`.
    Handler,
    /// An integer, iodata, or a structure: a list of `Bin | {ptr, Size} | {ptr, Bin}`.
    Ptr,
    /// An integer, a constant's name, or a list of names.
    CloneFlags,
    /// An integer, a constant's name, or a list of names.
    OpenFlags,
    /// An integer, a constant's name, or a list of names.
    MountFlags,
    /// An integer or a constant's name.
    Whence,
    /// An integer or a constant's name.
    Resource,
    /// An integer or a constant's name.
    PrctlOption,
}

impl ArgKind {
    /// The constants whose names are taken for such an argument.
    pub const fn group(self) -> Option<Group> {
        match self {
            ArgKind::CloneFlags => Some(Group::Clone),
            ArgKind::OpenFlags | ArgKind::Whence => Some(Group::File),
            ArgKind::MountFlags => Some(Group::Mount),
            ArgKind::Resource => Some(Group::Rlimit),
            ArgKind::PrctlOption => Some(Group::Prctl),
            _ => None,
        }
    }
}

/// Where a call exists; elsewhere it answers `{error, unsupported}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// Every Unix.
    All,
    /// Linux.
    Linux,
    /// The BSDs.
    Bsd,
}

impl Platforms {
    const fn hash(self) -> u8 {
        self as u8
    }
}

#[allow(non_upper_case_globals)]
mod platform {
    use super::Platforms;
    pub const all: Platforms = Platforms::All;
    pub const linux: Platforms = Platforms::Linux;
    #[allow(dead_code)]
    pub const bsd: Platforms = Platforms::Bsd;
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The number on the wire.
    pub number: u16,
    /// The module of `sys` that has the call.
    pub module: &'static str,
    /// The name, the same in Erlang.
    pub name: &'static str,
    /// The arguments: names and kinds.
    pub args: &'static [(&'static str, ArgKind)],
    /// The man page, or "".
    pub man: &'static str,
    /// Where the call exists.
    pub platforms: Platforms,
    /// One line of documentation.
    pub summary: &'static str,
}

macro_rules! table {
    ($($number:literal $module:ident::$name:ident($($arg:ident: $kind:ident),*)
       $man:literal $platforms:ident $summary:literal;)*) => {
        /// The table, in the order of its rows.
        pub static CALLS: &[Call] = &[$(Call {
            number: $number,
            module: stringify!($module),
            name: stringify!($name),
            args: &[$((stringify!($arg), ArgKind::$kind)),*],
            man: $man,
            platforms: platform::$platforms,
            summary: $summary,
        }),*];

        /// The numbers of the calls, by name.
        pub mod number {
            $(
                #[doc = $summary]
                #[allow(non_upper_case_globals)]
                pub const $name: u16 = $number;
            )*
        }
    };
}

for_each_call!(table);

/// The row of a number.
pub fn by_number(number: u16) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == number)
}

/// A number for the table as it is: a NIF and an executable with different
/// tables refuse each other when they meet, not call by call.
pub fn table_hash() -> u64 {
    let mut hash = Fnv::new();
    hash.bytes(crate::VERSION.as_bytes());
    for call in CALLS {
        hash.bytes(&call.number.to_le_bytes());
        hash.bytes(call.name.as_bytes());
        hash.bytes(&[call.platforms.hash()]);
        for (_, kind) in call.args {
            hash.bytes(&[*kind as u8]);
        }
        hash.bytes(&[0xff]);
    }
    hash.0
}

/// FNV-1a: small, and the same on every machine.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_names_are_unique() {
        let numbers: HashSet<_> = CALLS.iter().map(|call| call.number).collect();
        let names: HashSet<_> = CALLS.iter().map(|call| call.name).collect();
        assert_eq!(numbers.len(), CALLS.len());
        assert_eq!(names.len(), CALLS.len());
    }

    #[test]
    fn every_row_is_documented() {
        for call in CALLS {
            assert!(!call.summary.is_empty(), "{}", call.name);
            assert!(call.man.is_empty() || call.man.contains('('), "{}", call.name);
        }
    }

    #[test]
    fn rows_are_found_by_number() {
        for call in CALLS {
            assert_eq!(by_number(call.number).map(|row| row.name), Some(call.name));
        }
        assert!(by_number(0).is_none());
    }
}
