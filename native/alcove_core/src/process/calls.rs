//! The calls of a process: those without a reply yet, and what it means for the process that they
//! were sent.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use alcove_proto::calls::{Alters, alters, leaves_loop, number};
use alcove_proto::keep::Stream;
use alcove_proto::poll::{Guard, Patience};
use alcove_proto::wire::{Malformed, Reader as Bytes, tag};

use super::claim::Claim;
use crate::erlang::Erlang;
use crate::ticket::Ticket;

/// Counts the changes so far to what the children of a process inherit. A child that was forked
/// with another heritage differs from a child that would be forked now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heritage {
    own: u64,
    others: u64,
}

/// How many calls were made that may change what the children of any process inherit.
static ALTERED: AtomicU64 = AtomicU64::new(0);

/// The calls of a process.
pub struct Calls<E: Erlang> {
    next: u32,
    /// In the order in which they were sent, which is that of their replies.
    pub pending: VecDeque<Pending<E>>,
    /// The bytes for which the socket had no room.
    pub(super) unsent: VecDeque<u8>,
    /// The descriptors that go with these bytes.
    pub(super) given: VecDeque<Given>,
    /// Who reads the socket.
    pub(super) reads: Reads,
    /// What children it may have.
    children: Children,
    /// The process may trap signals, and report them.
    pub traps: bool,
    /// How many calls were made that change what its children inherit.
    altered: u64,
    /// What it is doing, as far as its own channel tells.
    pub life: Life,
    /// Its parent has reported its end, which may be heard before the end of its channel.
    ended: bool,
    /// The number of children whose channels never arrived. The VM learns of their ends from this
    /// process alone.
    pub lost: u32,
    /// Requests that failed, and the answers: a spawn whose calls failed, or a program whose keeper
    /// left without any. They are answered when the process is gone, and nothing is left of it.
    pub failed: Vec<(Pending<E>, Option<Vec<u8>>)>,
    /// Whether polling for a reply has been worth it lately.
    pub(super) patience: Patience,
    /// Whether the processor is free enough to poll.
    pub(super) guard: Guard,
}

/// Descriptors that are to be sent, and are closed after that.
pub(super) struct Given {
    /// The index of the unsent byte that they go with.
    pub(super) at: usize,
    pub(super) fds: Vec<OwnedFd>,
}

/// Who reads the control socket of a process. [`turn`](super::turn) shows how that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// Nobody: nothing is under way.
    Nobody,
    /// The router, which is told when there is something to read.
    Router,
    /// The scheduler of the caller, while the router leaves the socket alone.
    Scheduler {
        /// The router left an event alone meanwhile.
        missed: bool,
    },
}

/// What a process does, as far as its own channel tells.
///
/// ```text
///   LOOPING ---- the channel has ended ----> LEFT
///      |                                       | the call by which it left was an exec
///      |                                       v
///      +------- a keeper started it ------> PROGRAM
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It takes calls, or orders.
    Looping,
    /// It takes no more: it is gone, or about to be.
    Left,
    /// It takes no more, since it runs a program.
    Program,
}

/// What children a process may have, whose ends it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Children {
    /// None: no call was sent that forks.
    None,
    /// Those that its calls fork.
    Forked,
    /// A program at a time: it is a keeper.
    Kept(Keeping),
}

/// What a keeper is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing.
    Free,
    /// It runs a program, or kills what is left of one.
    Busy,
}

/// A call that has no reply yet.
pub struct Pending<E: Erlang> {
    /// Its number in this process.
    pub id: u32,
    /// What was asked.
    pub kind: Kind,
    /// What waits for the reply.
    pub waiter: Waiter<E>,
    /// The results of a batch whose next call may not return.
    pub partial: Option<Vec<u8>>,
    /// How many processes it may still fork.
    pub forks: usize,
    /// The request for the keeper that is being forked.
    pub queued: Option<Box<Queued<E>>>,
}

/// What was asked.
pub enum Kind {
    /// A call, by its number.
    Call(u16),
    /// A batch of calls.
    Batch(Box<[u16]>),
    /// A fork, and a batch in the new process.
    Spawn(Box<[u16]>),
    /// The batch of a spawn, in the new process.
    Spawned(Box<[u16]>),
    /// A fork of a keeper, which inherits this.
    Keeper(Heritage),
    /// A program that a keeper is to run.
    Keep(Asked),
    /// An order to a keeper.
    Order,
}

