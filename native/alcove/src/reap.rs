//! Reaping children, and telling the owner how they ended.
//!
//! Runs in the signal handler too: nothing here allocates.

use crate::process::Process;
use crate::sys::precedence::Precedence;
use crate::sys::signal::kill;
use crate::sys::wait::{Waited, wait4};
use crate::{descendants, io, wanted};
use alcove_proto::frame::{self, Child, Short, notify};
use libc::c_int;

/// So many children that have ended at once are a flood.
const MANY: u32 = 256;

/// A child that has ended, if there is one.
fn ended_child(pid: c_int) -> Option<Waited> {
    let options = if wanted::keeps() {
        libc::WNOHANG | libc::WUNTRACED
    } else {
        libc::WNOHANG
    };
    wait4(pid, options).ok().filter(|ended| ended.pid > 0)
}

/// Reaps the children that have ended. First it asks for the one that the signal named, since
/// asking for any child takes the kernel long when there are thousands.
pub fn reap(process: &mut Process, named: c_int) {
    if let Some(child) = Some(named).filter(|named| *named > 0).and_then(ended_child) {
        found(process, &child);
    }
    let (mut count, mut precedence) = (0, None);
    while let Some(child) = ended_child(-1) {
        found(process, &child);
        count += 1;
        // Orphans that fork on must not come faster than they are reaped.
        if count > MANY {
            precedence.get_or_insert_with(Precedence::take);
        }
    }
}

/// Handles a status that wait4(2) returned. A status that the user may ask waitpid(2) for is
/// kept for that.
pub fn found(process: &mut Process, child: &Waited) {
    // A traced process shows its stops whether or not they were asked for.
    let stopped = libc::WIFSTOPPED(child.status);
    if let Some(stops) = process.children.stops(child.pid).filter(|_| stopped) {
        // A program of the same user may stop a keeper, but must not escape its end that way.
        let _ = kill(child.pid, stops.signal());
        return;
    }
    let kept = stopped || wanted::is_trapped(libc::SIGCHLD);
    if kept && !process.children.is_keeper(child.pid) {
        process.children.keep_status(child.pid, child.status);
    }
    if !stopped {
        reaped(process, child);
    }
}

/// Reports a child that has ended. No owner is told of orphans that became children of this
/// process. The loop isn't quiescent, or this runs in its signal handler.
pub fn reaped(process: &mut Process, child: &Waited) {
    let kept = process.children.is_keeper(child.pid);
    if !process.children.remove(child.pid) {
        return;
    }
    if kept && libc::WIFSIGNALED(child.status) {
        // The processes that the killed keeper kept have become children of this process, and no
        // keeper watches them any more. Nothing distinguishes them from other orphans, so all
        // orphans are killed.
        descendants::end_orphans(process.children.pids());
    }
    let asked = [
        (process.options.exit_status, notify::EXIT_STATUS),
        (process.options.termsig, notify::TERMSIG),
        (process.options.rusage, notify::RUSAGE),
    ];
    let notify = asked
        .iter()
        .fold(0, |all, (asked, bit)| all | if *asked { *bit } else { 0 });
    let child = Short::of(&Child {
        pid: child.pid as u32,
        status: child.status,
        notify,
        used: numbers(&child.usage),
    });
    // If the control socket is gone, this process ends at its next read.
    let _ = io::write_all(process.control, &child);
}

/// What a child used, in the order of its frame.
#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between platforms"
)]
pub fn numbers(usage: &libc::rusage) -> [i64; frame::RUSAGE] {
    [
        usage.ru_utime.tv_sec as i64,
        usage.ru_utime.tv_usec as i64,
        usage.ru_stime.tv_sec as i64,
        usage.ru_stime.tv_usec as i64,
        usage.ru_maxrss as i64,
        usage.ru_minflt as i64,
        usage.ru_majflt as i64,
        usage.ru_inblock as i64,
        usage.ru_oublock as i64,
        usage.ru_nvcsw as i64,
        usage.ru_nivcsw as i64,
    ]
}
