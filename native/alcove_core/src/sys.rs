//! System calls that nix does not have.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

/// How many bytes a pipe holds.
pub fn available(fd: &OwnedFd) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to which the pointer points.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut n) };
    if result == -1 {
        0
    } else {
        usize::try_from(n).unwrap_or(0)
    }
}

/// Waits until a descriptor has something to read, or for some time.
pub fn wait_readable(fd: BorrowedFd<'_>, limit: std::time::Duration) {
    use nix::poll::{PollFd, PollFlags};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    // It doesn't matter what ends the wait: the caller checks for itself.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _ = nix::poll::ppoll(&mut fds, Some(limit.into()), None);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = (
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO),
        limit,
    );
}

/// The same open file under another number, too, that isn't below `lowest`.
pub fn copy(fd: impl AsFd, lowest: i32) -> Result<OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    // SAFETY: takes numbers only; the returned descriptor is new, and nothing else owns it.
    unsafe {
        let copied = libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest);
        Ok(OwnedFd::from_raw_fd(Errno::result(copied)?))
    }
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that is read from.
    Read,
    /// The one that is written to.
    Write,
}

/// Whether a descriptor is such an end of a pipe of pipe(2). This asks neither the pipe nor a file
/// system, since both could block.
pub fn is_pipe(fd: BorrowedFd<'_>, end: End) -> bool {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::{Whence, lseek};
    let (Ok(home), Some(found)) = (pipes_home(), kind_and_home(fd)) else {
        return false;
    };
    if home != found {
        return false;
    }
    let wanted = match end {
        End::Read => OFlag::O_RDONLY,
        End::Write => OFlag::O_WRONLY,
    };
    let flags = fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
    // A descriptor that was opened with O_PATH returns EBADF.
    let is_open = lseek(fd, 0, Whence::SeekCur) == Err(Errno::ESPIPE);
    is_open && flags.map(|flags| flags & OFlag::O_ACCMODE) == Ok(wanted)
}

/// Whether a descriptor is the master of a pseudo-terminal, /dev/ptmx by its numbers.
#[cfg(target_os = "linux")]
pub fn is_terminal_master(fd: BorrowedFd<'_>) -> bool {
    use nix::unistd::{Whence, lseek};
    let is_open = lseek(fd, 0, Whence::SeekCur) == Err(Errno::ESPIPE);
    is_open
        && in_memory(fd)
            .is_some_and(|found| found.kind == libc::S_IFCHR && found.device == libc::makedev(5, 2))
}

/// Whether a descriptor is a terminal.
#[cfg(not(target_os = "linux"))]
pub fn is_terminal_master(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(fd) == Ok(true)
}

/// The type of a file and the file system that it is in.
type KindAndHome = (libc::mode_t, libc::dev_t);

/// The type of file and the file system that every pipe has.
fn pipes_home() -> Result<KindAndHome, Errno> {
    static HOME: std::sync::OnceLock<KindAndHome> = std::sync::OnceLock::new();
    if let Some(home) = HOME.get() {
        return Ok(*home);
    }
    let (read, _write) = nix::unistd::pipe()?;
    let home = kind_and_home(read.as_fd()).ok_or(Errno::ENOSYS)?;
    Ok(*HOME.get_or_init(|| home))
}

/// What the kernel knows about a file without asking its file system.
#[cfg(target_os = "linux")]
struct InMemory {
    kind: libc::mode_t,
    /// The file system that it is in.
    home: libc::dev_t,
    /// The device number, if it is a device.
    device: libc::dev_t,
}

/// Asks the kernel for what it knows about a file in memory. The file system isn't asked, unless
/// the kernel is older than Linux 4.11.
#[cfg(target_os = "linux")]
fn in_memory(fd: BorrowedFd<'_>) -> Option<InMemory> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an empty path, and a structure that the kernel fills in.
    let result = unsafe {
        libc::statx(
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            libc::STATX_TYPE,
            found.as_mut_ptr(),
        )
    };
    if Errno::result(result).is_err() {
        return without_statx(fd);
    }
    // SAFETY: zero is a value of the structure, and the kernel filled it in.
    let found = unsafe { found.assume_init() };
    Some(InMemory {
        kind: libc::mode_t::from(found.stx_mode) & libc::S_IFMT,
        home: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        device: libc::makedev(found.stx_rdev_major, found.stx_rdev_minor),
    })
}

