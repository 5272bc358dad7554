//! What a process is, and its options.

use crate::process::Process;
use crate::reply::{Bare, List, Outcome};
use crate::sys::signal;
use alcove_proto::VERSION;
use alcove_proto::calls::Set;
use alcove_proto::wire::arg::Opt;
use nix::unistd::{self, Pid};

/// The version of alcove: a binary.
pub fn version(_: &mut Process) -> Bare<&'static [u8]> {
    Bare(VERSION.as_bytes())
}

/// The pids of the children that this process forked and that still live.
pub fn pid(process: &mut Process) -> Bare<List<i32>> {
    let children = process.children.pids().iter().copied();
    // Keepers are alcove's own.
    let forked = children.filter(|pid| !process.children.is_keeper(*pid));
    Bare(List(forked.collect()))
}

/// An option: an integer, `false` when there is no such option.
pub fn getopt(process: &mut Process, option: Opt) -> Bare<Option<i64>> {
    Bare(process.options.get(option))
}

/// Sets an option: `true`, or `false` when that can't be.
pub fn setopt(process: &mut Process, option: Opt, value: i64) -> Bare<bool> {
    Bare(process.options.set(option, value))
}

/// An option of a child, which must not have ended; `false` when there is no such
/// option or child.
pub fn getcpid(process: &mut Process, pid: i32, option: Opt) -> Bare<Option<i64>> {
    Bare(match option {
        Opt::Signaloneof => process
            .children
            .signal(pid)
            .map(|signal| i64::from(*signal)),
        _ => None,
    })
}

/// Sets an option of a child: `true`, or `false` when that can't be.
pub fn setcpid(process: &mut Process, pid: i32, option: Opt, value: i64) -> Bare<bool> {
    let to = process.children.signal(pid);
    Bare(match (option, to, signal::number(value)) {
        (Opt::Signaloneof, Some(to), Some(signal)) => {
            *to = signal;
            true
        }
        _ => false,
    })
}

/// Refuses calls from now on, here and in what this process forks: there is no way back.
pub fn filter(process: &mut Process, calls: Set) -> Outcome {
    process.denied.add_all(&calls);
    Ok(())
}

/// getpid(2).
pub fn getpid(_: &mut Process) -> Bare<i32> {
    Bare(unistd::getpid().as_raw())
}

/// getppid(2): 0 when the parent is in another pid namespace.
pub fn getppid(_: &mut Process) -> Bare<i32> {
    Bare(unistd::getppid().as_raw())
}

/// getpgid(2): `{ok, Pgid}`. 0 is this process.
pub fn getpgid(_: &mut Process, pid: i32) -> Outcome<i32> {
    Ok(unistd::getpgid(Some(Pid::from_raw(pid)))?.as_raw())
}

/// getpgrp(2).
pub fn getpgrp(_: &mut Process) -> Bare<i32> {
    Bare(unistd::getpgrp().as_raw())
}

/// getsid(2): `{ok, Sid}`. 0 is this process.
pub fn getsid(_: &mut Process, pid: i32) -> Outcome<i32> {
    Ok(unistd::getsid(Some(Pid::from_raw(pid)))?.as_raw())
}

/// setpgid(2).
pub fn setpgid(_: &mut Process, pid: i32, pgid: i32) -> Outcome {
    Ok(unistd::setpgid(Pid::from_raw(pid), Pid::from_raw(pgid))?)
}

/// setsid(2): `{ok, Sid}`.
pub fn setsid(_: &mut Process) -> Outcome<i32> {
    Ok(unistd::setsid()?.as_raw())
}
