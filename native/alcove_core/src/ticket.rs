//! The outcome of a request that isn't answered yet, and how it gets to the caller.
//!
//! A caller passes no reference for the message that it may get. If Erlang code makes a
//! reference and then receives a message with it, the compiler makes the virtual machine put
//! a marker into the caller's message queue, so that the receive skips older messages. A
//! request that is answered at once receives nothing, so its marker would stay. Several
//! such requests in a row, together with a marker that is still in use and a signal to the
//! caller, corrupt the queue (`recv_marker_reuse` of OTP 25 takes one marker for another).
//! So the caller gets a ticket, and makes a reference only where it receives with it.

use crate::erlang::Erlang;
use crate::sync::Mutex;

/// What an Erlang process that made a request holds.
pub struct Ticket<E: Erlang> {
    /// The process.
    pub to: E::Pid,
    stage: Mutex<Stage<E::Term>>,
}

/// The state of a ticket.
enum Stage<T> {
    /// There is no outcome, and the process doesn't wait yet.
    Open,
    /// This is the outcome, and the process doesn't wait yet.
    Early(T),
    /// The process waits for a message with this reference.
    Awaited(T),
    /// The process's time ran out.
    Late,
    /// The process has its message.
    Done,
}

impl<E: Erlang> Ticket<E> {
    /// For a process that made a request.
    pub fn new(to: E::Pid) -> Self {
        Ticket {
            to,
            stage: Mutex::new(Stage::Open),
        }
    }

