//! THE table of calls.
//!
//! A row is `number module::name(argument: Kind, ...) "man page" platforms
//! "summary";`. The executable expands the rows to its dispatch (a call to
//! `calls::module::name`, whose parameters have the Rust types of the kinds, or
//! `{error, unsupported}` where the platform isn't one of [`Platforms`]), the
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
            5 process::getcpid(pid: Pid, option: Opt) "" all "an option of a child";
            6 process::setcpid(pid: Pid, option: Opt, value: I64) "" all "set an option of a child";
            7 process::filter(calls: Calls) "" all "refuse calls for good";

            10 spawn::fork() "fork(2)" all "create a child process";
            11 spawn::clone(flags: CloneFlags) "clone(2)" linux "create a child process in new namespaces";
            12 exec::execvp(file: Str, argv: StrVec) "execvp(3)" all "replace the process image, searching PATH";
            13 exec::execve(file: Str, argv: StrVec, env: StrVec) "execve(2)" all "replace the process image, with an environment";
            14 exec::exit(status: I32) "exit(3)" all "end the process";
            15 exec::fexecve(fd: Fd, argv: StrVec, env: StrVec) "fexecve(3)" linux_freebsd "replace the process image by a file that is open";

            20 process::getpid() "getpid(2)" all "the process id";
            21 process::getpgrp() "getpgrp(2)" all "the process group";
            22 process::getsid(pid: Pid) "getsid(2)" all "the session of a process";
            23 process::setpgid(pid: Pid, pgid: Pid) "setpgid(2)" all "set a process group";
            24 process::setsid() "setsid(2)" all "create a session";
            25 process::getppid() "getppid(2)" all "the process id of the parent";
            26 process::getpgid(pid: Pid) "getpgid(2)" all "the process group of a process";
            27 sched::getpriority(which: Const, who: U32) "getpriority(2)" all "the nice value of processes";
            28 sched::setpriority(which: Const, who: U32, priority: I32) "setpriority(2)" all "set the nice value of processes";
            29 wait::waitpid(pid: Pid, options: Flags) "waitpid(2)" all "wait for a child";

            30 cred::getuid() "getuid(2)" all "the real user id";
            31 cred::getgid() "getgid(2)" all "the real group id";
            32 cred::setuid(uid: Id) "setuid(2)" all "set the user id";
            33 cred::setgid(gid: Id) "setgid(2)" all "set the group id";
            34 cred::geteuid() "geteuid(2)" all "the effective user id";
            35 cred::getegid() "getegid(2)" all "the effective group id";
            36 cred::getresuid() "getresuid(2)" linux_bsd "the real, effective and saved user ids";
            37 cred::getresgid() "getresgid(2)" linux_bsd "the real, effective and saved group ids";
            38 cred::setresuid(ruid: IdOrKeep, euid: IdOrKeep, suid: IdOrKeep) "setresuid(2)" linux_bsd "set the real, effective and saved user ids";
            39 cred::setresgid(rgid: IdOrKeep, egid: IdOrKeep, sgid: IdOrKeep) "setresgid(2)" linux_bsd "set the real, effective and saved group ids";

            40 fs::chdir(path: Str) "chdir(2)" all "change the working directory";
            41 fs::chmod(path: Str, mode: Mode) "chmod(2)" all "change the mode of a file";
            42 fs::chown(path: Str, owner: Id, group: Id) "chown(2)" all "change the owner of a file";
            43 fs::chroot(path: Str) "chroot(2)" all "change the root directory";
            44 fs::getcwd() "getcwd(3)" all "the working directory";
            45 fs::mkdir(path: Str, mode: Mode) "mkdir(2)" all "create a directory";
            46 fs::readdir(path: Str) "readdir(3)" all "the names in a directory";
            47 fs::rmdir(path: Str) "rmdir(2)" all "remove a directory";
            48 file::unlink(path: Str) "unlink(2)" all "remove a file";
            49 file::link(path: Str, new: Str) "link(2)" all "give a file a second name";
            50 file::symlink(target: Str, path: Str) "symlink(2)" all "make a symbolic link";
            51 file::readlink(path: Str) "readlink(2)" all "what a symbolic link says";
            52 file::rename(from: Str, to: Str) "rename(2)" all "rename a file";
            53 file::mkfifo(path: Str, mode: Mode) "mkfifo(3)" all "make a named pipe";
            54 file::mknod(path: Str, mode: U32, dev: U64) "mknod(2)" all "make a file of any type";
            55 file::stat(path: Str) "stat(2)" all "what is known about a file";
            56 file::lstat(path: Str) "lstat(2)" all "what is known about a symbolic link";
            57 file::fstat(fd: Fd) "fstat(2)" all "what is known about an open file";
            58 file::access(path: Str, mode: Flags) "access(2)" all "whether the real user may use a file";
            59 file::utimens(path: Str, atime: FileTime, mtime: FileTime, flags: Flags) "utimensat(2)" all "set the times of a file";

            60 io::open(path: Str, flags: OpenFlags, mode: Mode) "open(2)" all "open a file";
            61 io::close(fd: Fd) "close(2)" all "close a file descriptor";
            62 io::read(fd: Fd, count: Count) "read(2)" all "read from a file descriptor";
            63 io::write(fd: Fd, buf: Bytes) "write(2)" all "write to a file descriptor";
            64 io::lseek(fd: Fd, offset: I64, whence: Whence) "lseek(2)" all "move the offset of a file descriptor";
            65 io::select(readfds: Fds, writefds: Fds, exceptfds: Fds, timeout: Timeval) "select(2)" all "wait for file descriptors";
            66 fd::fcntl(fd: Fd, op: Const, arg: Ptr) "fcntl(2)" all "operations on a file descriptor";
            67 fd::ioctl(fd: Fd, request: Const, arg: Ptr) "ioctl(2)" all "operations on a device";
            68 fd::dup(fd: Fd) "dup(2)" all "duplicate a file descriptor";
            69 fd::dup2(fd: Fd, to: Fd) "dup2(2)" all "duplicate a file descriptor to a place";
            70 fd::pipe() "pipe(2)" all "make a pipe";
            71 fd::ftruncate(fd: Fd, length: I64) "ftruncate(2)" all "set the size of a file";
            72 fd::fsync(fd: Fd) "fsync(2)" all "wait until a file is on its disk";
            73 fd::pread(fd: Fd, count: Count, offset: I64) "pread(2)" all "read from a place in a file";
            74 fd::pwrite(fd: Fd, buf: Bytes, offset: I64) "pwrite(2)" all "write to a place in a file";
            75 fd::openat2(dirfd: DirFd, path: Str, flags: OpenFlags, mode: Mode, resolve: Flags) "openat2(2)" linux "open a file, and say how its path is resolved";
            76 fd::memfd_create(name: Str, flags: Flags) "memfd_create(2)" linux "make a file in memory";
            77 poll::poll(fds: PollFds, timeout: Millis) "poll(2)" all "wait for events of file descriptors";
            78 pty::openpty() "openpty(3)" all "make a pseudo-terminal";
            79 io::read_file(path: Str) "read(2)" all "what is in a file";
            215 io::write_file(path: Str, flags: OpenFlags, mode: Mode, buf: Bytes) "write(2)" all "open a file, write to it, and close it";

            80 env::clearenv() "clearenv(3)" all "empty the environment";
            81 env::environ() "environ(7)" all "the environment";
            82 env::getenv(name: Str) "getenv(3)" all "an environment variable";
            83 env::setenv(name: Str, value: Str, overwrite: I32) "setenv(3)" all "set an environment variable";
            84 env::unsetenv(name: Str) "unsetenv(3)" all "remove an environment variable";

            90 host::gethostname() "gethostname(2)" all "the host name";
            91 host::sethostname(name: Str) "sethostname(2)" all "set the host name";
            92 host::getdomainname() "getdomainname(2)" linux "the NIS domain name";
            93 host::setdomainname(name: Str) "setdomainname(2)" linux "set the NIS domain name";
            94 host::getrandom(count: Count, flags: Flags) "getrandom(2)" linux "random bytes";

            100 limits::getrlimit(resource: Resource) "getrlimit(2)" all "a resource limit";
            101 limits::setrlimit(resource: Resource, limit: Rlimit) "setrlimit(2)" all "set a resource limit";

            110 signal::kill(pid: Pid, signal: Signal) "kill(2)" all "send a signal";
            111 signal::sigaction(signal: Signal, handler: Handler) "sigaction(2)" all "what a signal does";

            120 mount::mount(source: Str, target: Str, fstype: Str, flags: MountFlags, data: Str) "mount(2)" not_netbsd "mount a file system";
            121 mount::umount(path: Str) "umount(2)" not_netbsd "unmount a file system";
            122 mount::umount2(path: Str, flags: MountFlags) "umount2(2)" linux "unmount a file system, with flags";
            123 mount::pivot_root(new_root: Str, put_old: Str) "pivot_root(2)" linux "change the root mount";
            124 mountfd::mount_setattr(dirfd: DirFd, path: Str, flags: Flags, set: MountFlags, clear: MountFlags, propagation: MountFlags, userns: Fd) "mount_setattr(2)" linux "change attributes of mounts";
            125 mountfd::open_tree(dirfd: DirFd, path: Str, flags: Flags) "open_tree(2)" linux "a mount, or a copy of one, as a file descriptor";
            126 mountfd::move_mount(from_dirfd: DirFd, from: Str, to_dirfd: DirFd, to: Str, flags: MountFlags) "move_mount(2)" linux "put a mount somewhere";
            127 mountfd::fsopen(fstype: Str, flags: MountFlags) "fsopen(2)" linux "begin to configure a file system";
            128 mountfd::fsconfig(fd: Fd, command: Const, key: Str, value: Ptr, aux: I32) "fsconfig(2)" linux "configure a file system";
            129 mountfd::fsmount(fd: Fd, flags: MountFlags, attr: MountFlags) "fsmount(2)" linux "make a mount of a configured file system";

            130 ns::setns(namespace: Str) "setns(2)" linux "enter a namespace";
            131 ns::unshare(flags: CloneFlags) "unshare(2)" linux "leave namespaces for new ones";
            132 landlock::landlock_abi() "landlock_create_ruleset(2)" linux "the version of Landlock";
            133 landlock::landlock_create_ruleset(fs: Flags, net: Flags, scoped: Flags) "landlock_create_ruleset(2)" linux "what Landlock is to refuse";
            134 landlock::landlock_add_rule(ruleset: Fd, rule: Const, access: Flags, object: U64) "landlock_add_rule(2)" linux "what Landlock is to allow";
            135 landlock::landlock_restrict_self(ruleset: Fd, flags: Flags) "landlock_restrict_self(2)" linux "restrict the process by Landlock";
            136 ns::setns_fd(fd: Fd, nstype: CloneFlags) "setns(2)" linux "enter namespaces by a file descriptor";

            140 prctl::prctl(option: PrctlOption, arg2: Ptr, arg3: Ptr, arg4: Ptr, arg5: Ptr) "prctl(2)" linux "operations on a process";
            141 prctl::seccomp(operation: Const, flags: Flags, args: Ptr) "seccomp(2)" linux "filter system calls";

            150 cred::getgroups() "getgroups(2)" all "the supplementary groups";
            151 cred::setgroups(groups: Ids) "setgroups(2)" all "set the supplementary groups";
            152 cap::capget(pid: Pid) "capget(2)" linux "the capabilities of a process";
            153 cap::capset(effective: Caps, permitted: Caps, inheritable: Caps) "capset(2)" linux "set the capabilities";
            154 cap::cap_get_bound() "cap_get_bound(3)" linux "the bounding set of capabilities";
            155 cap::cap_drop_bound(caps: Caps) "cap_drop_bound(3)" linux "drop capabilities from the bounding set";
            156 cap::cap_get_ambient() "cap_get_ambient(3)" linux "the ambient set of capabilities";
            157 cap::cap_set_ambient(caps: Caps) "cap_set_ambient(3)" linux "set the ambient set of capabilities";

            160 sched::sched_getaffinity(pid: Pid) "sched_getaffinity(2)" linux "the processors that a process may run on";
            161 sched::sched_setaffinity(pid: Pid, cpus: Cpus) "sched_setaffinity(2)" linux "set the processors that a process may run on";
            162 sched::getrusage(who: Const) "getrusage(2)" all "what was used of the machine";
            163 title::setproctitle(title: Str) "setproctitle(3)" linux "what ps(1) shows of the process";
            164 ptrace::ptrace(request: Const, pid: Pid, addr: Ptr, data: Ptr) "ptrace(2)" linux "trace a process";
            165 pidfd::pidfd_open(pid: Pid, flags: Flags) "pidfd_open(2)" linux "a process as a file descriptor";
            166 pidfd::pidfd_send_signal(pidfd: Fd, signal: Signal, flags: Flags) "pidfd_send_signal(2)" linux "send a signal to a process that is held";

            170 socket::socket(domain: Const, kind: Flags, protocol: Const) "socket(2)" all "make a socket";
            171 socket::socketpair(domain: Const, kind: Flags, protocol: Const) "socketpair(2)" all "make two sockets that are connected";
            172 socket::connect(fd: Fd, address: Sockaddr) "connect(2)" all "connect a socket";
            173 socket::bind(fd: Fd, address: Sockaddr) "bind(2)" all "give a socket an address";
            174 socket::listen(fd: Fd, backlog: I32) "listen(2)" all "take connections";
            175 socket::accept(fd: Fd) "accept(2)" all "wait for a connection";
            176 socket::getsockname(fd: Fd) "getsockname(2)" all "the address of a socket";
            177 socket::getpeername(fd: Fd) "getpeername(2)" all "the address that a socket is connected to";
            178 socket::getsockopt(fd: Fd, level: Const, name: Const, count: Count) "getsockopt(2)" all "an option of a socket";
            179 socket::setsockopt(fd: Fd, level: Const, name: Const, value: Bytes) "setsockopt(2)" all "set an option of a socket";
            180 socket::shutdown(fd: Fd, how: Const) "shutdown(2)" all "end a connection, or one direction of it";
            181 socket::sendmsg(fd: Fd, buf: Bytes, fds: Fds, flags: Flags) "sendmsg(2)" all "send bytes and file descriptors";
            182 socket::recvmsg(fd: Fd, count: Count, flags: Flags) "recvmsg(2)" all "receive bytes and file descriptors";

            190 syscall::syscall(number: SyscallNumber, args: Ptrs) "syscall(2)" linux "any system call";

            200 bsd::pledge(promises: Str, execpromises: Str) "pledge(2)" openbsd "restrict the process to promises";
            201 bsd::unveil(path: Str, permissions: Str) "unveil(2)" openbsd "restrict the process to paths";
            202 bsd::jail(jail: Ptr) "jail(2)" freebsd "put the process into a new jail";
            203 bsd::jail_attach(jid: I32) "jail_attach(2)" freebsd "put the process into a jail";
            204 bsd::jail_remove(jid: I32) "jail_remove(2)" freebsd "remove a jail";
            205 bsd::cap_enter() "cap_enter(2)" freebsd "enter capability mode";
            206 bsd::procctl(idtype: Const, id: I64, command: Const, data: Ptr) "procctl(2)" freebsd "control processes";

            210 netdev::netdev_veth(socket: Fd, name: Str, bridge: Str, peer: Str, address: Str, mtu: U32) "veth(4)" linux "make a pair of network devices, one of them a port of a bridge";
            211 netdev::netdev_up(socket: Fd, name: Str) "rtnetlink(7)" linux "switch a network device on";
            212 netdev::netdev_address(socket: Fd, name: Str, address: Str) "rtnetlink(7)" linux "give a network device an address";
            213 netdev::netdev_route(socket: Fd, name: Str, gateway: Str) "rtnetlink(7)" linux "make a gateway the way to everywhere";
            214 netdev::netdev_unused(socket: Fd, address: Str) "rtnetlink(7)" linux "whether an address isn't the network namespace's own";
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
    /// Calls by their names: `[Call] | {deny, [Call]} | {allow, [Call]}`.
    Calls,
    /// A signal: its number or its name.
    Signal,
    /// `dfl | ign | trap`.
    Handler,
    /// An integer, the name of a prctl constant, iodata, or a structure: a list of
    /// `Bin | {ptr, Size} | {ptr, Bin}`.
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
    /// An integer, a constant's name of any group, or a list of names.
    Flags,
    /// A signed integer or a constant's name of any group.
    Const,
    /// A file descriptor, or `at_fdcwd`.
    DirFd,
    /// A list of user or group ids.
    Ids,
    /// A list of processor numbers: 0 to 65535.
    Cpus,
    /// A set of capabilities: an integer with a bit for each, or a list of names.
    Caps,
    /// A time of a file: `now`, `omit`, or nanoseconds since 1970.
    FileTime,
    /// Milliseconds to wait: 0 to 2^31 - 1; `infinity` or -1 for ever.
    Millis,
    /// A list of `{Fd, Events}`.
    PollFds,
    /// `{inet, {Address, Port}} | {inet6, {Address, Port}} | {local, Path}`, or a binary as the kernel has it.
    Sockaddr,
    /// A system call's number or name.
    SyscallNumber,
    /// At most six of what [`ArgKind::Ptr`] is.
    Ptrs,
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
            ArgKind::SyscallNumber => Some(Group::Syscall),
            _ => None,
        }
    }
}

