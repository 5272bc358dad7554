//! The guardian: the process that is started, and that sees to it that nothing
//! of the tree outlives the VM.
//!
//! It takes its channel, forks root and then waits for one of two things: root's
//! end, which it reports on the lifeline, or the end of the lifeline. Either way
//! it ends every process below it, also those that left their session and their
//! parents, and goes last.

use crate::event_loop;
use crate::process::{Options, Process};
use crate::{die, leave, memory, signals, tree};
use alcove_proto::frame::{self, to};
use alcove_proto::wire::{Init, Malformed, Reader};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FdSet, pselect};
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, getsockname, getsockopt, recvmsg, sockopt};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, fork, getpid, getuid};
use std::fmt;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The highest descriptor that needs no larger table in the kernel; out of the
/// way of what the user opens.
const CONTROL: i32 = 63;

/// Why the guardian won't run.
#[derive(Debug)]
pub enum Refusal {
    /// There are arguments.
    Usage,
    /// Standard input is something else than the channel.
    NoChannel,
    /// The other end of the channel belongs to somebody else.
    Stranger,
    /// The channel ended before the first frame was there.
    NoInit,
    /// The first frame isn't what this version understands, or lacks descriptors.
    Malformed,
    /// A system call failed.
    Failed(&'static str, Errno),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Usage => {
                f.write_str("usage: alcove (takes no arguments; alcove_drv starts it)")
            }
            Refusal::NoChannel => {
                f.write_str("standard input is not the socket that alcove_drv starts this with")
            }
            Refusal::Stranger => f.write_str("standard input is another user's socket"),
            Refusal::NoInit => f.write_str("the channel was closed before anything was asked for"),
            Refusal::Malformed => f.write_str("the channel does not speak this version's protocol"),
            Refusal::Failed(what, errno) => write!(f, "{what}: {}", errno.desc()),
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Refusal::Malformed
    }
}

/// Names the step that failed.
trait Step<T> {
    fn step(self, what: &'static str) -> Result<T, Refusal>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, what: &'static str) -> Result<T, Refusal> {
        self.map_err(|errno| Refusal::Failed(what, errno))
    }
}

/// What comes with the first frame.
struct Start {
    init: Init,
    lifeline: OwnedFd,
    /// stdin, stdout and, unless it stays the console's, stderr.
    stdio: Vec<OwnedFd>,
}

/// Runs the guardian, and root below it. Returns only to refuse.
pub fn run() -> Result<(), Refusal> {
    if std::env::args_os().len() > 1 {
        return Err(Refusal::Usage);
    }
    let control = channel()?;
    let start = receive(control.as_fd())?;
    signals::reset();
    become_subreaper(true);
    set_dumpable(false);
    tree::remember_name();
    let guardian = getpid().as_raw();
    let unblocked = signals::block();
    // SAFETY: there is one thread.
    match unsafe { fork() }.step("fork")? {
        ForkResult::Child => {
            signals::restore(&unblocked);
            root(control, start, guardian)
        }
        ForkResult::Parent { child } => {
            drop(control);
            drop(start.stdio);
            guard(start.lifeline, child.as_raw())
        }
    }
}

/// Checks the channel on standard input and moves it out of the way. Every
/// descriptor above 2 is somebody else's and is closed.
fn channel() -> Result<OwnedFd, Refusal> {
    // SAFETY: whether it is open is what the first call on it tells.
    let stdin = unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) };
    let address: SockaddrStorage =
        getsockname(stdin.as_raw_fd()).map_err(|_| Refusal::NoChannel)?;
    let kind = getsockopt(&stdin, sockopt::SockType).map_err(|_| Refusal::NoChannel)?;
    if address.family() != Some(AddressFamily::Unix) || kind != SockType::Stream {
        return Err(Refusal::NoChannel);
    }
    // An executable that is setuid to root must not obey a socket of a third user's.
    // Root may start it as another user.
    if !getuid().is_root() && ![0, getuid().as_raw()].contains(&peer(&stdin)?) {
        return Err(Refusal::Stranger);
    }
    close_from(3);
    let above = [CONTROL, 3]
        .into_iter()
        .find_map(|lowest| fcntl(stdin, FcntlArg::F_DUPFD_CLOEXEC(lowest)).ok());
    let control = above.ok_or(Errno::EMFILE).step("moving the channel")?;
    // SAFETY: the descriptor was just made.
    let control = unsafe { OwnedFd::from_raw_fd(control) };
    nullify(&[libc::STDIN_FILENO])?;
    Ok(control)
}

