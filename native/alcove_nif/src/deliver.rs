//! Messages to Erlang processes: all of them are sent from here.

use std::cell::Cell;

use alcove_proto::wire::Malformed;
use nix::errno::Errno;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};

use crate::terms;
use crate::vm::{Kept, Kind, Pending, Ticket, Vm, Waiter};
use alcove_core::stream::Told;

/// The answer to a call.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A reply, as the process encoded it.
    Reply(&'a [u8]),
    /// The process left its event loop, as it was asked to. With a batch, the
    /// results that it sent before.
    Left(Option<&'a [u8]>),
    /// The pid of a new process.
    Forked(u32),
    /// The fork path of a program.
    Kept(&'a [u32]),
    /// The number of an error that was found on this side.
    Failed(Errno),
    /// The process went away.
    Gone,
}

impl Answer<'_> {
    /// The answer as a term. If it can't be read, it is `malformed`, and the caller is told that
    /// the process is gone.
    fn encode_or_gone<'e>(&self, env: Env<'e>, kind: &Kind, malformed: &Cell<bool>) -> Term<'e> {
        self.encode(env, kind).unwrap_or_else(|Malformed| {
            malformed.set(true);
            terms::badpid().encode(env)
        })
    }

    fn encode<'e>(&self, env: Env<'e>, kind: &Kind) -> Result<Term<'e>, Malformed> {
        match (self, kind) {
            (Answer::Reply(bytes), Kind::Call(_)) => terms::term(env, bytes),
            (
                Answer::Reply(bytes),
                Kind::Batch(calls) | Kind::Spawn(calls) | Kind::Spawned(calls),
            ) => terms::batch(env, bytes, calls),
            (Answer::Left(Some(results)), Kind::Batch(_)) => terms::partial(env, results),
            (Answer::Left(_), _) => Ok(terms::ok().encode(env)),
            (Answer::Reply(bytes), Kind::Keep(asked)) => {
                terms::refused_program(env, bytes, &asked.calls)
            }
            (Answer::Reply(bytes), Kind::Keeper(_) | Kind::Order) => terms::term(env, bytes),
            (Answer::Kept(path), _) => Ok((terms::ok(), terms::path(env, path)).encode(env)),
            (Answer::Forked(pid), _) => Ok((terms::ok(), pid).encode(env)),
            (Answer::Failed(errno), _) => Ok(terms::error_tuple(env, *errno as i32)),
            (Answer::Gone, _) => Ok(terms::badpid().encode(env)),
        }
    }
}

/// Where messages are built and sent from. The VM wants its own threads to send differently from
/// others.
pub enum Mail<'a> {
    /// A scheduler, in a call from a process.
    Scheduler(Env<'a>),
    /// The router.
    Router(OwnedEnv),
}

impl<'a> Mail<'a> {
    /// For the router's thread.
    pub fn router() -> Self {
        Mail::Router(OwnedEnv::new())
    }

    /// Sends a message; false when the process doesn't live.
    pub fn post(&mut self, to: &LocalPid, build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) -> bool {
        match self {
            Mail::Scheduler(env) => env.send(to, build(*env)).is_ok(),
            Mail::Router(env) => env.send_and_clear(to, build).is_ok(),
        }
    }

    /// Sends a message to a process or, when that doesn't live, to another.
    pub fn post_or(
        &mut self,
        to: &LocalPid,
        other: &LocalPid,
        build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>,
    ) {
        let send = |env: Env<'_>, message: Term<'_>| {
            // If neither lives, the Drv is about to end.
            let _ = env.send(to, message).or_else(|_| env.send(other, message));
        };
        match self {
            Mail::Scheduler(env) => send(*env, build(*env)),
            Mail::Router(owned) => {
                owned.run(|env| send(env, build(env)));
                owned.clear();
            }
        }
    }

    /// Sends `{Reference, Outcome}` to the holder of a ticket, or keeps the outcome until the
    /// holder awaits it. False when the holder's time ran out.
    fn settle(&mut self, ticket: &Ticket, build: impl for<'e> Fn(Env<'e>) -> Term<'e>) -> bool {
        ticket.settle(|reference| {
            let Some(Kept { mut env, term }) = reference else {
                return Some(Kept::new(build));
            };
            // If the message can't be sent, the process has died and doesn't need it.
            let _ = match self {
                Mail::Scheduler(caller) => {
                    let reference = env.run(|inner| term.load(inner).in_env(*caller));
                    caller.send(&ticket.to, (reference, build(*caller))).is_ok()
                }
                Mail::Router(_) => env
                    .send_and_clear(&ticket.to, |env| (term.load(env), build(env)).encode(env))
                    .is_ok(),
            };
            None
        })
    }

    /// Answers a call. The answer to the scheduler that polls for it goes to
    /// `inline`; an answer that can't be read is an error, after the caller was
    /// told that the process is gone.
    pub fn answer(
        &mut self,
        drv: LocalPid,
        path: &[u32],
        pending: Pending,
        answer: Answer<'_>,
        inline: &mut Option<Term<'a>>,
    ) -> Result<(), Malformed> {
        let Pending { kind, waiter, .. } = pending;
        let malformed = Cell::new(false);
        match waiter {
            Waiter::Inline => {
                if let Mail::Scheduler(env) = self {
                    *inline = Some(answer.encode_or_gone(*env, &kind, &malformed));
                }
            }
            Waiter::Ticket(ticket) => {
                let sent =
                    self.settle(&ticket, |env| answer.encode_or_gone(env, &kind, &malformed));
                // A process that went away has sent no reply.
                if !sent && !matches!(answer, Answer::Gone) {
                    self.post(&ticket.to, |env| {
                        let reply = answer.encode_or_gone(env, &kind, &malformed);
                        (terms::alcove_call(), drv, terms::path(env, path), reply).encode(env)
                    });
                }
            }
        }
        if malformed.get() {
            Err(Malformed)
        } else {
            Ok(())
        }
    }

    /// Tells writers that they need not wait any more.
    pub fn tell(&mut self, all: Vec<Told<Vm>>) {
        for Told { ticket, result } in all {
            // A writer that gave up waiting doesn't need it.
            let _ = self.settle(&ticket, |env| match result {
                Ok(()) => true.encode(env),
                Err(errno) => terms::error_tuple(env, errno as i32),
            });
        }
    }
}

/// Makes sure that the holder of a ticket gets `{Reference, Outcome}`, now if the outcome is there.
pub fn wait<'a>(env: Env<'a>, ticket: &Ticket, reference: Term<'a>) {
    let kept = Kept::new(|inner| reference.in_env(inner));
    if let Some(outcome) = ticket.wait(kept) {
        // The holder is the caller, so it lives.
        let _ = env.send(&ticket.to, (reference, outcome.load(env)));
    }
}
