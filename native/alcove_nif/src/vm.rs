//! The core, with the things of Erlang that this library gives it.

use alcove_core::erlang::{Binary, Buffer, Erlang};
pub use alcove_core::process::Role;
use alcove_core::process::calls;
pub use alcove_core::process::calls::{Asked, Kind, Life};
use rustler::env::SavedTerm;
use rustler::{Env, LocalPid, OwnedBinary, OwnedEnv, Term};

/// A tree of Unix processes.
pub type Tree = alcove_core::tree::Tree<Vm>;
/// What the router is asked to do.
pub type Command = alcove_core::tree::Command<Vm>;
/// What an Erlang process that made a request holds.
pub type Ticket = alcove_core::ticket::Ticket<Vm>;
/// A Unix process.
pub type Process = alcove_core::process::Process<Vm>;
/// A call that has no reply yet.
pub type Pending = calls::Pending<Vm>;
/// What waits for a reply.
pub type Waiter = calls::Waiter<Vm>;
/// A request that waits for a keeper.
pub type Queued = calls::Queued<Vm>;

/// The virtual machine that has loaded this library.
pub enum Vm {}

impl Erlang for Vm {
    type Pid = LocalPid;
    type Term = Kept;
    type Binary = Kept;
    type Buffer = Space;
}

/// A term that outlives the call in which it was made.
pub struct Kept {
    /// The environment in which the term lives.
    pub env: OwnedEnv,
    /// The term in that environment.
    pub term: SavedTerm,
}

impl Kept {
    /// Makes a term in an environment of its own.
    pub fn new(build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) -> Self {
        let env = OwnedEnv::new();
        let term = env.run(|inner| env.save(build(inner)));
        Kept { env, term }
    }

    /// A copy of it.
    pub fn load<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.env.run(|inner| self.term.load(inner).in_env(env))
    }
}

impl Binary for Kept {
    fn with<R>(&self, function: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.env.run(|env| {
            let binary: rustler::Binary<'_> = self.term.load(env).decode().ok()?;
            Some(function(&binary))
        })
    }
}

/// A binary that is being made.
pub struct Space(OwnedBinary);

impl Space {
    /// The binary of its first bytes.
    pub fn binary(self, env: Env<'_>, length: usize) -> Term<'_> {
        let mut binary = self.0;
        if length < binary.len() {
            binary.realloc_or_copy(length);
        }
        binary.release(env).to_term(env)
    }
}

impl Buffer for Space {
    fn new(length: usize) -> Self {
        Space(OwnedBinary::new(length))
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}