impl Kind {
    /// How many processes it may fork.
    pub fn forks(&self) -> usize {
        let count = |calls: &[u16]| {
            calls
                .iter()
                .filter(|call| matches!(**call, number::fork | number::clone))
                .count()
        };
        match self {
            Kind::Call(call) => count(&[*call]),
            Kind::Batch(calls) | Kind::Spawned(calls) => count(calls),
            Kind::Spawn(calls) => 1 + count(calls),
            Kind::Keeper(_) => 1,
            Kind::Keep(_) | Kind::Order => 0,
        }
    }

    /// The calls that the process makes itself.
    fn calls(&self) -> &[u16] {
        match self {
            Kind::Call(call) => std::slice::from_ref(call),
            Kind::Batch(calls) | Kind::Spawned(calls) => calls,
            Kind::Spawn(_) | Kind::Keeper(_) | Kind::Keep(_) | Kind::Order => &[],
        }
    }

    /// The calls that the process or a child makes, except those before the exec of a keeper's
    /// program, which only concern the program itself.
    fn all_calls(&self) -> &[u16] {
        match self {
            Kind::Spawn(calls) => calls,
            _ => self.calls(),
        }
    }

    /// Whether one of the calls may change the action of a signal.
    fn traps(&self) -> bool {
        self.calls().contains(&number::sigaction)
    }
}

impl<E: Erlang> Pending<E> {
    /// A call that was just sent.
    pub fn new(id: u32, kind: Kind, waiter: Waiter<E>) -> Self {
        let forks = kind.forks();
        Pending {
            id,
            kind,
            waiter,
            partial: None,
            forks,
            queued: None,
        }
    }

    /// The call by which the process leaves its event loop, if it is making that one.
    pub fn leaves_by(&self) -> Option<u16> {
        let call = match &self.kind {
            Kind::Call(call) => *call,
            Kind::Batch(calls) | Kind::Spawned(calls) => {
                // The number of results that came before it tells which call it is.
                let mut results = Bytes::new(self.partial.as_deref()?);
                (results.u8() == Ok(tag::LIST)).then_some(())?;
                *calls.get(results.u32().ok()? as usize)?
            }
            Kind::Spawn(_) | Kind::Keeper(_) | Kind::Keep(_) | Kind::Order => return None,
        };
        leaves_loop(call).then_some(call)
    }
}

/// What waits for a reply, and how.
pub enum Waiter<E: Erlang> {
    /// The scheduler that holds the reader.
    Inline,
    /// An Erlang process that has a ticket for it.
    Ticket(Arc<Ticket<E>>),
}

impl<E: Erlang> Clone for Waiter<E> {
    fn clone(&self) -> Self {
        match self {
            Waiter::Inline => Waiter::Inline,
            Waiter::Ticket(ticket) => Waiter::Ticket(Arc::clone(ticket)),
        }
    }
}

impl<E: Erlang> Calls<E> {
    /// No call was sent yet. `first` is the number of the first.
    pub fn new(first: u32) -> Self {
        Calls {
            next: first,
            pending: VecDeque::new(),
            unsent: VecDeque::new(),
            given: VecDeque::new(),
            reads: Reads::Nobody,
            children: Children::None,
            traps: false,
            altered: 0,
            life: Life::Looping,
            ended: false,
            lost: 0,
            failed: Vec::new(),
            patience: Patience::new(0),
            guard: Guard::new(),
        }
    }

