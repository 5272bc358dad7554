//! What the kernel is asked by a function each that knows numbers, descriptors and memory,
//! and nothing of the process that calls it.
//!
//! Descriptors that the kernel makes are owned, and those of alcove's own are borrowed. One that
//! the user names is a number: nothing says that it is open, and not every call looks at it.

#[cfg(target_os = "linux")]
pub mod affinity;
#[cfg(target_os = "linux")]
pub mod any;
#[cfg(not(any(target_os = "linux", target_os = "netbsd")))]
pub mod bsd;
#[cfg(target_os = "linux")]
pub mod cap;
#[cfg(target_os = "linux")]
pub mod clone;
pub mod environ;
pub mod exec;
pub mod fd;
pub mod file;
pub mod groups;
#[cfg(target_os = "linux")]
pub mod host;
pub mod io;
#[cfg(target_os = "linux")]
pub mod landlock;
#[cfg(target_os = "linux")]
pub mod mount;
pub mod pidfd;
pub mod poll;
pub mod precedence;
pub mod process;
pub mod resource;
#[cfg(target_os = "linux")]
pub mod rtnetlink;
pub mod scm;
pub mod select;
pub mod share;
pub mod signal;
pub mod sleep;
pub mod socket;
#[cfg(target_os = "linux")]
pub mod table;
pub mod terminal;
#[cfg(test)]
pub mod testing;
#[cfg(target_os = "linux")]
pub mod title;
pub mod trace;
pub mod trap;
pub mod wait;
