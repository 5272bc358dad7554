//! Priorities, processors, and what was used of them.

use super::done;
use crate::process::Process;
use crate::reply::{List, Map, Outcome, Value};
use alcove_proto::wire::Atom;
use alcove_proto::wire::arg::Timeval;
use libc::c_int;
use nix::errno::Errno;

/// getpriority(2): the nice value of a process, a group or a user; the lowest of several.
pub fn getpriority(_: &mut Process, which: i64, who: u32) -> Outcome<i32> {
    let which = c_int::try_from(which).map_err(|_| Errno::EINVAL)?;
    Errno::clear();
    // SAFETY: takes numbers and touches no memory.
    match unsafe { libc::getpriority(which as _, who as _) } {
        // Which is a value too.
        -1 if Errno::last_raw() != 0 => Err(Errno::last().into()),
        priority => Ok(priority),
    }
}

/// setpriority(2).
pub fn setpriority(_: &mut Process, which: i64, who: u32, priority: i32) -> Outcome {
    let which = c_int::try_from(which).map_err(|_| Errno::EINVAL)?;
    // SAFETY: takes numbers and touches no memory.
    done(unsafe { libc::setpriority(which as _, who as _, priority) })
}

/// sched_getaffinity(2): the processors that a process may run on; 0 is this one. Linux only.
pub fn sched_getaffinity(_: &mut Process, pid: i32) -> Outcome<List<u32>> {
    sys::sched_getaffinity(pid)
}

/// sched_setaffinity(2): Linux only.
pub fn sched_setaffinity(_: &mut Process, pid: i32, cpus: Vec<u32>) -> Outcome {
    sys::sched_setaffinity(pid, &cpus)
}

#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the types differ between platforms"
)]
/// getrusage(2): what this process, or its children that have ended, used.
pub fn getrusage(_: &mut Process, who: i64) -> Outcome<Map<9>> {
    let who = c_int::try_from(who).map_err(|_| Errno::EINVAL)?;
    // SAFETY: an all-zero rusage is valid, and the kernel fills it in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    Errno::result(unsafe { libc::getrusage(who as _, &mut usage) })?;
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

#[cfg(target_os = "linux")]
mod sys {
    use super::*;
    use libc::c_ulong;

    /// Processors that there is room for: more than any kernel has.
    const MOST: usize = 65_536;
    const BITS: usize = c_ulong::BITS as usize;

    /// A set of processors as the kernel has it. The C library's ends at 1023.
    type Set = [c_ulong; MOST / BITS];

    pub fn sched_getaffinity(pid: i32) -> Outcome<List<u32>> {
        let mut set: Set = [0; _];
        // SAFETY: the set is as large as is said.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sched_getaffinity,
                pid,
                size_of::<Set>(),
                set.as_mut_ptr(),
            )
        };
        Errno::result(result)?;
        let cpus = (0..MOST).filter(|cpu| set[cpu / BITS] & 1 << (cpu % BITS) != 0);
        Ok(List(cpus.map(|cpu| cpu as u32).collect()))
    }

    pub fn sched_setaffinity(pid: i32, cpus: &[u32]) -> Outcome {
        let mut set: Set = [0; _];
        for cpu in cpus {
            let cpu = *cpu as usize;
            *set.get_mut(cpu / BITS).ok_or(Errno::EINVAL)? |= 1 << (cpu % BITS);
        }
        // SAFETY: the set is as large as is said.
        let result = unsafe {
            libc::syscall(
                libc::SYS_sched_setaffinity,
                pid,
                size_of::<Set>(),
                set.as_ptr(),
            )
        };
        Errno::result(result)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::*;
    use crate::reply::Fail;

    pub fn sched_getaffinity(_: i32) -> Outcome<List<u32>> {
        Err(Fail::Unsupported)
    }

    pub fn sched_setaffinity(_: i32, _: &[u32]) -> Outcome {
        Err(Fail::Unsupported)
    }
}