/// The same if the kernel or a filter refuses statx(2). A C library that emulates statx(2) refuses
/// the flag, but fstatat(2) takes it, since Linux 4.11.
#[cfg(target_os = "linux")]
fn without_statx(fd: BorrowedFd<'_>) -> Option<InMemory> {
    [libc::AT_STATX_DONT_SYNC, 0].into_iter().find_map(|flags| {
        let mut found = MaybeUninit::<libc::stat>::zeroed();
        let flags = flags | libc::AT_EMPTY_PATH;
        // SAFETY: an empty path, and a structure that the kernel fills in.
        let result =
            unsafe { libc::fstatat(fd.as_raw_fd(), c"".as_ptr(), found.as_mut_ptr(), flags) };
        Errno::result(result).ok()?;
        // SAFETY: zero is a value of the structure, and the kernel filled it in.
        let found = unsafe { found.assume_init() };
        Some(InMemory {
            kind: found.st_mode & libc::S_IFMT,
            home: found.st_dev as libc::dev_t,
            device: found.st_rdev as libc::dev_t,
        })
    })
}

#[cfg(target_os = "linux")]
fn kind_and_home(fd: BorrowedFd<'_>) -> Option<KindAndHome> {
    let found = in_memory(fd)?;
    Some((found.kind, found.home))
}

#[cfg(not(target_os = "linux"))]
fn kind_and_home(fd: BorrowedFd<'_>) -> Option<KindAndHome> {
    let found = nix::sys::stat::fstat(fd).ok()?;
    Some((found.st_mode & libc::S_IFMT, found.st_dev as libc::dev_t))
}

/// Whether a descriptor is a Unix stream socket.
pub fn is_stream_socket(fd: BorrowedFd<'_>) -> bool {
    is_unix(fd)
        && nix::sys::socket::getsockopt(&fd, nix::sys::socket::sockopt::SockType)
            == Ok(nix::sys::socket::SockType::Stream)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_unix(fd: BorrowedFd<'_>) -> bool {
    let mut domain: libc::c_int = -1;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is an int, to which the pointer points, of the size that is said.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            (&raw mut domain).cast(),
            &raw mut size,
        )
    };
    result == 0 && domain == libc::AF_UNIX
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_unix(fd: BorrowedFd<'_>) -> bool {
    use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
    getsockname::<SockaddrStorage>(fd.as_raw_fd())
        .is_ok_and(|name| name.family() == Some(AddressFamily::Unix))
}

/// Opens the same end of the same pipe again, as an open file description of the VM's own, if that
/// is needed. O_NONBLOCK is a property of the open file description, and a process that was taken
/// over may have kept a descriptor of it. Since Linux 6.5 each read and write can itself say that
/// it must not wait.
///
/// Without /proc the descriptor stays as it is.
pub fn unshare(fd: OwnedFd, end: End) -> OwnedFd {
    if cfg!(not(target_os = "linux")) || never_waits() {
        return fd;
    }
    reopen(&fd, end).unwrap_or(fd)
}

fn reopen(fd: &OwnedFd, end: End) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{OFlag, open};
    let access = match end {
        End::Read => OFlag::O_RDONLY,
        End::Write => OFlag::O_WRONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, nix::sys::stat::Mode::empty())
}

/// Whether each read of a pipe can say that it must not wait.
fn never_waits() -> bool {
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok((read, _write)) = nix::unistd::pipe() else {
            return false;
        };
        read_nowait(&read, &mut [0]) == Some(Err(Errno::EAGAIN))
    })
}

/// read(2), without waiting.
pub fn read_now(fd: &OwnedFd, buf: &mut [u8]) -> Result<usize, Errno> {
    if let Some(result) = read_nowait(fd, buf) {
        return result;
    }
    never_wait(fd);
    nix::unistd::read(fd, buf)
}

