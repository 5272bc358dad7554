//! Calls, made on the scheduler of the calling process.
//!
//! The scheduler sends the frame and polls for the reply itself for some tens of
//! microseconds: a round trip without a thread switch in the VM. When the reply
//! isn't there by then, or when the process has other calls pending, the router
//! reads it and sends it as a message.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alcove_core::reader::{Reader, Received};
use alcove_proto::frame::{self, Frame};
use alcove_proto::poll::Guard;
use nix::errno::Errno;
use rustler::{Encoder, Env, Term};

use crate::args::{self, Budget, Heavy, Refused};
use crate::deliver::Mail;
use crate::tree::{SCRATCH, Tree};
use crate::vm::{Kind, Pending, Process, Ticket, Waiter};
use crate::{load, terms};

/// How long a scheduler polls for a reply, with a yield between tries. A call takes a few
/// microseconds.
const POLL: Duration = Duration::from_micros(20);

/// How long it then sleeps until the reply is there. Even if the kernel rounds that up, polling and
/// sleeping together take no more than 100 microseconds of the millisecond that a NIF has.
const SLEEP: Duration = Duration::from_micros(30);

/// Descriptors that the VM keeps for itself.
const HEADROOM: i32 = 64;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        frame: Vec::with_capacity(1024),
        scratch: vec![0; SCRATCH].into(),
    });
}

struct Buffers {
    frame: Vec<u8>,
    scratch: Box<[u8]>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum Request<'a> {
    /// A call: its name and arguments.
    Call(Term<'a>, Term<'a>),
    /// A list of calls.
    Batch(Term<'a>),
    /// Flags and a list of calls.
    Spawn(u64, Term<'a>),
}

/// Makes a call. docs/internals.md says what comes back.
pub fn call<'a>(
    env: Env<'a>,
    tree: &Tree,
    pids: Term<'a>,
    request: Request<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let Some(path) = args::path(pids, budget)? else {
        return Ok((terms::badarg(), terms::pids()).encode(env));
    };
    // There is no call within a call, since nothing below calls back into Erlang.
    BUFFERS.with_borrow_mut(|buffers| {
        buffers.frame.clear();
        let kind = match encode(&mut buffers.frame, request, budget) {
            Ok(kind) => kind,
            Err((index, refused)) => return refused.encode(env, index),
        };
        let Some(process) = tree.find(&path) else {
            return Ok(terms::badpid().encode(env));
        };
        if kind.forks() > 0 && !has_room(tree, kind.forks()) {
            return Ok(terms::error_tuple(env, Errno::EMFILE as i32));
        }
        tree.counters.calls.fetch_add(1, Ordering::Relaxed);
        let answer = send(env, tree, &process, kind, buffers, budget);
        // The memory of a long frame is freed.
        buffers.frame.shrink_to(SCRATCH);
        answer
    })
}

/// Appends the frame, with a number that is filled in when it is sent.
fn encode<'a>(
    out: &mut Vec<u8>,
    request: Request<'a>,
    budget: &Budget,
) -> Result<Kind, (Option<usize>, Refused)> {
    let calls: &[u8] = &[];
    let (at, kind) = match request {
        Request::Call(name, argv) => {
            return args::call(out, name, argv, budget)
                .map(Kind::Call)
                .map_err(|refused| (None, refused));
        }
        Request::Batch(list) => {
            let at = frame::Batch { id: 0, calls }.begin(out);
            (at, args::batch(out, list, budget).map(Kind::Batch))
        }
        Request::Spawn(flags, list) => {
            let id = 0;
            let at = frame::Spawn { id, flags, calls }.begin(out);
            (at, args::batch(out, list, budget).map(Kind::Spawn))
        }
    };
    let kind = kind.map_err(|(index, refused)| (Some(index), refused))?;
    frame::finish(out, at);
    Ok(kind)
}

/// How long a scheduler waits for other threads that work on the same process.
const TURN: Duration = Duration::from_micros(50);