    /// A number for a call.
    pub fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next = id.wrapping_add(1);
        id
    }

    /// The index, among the pending calls, of the one that a frame names, if its reply is due.
    /// Replies come in the order of the calls. Only a keeper may reply out of order: it answers an
    /// order while the program of an earlier request is starting.
    pub fn due(&self, id: u32) -> Result<usize, Malformed> {
        let last = match self.children {
            Children::Kept(_) => self.pending.len(),
            Children::None | Children::Forked => 1,
        };
        let pending = &mut self.pending.iter().take(last);
        pending
            .position(|pending| pending.id == id)
            .ok_or(Malformed)
    }

    /// Remembers what a call means for the process.
    pub fn note(&mut self, kind: &Kind) {
        if kind.forks() > 0 && self.children == Children::None {
            self.children = Children::Forked;
        }
        self.traps |= kind.traps();
        let own = kind.calls().iter().map(|call| alters(*call));
        self.altered += own.filter(|alters| *alters == Alters::Own).count() as u64;
        // The calls before the exec of a keeper's program change other processes no more than the
        // program itself may, so they don't count.
        let mut all = kind.all_calls().iter().map(|call| alters(*call));
        if !matches!(kind, Kind::Keep(_)) && all.any(|alters| alters == Alters::Others) {
            ALTERED.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Marks the process as a keeper, and sets what it is doing.
    pub fn set_keeper(&mut self, keeping: Keeping) {
        self.children = Children::Kept(keeping);
    }

    /// Whether it is a keeper that runs a program, or kills what is left of one.
    pub fn is_busy(&self) -> bool {
        self.children == Children::Kept(Keeping::Busy)
    }

    /// Whether it is a keeper that is about to run a program.
    pub fn is_starting(&self) -> bool {
        let keeps = |pending: &Pending<E>| matches!(pending.kind, Kind::Keep(_));
        self.is_busy() && self.pending.iter().any(keeps)
    }

    /// Whether it may report the end of a child that its calls made.
    pub fn may_lose_children(&self) -> bool {
        self.children == Children::Forked
    }

    /// Whether a call waits for its reply.
    pub fn is_answering(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the call that it is making may still fork.
    pub fn is_forking(&self) -> bool {
        self.pending.front().is_some_and(|first| first.forks > 0)
    }

    /// Whether it is making a batch that ends with a call after which it may be gone.
    pub fn is_leaving(&self) -> bool {
        let last = |first: &Pending<E>| match &first.kind {
            Kind::Batch(calls) | Kind::Spawned(calls) => calls.last().copied(),
            Kind::Call(_) | Kind::Spawn(_) | Kind::Keeper(_) | Kind::Keep(_) | Kind::Order => None,
        };
        self.pending
            .front()
            .is_some_and(|first| first.partial.is_none() && last(first).is_some_and(leaves_loop))
    }

    /// Whether it may catch signals.
    pub fn is_trapping(&self) -> bool {
        self.traps
    }

    /// Whether it may have children.
    pub fn has_forked(&self) -> bool {
        self.children != Children::None
    }

    /// The heritage of a child that is forked after the calls that were sent so far.
    pub fn heritage(&self) -> Heritage {
        Heritage {
            own: self.altered,
            others: ALTERED.load(Ordering::SeqCst),
        }
    }

    /// Whether the process is in its event loop no more.
    pub fn is_closed(&self) -> bool {
        self.life != Life::Looping
    }

    /// The process takes no more calls.
    pub fn close(&mut self) {
        self.life = match self.pending.front().and_then(Pending::leaves_by) {
            Some(call) if call != number::exit => Life::Program,
            _ => Life::Left,
        };
        self.drop_unsent();
    }

    /// Its parent reports its end. False if it had done so before: a process ends once.
    pub fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.ended, true)
    }

    /// Whether its parent has reported its end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether something may come that no caller waits for at the socket.
    pub(super) fn expects(&self) -> bool {
        self.traps || self.lost > 0 || !self.pending.is_empty()
    }

    /// Drops what is unsent, since the process won't receive it.
    pub(super) fn drop_unsent(&mut self) {
        self.unsent = VecDeque::new();
        self.given = VecDeque::new();
    }

    /// Whether a caller may poll for a reply itself.
    pub(super) fn may_poll(&mut self) -> bool {
        if matches!(self.reads, Reads::Scheduler { .. })
            || !self.pending.is_empty()
            || !self.unsent.is_empty()
        {
            return false;
        }
        self.patience.allows() && self.guard.allows(Instant::now())
    }
}

/// A request to a keeper, as far as it is needed to handle the answer.
pub struct Asked {
    /// The calls that are made before the program is exec'ed.
    pub calls: Box<[u16]>,
    /// What its streams are.
    pub streams: [Stream; 3],
    /// How many messages of output its owner wants at first.
    pub flow: i64,
    /// The claim, which ends the program when its owner ends.
    pub claim: Arc<Claim>,
}

