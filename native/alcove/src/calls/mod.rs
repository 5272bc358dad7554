//! The calls, a function each: `calls::MODULE::NAME` of the call table.
//!
//! A function takes the process that makes the call and the arguments with the
//! types that [`alcove_proto::wire::arg`] gives their kinds, and returns what
//! can be written as one term. It is named after its system call and does what
//! the man page says; what alcove adds to that is said in its documentation. It is
//! there only on the platforms of its row.
//!
//! The system calls themselves are in `sys`, but for those that take memory which the user lays
//! out: that it is as large as the call wants can't be checked. Their modules allow unsafe code.

#[cfg(any(target_os = "freebsd", target_os = "openbsd"))]
#[allow(unsafe_code)]
pub mod bsd;
#[cfg(target_os = "linux")]
pub mod cap;
pub mod cred;
pub mod env;
pub mod exec;
#[allow(unsafe_code)]
pub mod fd;
pub mod file;
pub mod fs;
pub mod host;
pub mod io;
#[cfg(target_os = "linux")]
pub mod landlock;
pub mod limits;
#[cfg(not(target_os = "netbsd"))]
pub mod mount;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub mod mountfd;
#[cfg(target_os = "linux")]
pub mod netdev;
#[cfg(target_os = "linux")]
pub mod ns;
#[cfg(target_os = "linux")]
pub mod pidfd;
pub mod poll;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub mod prctl;
pub mod process;
mod ptr;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub mod ptrace;
pub mod pty;
pub mod sched;
mod select;
pub mod signal;
pub mod socket;
pub mod spawn;
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub mod syscall;
#[cfg(test)]
pub mod testing;
#[cfg(target_os = "linux")]
pub mod title;
pub mod wait;
