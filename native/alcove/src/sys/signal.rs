//! Sending signals, their numbers, and the mask.

use libc::c_int;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};

/// One more than the largest number of a signal on any platform.
pub const NUMBERS: usize = 129;

pub use alcove_proto::constants::largest_signal as largest;

/// A number that kill(2) takes, 0 included.
pub fn number(value: i64) -> Option<u8> {
    let signal = u8::try_from(value).ok()?;
    (c_int::from(signal) <= largest()).then_some(signal)
}

/// kill(2). The signal is a number, as those of real-time signals have no name. Signal-safe.
///
/// The pid of a child is its own until this process reaps the child.
pub fn kill(pid: c_int, signal: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sets a signal that the C library reserves for itself to its default action. A process that was
/// started by glibc's posix_spawn(3) ignores these signals, and glibc's sigaction(2) refuses them.
pub fn reset_reserved(signal: c_int) {
    #[cfg(target_os = "linux")]
    {
        // The kernel's own structure is no larger than this; all zero is the default action.
        let default = [0_u64; 8];
        let set_size = (largest() as usize).div_ceil(8);
        // SAFETY: reads from memory of ours.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<libc::c_void>(),
                set_size,
            )
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
}

/// Blocks all signals; returns the mask to give to [`restore`].
pub fn block() -> SigSet {
    SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .unwrap_or_else(|_| SigSet::empty())
}

/// Sets the mask that [`block`] returned.
pub fn restore(mask: &SigSet) {
    let _ = mask.thread_set_mask();
}

/// Unblocks all signals.
pub fn unblock() {
    restore(&SigSet::empty());
}
