//! The platform's constants by name.

/// Which function of `alcove` looks a constant up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `clone_define`
    Clone,
    /// `file_define`
    File,
    /// `mount_define`
    Mount,
    /// `prctl_define`
    Prctl,
    /// `rlimit_define`
    Rlimit,
    /// `signal_define`
    Signal,
    /// `syscall_define`
    Syscall,
}

/// The value of a name, in a group or, without one, in any.
pub fn lookup(_group: Option<Group>, _name: &str) -> Option<i64> {
    None
}

/// The name of a signal, as `sigterm`.
pub fn signal_name(_number: i32) -> Option<&'static str> {
    None
}
