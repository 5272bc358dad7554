//! Resource limits, priorities, and what was used.

use libc::c_int;
use nix::errno::Errno;

// The plain names have 32 bits on some platforms, too few for the limits of large files.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub use libc::{RLIM_INFINITY, rlim_t, rlimit};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use libc::{RLIM64_INFINITY as RLIM_INFINITY, rlim64_t as rlim_t, rlimit64 as rlimit};
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
use libc::{getrlimit as getrlimit_c, setrlimit as setrlimit_c};
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::{getrlimit64 as getrlimit_c, setrlimit64 as setrlimit_c};

/// getrlimit(2).
pub fn getrlimit(resource: c_int) -> nix::Result<rlimit> {
    let mut limit = rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel fills in the structure.
    Errno::result(unsafe { getrlimit_c(resource as _, &mut limit) })?;
    Ok(limit)
}

/// setrlimit(2).
pub fn setrlimit(resource: c_int, limit: &rlimit) -> nix::Result<()> {
    // SAFETY: the kernel reads the structure.
    Errno::result(unsafe { setrlimit_c(resource as _, limit) }).map(drop)
}

/// getpriority(2).
pub fn getpriority(which: c_int, who: u32) -> nix::Result<c_int> {
    Errno::clear();
    // SAFETY: takes numbers only.
    match unsafe { libc::getpriority(which as _, who as _) } {
        // Which is a value too.
        -1 if Errno::last_raw() != 0 => Err(Errno::last()),
        priority => Ok(priority),
    }
}

/// setpriority(2).
pub fn setpriority(which: c_int, who: u32, priority: c_int) -> nix::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::setpriority(which as _, who as _, priority) }).map(drop)
}

/// getrusage(2).
pub fn getrusage(who: c_int) -> nix::Result<libc::rusage> {
    // SAFETY: an all-zero rusage is valid, and the kernel fills it in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        Errno::result(libc::getrusage(who as _, &mut usage))?;
        Ok(usage)
    }
}
