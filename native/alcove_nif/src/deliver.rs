//! Messages to Erlang processes: all of them are sent from here.

use std::cell::Cell;
use std::time::Duration;

use alcove_core::mail::{self, Answer, Bytes, News, Post, To};
use alcove_core::poller::Channel;
use alcove_core::process::End;
use alcove_core::stream::Told;
use alcove_proto::wire::Malformed;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Term};

use crate::vm::{Kept, Kind, Pending, Space, Ticket, Vm, Waiter};
use crate::{call, terms};

/// An answer as a term. If it can't be read, it is `malformed`, and the caller is told that the
/// process is gone.
fn encode_or_gone<'e>(
    env: Env<'e>,
    answer: &Answer<'_>,
    kind: &Kind,
    malformed: &Cell<bool>,
) -> Term<'e> {
    encode(env, answer, kind).unwrap_or_else(|Malformed| {
        malformed.set(true);
        terms::badpid().encode(env)
    })
}

fn encode<'e>(env: Env<'e>, answer: &Answer<'_>, kind: &Kind) -> Result<Term<'e>, Malformed> {
    match (answer, kind) {
        (Answer::Reply(bytes), Kind::Call(_)) => terms::term(env, bytes),
        (Answer::Reply(bytes), Kind::Batch(calls) | Kind::Spawn(calls) | Kind::Spawned(calls)) => {
            terms::batch(env, bytes, calls)
        }
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

/// Where messages are built and sent from. The VM wants its own threads to send differently from
/// others.
pub enum Mail<'a> {
    /// A scheduler, in a call from a process, and the answer to that call.
    Scheduler(Env<'a>, Option<Term<'a>>),
    /// The router.
    Router(OwnedEnv),
}

impl<'a> Mail<'a> {
    /// For a scheduler, in a call from a process.
    pub fn scheduler(env: Env<'a>) -> Self {
        Mail::Scheduler(env, None)
    }

    /// The answer to the call that the scheduler is in.
    pub fn answered(&self) -> Option<Term<'a>> {
        match self {
            Mail::Scheduler(_, answer) => *answer,
            Mail::Router(_) => None,
        }
    }

    /// For the router's thread.
    pub fn router() -> Self {
        Mail::Router(OwnedEnv::new())
    }

    /// Sends a message; false when the process doesn't live.
    pub fn post(&mut self, to: &LocalPid, build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) -> bool {
        match self {
            Mail::Scheduler(env, _) => env.send(to, build(*env)).is_ok(),
            Mail::Router(env) => env.send_and_clear(to, build).is_ok(),
        }
    }

    /// Sends a message to an owner or, if that doesn't live, to the other.
    fn post_to(&mut self, to: &To<'_, Vm>, build: impl for<'e> FnOnce(Env<'e>) -> Term<'e>) {
        let send = |env: Env<'_>, message: Term<'_>| {
            let sent = env.send(&to.owner, message);
            if let (Err(_), Some(other)) = (sent, &to.other) {
                // If neither lives, the Drv is about to end.
                let _ = env.send(other, message);
            }
        };
        match self {
            Mail::Scheduler(env, _) => send(*env, build(*env)),
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
                Mail::Scheduler(caller, _) => {
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
}

impl mail::Mail<Vm> for Mail<'_> {
    fn is_scheduler(&self) -> bool {
        matches!(self, Mail::Scheduler(..))
    }

    fn defer(&mut self, waiter: &mut Waiter) {
        if let (Mail::Scheduler(env, answer), Waiter::Inline) = (self, &waiter) {
            let (later, ticket) = call::ticket(*env);
            *waiter = later;
            *answer = Some(ticket);
        }
    }

    /// The scheduler that polls keeps its own answer.
    fn answer(
        &mut self,
        drv: LocalPid,
        path: &[u32],
        pending: Pending,
        answer: Answer<'_>,
    ) -> Result<(), Malformed> {
        let Pending { kind, waiter, .. } = pending;
        let malformed = Cell::new(false);
        match waiter {
            Waiter::Inline => {
                if let Mail::Scheduler(env, own) = self {
                    *own = Some(encode_or_gone(*env, &answer, &kind, &malformed));
                }
            }
            Waiter::Ticket(ticket) => {
                let sent = self.settle(&ticket, |env| {
                    encode_or_gone(env, &answer, &kind, &malformed)
                });
                // A process that went away has sent no reply.
                if !sent && !matches!(answer, Answer::Gone) {
                    self.post(&ticket.to, |env| {
                        let reply = encode_or_gone(env, &answer, &kind, &malformed);
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

    fn tell(&mut self, told: Vec<Told<Vm>>) {
        for Told { ticket, result } in told {
            // A writer that gave up waiting doesn't need it.
            let _ = self.settle(&ticket, |env| match result {
                Ok(()) => true.encode(env),
                Err(errno) => terms::error_tuple(env, errno as i32),
            });
        }
    }

    fn forked(&mut self, reporter: LocalPid, path: &[u32]) {
        // If that process is gone, the Drv is about to end.
        let _ = self.post(&reporter, |env| {
            let path = terms::path(env, path);
            (terms::alcove_nif(), terms::forked(), path).encode(env)
        });
    }
}

impl Post<Vm> for Mail<'_> {
    fn output(&mut self, to: &To<'_, Vm>, channel: Channel, bytes: Bytes<'_, Space>) {
        let tag = match channel {
            Channel::Stderr => terms::alcove_stderr(),
            _ => terms::alcove_stdout(),
        };
        self.post_to(to, |env| {
            let data = match bytes {
                Bytes::Small(bytes) => terms::binary(env, bytes),
                Bytes::Large(space, length) => space.binary(env, length),
            };
            (tag, to.drv, terms::path(env, to.path), data).encode(env)
        });
    }

    fn event(&mut self, to: &To<'_, Vm>, news: News<'_>) {
        self.post_to(to, |env| {
            let event = match news {
                News::Signal(signal) => {
                    (terms::signal(), terms::signal_name(env, signal)).encode(env)
                }
                News::Malformed => (terms::error(), terms::badproto()).encode(env),
                News::Usage(used) => (terms::rusage(), terms::usage(env, used)).encode(env),
                News::Status(status) => terms::status(env, status),
                News::Over(over) => (terms::over(), terms::over_map(env, over)).encode(env),
            };
            let path = terms::path(env, to.path);
            (terms::alcove_event(), to.drv, path, event).encode(env)
        });
    }

    fn ask(&mut self, drv: LocalPid, owner: LocalPid, token: u64) {
        self.post(&drv, |env| {
            (terms::alcove_nif(), terms::busy(), owner, token).encode(env)
        });
    }

    fn gone(&mut self, reporter: LocalPid, path: &[u32], lived: Duration, end: Option<&End>) {
        // If that process is gone, the Drv is about to end.
        let _ = self.post(&reporter, |env| {
            let nanoseconds = u64::try_from(lived.as_nanos()).unwrap_or(u64::MAX);
            let end = end.map_or_else(
                || terms::undefined().encode(env),
                |end| {
                    let status = terms::status(env, end.status);
                    (status, terms::usage(env, &end.used)).encode(env)
                },
            );
            let path = terms::path(env, path);
            (terms::alcove_nif(), terms::gone(), path, nanoseconds, end).encode(env)
        });
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