/// A request that waits for a keeper.
pub struct Queued<E: Erlang> {
    /// The frame, without its number.
    pub frame: Vec<u8>,
    /// The descriptors that go with it.
    pub fds: Vec<OwnedFd>,
    /// What is asked.
    pub asked: Asked,
    /// What waits for the answer.
    pub waiter: Waiter<E>,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alcove_proto::wire::Put;

    use super::*;
    use crate::poller::Poller;
    use crate::testing::{Plain, is_closed, pipe};

    fn batch(calls: &[u16]) -> Kind {
        Kind::Batch(calls.into())
    }

    fn asked() -> Asked {
        Asked {
            calls: [number::ptrace].into(),
            streams: [Stream::Pipe; 3],
            flow: -1,
            claim: Claim::new(&Poller::new().expect("a poller"), 15, 1000),
        }
    }

    fn with(kinds: impl IntoIterator<Item = Kind>) -> Calls<Plain> {
        let mut calls = Calls::new(0);
        for kind in kinds {
            let id = calls.next_id();
            calls.note(&kind);
            calls
                .pending
                .push_back(Pending::new(id, kind, Waiter::Inline));
        }
        calls
    }

    /// The results of a batch so far.
    fn results(count: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        bytes.put_u8(tag::LIST);
        bytes.put_u32(count);
        Some(bytes)
    }

    #[test]
    fn numbers_wrap_around() {
        let mut calls = Calls::<Plain>::new(u32::MAX - 1);
        let ids = [(); 4].map(|()| calls.next_id());
        assert_eq!(ids, [u32::MAX - 1, u32::MAX, 0, 1]);
        for id in [u32::MAX, 0] {
            calls
                .pending
                .push_back(Pending::new(id, Kind::Call(number::getpid), Waiter::Inline));
        }
        assert_eq!(calls.due(u32::MAX), Ok(0));
        assert_eq!(calls.due(0), Err(Malformed));
        calls.pending.pop_front();
        assert_eq!(calls.due(0), Ok(0));
    }

    #[test]
    fn replies_are_due_in_the_order_of_the_calls() {
        let mut calls = with([Kind::Call(number::getpid), Kind::Call(number::getpid)]);
        assert_eq!(calls.due(0), Ok(0));
        assert_eq!(calls.due(1), Err(Malformed));
        assert_eq!(calls.due(2), Err(Malformed));
        // A keeper answers an order while a program starts.
        calls.set_keeper(Keeping::Free);
        assert_eq!(calls.due(1), Ok(1));
        assert_eq!(calls.due(2), Err(Malformed));
        assert_eq!(with([]).due(0), Err(Malformed));
    }

    #[test]
    fn a_batch_leaves_the_loop_by_its_last_call() {
        for (kind, leaves) in [
            (batch(&[number::getpid, number::execve]), true),
            (Kind::Spawned([number::exit].into()), true),
            (batch(&[number::execve, number::getpid]), false),
            (batch(&[]), false),
            // Only a batch has results to send before.
            (Kind::Call(number::exit), false),
            // The new process leaves its loop, not this one.
            (Kind::Spawn([number::execve].into()), false),
        ] {
            let mut calls = with([kind]);
            assert_eq!(calls.is_leaving(), leaves);
            // Its results are sent once.
            calls.pending[0].partial = results(1);
            assert!(!calls.is_leaving());
        }
        // Only the call that is made now counts.
        let calls = with([Kind::Call(number::getpid), batch(&[number::exit])]);
        assert!(!calls.is_leaving());
        assert!(!with([]).is_leaving());
    }

