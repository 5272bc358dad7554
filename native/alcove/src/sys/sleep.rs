//! A pause that a signal may end.

use std::time::Duration;

/// nanosleep(2), for less than a second, or until a signal is handled. Signal-safe.
pub fn nap(time: Duration) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos() as _,
    };
    // SAFETY: `time` is ours; the null pointer says that the remaining time isn't wanted.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}
