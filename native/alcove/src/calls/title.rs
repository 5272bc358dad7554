//! What ps(1) shows of a process.

use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::title;
use std::ffi::CStr;

/// setproctitle(3): what ps(1) shows as the process's command, cut off where there is no more
/// room: the arguments and the environment that alcove was started with had to fit there.
pub fn setproctitle(_: &mut Process, title: &CStr) -> Outcome {
    Ok(title::set(title.to_bytes())?)
}
