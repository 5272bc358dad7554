//! What tests need: a process of their own, and a directory.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[path = "../../tests/common/need.rs"]
#[allow(dead_code, reason = "what only the tests of trees need")]
pub mod need;

/// Runs `test` in a process of its own, where it may change what all threads of
/// a process share. Fails when the test does.
pub fn in_child(test: impl FnOnce()) {
    // SAFETY: the child calls what the test calls and ends; glibc keeps its allocator usable
    // in the child of a process with threads.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            // A test that hangs ends by a signal, and so fails.
            nix::unistd::alarm::set(20);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
            // SAFETY: ends the child without what the test runner does at its end.
            unsafe { libc::_exit(i32::from(result.is_err())) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
}

/// A directory that is removed when the test ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let directory = format!("alcove-test-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&path).expect("create a directory");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the directory.
    pub fn at(&self, name: &str) -> CString {
        CString::new(self.0.join(name).as_os_str().as_bytes()).expect("no NUL")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
