//! The claim of an Erlang process to a program.

use std::sync::Arc;

use alcove_proto::frame::Frame;
use alcove_proto::keep::{Action, Order};
use parking_lot::Mutex;

use super::Process;
use crate::erlang::Erlang;
use crate::poller::Poller;

/// The claim of an Erlang process to a program, from its request until the program is over.
pub struct Claim<E: Erlang> {
    /// Watches the channels of the keeper.
    poller: Arc<Poller>,
    /// How far the request is.
    stage: Mutex<Stage<E>>,
    /// The signal that ends the program, and the milliseconds until SIGKILL.
    end: (u8, u32),
}

/// How far a request is.
enum Stage<E: Erlang> {
    /// A keeper is being forked.
    Queued,
    /// The keeper has the request, by this number, or runs the program.
    Given(Arc<Process<E>>, u32),
    /// The process that asked is gone.
    Abandoned,
    /// The program is over, or never ran.
    Done,
}

impl<E: Erlang> Claim<E> {
    /// A claim to a program that no keeper has yet. A signal is to end it, and SIGKILL so many
    /// milliseconds later.
    pub fn new(poller: &Arc<Poller>, signal: u8, grace: u32) -> Arc<Self> {
        Arc::new(Claim {
            poller: Arc::clone(poller),
            stage: Mutex::new(Stage::Queued),
            end: (signal, grace),
        })
    }

    /// The keeper is about to get the request. False when the request isn't wanted any more.
    pub fn give(&self, keeper: &Arc<Process<E>>, id: u32) -> bool {
        let mut stage = self.stage.lock();
        let wanted = matches!(*stage, Stage::Queued);
        if wanted {
            *stage = Stage::Given(Arc::clone(keeper), id);
        }
        wanted
    }

    /// The program has ended, or never ran.
    pub fn done(&self) {
        *self.stage.lock() = Stage::Done;
    }

    /// Whether the program is over, so that it needn't be ended with the process that asked.
    pub fn is_done(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Done)
    }

    /// The process that asked is gone: ends the program.
    pub fn abandon(&self) {
        let before = std::mem::replace(&mut *self.stage.lock(), Stage::Abandoned);
        if let Stage::Given(keeper, of) = before {
            let (signal, grace) = self.end;
            let action = Action::End { signal, grace };
            order(&self.poller, &keeper, Order { of, action });
        }
    }
}

/// Sends a keeper an order that has no answer.
fn order<E: Erlang>(poller: &Poller, keeper: &Process<E>, order: Order) {
    let mut frame = Vec::with_capacity(16);
    order.write(&mut frame);
    let mut calls = keeper.calls.lock();
    if !calls.closed {
        keeper.send(poller, &mut calls, &frame);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::io::Read;
    use std::sync::Barrier;

    use super::*;
    use crate::closer::Closer;
    use crate::process::Role;
    use crate::process::calls::Heritage;
    use crate::testing::{Plain, sockets};

    /// A keeper, and its end of the control socket.
    fn keeper(heritage: Heritage) -> (Arc<Process<Plain>>, std::os::unix::net::UnixStream) {
        let (ours, theirs) = sockets();
        theirs.set_nonblocking(true).expect("an open socket");
        let channels = [ours].into_iter().collect();
        let role = Role::Keeper(heritage);
        let process = Process::new(1, [2].into(), role, channels, &Closer::new(), None, 0);
        (Arc::new(process), theirs)
    }

    fn end(of: u32) -> Vec<u8> {
        let mut frame = Vec::new();
        let action = Action::End {
            signal: 15,
            grace: 500,
        };
        Order { of, action }.write(&mut frame);
        frame
    }

    fn read(mut theirs: std::os::unix::net::UnixStream) -> Vec<u8> {
        let mut all = vec![0; 256];
        let n = theirs.read(&mut all).unwrap_or(0);
        all.truncate(n);
        all
    }

    #[test]
    fn a_program_ends_with_the_process_that_asked_for_it() {
        let poller = Poller::new().expect("a poller");
        let (keeper, theirs) = keeper(Heritage::default());
        let claim = Claim::new(&poller, 15, 500);
        assert!(claim.give(&keeper, 3));
        // There is one keeper for it.
        assert!(!claim.give(&keeper, 4));
        claim.abandon();
        claim.abandon();
        assert_eq!(read(theirs), end(3));
    }

    #[test]
    fn a_request_that_nobody_wants_any_more_is_not_given() {
        let poller = Poller::new().expect("a poller");
        let (keeper, theirs) = keeper(Heritage::default());
        let claim = Claim::new(&poller, 15, 500);
        claim.abandon();
        assert!(!claim.give(&keeper, 3));
        assert_eq!(read(theirs), b"");
    }

    #[test]
    fn a_program_that_is_over_is_not_ended() {
        let poller = Poller::new().expect("a poller");
        let (keeper, theirs) = keeper(Heritage::default());
        let claim = Claim::new(&poller, 15, 500);
        assert!(claim.give(&keeper, 3) && !claim.is_done());
        claim.done();
        assert!(claim.is_done());
        claim.abandon();
        assert_eq!(read(theirs), b"");
    }

    /// The router gives the request while the process that asked ends: the keeper gets nothing, or
    /// the order to end the program.
    #[test]
    fn giving_races_with_the_end_of_the_process_that_asked() {
        let poller = Poller::new().expect("a poller");
        for _ in 0..500 {
            let (keeper, theirs) = keeper(Heritage::default());
            let claim = Claim::<Plain>::new(&poller, 15, 500);
            let start = Arc::new(Barrier::new(2));
            let (its, begin) = (Arc::clone(&claim), Arc::clone(&start));
            let ending = std::thread::spawn(move || {
                begin.wait();
                its.abandon();
            });
            start.wait();
            let given = claim.give(&keeper, 9);
            ending.join().expect("the end");
            let expected = if given { end(9) } else { Vec::new() };
            assert_eq!(read(theirs), expected);
        }
    }
}
