//! Capabilities. Linux only.
//!
//! A set of them is a number with a bit for each.

use libc::{c_int, c_ulong};
use nix::errno::Errno;

/// The capabilities of a process.
#[derive(Clone, Copy)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

/// `struct __user_cap_header_struct` of linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

impl Header {
    /// In the third version two structures follow, for 64 capabilities.
    fn of(pid: c_int) -> Header {
        Header {
            version: 0x2008_0522,
            pid,
        }
    }
}

/// `struct __user_cap_data_struct`: 32 bits of each set.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// capget(2); 0 is this process.
pub fn get(pid: c_int) -> nix::Result<Sets> {
    let mut header = Header::of(pid);
    let mut data = [Data::default(); 2];
    let (header, at) = (&raw mut header, data.as_mut_ptr());
    // SAFETY: the kernel reads the header and fills in two structures.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, header, at) })?;
    let [low, high] = data;
    let whole = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    Ok(Sets {
        effective: whole(low.effective, high.effective),
        permitted: whole(low.permitted, high.permitted),
        inheritable: whole(low.inheritable, high.inheritable),
    })
}

/// capset(2), of this process.
pub fn set(sets: Sets) -> nix::Result<()> {
    let mut header = Header::of(0);
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    let (header, at) = (&raw mut header, data.as_ptr());
    // SAFETY: the kernel reads the header and two structures.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header, at) }).map(drop)
}

/// Whether a capability is in the bounding set: 1 or 0.
pub fn bound(cap: c_ulong) -> nix::Result<c_int> {
    prctl(libc::PR_CAPBSET_READ, cap, 0)
}

/// Drops a capability from the bounding set.
pub fn drop_bound(cap: c_ulong) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, cap, 0).map(drop)
}

/// PR_CAP_AMBIENT, with one of its operations.
pub fn ambient(operation: c_int, cap: c_ulong) -> nix::Result<c_int> {
    prctl(libc::PR_CAP_AMBIENT, operation as c_ulong, cap)
}

/// For the options above.
fn prctl(option: c_int, arg2: c_ulong, arg3: c_ulong) -> nix::Result<c_int> {
    // SAFETY: these options take numbers and touch no memory.
    Errno::result(unsafe { libc::prctl(option, arg2, arg3, 0, 0) })
}