    #[test]
    #[cfg_attr(miri, ignore = "all that Miri has of epoll is edge-triggered")]
    fn the_results_of_a_batch_tell_by_which_call_it_left() {
        let leaves_by = |kind, partial| {
            let mut pending = Pending::<Plain>::new(0, kind, Waiter::Inline);
            pending.partial = partial;
            pending.leaves_by()
        };
        assert_eq!(
            leaves_by(Kind::Call(number::exit), None),
            Some(number::exit)
        );
        assert_eq!(leaves_by(Kind::Call(number::getpid), None), None);
        let list = [number::getpid, number::execvp];
        assert_eq!(leaves_by(batch(&list), results(1)), Some(number::execvp));
        let spawned = Kind::Spawned(list.into());
        assert_eq!(leaves_by(spawned, results(1)), Some(number::execvp));
        // Before its last call, and without results.
        assert_eq!(leaves_by(batch(&list), results(0)), None);
        assert_eq!(leaves_by(batch(&list), None), None);
        // What no process of alcove's sends.
        assert_eq!(leaves_by(batch(&list), results(2)), None);
        assert_eq!(leaves_by(batch(&list), results(u32::MAX)), None);
        assert_eq!(leaves_by(batch(&list), Some(vec![])), None);
        assert_eq!(leaves_by(batch(&list), Some(vec![tag::LIST, 1])), None);
        assert_eq!(leaves_by(batch(&list), Some(vec![99, 1, 0, 0, 0])), None);
        assert_eq!(leaves_by(Kind::Spawn(list.into()), results(1)), None);
        assert_eq!(leaves_by(Kind::Keep(asked()), results(0)), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "all that Miri has of epoll is edge-triggered")]
    fn the_forks_of_a_call_are_counted() {
        let forks = [number::fork, number::getpid, number::clone];
        assert_eq!(Kind::Call(number::fork).forks(), 1);
        assert_eq!(Kind::Call(number::getpid).forks(), 0);
        assert_eq!(batch(&forks).forks(), 2);
        assert_eq!(Kind::Spawn(forks.into()).forks(), 3);
        assert_eq!(Kind::Spawned(forks.into()).forks(), 2);
        assert_eq!(Kind::Order.forks(), 0);
        assert_eq!(Kind::Keep(asked()).forks(), 0);

        assert!(with([batch(&forks)]).is_forking());
        let calls = with([Kind::Call(number::getpid), batch(&forks)]);
        assert!(calls.has_forked() && calls.may_lose_children());
        assert!(!calls.is_forking(), "it makes the first call");
        assert!(!with([]).has_forked());
    }

    #[test]
    #[cfg_attr(miri, ignore = "all that Miri has of epoll is edge-triggered")]
    fn a_keeper_loses_no_children_and_starts_when_it_is_asked() {
        let mut calls = with([]);
        calls.set_keeper(Keeping::Free);
        assert!(calls.has_forked() && !calls.may_lose_children());
        assert!(!calls.is_busy() && !calls.is_starting());
        calls.set_keeper(Keeping::Busy);
        assert!(calls.is_busy() && !calls.is_starting());
        let keep = Pending::new(0, Kind::Keep(asked()), Waiter::Inline);
        calls.pending.push_back(keep);
        assert!(calls.is_starting());
    }

    #[test]
    #[cfg_attr(miri, ignore = "all that Miri has of epoll is edge-triggered")]
    fn traps_and_heritage_follow_the_calls_that_were_sent() {
        let mut calls = with([Kind::Call(number::getpid)]);
        let before = calls.heritage().own;
        assert!(!calls.is_trapping());
        calls.note(&batch(&[number::sigaction, number::chdir, number::getpid]));
        assert!(calls.is_trapping());
        assert_eq!(
            calls.heritage().own,
            before + changes(&[number::sigaction, number::chdir])
        );
        // What another process does to itself is no business of this one.
        assert_eq!(with([]).heritage().own, 0);

        let others = calls.heritage().others;
        calls.note(&Kind::Keep(asked()));
        // The next call is one that may change any process; so may those of other tests.
        calls.note(&Kind::Spawn([number::ptrace].into()));
        assert!(calls.heritage().others > others);
    }

    fn changes(calls: &[u16]) -> u64 {
        let own = calls.iter().filter(|call| alters(**call) == Alters::Own);
        own.count() as u64
    }

    #[test]
    fn a_caller_polls_only_when_nothing_else_is_under_way() {
        assert!(with([]).may_poll());
        assert!(!with([Kind::Call(number::getpid)]).may_poll());
        let mut calls = with([]);
        calls.reads = Reads::Scheduler { missed: false };
        assert!(!calls.may_poll());
        calls.reads = Reads::Router;
        calls.unsent.push_back(1);
        assert!(!calls.may_poll());
        calls.close();
        assert!(calls.is_closed() && calls.may_poll());
    }

    #[test]
    fn a_closed_process_keeps_nothing_that_was_to_be_sent() {
        let mut calls = with([]);
        let (read, write) = pipe();
        calls.unsent.extend([1, 2, 3]);
        calls.given.push_back(Given {
            at: 0,
            fds: vec![write],
        });
        calls.close();
        assert!(calls.unsent.is_empty() && is_closed(&read));
    }
}
