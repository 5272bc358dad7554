//! The turn of a scheduler at a control socket, between the call that it has sent and the reply.
//!
//! ```text
//!              nothing is under way                the reply came, nothing else may come
//!   (anybody) ---------------------> SCHEDULER ------------------------------------------> NOBODY
//!       |                                | no reply in time, an event that the router left alone,
//!       | calls are under way            | or something may come that no caller waits for
//!       +-----------------------------> ROUTER
//! ```
//!
//! Whose the socket is says [`Reads`](super::calls::Reads). Whoever reads holds the reader as well,
//! until what it has read is handled.

use alcove_proto::frame;
use alcove_proto::poll::Guard;

use super::Process;
use super::calls::{Calls, Kind, Pending, Waiter};
use crate::erlang::Erlang;
use crate::poller::Poller;
use crate::reader::Reader;
use crate::sync::MutexGuard;

/// A scheduler's turn.
pub struct Turn<'p, E: Erlang> {
    process: &'p Process<E>,
    /// What it reads with.
    pub reader: MutexGuard<'p, Reader>,
    /// Whether the processor is free enough to go on polling.
    pub guard: Guard,
    id: u32,
}

/// How a turn ended.
pub enum Ended<T> {
    /// With the reply.
    Answered,
    /// The router answers, and this is what the caller has of it.
    Later(T),
    /// No reply will come.
    Gone,
}

impl<E: Erlang> Process<E> {
    /// Sends a call, and begins a turn if nothing else is under way. Otherwise the router answers:
    /// `wait` makes what waits for the reply, and what the caller has of it.
    pub fn call<'p, T>(
        &'p self,
        poller: &Poller,
        mut calls: MutexGuard<'p, Calls<E>>,
        kind: Kind,
        bytes: &mut [u8],
        wait: impl FnOnce() -> (Waiter<E>, T),
    ) -> Result<Turn<'p, E>, T> {
        let id = calls.next_id();
        frame::set_id(bytes, id);
        // The outcome of a spawn comes from the new process.
        let polls = !matches!(kind, Kind::Spawn(_)) && calls.may_poll();
        let reader = if polls { self.reader.try_lock() } else { None };
        let Some(reader) = reader else {
            let (waiter, later) = wait();
            self.enqueue(poller, &mut calls, Pending::new(id, kind, waiter), bytes);
            return Err(later);
        };
        self.take_turn(poller, &mut calls);
        calls.note(&kind);
        let pending = Pending::new(id, kind, Waiter::Inline);
        calls.pending.push_back(pending);
        self.send(poller, &mut calls, bytes);
        Ok(Turn {
            process: self,
            reader,
            guard: calls.guard,
            id,
        })
    }
}

impl<E: Erlang> Turn<'_, E> {
    /// Ends it. If the call wasn't answered, `wait` makes what waits for the reply from now on.
    pub fn end<T>(
        self,
        poller: &Poller,
        answered: bool,
        wait: impl FnOnce() -> (Waiter<E>, T),
    ) -> Ended<T> {
        let mut calls = self.process.calls.lock();
        calls.guard = self.guard;
        calls.patience.polled(answered);
        let mut pending = calls.pending.iter_mut();
        let ended = match pending.find(|pending| pending.id == self.id) {
            _ if answered => Ended::Answered,
            Some(pending) => {
                let (waiter, later) = wait();
                pending.waiter = waiter;
                Ended::Later(later)
            }
            None => Ended::Gone,
        };
        self.process.end_turn(poller, &mut calls);
        ended
    }
}