/// Where a call exists: the `platforms` of its row. Elsewhere the dispatch answers
/// `{error, unsupported}`, and there is no function for it. [`where_there`](crate::where_there)
/// says which platforms these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "named as in the table")]
pub enum Platforms {
    /// Every Unix.
    all,
    /// Linux.
    linux,
    /// Linux and FreeBSD.
    linux_freebsd,
    /// Linux and the BSDs, except for NetBSD.
    linux_bsd,
    /// Every Unix but NetBSD.
    not_netbsd,
    /// FreeBSD.
    freebsd,
    /// OpenBSD.
    openbsd,
}

/// Expands to the first block where a call with these [`Platforms`](crate::calls::Platforms)
/// exists, and to the second elsewhere; the other one need not even compile.
#[macro_export]
macro_rules! where_there {
    (all $there:tt else $elsewhere:tt) => {
        $there
    };
    (linux $there:tt else $elsewhere:tt) => {
        $crate::where_there!((target_os = "linux") $there else $elsewhere)
    };
    (linux_freebsd $there:tt else $elsewhere:tt) => {
        $crate::where_there!(
            (any(target_os = "linux", target_os = "freebsd")) $there else $elsewhere
        )
    };
    (linux_bsd $there:tt else $elsewhere:tt) => {
        $crate::where_there!(
            (any(
                target_os = "linux",
                target_os = "freebsd",
                target_os = "dragonfly",
                target_os = "openbsd"
            ))
            $there else $elsewhere
        )
    };
    (not_netbsd $there:tt else $elsewhere:tt) => {
        $crate::where_there!((not(target_os = "netbsd")) $there else $elsewhere)
    };
    (freebsd $there:tt else $elsewhere:tt) => {
        $crate::where_there!((target_os = "freebsd") $there else $elsewhere)
    };
    (openbsd $there:tt else $elsewhere:tt) => {
        $crate::where_there!((target_os = "openbsd") $there else $elsewhere)
    };
    (($platforms:meta) $there:tt else $elsewhere:tt) => {{
        #[cfg($platforms)]
        $there
        #[cfg(not($platforms))]
        $elsewhere
    }};
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The number on the wire.
    pub number: u16,
    /// The module of `calls` that has the call.
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
            platforms: Platforms::$platforms,
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

/// Some of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set([u64; NUMBERS / 64]);

/// One more than the largest number that a call can have.
pub const NUMBERS: usize = 1024;

impl Set {
    /// Adds a call; there are none from [`NUMBERS`] on.
    pub fn add(&mut self, number: u16) {
        if let Some(word) = self.0.get_mut(usize::from(number) / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether a call is one of them.
    pub fn has(&self, number: u16) -> bool {
        let word = self.0.get(usize::from(number) / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// Adds all of another set's.
    pub fn add_all(&mut self, other: &Set) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Every other call.
    pub fn others(&self) -> Set {
        let mut others = Set::default();
        for call in CALLS.iter().filter(|call| !self.has(call.number)) {
            others.add(call.number);
        }
        others
    }
}

/// The row of a number.
pub fn by_number(number: u16) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == number)
}

/// Whether a call that succeeds ends the event loop: it is answered by the end of the
/// control socket.
pub const fn leaves_loop(number: u16) -> bool {
    matches!(
        number,
        number::execvp | number::execve | number::fexecve | number::exit
    )
}

/// What a call changes of what a new process inherits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alters {
    /// Nothing.
    Nothing,
    /// What children of the process that makes it inherit.
    Own,
    /// What children of others inherit too, whose pids it may be given.
    Others,
}

/// What a call changes of what a new process inherits but for its descriptors: credentials,
/// limits, directories, namespaces, filters, environment and the like.
pub const fn alters(number: u16) -> Alters {
    match number {
        // Files of the kernel's are about other processes: cgroup.procs, oom_score_adj.
        number::write
        | number::write_file
        | number::pwrite
        | number::setpgid
        | number::setpriority
        | number::sched_setaffinity
        | number::ptrace
        | number::syscall
        | number::procctl => Alters::Others,
        number::filter
        | number::setsid
        | number::setuid
        | number::setgid
        | number::setresuid
        | number::setresgid
        | number::setgroups
        | number::chdir
        | number::chroot
        | number::pivot_root
        | number::clearenv
        | number::setenv
        | number::unsetenv
        | number::setrlimit
        | number::sigaction
        | number::ioctl
        | number::setns
        | number::setns_fd
        | number::unshare
        | number::landlock_restrict_self
        | number::prctl
        | number::seccomp
        | number::capset
        | number::cap_drop_bound
        | number::cap_set_ambient
        | number::pledge
        | number::unveil
        | number::jail
        | number::jail_attach
        | number::cap_enter => Alters::Own,
        _ => Alters::Nothing,
    }
}

/// A number for the table as it is: a NIF and an executable with different
/// tables refuse each other when they meet, not call by call.
pub fn table_hash() -> u64 {
    let mut hash = Fnv::new();
    hash.bytes(crate::VERSION.as_bytes());
    for call in CALLS {
        hash.bytes(&call.number.to_le_bytes());
        hash.bytes(call.name.as_bytes());
        hash.bytes(&[call.platforms as u8]);
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
    fn sets_have_room_for_every_call() {
        let none = Set::default();
        assert!(CALLS.iter().all(|call| usize::from(call.number) < NUMBERS));
        assert!(
            CALLS
                .iter()
                .all(|call| none.others().has(call.number) && !none.has(call.number))
        );
        let mut one = none;
        one.add(number::getpid);
        one.add(u16::MAX);
        assert!(one.has(number::getpid) && !one.has(number::fork) && !one.has(u16::MAX));
        assert!(!one.others().has(number::getpid) && one.others().has(number::fork));
        one.add_all(&one.others());
        assert_eq!(one, none.others());
    }

    #[test]
    fn whatever_sets_something_says_what_it_alters() {
        // These set what children don't inherit, or inherit by a file or an object.
        let others = [
            "setopt",
            "setcpid",
            "sethostname",
            "setdomainname",
            "setproctitle",
            "setsockopt",
            "getrusage",
            "mount_setattr",
            "landlock_create_ruleset",
        ];
        for call in CALLS.iter().filter(|call| call.name.contains("set")) {
            let expected = others.contains(&call.name);
            assert_eq!(
                alters(call.number) == Alters::Nothing,
                expected,
                "{}",
                call.name
            );
        }
        for module in ["ns", "cap", "prctl", "env", "bsd", "limits"] {
            for call in CALLS.iter().filter(|call| call.module == module) {
                let reads = call.name.contains("get") || call.name == "environ";
                let expected = reads || call.name == "jail_remove";
                assert_eq!(
                    alters(call.number) == Alters::Nothing,
                    expected,
                    "{}",
                    call.name
                );
            }
        }
    }

    #[test]
    fn every_row_is_documented() {
        for call in CALLS {
            assert!(!call.summary.is_empty(), "{}", call.name);
            assert!(
                call.man.is_empty() || call.man.contains('('),
                "{}",
                call.name
            );
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
