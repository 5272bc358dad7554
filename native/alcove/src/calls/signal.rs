//! Signals.

use crate::process::Process;
use crate::reply::Outcome;
use crate::signals;
use alcove_proto::wire::arg::Handler;
use nix::errno::Errno;

/// kill(2).
pub fn kill(_: &mut Process, pid: i32, signal: i32) -> Outcome {
    // SAFETY: sends a signal; real-time signals are numbers that have no name.
    Errno::result(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// sigaction(2): default action, ignored, or an event for the owner.
///
/// `einval` for signals that can't be caught and for those that the C library
/// keeps for itself. Children are reaped whatever SIGCHLD is set to.
pub fn sigaction(process: &mut Process, signal: i32, handler: Handler) -> Outcome {
    if signal == libc::SIGCHLD && handler == Handler::Trap {
        process.children.reserve_statuses();
    }
    Ok(signals::set(signal, handler)?)
}
