//! The children of a keeper: finds them, and sends all of them SIGKILL.
//!
//! The kernel lists them in a /proc that root opened at its start and found to be genuine. So the
//! keeper reads nothing that a program wrote, whatever its root directory is and whatever is
//! mounted there. If there is no such /proc, the keeper asks the kernel for one pid after the other
//! whether it can be waited for.

use crate::descendants::Window;
use crate::procfs;
use crate::sys::{pidfd, signal};
use libc::c_int;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, OwnedFd};

/// How a keeper finds its children.
pub struct Below {
    proc: Option<OwnedFd>,
    /// Whether that /proc is of this process's pid namespace.
    same: bool,
    children: Option<OwnedFd>,
}

impl Below {
    /// For the calling process.
    pub fn new() -> Below {
        let found = [procfs::trusted(), procfs::open()]
            .into_iter()
            .flatten()
            .map(|proc| (numbers_alike(&proc), proc))
            .max_by_key(|(same, _)| *same);
        let (same, proc) = found.map_or((false, None), |(same, proc)| (same, Some(proc)));
        let children = proc.as_ref().and_then(procfs::children);
        Below {
            proc,
            same,
            children,
        }
    }

    /// Opens a file of a process for writing: /proc/PID/NAME.
    pub fn open(&self, pid: c_int, name: &str) -> nix::Result<OwnedFd> {
        let proc = self
            .proc
            .as_ref()
            .filter(|_| self.same)
            .ok_or(Errno::ENOENT)?;
        let path = format!("{pid}/{name}");
        openat(
            proc,
            path.as_str(),
            OFlag::O_WRONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    }

    /// The pids of the children.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        let add = |pid| pids.push(pid as u32);
        match &self.children {
            Some(children) => procfs::each_child(children, add),
            None => each_waited_for(add),
        }
        pids
    }

    /// Kills the children, the newest first, and of thousands no others.
    pub fn kill(&self) {
        let (Some(children), Some(proc)) = (&self.children, &self.proc) else {
            return each_waited_for(kill);
        };
        let mut all = true;
        procfs::newest_children(children, |pid| {
            if self.same {
                kill(pid);
            } else {
                all &= kill_held(proc, pid);
            }
        });
        if !all {
            each_waited_for(kill);
        }
    }
}

/// Whether a /proc is of the calling process's pid namespace.
fn numbers_alike(proc: &OwnedFd) -> bool {
    nix::fcntl::readlinkat(proc.as_fd(), "self")
        .is_ok_and(|own| own.to_str() == Some(&std::process::id().to_string()))
}

/// Finds the children by asking the kernel for one pid after the other.
fn each_waited_for(mut then: impl FnMut(c_int)) {
    let mut found = false;
    for window in [Window::FIRST, Window::WHOLE] {
        window.each_pid(|pid| {
            found = true;
            then(pid);
        });
        if found {
            break;
        }
    }
}

fn kill(pid: c_int) {
    let _ = signal::kill(pid, libc::SIGKILL);
}

/// Kills a child whose pid in /proc differs from the one that the calling process sees. Returns
/// whether the kernel can do that.
fn kill_held(proc: &OwnedFd, pid: c_int) -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match openat(proc, pid.to_string().as_str(), flags, Mode::empty()) {
        // The kernel takes the directory of a process in /proc for a pidfd.
        Ok(held) => matches!(
            pidfd::send_signal(held.as_fd(), libc::SIGKILL, 0),
            Ok(()) | Err(Errno::ESRCH)
        ),
        // The child has ended.
        Err(errno) => errno == Errno::ENOENT,
    }
}