fn send<'a>(
    env: Env<'a>,
    tree: &Tree,
    process: &Arc<Process>,
    kind: Kind,
    buffers: &mut Buffers,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let mut calls = if budget.is_light() {
        process.calls.try_lock_for(TURN).ok_or(Heavy)?
    } else {
        process.calls.lock()
    };
    if calls.closed {
        return Ok(terms::badpid().encode(env));
    }
    let id = calls.next_id();
    frame::set_id(&mut buffers.frame, id);

    let polls = !matches!(kind, Kind::Spawn(_)) && calls.may_poll();
    let reader = if polls {
        process.reader.try_lock()
    } else {
        None
    };
    let Some(mut reader) = reader else {
        let (waiter, ticket) = ticket(env);
        let pending = Pending::new(id, kind, waiter);
        process.enqueue(&tree.poller, &mut calls, pending, &buffers.frame);
        return Ok(ticket);
    };

    calls.inline = true;
    process.disarm(&tree.poller, &mut calls);
    calls.note(&kind);
    calls
        .pending
        .push_back(Pending::new(id, kind, Waiter::Inline));
    process.send(&tree.poller, &mut calls, &buffers.frame);
    let mut guard = calls.guard;
    drop(calls);

    let start = Instant::now();
    let answer = poll(
        env,
        tree,
        process,
        &mut reader,
        &mut buffers.scratch,
        &mut guard,
        start,
    );
    if budget.is_light() {
        rustler::schedule::consume_timeslice(env, percent(start.elapsed()));
    }

    let mut calls = process.calls.lock();
    calls.guard = guard;
    calls.patience.polled(answer.is_some());
    let answer = match answer {
        Some(answer) => {
            tree.counters.inline.fetch_add(1, Ordering::Relaxed);
            answer
        }
        None => match calls.pending.iter_mut().find(|pending| pending.id == id) {
            // The router answers, by a message.
            Some(pending) => {
                let (waiter, ticket) = ticket(env);
                pending.waiter = waiter;
                ticket
            }
            None => terms::badpid().encode(env),
        },
    };
    process.end_poll(&tree.poller, &mut calls);
    Ok(answer)
}

/// The share of a NIF's millisecond that some time takes, in percent.
fn percent(time: Duration) -> i32 {
    i32::try_from(time.as_micros() / 10).map_or(100, |percent| percent.clamp(1, 100))
}

/// A ticket, for the pending call and for the caller.
pub fn ticket(env: Env<'_>) -> (Waiter, Term<'_>) {
    let ticket = Arc::new(Ticket::new(env.pid()));
    let term = load::hold_ticket(env, Arc::clone(&ticket));
    (Waiter::Ticket(ticket), term)
}

/// Reads until the answer is there, for a short time.
fn poll<'a>(
    env: Env<'a>,
    tree: &Tree,
    process: &Arc<Process>,
    reader: &mut Reader,
    scratch: &mut [u8],
    guard: &mut Guard,
    start: Instant,
) -> Option<Term<'a>> {
    let mut mail = Mail::Scheduler(env);
    let mut answer = None;
    let mut last = start;
    loop {
        let received = tree.read(&mut mail, process, reader, scratch, &mut answer);
        if answer.is_some() || matches!(received, Received::End | Received::Malformed) {
            return answer;
        }
        let idle = received == Received::Nothing;
        if idle {
            std::thread::yield_now();
        }
        let now = Instant::now();
        let go_on = !idle || guard.yielded(now - last, now);
        last = now;
        // The router also handles a long reply. What came during a long yield is still read here.
        if last - start > POLL || !go_on {
            if idle && go_on {
                process.wait(SLEEP);
            }
            let _ = tree.read(&mut mail, process, reader, scratch, &mut answer);
            return answer;
        }
    }
}

/// Whether the VM has room for the channels of so many processes. New descriptors get
/// the lowest free number, so the number of a new one shows how full the table is.
fn has_room(tree: &Tree, processes: usize) -> bool {
    has_room_for(tree, processes * frame::CHANNELS)
}

/// Whether the VM has room for so many descriptors.
pub fn has_room_for(tree: &Tree, fds: usize) -> bool {
    let Ok(probe) = tree.poller.probe() else {
        return false;
    };
    let fds = i32::try_from(fds).unwrap_or(i32::MAX);
    probe.saturating_add(fds).saturating_add(HEADROOM) < alcove_core::launch::nofile()
}
