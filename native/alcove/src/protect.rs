//! Protection of a process: it doesn't outlive its parent, its descendants don't escape, and other
//! processes can't look into it.

#[cfg(target_os = "linux")]
use crate::sys::process;
use libc::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

/// Whether this process is root, which ends the tree when the guardian dies.
static ROOT: AtomicBool = AtomicBool::new(false);
/// What getppid(2) says while the parent lives; 0 in another pid namespace than the parent's.
static PARENT: AtomicI32 = AtomicI32::new(0);

/// Remembers the parent, and whether that is the guardian and this process root.
pub fn set_parent(parent: c_int, root: bool) {
    ROOT.store(root, SeqCst);
    PARENT.store(parent, SeqCst);
}

/// Whether this process is root.
pub fn is_root() -> bool {
    ROOT.load(SeqCst)
}

/// Whether the parent has died.
pub fn parent_died() -> bool {
    nix::unistd::getppid().as_raw() != PARENT.load(SeqCst)
}

/// Whether this is root, and the guardian lives.
pub fn is_guarded() -> bool {
    is_root() && !parent_died()
}

/// Makes the kernel send this process a signal when the parent dies; 0: none.
pub fn set_death_signal(signal: c_int) {
    #[cfg(target_os = "linux")]
    process::set_death_signal(signal);
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
}

/// Sets whether a descendant that loses its parent becomes this process's child.
pub fn become_subreaper(yes: bool) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(yes);
    #[cfg(not(target_os = "linux"))]
    let _ = yes;
}

/// Sets whether other processes of the same user may look into this one.
pub fn set_dumpable(yes: bool) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(yes);
    #[cfg(not(target_os = "linux"))]
    let _ = yes;
}

/// The attributes that the kernel resets when a process changes its credentials or its namespaces.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The signal that the process gets when its parent dies; 0 for none.
    pub death_signal: c_int,
    /// As PR_GET_DUMPABLE says.
    pub dumpable: c_int,
}

#[cfg(target_os = "linux")]
impl Protection {
    /// Reads the attributes as they are.
    pub fn now() -> Self {
        Protection {
            death_signal: process::death_signal(),
            dumpable: process::dumpable(),
        }
    }
}
