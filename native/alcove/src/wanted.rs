//! What the user wants of each signal.

use crate::sys::signal::NUMBERS;
use alcove_proto::wire::arg::Handler;
use libc::c_int;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

/// For each signal a [`Handler`], or [`UNSAID`].
static WANTED: [AtomicU8; NUMBERS] = [const { AtomicU8::new(Handler::Dfl as u8) }; NUMBERS];
/// The signal is caught and does nothing: SIGPIPE, unless the user sets its action.
pub const UNSAID: u8 = 0xff;

/// The action that the user wants for a signal.
pub fn of(signal: c_int) -> u8 {
    WANTED[signal as usize].load(SeqCst)
}

/// Changes the action that the user wants for a signal, and returns the former one.
pub fn change(signal: c_int, wanted: u8) -> u8 {
    WANTED[signal as usize].swap(wanted, SeqCst)
}

/// Whether the user traps a signal.
pub fn is_trapped(signal: c_int) -> bool {
    of(signal) == Handler::Trap as u8
}

/// Whether the user has a signal ignored.
pub fn is_ignored(signal: c_int) -> bool {
    of(signal) == Handler::Ign as u8
}

/// Whether this process has forked keepers, which it has to continue when they are stopped.
static KEEPS: AtomicBool = AtomicBool::new(false);

/// Sets whether it has, and returns whether it had before.
pub fn set_keeps(keeps: bool) -> bool {
    KEEPS.swap(keeps, SeqCst)
}

/// Whether it has.
pub fn keeps() -> bool {
    KEEPS.load(SeqCst)
}
