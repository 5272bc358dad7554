//! Waiting for children.

use crate::process::Process;
use crate::reap;
use crate::reply::{Flat, List, Outcome, Term};
use crate::sys::wait::{Waited, wait4};
use alcove_proto::wire::{Atom, PutTerm};
use libc::c_int;
use nix::errno::Errno;

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended by itself.
    Exited(c_int),
    /// A signal ended it.
    Killed(c_int),
    /// A signal stopped it.
    Stopped(c_int),
    /// It goes on.
    Continued,
}

impl Status {
    fn of(status: c_int) -> Option<Status> {
        if libc::WIFEXITED(status) {
            Some(Status::Exited(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            Some(Status::Killed(libc::WTERMSIG(status)))
        } else if libc::WIFSTOPPED(status) {
            // A tracer may have asked for a bit that tells its stops from others.
            Some(Status::Stopped(libc::WSTOPSIG(status) & 0x7f))
        } else if libc::WIFCONTINUED(status) {
            Some(Status::Continued)
        } else {
            None
        }
    }
}

impl Term for Status {
    fn put(&self, out: &mut Vec<u8>) {
        let (what, signal) = match self {
            Status::Continued => return out.term_atom(Atom::Continued),
            Status::Exited(status) => {
                out.term_tuple(2);
                out.term_atom(Atom::ExitStatus);
                return out.term_int((*status).into());
            }
            Status::Killed(signal) => (Atom::Termsig, *signal),
            Status::Stopped(signal) => (Atom::Stopsig, *signal),
        };
        out.term_tuple(2);
        out.term_atom(what);
        out.term_signal(signal);
    }
}

/// waitpid(2): `{ok, Pid, Status, [What]}`; `{ok, 0, 0, []}` when `wnohang` found nothing.
///
/// Alcove reaps children as they end. While SIGCHLD is trapped it keeps how the latest of
/// them ended, and how traced processes stopped, and this is where that is found. A child
/// that ends during the call is found in any case. Kept statuses have no process group:
/// of a group, only what happens during the call is found.
pub fn waitpid(p: &mut Process, pid: i32, options: u64) -> Flat<(i32, i32, List<Status>)> {
    Flat(wait(p, pid, options))
}

fn wait(p: &mut Process, pid: c_int, options: u64) -> Outcome<(i32, i32, List<Status>)> {
    let options = c_int::try_from(options).map_err(|_| Errno::EINVAL)?;
    p.children.reserve_statuses();
    let (pid, status) = match p.children.take_status(pid) {
        Some(kept) => kept,
        None => {
            let child = others(p, pid, options)?;
            let status = child.status;
            if child.pid > 0 && (libc::WIFEXITED(status) || libc::WIFSIGNALED(status)) {
                reap::reaped(p, &child);
            }
            (child.pid, status)
        }
    };
    let what = if pid == 0 { None } else { Status::of(status) };
    Ok((pid, status, List(what.into_iter().collect())))
}

/// Waits for children that are none of alcove's own. What it finds of a keeper is handled as if
/// nobody had waited: one that was stopped goes on.
fn others(p: &mut Process, pid: c_int, options: c_int) -> nix::Result<Waited> {
    loop {
        let child = wait4(pid, options)?;
        if child.pid == 0 || !p.children.is_keeper(child.pid) {
            return Ok(child);
        }
        if !libc::WIFCONTINUED(child.status) {
            reap::found(p, &child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};
    use crate::reply::Bare;
    use crate::sys::process::{exit, fork};

    fn meaning(status: c_int) -> String {
        text(&Bare(List(Status::of(status).into_iter().collect())))
    }

    #[test]
    fn statuses_have_meanings() {
        assert_eq!(meaning(7 << 8), "[{exit_status,7}]");
        assert_eq!(meaning(libc::SIGKILL), "[{termsig,sigkill}]");
        assert_eq!(meaning(libc::SIGSTOP << 8 | 0x7f), "[{stopsig,sigstop}]");
        // A stop at a system call, as PTRACE_O_TRACESYSGOOD has it told.
        #[cfg(target_os = "linux")]
        assert_eq!(
            meaning((libc::SIGTRAP | 0x80) << 8 | 0x7f),
            "[{stopsig,sigtrap}]"
        );
        #[cfg(target_os = "linux")]
        assert_eq!(meaning(0xffff), "[continued]");
    }

    #[test]
    fn children_are_waited_for() {
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&waitpid(&mut p, -1, 0)), "{error,echild}");
            let child = fork().expect("fork");
            if child == 0 {
                exit(3);
            }
            assert_eq!(
                text(&waitpid(&mut p, child, 0)),
                format!("{{ok,{child},768,[{{exit_status,3}}]}}")
            );
            p.children.keep_status(77, libc::SIGTERM);
            assert_eq!(
                text(&waitpid(&mut p, -1, libc::WNOHANG as u64)),
                "{ok,77,15,[{termsig,sigterm}]}"
            );
            assert_eq!(text(&waitpid(&mut p, 77, 0)), "{error,echild}");
        });
    }
}