/// The user at the other end of the channel.
fn peer(channel: &BorrowedFd<'_>) -> Result<libc::uid_t, Refusal> {
    #[cfg(target_os = "linux")]
    let uid = getsockopt(channel, sockopt::PeerCredentials).map(|peer| peer.uid());
    #[cfg(not(target_os = "linux"))]
    let uid = nix::unistd::getpeereid(channel).map(|(uid, _)| uid.as_raw());
    uid.step("the other end of the channel")
}

/// Closes all descriptors from `lowest` on.
fn close_from(lowest: i32) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: nothing here owns these descriptors.
        let result =
            unsafe { libc::syscall(libc::SYS_close_range, lowest as libc::c_uint, u32::MAX, 0) };
        if result == 0 {
            return;
        }
    }
    // Old kernels have no such call; a limit that was lowered later leaves descriptors above it.
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard);
    for fd in lowest..i32::try_from(limit).unwrap_or(i32::MAX).min(1 << 20) {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Opens /dev/null in the place of descriptors.
fn nullify(fds: &[i32]) -> Result<(), Refusal> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let null = nix::fcntl::open("/dev/null", flags, Mode::empty()).step("/dev/null")?;
    fds.iter()
        .try_for_each(|fd| place(null.as_fd(), *fd).step("/dev/null"))
}

/// dup2(2): makes `to` what `from` is.
fn place(from: BorrowedFd<'_>, to: i32) -> nix::Result<()> {
    // SAFETY: `to` is a standard descriptor or the control socket's; nothing owns it.
    Errno::result(unsafe { libc::dup2(from.as_raw_fd(), to) }).map(drop)
}

/// Receives the first frame.
fn receive(control: BorrowedFd<'_>) -> Result<Start, Refusal> {
    let mut bytes = Vec::new();
    let mut fds = Vec::new();
    let length = loop {
        if let Some(length) = frame::length(&bytes)?
            && bytes.len() >= frame::HEADER + length
        {
            break frame::HEADER + length;
        }
        let mut chunk = [0; 16 * 1024];
        let n = receive_some(control, &mut chunk, &mut fds)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    // Nothing follows before root has said hello.
    if bytes.len() != length {
        return Err(Refusal::Malformed);
    }
    let mut reader = Reader::new(&bytes[frame::HEADER..]);
    if reader.u8()? != to::INIT {
        return Err(Refusal::Malformed);
    }
    let init = Init::read(&mut reader)?;
    memory::wipe(&mut bytes);
    if !(3..=4).contains(&fds.len()) {
        return Err(Refusal::Malformed);
    }
    let lifeline = fds.remove(0);
    Ok(Start {
        init,
        lifeline,
        stdio: fds,
    })
}

/// Receives what there is, and the descriptors that come with it.
fn receive_some(
    control: BorrowedFd<'_>,
    chunk: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Refusal> {
    let mut space = nix::cmsg_space!([i32; frame::CHANNELS]);
    let mut parts = [IoSliceMut::new(chunk)];
    #[cfg(target_os = "linux")]
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = MsgFlags::empty();
    let message = loop {
        match recvmsg::<()>(control.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Err(Refusal::NoInit),
            message => break message.step("receiving from the channel")?,
        }
    };
    for part in message.cmsgs().step("receiving from the channel")? {
        if let ControlMessageOwned::ScmRights(received) = part {
            // SAFETY: the kernel made these descriptors for this process.
            fds.extend(
                received
                    .iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
            );
        }
    }
    match message.bytes {
        0 => Err(Refusal::NoInit),
        n => Ok(n),
    }
}

/// Becomes root, or says why not.
fn root(control: OwnedFd, start: Start, guardian: i32) -> ! {
    match prepare_root(control, start) {
        Ok(process) => {
            // A child doesn't inherit it, and root must have it when the guardian is killed.
            become_subreaper(true);
            signals::begin_root(guardian);
            event_loop::run_root(process)
        }
        Err(refusal) => die(refusal),
    }
}

/// Gives root its descriptors, limits and environment.
fn prepare_root(control: OwnedFd, start: Start) -> Result<Process, Refusal> {
    drop(start.lifeline);
    // A process group that the guardian isn't in can be killed as a whole. In a session of
    // their own, root and what is below it have no terminal, whatever sudo gave the guardian,
    // and aren't told by SIGHUP when the guardian dies.
    nix::unistd::setsid().step("setsid")?;
    for (fd, to) in start.stdio.iter().zip(libc::STDIN_FILENO..) {
        place(fd.as_fd(), to).step("standard input and output")?;
    }
    drop(start.stdio);
    let (mut soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).step("RLIMIT_NOFILE")?;
    if start.init.nofile != 0 {
        soft = start.init.nofile.try_into().unwrap_or(hard).min(hard);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).step("RLIMIT_NOFILE")?;
    }
    let soft = u64::try_from(soft).unwrap_or(u64::MAX);
    let control = settle_control(control, soft)?;
    replace_environment(&start.init.env);
    Ok(Process::root(control, Options::new(&start.init, soft)))
}

/// Gives the control socket its place: [`CONTROL`], or the highest below the limit.
fn settle_control(control: OwnedFd, soft: u64) -> Result<i32, Refusal> {
    let place_of = i32::try_from(soft).map_or(CONTROL, |soft| CONTROL.min(soft - 1));
    if place_of <= libc::STDERR_FILENO {
        return Err(Refusal::Failed("RLIMIT_NOFILE", Errno::EMFILE));
    }
    if control.as_raw_fd() != place_of {
        place(control.as_fd(), place_of).step("moving the channel")?;
        // SAFETY: the descriptor was just made.
        let placed = unsafe { BorrowedFd::borrow_raw(place_of) };
        fcntl(placed, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
            .step("moving the channel")?;
        return Ok(place_of);
    }
    Ok(std::os::fd::IntoRawFd::into_raw_fd(control))
}

/// Makes the environment what the VM asks for, whatever sudo made of it.
fn replace_environment(variables: &[Vec<u8>]) {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    let mut pointers: Vec<*mut libc::c_char> = variables
        .iter()
        .filter(|variable| variable.contains(&b'='))
        .filter_map(|variable| std::ffi::CString::new(variable.as_slice()).ok())
        .map(std::ffi::CString::into_raw)
        .collect();
    pointers.push(std::ptr::null_mut());
    // SAFETY: there is one thread, and the C strings and their list are never freed. The C
    // library takes an environment that it didn't make for one that it must copy.
    unsafe { environ = pointers.leak().as_mut_ptr() };
}

/// Whether what loses its parent below becomes this process's child.
pub fn become_subreaper(yes: bool) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(yes);
    #[cfg(not(target_os = "linux"))]
    let _ = yes;
}

/// Whether other processes of the same user may look into this one.
pub fn set_dumpable(yes: bool) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(yes);
    #[cfg(not(target_os = "linux"))]
    let _ = yes;
}

