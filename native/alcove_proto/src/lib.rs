//! What alcove's NIF and its executable have in common: the table of calls, the
//! frames of a control socket, the encoding of arguments and terms, and the
//! platform's constants.
//!
//! There is no I/O in this crate and no unsafe code, so all of it can be fuzzed
//! and run under an interpreter.
#![forbid(unsafe_code)]

pub mod calls;
pub mod constants;
pub mod errno;
pub mod frame;
pub mod keep;
pub mod poll;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod syscalls;
pub mod wire;

/// The version of alcove, the same for the NIF, the executable and the OTP
/// application.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
