//! How the executable is started: the channel on standard input, and the first frame.

use crate::memory;
use crate::procfs;
use crate::spawn::close_all_but;
use crate::sys::fd::{borrow, duplicate, place};
use crate::sys::scm;
use alcove_proto::frame::{self, Init, Raw};
use alcove_proto::wire::Malformed;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, sockopt};
use nix::sys::stat::Mode;
use nix::unistd::getuid;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The highest descriptor that needs no larger table in the kernel. It is out of the
/// way of descriptors that the user opens.
pub const CONTROL: i32 = 63;

/// Why the guardian won't run.
#[derive(Debug)]
pub enum Refusal {
    /// There are arguments.
    Usage,
    /// Standard input is something else than the channel.
    NoChannel,
    /// The other end of the channel belongs to another user.
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
pub trait Step<T> {
    /// The same, with the step's name.
    fn step(self, what: &'static str) -> Result<T, Refusal>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, what: &'static str) -> Result<T, Refusal> {
        self.map_err(|errno| Refusal::Failed(what, errno))
    }
}

/// What comes with the first frame.
pub struct Start {
    /// Its options.
    pub init: Init,
    /// The socket that ends when the VM does.
    pub lifeline: OwnedFd,
    /// stdin, stdout and, unless it stays the console's, stderr.
    pub stdio: Vec<OwnedFd>,
}

/// Checks the channel on standard input and moves it out of the way. Closes every
/// descriptor above 2, since whatever started the executable left it open.
pub fn channel() -> Result<OwnedFd, Refusal> {
    // If the descriptor isn't open, the first call on it fails.
    let stdin = borrow(libc::STDIN_FILENO);
    let address: SockaddrStorage =
        getsockname(stdin.as_raw_fd()).map_err(|_| Refusal::NoChannel)?;
    let kind = getsockopt(&stdin, sockopt::SockType).map_err(|_| Refusal::NoChannel)?;
    if address.family() != Some(AddressFamily::Unix) || kind != SockType::Stream {
        return Err(Refusal::NoChannel);
    }
    // An executable that is setuid to root must not obey a socket of a third user.
    // Root may start it as another user.
    if !getuid().is_root() && ![0, getuid().as_raw()].contains(&peer(&stdin)?) {
        return Err(Refusal::Stranger);
    }
    close_all_but(&[0, 1, 2], None, procfs::open);
    let above = [CONTROL, 3]
        .into_iter()
        .find_map(|lowest| duplicate(libc::STDIN_FILENO, lowest).ok());
    let control = above.ok_or(Errno::EMFILE).step("moving the channel")?;
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

/// Opens /dev/null in the place of the given descriptors.
pub fn nullify(fds: &[i32]) -> Result<(), Refusal> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let null = nix::fcntl::open("/dev/null", flags, Mode::empty()).step("/dev/null")?;
    fds.iter()
        .try_for_each(|fd| place(null.as_fd(), *fd, false).step("/dev/null"))
}

/// Receives the first frame.
pub fn receive(control: BorrowedFd<'_>) -> Result<Start, Refusal> {
    let mut bytes = Vec::new();
    let mut fds = Vec::new();
    let length = loop {
        match frame::length(&bytes)? {
            Some(length) if bytes.len() >= frame::HEADER + length => break frame::HEADER + length,
            _ => {}
        }
        let mut chunk = [0; 16 * 1024];
        let n = receive_some(control, &mut chunk, &mut fds)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    // Nothing follows before root has said hello.
    if bytes.len() != length {
        return Err(Refusal::Malformed);
    }
    let init: Init = Raw::new(&bytes[frame::HEADER..])?.read()?;
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

/// Receives the bytes that are there, and the descriptors that come with them.
fn receive_some(
    control: BorrowedFd<'_>,
    chunk: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Refusal> {
    let message = loop {
        match scm::receive(control.as_raw_fd(), chunk, frame::CHANNELS) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => return Err(Refusal::NoInit),
            Ok(message) if message.cut => break Err(Errno::ENOBUFS),
            message => break message,
        }
    };
    let message = message.step("receiving from the channel")?;
    fds.extend(message.fds);
    match message.length {
        0 => Err(Refusal::NoInit),
        n => Ok(n),
    }
}
