//! Programs that keepers run: which keepers are free, and the requests to them.
//!
//! ```text
//!               a request                 FORKED of a keeper
//!   (no keeper) --------------> QUEUED ----------------------+
//!   (a free one) ---------------------------------------------> SENT --KEPT--> RUNS --OVER--> DONE
//!                                                                 | REPLY(error)                ^
//!                                                                 +-----------------------------+
//! ```
//!
//! A program belongs to the Erlang process that asked for it. When that process ends, the monitor
//! of the program's [`Claim`](crate::process::claim::Claim) tells the router, which ends the
//! program.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alcove_proto::frame::{self, Short};
use alcove_proto::keep::Stream;
use nix::errno::Errno;

use crate::closer::Closer;
use crate::erlang::Erlang;
use crate::launch::{self, Sort};
use crate::poller::Poller;
use crate::process::calls::{Heritage, Keeping, Kind, Pending, Queued};
use crate::process::{Channels, Process, Role};
use crate::sys::End;

/// How many idle keepers stay for good, of those that one process forked.
const KEPT_IDLE: usize = 2;

/// How long the other idle keepers stay.
const IDLE: Duration = Duration::from_secs(10);

/// Idle keepers, by the fork path of the process that forked them.
pub struct Pool<E: Erlang> {
    idle: HashMap<Box<[u32]>, Vec<Idle<E>>>,
}

/// An idle keeper, and since when it is idle.
type Idle<E> = (Arc<Process<E>>, Instant);

impl<E: Erlang> Default for Pool<E> {
    fn default() -> Self {
        Pool {
            idle: HashMap::new(),
        }
    }
}

impl<E: Erlang> Pool<E> {
    /// Takes out a keeper that has the same heritage as a new one would have. Others that it finds
    /// on the way are ended.
    pub fn take(&mut self, parent: &[u32], heritage: Heritage) -> Option<Arc<Process<E>>> {
        let idle = self.idle.get_mut(parent)?;
        while let Some((keeper, _)) = idle.pop() {
            if matches!(keeper.role, Role::Keeper(inherited) if inherited != heritage) {
                keeper.hang_up();
            } else if !keeper.calls.lock().is_closed() {
                return Some(keeper);
            }
        }
        None
    }

    /// Puts a keeper in, for the next request.
    pub fn put(&mut self, keeper: &Arc<Process<E>>) {
        if let Some((_, parent)) = keeper.path.split_last() {
            let idle = self.idle.entry(parent.into()).or_default();
            // A keeper that was taken over by a program may report more than once that it is free.
            if idle.iter().any(|(other, _)| other.id == keeper.id) {
                return;
            }
            idle.push((Arc::clone(keeper), Instant::now()));
        }
    }

    /// Removes a keeper.
    pub fn remove(&mut self, keeper: &Process<E>) {
        let Some((_, parent)) = keeper.path.split_last() else {
            return;
        };
        if let Some(idle) = self.idle.get_mut(parent) {
            idle.retain(|(other, _)| other.id != keeper.id);
            if idle.is_empty() {
                self.idle.remove(parent);
            }
        }
    }

    /// Takes out keepers that have been idle for long, and returns when to check again.
    pub fn surplus(&mut self) -> (Vec<Arc<Process<E>>>, Option<Instant>) {
        let (now, mut surplus, mut next) = (Instant::now(), Vec::new(), None);
        for idle in self.idle.values_mut() {
            // The keeper that was used last is used next, so the oldest are in front.
            while idle.len() > KEPT_IDLE {
                let due = idle[0].1 + IDLE;
                if due > now {
                    next = Some(next.map_or(due, |next: Instant| next.min(due)));
                    break;
                }
                surplus.push(idle.remove(0).0);
            }
        }
        (surplus, next)
    }
}

/// What became of a request that was given to a keeper.
pub enum Gave<E: Erlang> {
    /// The keeper has it.
    Sent,
    /// The process that asked is gone, so the request wasn't sent.
    Unwanted,
    /// The keeper is gone.
    Back(Queued<E>),
}

