//! The outcome of a request that isn't there yet, and its way to whoever asked.
//!
//! A caller brings no reference along for the message that it may get. Where a reference
//! is made that a message is then received with, the compiler has the virtual machine put
//! a marker into the caller's message queue, so that older messages are not looked at. A
//! request that is answered at once receives nothing, and its marker would stay. Several
//! such requests in a row, a marker that is still waited with and a signal to the caller
//! meanwhile corrupt the queue (`recv_marker_reuse` of OTP 25 takes a marker for another).
//! So the caller is given a ticket, and makes a reference only where it receives with it.

use parking_lot::Mutex;
use rustler::env::SavedTerm;
use rustler::{Env, LocalPid, OwnedEnv, Term};

/// What a process holds that made a request.
pub struct Ticket {
    /// The process.
    pub to: LocalPid,
    stage: Mutex<Stage>,
}

/// How far it is.
enum Stage {
    /// There is no outcome, and nobody waits yet.
    Open,
    /// This is the outcome, and nobody waits yet.
    Early(Kept),
    /// The process waits for a message with this reference.
    Awaited(Kept),
    /// The process's time ran out.
    Late,
    /// The process has its message.
    Done,
}

/// A term that outlives the call in which it was made.
pub struct Kept {
    /// Where it lives.
    pub env: OwnedEnv,
    /// What it is there.
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

impl Ticket {
    /// For a process that made a request.
    pub fn new(to: LocalPid) -> Self {
        Ticket {
            to,
            stage: Mutex::new(Stage::Open),
        }
    }

    /// The process waits with a reference from now on. What is there already is for the
    /// caller to send.
    pub fn wait(&self, reference: Kept) -> Option<Kept> {
        let mut stage = self.stage.lock();
        match std::mem::replace(&mut *stage, Stage::Done) {
            Stage::Open => {
                *stage = Stage::Awaited(reference);
                None
            }
            Stage::Early(outcome) => Some(outcome),
            other => {
                *stage = other;
                None
            }
        }
    }

    /// The outcome is there. `deliver` sends it with the reference that it is given, or
    /// without one returns it to be kept. False when the process's time ran out.
    pub fn settle(&self, deliver: impl FnOnce(Option<Kept>) -> Option<Kept>) -> bool {
        let mut stage = self.stage.lock();
        let reference = match std::mem::replace(&mut *stage, Stage::Done) {
            Stage::Open => None,
            Stage::Awaited(reference) => Some(reference),
            other => {
                *stage = other;
                return !matches!(*stage, Stage::Late);
            }
        };
        // The process can't give up meanwhile: either it has the message, or its time ran out.
        if let Some(outcome) = deliver(reference) {
            *stage = Stage::Early(outcome);
        }
        true
    }

    /// The process's time ran out. False when it was sent the outcome before.
    pub fn cancel(&self) -> bool {
        let mut stage = self.stage.lock();
        let waits = matches!(*stage, Stage::Open | Stage::Awaited(_));
        if waits {
            *stage = Stage::Late;
        }
        waits
    }
}
