//! The core of alcove's NIF: what it does with Unix processes and their channels. It knows no
//! terms, so it can be tested without a virtual machine.
//!
//! Unsafe code is only in the modules that allow it here.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod closer;
pub mod erlang;
pub mod keeper;
pub mod launch;
pub mod mail;
pub mod owners;
pub mod pipe;
pub mod poller;
pub mod process;
pub mod reader;
pub mod router;
pub mod routes;
#[allow(unsafe_code)]
pub mod scm;
pub mod stream;
mod sync;
#[allow(unsafe_code)]
pub mod sys;
pub mod ticket;
pub mod tree;

#[cfg(test)]
mod testing;