/// Gives a free keeper a request.
pub fn give<E: Erlang>(poller: &Poller, keeper: &Arc<Process<E>>, queued: Queued<E>) -> Gave<E> {
    let mut calls = keeper.calls.lock();
    if calls.is_closed() {
        return Gave::Back(queued);
    }
    let Queued {
        mut frame,
        fds,
        asked,
        waiter,
    } = queued;
    let id = calls.next_id();
    if !asked.claim.give(keeper.clone(), id) {
        return Gave::Unwanted;
    }
    frame::set_id(&mut frame, id);
    calls.set_keeper(Keeping::Busy);
    let pending = Pending::new(id, Kind::Keep(asked), waiter);
    keeper.enqueue_with(poller, &mut calls, pending, &frame, fds);
    Gave::Sent
}

/// Asks a process to fork a keeper for a request. False when the process takes no calls.
pub fn fork<E: Erlang>(poller: &Poller, parent: &Process<E>, queued: Queued<E>) -> bool {
    let mut calls = parent.calls.lock();
    if calls.is_closed() {
        return false;
    }
    let id = calls.next_id();
    let frame = Short::of(&frame::Keeper { id });
    let waiter = queued.waiter.clone();
    let mut pending = Pending::new(id, Kind::Keeper(calls.heritage()), waiter);
    pending.queued = Some(Box::new(queued));
    parent.enqueue(poller, &mut calls, pending, &frame);
    true
}

/// What comes with a program that has these streams, in this order.
pub fn sorts(streams: &[Stream; 3]) -> Vec<Sort> {
    if streams.contains(&Stream::Terminal) {
        // The master comes twice, once to write to and once to read from.
        return vec![Sort::Terminal; 2];
    }
    let ends = [End::Write, End::Read, End::Read];
    let pipes = streams.iter().zip(ends);
    pipes
        .filter(|(stream, _)| **stream == Stream::Pipe)
        .map(|(_, end)| Sort::Pipe(end))
        .collect()
}

/// The channels of a program that has these streams.
pub fn channels(
    streams: &[Stream; 3],
    fds: &mut VecDeque<OwnedFd>,
    closer: &Arc<Closer>,
) -> Result<Channels, Errno> {
    let mut fds = launch::received(fds, &sorts(streams), closer)?.into_iter();
    let terminal = streams.contains(&Stream::Terminal);
    let mut next = |at: usize| {
        let comes = streams[at] == Stream::Pipe || terminal && at < 2;
        comes.then(|| fds.next()).flatten()
    };
    Ok(Channels {
        control: None,
        stdin: next(0),
        stdout: next(1),
        stderr: next(2),
    })
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::Barrier;

    use alcove_proto::frame::Frame;
    use alcove_proto::keep::{Action, Order};

    use super::*;
    use crate::process::claim::Claim;
    use crate::testing::{Plain, sockets};

    /// A keeper, and its end of the control socket.
    fn keeper(heritage: Heritage) -> (Arc<Process<Plain>>, UnixStream) {
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

    fn read(mut theirs: UnixStream) -> Vec<u8> {
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
        assert!(claim.give(keeper.clone(), 3));
        // There is one keeper for it.
        assert!(!claim.give(keeper.clone(), 4));
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
        assert!(!claim.give(keeper.clone(), 3));
        assert_eq!(read(theirs), b"");
    }

    #[test]
    fn a_program_that_is_over_is_not_ended() {
        let poller = Poller::new().expect("a poller");
        let (keeper, theirs) = keeper(Heritage::default());
        let claim = Claim::new(&poller, 15, 500);
        assert!(claim.give(keeper.clone(), 3) && !claim.is_done());
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
            let claim = Claim::new(&poller, 15, 500);
            let start = Arc::new(Barrier::new(2));
            let (its, begin) = (Arc::clone(&claim), Arc::clone(&start));
            let ending = std::thread::spawn(move || {
                begin.wait();
                its.abandon();
            });
            start.wait();
            let given = claim.give(keeper.clone(), 9);
            ending.join().expect("the end");
            let expected = if given { end(9) } else { Vec::new() };
            assert_eq!(read(theirs), expected);
        }
    }
}
