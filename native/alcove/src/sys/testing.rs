//! What tests of system calls need: a process to call them, and a place where
//! they do no harm.

use crate::process::{Options, Process};
use crate::reply::Reply;
use alcove_proto::wire::{self, Builder, Init, Reader};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

#[path = "../../tests/common/need.rs"]
#[allow(dead_code, reason = "what only the tests of trees need")]
pub mod need;

/// A process as the event loop has it. Its control socket is a number that no
/// test has open.
pub fn process() -> Process {
    let mut process = Process::root(CONTROL, Options::new(&Init::default(), 1024));
    process.depth = 1;
    process
}

/// The control socket of [`process`].
pub const CONTROL: i32 = 999;

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

/// The term that a reply is, as text: `{ok,"abc"}`.
pub fn text(reply: &impl Reply) -> String {
    let mut out = Vec::new();
    reply.put_reply(&mut out);
    let mut reader = Reader::new(&out);
    let text = wire::read_term(&mut reader, &mut Text).expect("a term");
    reader.end().expect("one term");
    text
}

struct Text;

impl Builder for Text {
    type Term = String;
    fn atom(&mut self, place: u16) -> Option<String> {
        wire::ATOMS
            .get(usize::from(place))
            .map(|name| (*name).to_owned())
    }
    fn errno(&mut self, number: u16) -> String {
        alcove_proto::errno::name(number)
            .unwrap_or("unknown")
            .to_owned()
    }
    fn signal(&mut self, number: u16) -> String {
        alcove_proto::constants::signal_name(i32::from(number))
            .unwrap_or("unknown")
            .to_owned()
    }
    fn int(&mut self, value: i64) -> String {
        value.to_string()
    }
    fn uint(&mut self, value: u64) -> String {
        value.to_string()
    }
    fn bin(&mut self, bytes: &[u8]) -> Option<String> {
        Some(format!("\"{}\"", bytes.escape_ascii()))
    }
    fn list(&mut self, terms: Vec<String>) -> String {
        format!("[{}]", terms.join(","))
    }
    fn tuple(&mut self, terms: Vec<String>) -> String {
        format!("{{{}}}", terms.join(","))
    }
    fn map(&mut self, pairs: Vec<(String, String)>) -> Option<String> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}=>{value}"))
            .collect();
        Some(format!("#{{{}}}", pairs.join(",")))
    }
}
