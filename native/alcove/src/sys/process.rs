//! Processes: fork(2), what prctl(2) knows of the calling one, and its end. All is signal-safe.

use libc::c_int;
use nix::errno::Errno;

/// fork(2): 0 in the child.
pub fn fork() -> nix::Result<c_int> {
    // SAFETY: no process of this executable has a second thread, which the child would lack.
    Errno::result(unsafe { libc::fork() })
}

/// _exit(2).
pub fn exit(status: c_int) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// The signal that the process gets when its parent dies; 0 for none.
#[cfg(target_os = "linux")]
pub fn death_signal() -> c_int {
    let mut signal: c_int = 0;
    // SAFETY: the option writes an int to the address.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0) };
    signal
}

/// Makes the kernel send this process a signal when the parent dies; 0: none.
#[cfg(target_os = "linux")]
pub fn set_death_signal(signal: c_int) {
    // SAFETY: the option takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0, 0, 0) };
}

/// As PR_GET_DUMPABLE says.
#[cfg(target_os = "linux")]
pub fn dumpable() -> c_int {
    // SAFETY: the option touches no memory.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }
}

/// The kernel refuses what is neither 0 nor 1.
#[cfg(target_os = "linux")]
pub fn set_dumpable(dumpable: c_int) {
    // SAFETY: the option takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, dumpable as libc::c_ulong, 0, 0, 0) };
}
