//! Creating processes.

use crate::process::Process;
use crate::reply::Outcome;
use crate::spawn;

/// fork(2): a child that is in its event loop. `{ok, Pid}`.
///
/// `eagain` when the process has as many children as its childlimit says,
/// `eagain` also when the fork path would be longer than maxforkdepth.
pub fn fork(process: &mut Process) -> Outcome<i32> {
    spawn::create(process, 0)
}

/// clone(2): a child in its event loop, with flags that say which namespaces are
/// new. `einval` besides for flags that an event loop can't live with: what
/// shares memory, descriptors or handlers, and what takes further arguments.
#[cfg(target_os = "linux")]
pub fn clone(process: &mut Process, flags: u64) -> Outcome<i32> {
    spawn::create(process, flags)
}