/// `None` where the kernel has no such reads.
fn read_nowait(fd: &OwnedFd, buf: &mut [u8]) -> Option<Result<usize, Errno>> {
    #[cfg(target_os = "linux")]
    {
        let part = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        // SAFETY: the one part is as long as is said. -1 is the offset of read(2).
        let n = unsafe { libc::preadv2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
        match Errno::result(n) {
            // Before Linux 6.5 pipes don't support such reads; EPERM comes from a filter.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => None,
            result => Some(result.map(|n| n as usize)),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (fd, buf);
        None
    }
}

/// write(2), without waiting.
pub fn write_now(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    #[cfg(target_os = "linux")]
    {
        let part = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: as for reading; the kernel only reads from the part.
        let n = unsafe { libc::pwritev2(fd.as_raw_fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
        match Errno::result(n) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => {}
            result => return result.map(|n| n as usize),
        }
    }
    never_wait(fd);
    nix::unistd::write(fd, bytes)
}

/// Makes an open file non-blocking.
fn never_wait(fd: &OwnedFd) {
    let _ = nix::fcntl::fcntl(
        fd,
        nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK),
    );
}

/// Kills the process group that a process leads, also when the leader has ended, and returns
/// whether that was done. It never kills another group that may have the number by now.
#[cfg(target_os = "linux")]
pub fn kill_group(leader: &OwnedFd) -> bool {
    use nix::sys::signal::Signal;
    const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
    // Before Linux 6.9, or under a filter, this fails.
    let sent = send_signal(leader, Signal::SIGKILL, PIDFD_SIGNAL_PROCESS_GROUP);
    matches!(sent, Ok(()) | Err(Errno::ESRCH))
}

/// There are no such descriptors.
#[cfg(not(target_os = "linux"))]
pub fn kill_group(_leader: &OwnedFd) -> bool {
    false
}

/// A process group that the kernel holds for an open file, as that which gets the file's signals:
/// F_SETOWN of fcntl(2). It is this group also when its leader has been reaped, and when another
/// one has got its number. It takes no pidfd.
#[cfg(target_os = "linux")]
pub struct Group {
    file: OwnedFd,
    peer: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Group {
    /// The group that a child leads, in its new session. None if the child has been reaped, as its
    /// number may be another's.
    pub fn of(leader: Pid) -> Option<Self> {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        let (file, peer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).ok()?;
        // SAFETY: two numbers.
        let set = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETOWN, -leader.as_raw()) };
        Errno::result(set).ok()?;
        // While a child isn't reaped, its number has been its own since it was started.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(leader), flags).ok()?;
        Some(Group { file, peer })
    }

    /// Kills the processes of the group, and returns whether that was done.
    pub fn kill(&self) -> bool {
        /// The signal that is sent, instead of SIGIO.
        const F_SETSIG: libc::c_int = 10;
        let file = self.file.as_raw_fd();
        // SAFETY: numbers only.
        let done = unsafe {
            libc::fcntl(file, F_SETSIG, libc::SIGKILL) == 0
                && libc::fcntl(file, libc::F_SETFL, libc::O_ASYNC) == 0
        };
        // The first byte of a pipe: this doesn't wait.
        done && nix::unistd::write(&self.peer, &[0]).is_ok()
    }
}

/// There is no way to hold one.
#[cfg(not(target_os = "linux"))]
pub struct Group;

#[cfg(not(target_os = "linux"))]
impl Group {
    /// None.
    pub fn of(_leader: Pid) -> Option<Self> {
        None
    }

    /// Never called.
    pub fn kill(&self) -> bool {
        false
    }
}

/// Sends a signal to the process of a pidfd, and to no other process if that one has ended.
#[cfg(target_os = "linux")]
pub fn send_signal(
    pidfd: &OwnedFd,
    signal: nix::sys::signal::Signal,
    flags: libc::c_uint,
) -> Result<(), Errno> {
    let (fd, signal) = (pidfd.as_raw_fd(), signal as libc::c_int);
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: numbers only, and no siginfo.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, flags) };
    Errno::result(sent).map(drop)
}

/// There are no such descriptors.
#[cfg(not(target_os = "linux"))]
pub fn send_signal(
    _pidfd: &OwnedFd,
    _signal: nix::sys::signal::Signal,
    _flags: nix::libc::c_uint,
) -> Result<(), Errno> {
    Err(Errno::ENOSYS)
}

/// Whether a descriptor has something to read now.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

