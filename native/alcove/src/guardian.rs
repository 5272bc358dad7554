//! The guardian: the process that the VM starts, and that makes sure that no
//! process of the tree outlives the VM.
//!
//! It takes its channel, forks root and then waits for one of two things: root's
//! end, which it reports on the lifeline, or the end of the lifeline. Either way
//! it ends every process below it, including those that left their session or lost
//! their parents, and ends last.

use crate::children::Stops;
use crate::exit::leave;
use crate::io::write_all;
use crate::protect::{become_subreaper, set_dumpable};
use crate::start::{Refusal, Step, channel, nullify, receive};
use crate::sys::poll::poll;
use crate::sys::process::fork;
use crate::sys::signal::{block, kill, restore};
use crate::sys::trace::let_go;
use crate::sys::wait::wait4;
use crate::{descendants, root, signals};
use alcove_proto::frame::RootStatus;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use nix::unistd::getpid;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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
    descendants::remember_name();
    let guardian = getpid().as_raw();
    let unblocked = block();
    match fork().step("fork")? {
        0 => {
            restore(&unblocked);
            root::run(control, start, guardian)
        }
        root => {
            drop(control);
            drop(start.stdio);
            guard(start.lifeline, root)
        }
    }
}

/// Guards the tree. Signals are blocked, except for SIGCHLD while it waits.
fn guard(lifeline: OwnedFd, root: i32) -> ! {
    let _ = nullify(&[libc::STDIN_FILENO, libc::STDOUT_FILENO]);
    // A working directory elsewhere would keep its file system busy.
    let _ = nix::unistd::chdir("/");
    signals::interrupt_by_child();
    let mut while_waiting = SigSet::all();
    while_waiting.remove(nix::sys::signal::Signal::SIGCHLD);
    let mut stops = Stops::default();
    loop {
        if let Some(status) = reap(root, &mut stops) {
            let _ = write_all(lifeline.as_raw_fd(), &RootStatus(status).bytes());
            break;
        }
        if lost(&lifeline, &while_waiting) {
            break;
        }
    }
    descendants::end(&[]);
    leave(0)
}

/// Reaps the children that have ended; returns root's status if root is one of them.
fn reap(root: i32, stops: &mut Stops) -> Option<i32> {
    loop {
        match wait4(-1, libc::WNOHANG | libc::WUNTRACED) {
            // Root, or an orphan, has asked to be traced.
            Ok(child) if let_go(&child) => {}
            // A program of the same user may stop root, but must not escape its end that way.
            Ok(child) if child.pid == root && libc::WIFSTOPPED(child.status) => {
                let _ = kill(root, stops.signal());
            }
            Ok(child) if child.pid == root => return Some(child.status),
            Ok(child) if child.pid > 0 => {}
            _ => return None,
        }
    }
}

/// Waits for a child or for the lifeline; returns whether the lifeline ended.
fn lost(lifeline: &OwnedFd, while_waiting: &SigSet) -> bool {
    let mut polled = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, None, *while_waiting) {
        Ok(_) => {}
        Err(Errno::EINTR) => return false,
        Err(_) => return true,
    }
    // The VM sends nothing on the lifeline; bytes that come anyway are dropped.
    !matches!(
        nix::unistd::read(lifeline, &mut [0; 64]),
        Ok(1..) | Err(Errno::EINTR)
    )
}
