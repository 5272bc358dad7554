//! What the kernel is asked by a function each that knows numbers, descriptors and memory,
//! and nothing of the process that calls it.
//!
//! Descriptors that the kernel makes are owned, and those of alcove's own are borrowed. One that
//! the user names is a number: nothing says that it is open, and not every call looks at it.

#[cfg(target_os = "linux")]
pub mod affinity;
#[cfg(target_os = "linux")]
pub mod any;
#[cfg(target_os = "linux")]
pub mod cap;
#[cfg(target_os = "linux")]
pub mod clone;
pub mod environ;
pub mod exec;
pub mod fd;
#[cfg(target_os = "linux")]
pub mod landlock;
#[cfg(target_os = "linux")]
pub mod mount;
pub mod pidfd;
pub mod poll;
pub mod precedence;
pub mod process;
#[cfg(target_os = "linux")]
pub mod rtnetlink;
pub mod scm;
pub mod share;
pub mod signal;
pub mod sleep;
#[cfg(target_os = "linux")]
pub mod table;
pub mod terminal;
#[cfg(test)]
pub mod testing;
#[cfg(target_os = "linux")]
pub mod title;
pub mod trace;
pub mod wait;