    /// The process waits with a reference from now on. If the outcome is there already, the
    /// caller of this function has to send it.
    pub fn wait(&self, reference: E::Term) -> Option<E::Term> {
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

    /// The outcome is there. `deliver` sends it with the given reference; without a reference
    /// it returns the outcome, which the ticket keeps. False when the process's time ran out.
    pub fn settle(&self, deliver: impl FnOnce(Option<E::Term>) -> Option<E::Term>) -> bool {
        let mut stage = self.stage.lock();
        let reference = match std::mem::replace(&mut *stage, Stage::Done) {
            Stage::Open => None,
            Stage::Awaited(reference) => Some(reference),
            other => {
                *stage = other;
                return !matches!(*stage, Stage::Late);
            }
        };
        // The lock is held, so the process can't give up meanwhile: either it has the message, or
        // its time ran out.
        if let Some(outcome) = deliver(reference) {
            *stage = Stage::Early(outcome);
        }
        true
    }

    /// The process's time ran out. False when the outcome was sent before.
    pub fn cancel(&self) -> bool {
        let mut stage = self.stage.lock();
        let waits = matches!(*stage, Stage::Open | Stage::Awaited(_));
        if waits {
            *stage = Stage::Late;
        }
        waits
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;
    use crate::testing::Plain;

    /// Sends nothing: returns the outcome with the reference that it would be sent with.
    fn settle(ticket: &Ticket<Plain>, outcome: &str) -> (bool, Option<String>) {
        let mut sent = None;
        let settled = ticket.settle(|reference| match reference {
            Some(reference) => {
                sent = Some(format!("{reference}: {outcome}"));
                None
            }
            None => Some(outcome.to_owned()),
        });
        (settled, sent)
    }

    #[test]
    fn an_early_outcome_is_kept_until_it_is_awaited() {
        let ticket = Ticket::<Plain>::new(1);
        assert_eq!(settle(&ticket, "ok"), (true, None));
        // The caller has an outcome, so its time can't run out any more.
        assert!(!ticket.cancel());
        assert_eq!(ticket.wait("ref".into()).as_deref(), Some("ok"));
        // There is only one.
        assert_eq!(ticket.wait("other".into()), None);
        assert!(!ticket.cancel());
    }

    #[test]
    fn an_awaited_outcome_is_sent_with_the_reference() {
        let ticket = Ticket::<Plain>::new(1);
        assert_eq!(ticket.wait("ref".into()), None);
        // The first reference counts.
        assert_eq!(ticket.wait("other".into()), None);
        assert_eq!(settle(&ticket, "ok"), (true, Some("ref: ok".into())));
        assert!(!ticket.cancel());
        // A second outcome goes nowhere.
        assert_eq!(settle(&ticket, "again"), (true, None));
        assert_eq!(ticket.wait("ref".into()), None);
    }

    #[test]
    fn an_outcome_after_the_time_ran_out_is_refused() {
        for waits in [false, true] {
            let ticket = Ticket::<Plain>::new(1);
            if waits {
                assert_eq!(ticket.wait("ref".into()), None);
            }
            assert!(ticket.cancel());
            assert_eq!(settle(&ticket, "late"), (false, None));
            assert_eq!(ticket.wait("ref".into()), None);
            // It was given up before.
            assert!(!ticket.cancel());
        }
    }

    /// The outcome is sent once or the time has run out, whatever the order in which the router
    /// settles and the caller waits and gives up.
    #[test]
    fn threads_race_for_it() {
        // Miri is slow, and changes the thread at any point.
        for _ in 0..if cfg!(miri) { 50 } else { 2000 } {
            let ticket = Arc::new(Ticket::<Plain>::new(1));
            let start = Arc::new(Barrier::new(2));
            let (theirs, begin) = (Arc::clone(&ticket), Arc::clone(&start));
            let router = std::thread::spawn(move || {
                begin.wait();
                settle(&theirs, "ok")
            });
            start.wait();
            let early = ticket.wait("ref".into());
            let cancelled = ticket.cancel();
            let (settled, sent) = router.join().expect("the router");
            assert_eq!(settled, !cancelled);
            let messages = usize::from(early.is_some()) + usize::from(sent.is_some());
            assert_eq!(messages, usize::from(!cancelled), "{early:?} {sent:?}");
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::testing::Plain;

    /// Every order of a router that settles and a caller that waits and then gives up.
    #[test]
    fn loom_settle_wait_cancel() {
        loom::model(|| {
            let ticket = Arc::new(Ticket::<Plain>::new(1));
            let theirs = Arc::clone(&ticket);
            let router = thread::spawn(move || {
                let mut sent = false;
                let settled = theirs.settle(|reference| {
                    sent = reference.is_some();
                    (!sent).then(|| "ok".to_owned())
                });
                (settled, sent)
            });
            let early = ticket.wait("ref".to_owned()).is_some();
            let cancelled = ticket.cancel();
            let (settled, sent) = router.join().expect("the router");
            assert_eq!(settled, !cancelled);
            assert!(!(early && sent));
            assert_eq!(early || sent, !cancelled);
        });
    }

    /// A caller that gives up without ever having waited: the outcome is kept, or refused.
    #[test]
    fn loom_settle_cancel() {
        loom::model(|| {
            let ticket = Arc::new(Ticket::<Plain>::new(1));
            let theirs = Arc::clone(&ticket);
            let router = thread::spawn(move || theirs.settle(|_| Some("ok".to_owned())));
            let cancelled = ticket.cancel();
            assert_eq!(router.join().expect("the router"), !cancelled);
            assert_eq!(ticket.wait("ref".to_owned()).is_some(), !cancelled);
        });
    }

    /// Two outcomes, of a reply and of the end of the process: one of them counts.
    #[test]
    fn loom_settle_twice() {
        loom::model(|| {
            let ticket = Arc::new(Ticket::<Plain>::new(1));
            let settlers: Vec<_> = (0..2)
                .map(|_| {
                    let ticket = Arc::clone(&ticket);
                    thread::spawn(move || {
                        let mut sent = false;
                        ticket.settle(|reference| {
                            sent = reference.is_some();
                            (!sent).then(|| "ok".to_owned())
                        });
                        sent
                    })
                })
                .collect();
            let early = ticket.wait("ref".to_owned()).is_some();
            let sent = settlers
                .into_iter()
                .map(|thread| thread.join().expect("a settler"));
            let messages = sent.filter(|sent| *sent).count() + usize::from(early);
            assert_eq!(messages, 1);
        });
    }
}