/// Guards the tree. Signals are blocked, but for SIGCHLD while it waits.
fn guard(lifeline: OwnedFd, root: i32) -> ! {
    let _ = nullify(&[libc::STDIN_FILENO, libc::STDOUT_FILENO]);
    // Not to keep a file system busy.
    let _ = nix::unistd::chdir("/");
    signals::interrupt_by_child();
    let mut while_waiting = SigSet::all();
    while_waiting.remove(nix::sys::signal::Signal::SIGCHLD);
    loop {
        if let Some(status) = reap(root) {
            let _ = event_loop::write(lifeline.as_raw_fd(), &status.to_le_bytes());
            break;
        }
        if lost(&lifeline, &while_waiting) {
            break;
        }
    }
    tree::end(&[]);
    leave(0)
}

/// Reaps what has ended; root's status if root is among that.
fn reap(root: i32) -> Option<i32> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is ours.
        match unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } {
            pid if pid == root => return Some(status),
            pid if pid > 0 => {}
            _ => return None,
        }
    }
}

/// Waits for a child or for the lifeline; whether the lifeline ended.
fn lost(lifeline: &OwnedFd, while_waiting: &SigSet) -> bool {
    let mut polled = FdSet::new();
    polled.insert(lifeline.as_fd());
    // Not every platform has ppoll(2).
    match pselect(
        None,
        Some(&mut polled),
        None,
        None,
        None,
        Some(while_waiting),
    ) {
        Ok(_) => {}
        Err(Errno::EINTR) => return false,
        Err(_) => return true,
    }
    // Nothing is sent this way; what came anyway is thrown away.
    !matches!(
        nix::unistd::read(lifeline, &mut [0; 64]),
        Ok(1..) | Err(Errno::EINTR)
    )
}