/// The status of a process that ended, if the kernel still has it. The VM ignores SIGCHLD, so
/// wait(2) returns no status of its children.
#[cfg(target_os = "linux")]
pub fn exit_status(pidfd: &OwnedFd) -> Option<i32> {
    /// `struct pidfd_info` of linux/pidfd.h in its first version.
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroup: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, Info);

    let mut info = Info {
        mask: PIDFD_INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: the request's number holds the structure's size; the kernel writes no more.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// The status of a process that ended, if the kernel still has it.
#[cfg(not(target_os = "linux"))]
pub fn exit_status(_pidfd: &OwnedFd) -> Option<i32> {
    None
}

/// A pidfd of a child, which becomes readable when the child ends. None if the pid belongs to
/// another process by now: the VM ignores SIGCHLD, so the kernel reaps children.
#[cfg(target_os = "linux")]
pub fn pidfd_open(child: Pid) -> Option<OwnedFd> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    use std::os::fd::FromRawFd;
    // SAFETY: two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: a new descriptor, close-on-exec, that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let is_child = waitid(Id::PIDFd(fd.as_fd()), flags) != Err(Errno::ECHILD);
    (is_child || is_readable(fd.as_fd())).then_some(fd)
}

/// A descriptor that becomes readable when the process ends.
#[cfg(not(target_os = "linux"))]
pub fn pidfd_open(_child: Pid) -> Option<OwnedFd> {
    None
}

/// posix_spawnp(3): runs a program in a session of its own, with signal
/// dispositions and mask as a new login has them, `stdin` as descriptor 0,
/// /dev/null as 1, this process's 2, and no other descriptor.
pub fn spawn(
    program: &CStr,
    argv: &[CString],
    env: &[CString],
    stdin: &OwnedFd,
) -> Result<Pid, Errno> {
    let check = |result: libc::c_int| {
        if result == 0 {
            Ok(())
        } else {
            Err(Errno::from_raw(result))
        }
    };
    let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
        strings
            .iter()
            .map(|s| s.as_ptr().cast_mut())
            .chain([std::ptr::null_mut()])
            .collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    let mut signals = MaybeUninit::uninit();
    let mut pid = 0;
    // SAFETY: every object is initialised by its own function before it is used
    // and destroyed after; strings and vectors live until the end and the vectors
    // end in null; the descriptors are open.
    unsafe {
        check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        let actions = Destroy(actions.as_mut_ptr(), libc::posix_spawn_file_actions_destroy);
        check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
        let attributes = Destroy(attributes.as_mut_ptr(), libc::posix_spawnattr_destroy);

        check(libc::posix_spawn_file_actions_adddup2(
            actions.0,
            stdin.as_raw_fd(),
            0,
        ))?;
        check(libc::posix_spawn_file_actions_addopen(
            actions.0,
            1,
            c"/dev/null".as_ptr(),
            libc::O_RDWR,
            0,
        ))?;
        // Many of the VM's descriptors aren't close-on-exec.
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        check(posix_spawn_file_actions_addclosefrom_np(actions.0, 3))?;

        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | SETSID;
        check(libc::posix_spawnattr_setflags(
            attributes.0,
            flags as libc::c_short,
        ))?;
        libc::sigfillset(signals.as_mut_ptr());
        check(libc::posix_spawnattr_setsigdefault(
            attributes.0,
            signals.as_ptr(),
        ))?;
        libc::sigemptyset(signals.as_mut_ptr());
        check(libc::posix_spawnattr_setsigmask(
            attributes.0,
            signals.as_ptr(),
        ))?;

        check(libc::posix_spawnp(
            &raw mut pid,
            program.as_ptr(),
            actions.0,
            attributes.0,
            argv.as_ptr(),
            env.as_ptr(),
        ))?;
    }
    Ok(Pid::from_raw(pid))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn posix_spawn_file_actions_addclosefrom_np(
        actions: *mut libc::posix_spawn_file_actions_t,
        from: libc::c_int,
    ) -> libc::c_int;
}

/// `POSIX_SPAWN_SETSID` of spawn.h.
#[cfg(target_os = "linux")]
const SETSID: libc::c_int = 0x80;
/// A process group of its own where there is no attribute for a session.
#[cfg(not(target_os = "linux"))]
const SETSID: libc::c_int = libc::POSIX_SPAWN_SETPGROUP as libc::c_int;

/// Destroys a libc object when it goes out of scope.
struct Destroy<T>(*mut T, unsafe extern "C" fn(*mut T) -> libc::c_int);

impl<T> Drop for Destroy<T> {
    fn drop(&mut self) {
        // SAFETY: the code that made this value had initialised the object.
        unsafe { (self.1)(self.0) };
    }
}
