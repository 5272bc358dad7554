//! Signals.

use crate::process::Process;
use crate::reply::{Fail, Outcome};
use crate::signals;
use crate::sys::{signal as sys, trap};
use alcove_proto::wire::arg::Handler;

/// kill(2).
pub fn kill(_: &mut Process, pid: i32, signal: i32) -> Outcome {
    Ok(sys::kill(pid, signal)?)
}

/// sigaction(2): default action, ignored, or an event for the owner.
///
/// `einval` for signals that can't be caught and for those that the C library
/// keeps for itself. Children are reaped whatever SIGCHLD is set to.
///
/// `unsupported` for SIGSYS as an event on a processor on which a system call that a filter
/// trapped would seem to be made.
pub fn sigaction(process: &mut Process, signal: i32, handler: Handler) -> Outcome {
    if signal == libc::SIGSYS && handler == Handler::Trap && !trap::can_be_refused() {
        return Err(Fail::Unsupported);
    }
    if signal == libc::SIGCHLD && handler == Handler::Trap {
        process.children.reserve_statuses();
    }
    Ok(signals::set(signal, handler)?)
}
