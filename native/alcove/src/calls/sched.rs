//! Priorities, processors, and what was used of them.

use crate::process::Process;
#[cfg(target_os = "linux")]
use crate::reply::List;
use crate::reply::{Map, Outcome, Value};
#[cfg(target_os = "linux")]
use crate::sys::affinity::{self, Cpus};
use crate::sys::resource;
use alcove_proto::wire::Atom;
use alcove_proto::wire::arg::Timeval;
use libc::c_int;
use nix::errno::Errno;

/// getpriority(2): the nice value of a process, a group or a user; the lowest of several.
pub fn getpriority(_: &mut Process, which: i64, who: u32) -> Outcome<i32> {
    let which = c_int::try_from(which).map_err(|_| Errno::EINVAL)?;
    Ok(resource::getpriority(which, who)?)
}

/// setpriority(2).
pub fn setpriority(_: &mut Process, which: i64, who: u32, priority: i32) -> Outcome {
    let which = c_int::try_from(which).map_err(|_| Errno::EINVAL)?;
    Ok(resource::setpriority(which, who, priority)?)
}

/// sched_getaffinity(2): the processors that a process may run on; 0 is this one.
#[cfg(target_os = "linux")]
pub fn sched_getaffinity(_: &mut Process, pid: i32) -> Outcome<List<u32>> {
    let cpus = affinity::get(pid)?;
    Ok(List(cpus.numbers().collect()))
}

/// sched_setaffinity(2).
#[cfg(target_os = "linux")]
pub fn sched_setaffinity(_: &mut Process, pid: i32, cpus: Vec<u32>) -> Outcome {
    Ok(affinity::set(pid, &Cpus::of(&cpus)?)?)
}

#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the types differ between platforms"
)]
/// getrusage(2): what this process, or its children that have ended, used.
pub fn getrusage(_: &mut Process, who: i64) -> Outcome<Map<9>> {
    let who = c_int::try_from(who).map_err(|_| Errno::EINVAL)?;
    let usage = resource::getrusage(who)?;
    let time = |time: libc::timeval| {
        Value::Time(Timeval {
            sec: time.tv_sec as i64,
            usec: time.tv_usec as i64,
        })
    };
    let count = |count: libc::c_long| Value::Int(count as i64);
    Ok(Map([
        (Atom::Utime, time(usage.ru_utime)),
        (Atom::Stime, time(usage.ru_stime)),
        (Atom::Maxrss, count(usage.ru_maxrss)),
        (Atom::Minflt, count(usage.ru_minflt)),
        (Atom::Majflt, count(usage.ru_majflt)),
        (Atom::Inblock, count(usage.ru_inblock)),
        (Atom::Oublock, count(usage.ru_oublock)),
        (Atom::Nvcsw, count(usage.ru_nvcsw)),
        (Atom::Nivcsw, count(usage.ru_nivcsw)),
    ]))
}
