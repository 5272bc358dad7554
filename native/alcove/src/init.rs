//! The init of a program that has a pid namespace of its own: process 1 in there.
//!
//! The kernel doesn't deliver signals to process 1 that it has no handler for, and makes it the
//! parent of every orphan of the namespace. So the program doesn't run as process 1, but as its
//! child. The init passes signals on, reaps children, tells the keeper how the program ended, and
//! ends with it. The kernel then kills everything else in the namespace, before the keeper learns
//! that the init is gone.

use crate::exit::leave;
use crate::signals;
use crate::sys::poll::poll;
use crate::sys::signal::kill;
use crate::sys::trace::let_go_or_kill;
use crate::sys::wait::wait4;
use libc::c_int;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recvmsg, send, socketpair};
#[cfg(target_os = "linux")]
use nix::sys::socket::{ControlMessageOwned, setsockopt, sockopt};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// The first byte of a message.
mod message {
    /// From a process that waits for its maps of ids: they can be written now.
    pub const READY: u8 = b'r';
    /// To that process: the maps are written.
    pub const GO: u8 = b'g';
    /// From the program, before it execs. The kernel adds the pid of the sender.
    pub const PROGRAM: u8 = b'p';
    /// From the init: how the program ended.
    pub const STATUS: u8 = b's';
    /// To the init: a signal for the program.
    pub const SIGNAL: u8 = b'k';
}

/// What a keeper receives on the connection.
pub enum News {
    /// Nothing has come.
    None,
    /// The connection has ended.
    Over,
    /// The program's pid, as the keeper sees it.
    Program(c_int),
    /// How the program ended.
    Status(c_int),
}

/// A connection between a keeper, which gets the first end, and a process that it makes.
pub fn connection() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (own, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    #[cfg(target_os = "linux")]
    setsockopt(&own, sockopt::PassCred, &true)?;
    Ok((own, theirs))
}

/// Says that the maps of ids can be written, and waits until they are. False when the keeper
/// is gone.
pub fn wait_for_maps(keeper: &OwnedFd) -> bool {
    tell(keeper, &[message::READY]) && {
        let mut buffer = [0; 8];
        loop {
            match nix::unistd::read(keeper, &mut buffer) {
                Err(Errno::EINTR) => {}
                Ok(1..) => return buffer[0] == message::GO,
                _ => return false,
            }
        }
    }
}

/// Waits until the maps of ids can be written. False when the process has ended or takes too
/// long.
pub fn is_ready(process: &OwnedFd, time: Duration) -> bool {
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    let there = loop {
        match poll(&mut polled, Some(time), SigSet::all()) {
            Err(Errno::EINTR) => {}
            n => break n.is_ok_and(|n| n > 0),
        }
    };
    let mut buffer = [0; 8];
    there && nix::unistd::read(process, &mut buffer) == Ok(1) && buffer[0] == message::READY
}

/// Lets the process go on.
pub fn go(process: &OwnedFd) -> bool {
    tell(process, &[message::GO])
}

/// Tells the keeper the pid of the calling process, which is about to exec the program.
pub fn introduce(keeper: &OwnedFd) -> bool {
    tell(keeper, &[message::PROGRAM])
}

fn tell(to: &OwnedFd, bytes: &[u8]) -> bool {
    loop {
        match send(to.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            sent => return sent.is_ok(),
        }
    }
}

/// Has the init send the program and its process group a signal.
pub fn forward(init: &OwnedFd, signal: c_int) -> nix::Result<()> {
    let signal = u8::try_from(signal).map_err(|_| Errno::EINVAL)?;
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    match send(init.as_raw_fd(), &[message::SIGNAL, signal], flags) {
        Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Errno::ESRCH),
        sent => sent.map(drop),
    }
}

/// Receives the next message, without waiting.
pub fn hear(init: &OwnedFd) -> News {
    let mut buffer = [0; 8];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    #[cfg(target_os = "linux")]
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    #[cfg(not(target_os = "linux"))]
    let mut space = Vec::new();
    let flags = MsgFlags::MSG_DONTWAIT;
    let (n, sender) = match recvmsg::<()>(init.as_raw_fd(), &mut parts, Some(&mut space), flags) {
        Ok(message) => {
            let sender = message.cmsgs().ok().and_then(|mut parts| {
                parts.find_map(|part| match part {
                    #[cfg(target_os = "linux")]
                    ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
                    _ => None,
                })
            });
            (message.bytes, sender)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return News::None,
        Err(_) => return News::Over,
    };
    match (n, buffer[0], sender) {
        (0, ..) => News::Over,
        (1, message::PROGRAM, Some(pid)) => News::Program(pid),
        (5, message::STATUS, _) => News::Status(c_int::from_le_bytes([
            buffer[1], buffer[2], buffer[3], buffer[4],
        ])),
        // A process that runs a program may send anything.
        _ => News::None,
    }
}

/// Runs as the init of a program until the program ends. Signals are blocked, except for SIGCHLD
/// while the init waits.
pub fn run(keeper: &OwnedFd, program: c_int) -> ! {
    signals::interrupt_by_child();
    let mut mask = SigSet::all();
    mask.remove(nix::sys::signal::Signal::SIGCHLD);
    loop {
        while let Ok(child) = wait4(-1, libc::WNOHANG) {
            match child.pid {
                0 => break,
                _ if let_go_or_kill(&child) => {}
                pid if pid == program => {
                    let [a, b, c, d] = child.status.to_le_bytes();
                    tell(keeper, &[message::STATUS, a, b, c, d]);
                    leave(0);
                }
                _ => {}
            }
        }
        let mut polled = [PollFd::new(keeper.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polled, None, mask) {
            Ok(1..) => {}
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => leave(1),
        }
        let mut buffer = [0; 8];
        match nix::unistd::read(keeper, &mut buffer) {
            Ok(2) if buffer[0] == message::SIGNAL => pass_on(program, c_int::from(buffer[1])),
            Ok(1..) | Err(Errno::EINTR) => {}
            // The keeper is gone. The init ends, and the kernel ends the namespace with it.
            _ => leave(1),
        }
    }
}

fn pass_on(program: c_int, signal: c_int) {
    // The program isn't reaped, so that both numbers are its own.
    let _ = kill(-program, signal).or_else(|_| kill(program, signal));
}
