//! Calls, from the scheduler of whoever makes them.
//!
//! The scheduler sends the frame and polls for the reply itself for some tens of
//! microseconds: a round trip without a thread switch in the VM. When the reply
//! isn't there by then, or when the process has other calls pending, the router
//! reads it and sends it as a message.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alcove_proto::frame;
use alcove_proto::poll::Guard;
use alcove_proto::wire::Put;
use nix::errno::Errno;
use rustler::{Encoder, Env, Term};

use crate::args::{self, Refused, Weight};
use crate::deliver::Mail;
use crate::process::{Kind, Pending, Process, Reader, Received, Waiter};
use crate::ticket::Ticket;
use crate::tree::{SCRATCH, Tree};
use crate::{load, terms};

/// How long a scheduler polls for a reply, with a yield between tries. A call takes a few
/// microseconds.
const POLL: Duration = Duration::from_micros(20);

/// How long it then sleeps until the reply is there: a kernel that rounds up makes that no
/// more than 100 microseconds with what came before, of the millisecond that a NIF has.
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

/// Makes a call. What comes back is documented at `alcove_nif:call/5`.
pub fn call<'a>(
    env: Env<'a>,
    tree: &Tree,
    pids: Term<'a>,
    request: Request<'a>,
    weight: Weight,
) -> Term<'a> {
    let Some(path) = args::path(pids) else {
        return (terms::badarg(), terms::pids()).encode(env);
    };
    // A call within a call can't be: nothing below calls back into Erlang.
    BUFFERS.with_borrow_mut(|buffers| {
        buffers.frame.clear();
        let kind = match encode(&mut buffers.frame, request, weight) {
            Ok(kind) => kind,
            Err((index, refused)) => return refused.encode(env, index),
        };
        let Some(process) = tree.find(&path) else {
            return terms::badpid().encode(env);
        };
        if kind.forks() > 0 && !has_room(tree, kind.forks()) {
            return terms::error_tuple(env, Errno::EMFILE as i32);
        }
        tree.counters.calls.fetch_add(1, Ordering::Relaxed);
        let answer = send(env, tree, &process, kind, buffers);
        // A long frame's memory is not kept for ever.
        buffers.frame.shrink_to(SCRATCH);
        answer
    })
}

/// Appends the frame, with a number that is filled in when it is sent.
fn encode<'a>(
    out: &mut Vec<u8>,
    request: Request<'a>,
    weight: Weight,
) -> Result<Kind, (Option<usize>, Refused)> {
    match request {
        Request::Call(name, argv) => args::call(out, 0, name, argv, weight)
            .map(Kind::Call)
            .map_err(|refused| (None, refused)),
        Request::Batch(list) => {
            let at = frame::start(out, frame::to::BATCH);
            out.put_u32(0);
            calls(out, at, list, weight).map(Kind::Batch)
        }
        Request::Spawn(flags, list) => {
            let at = frame::start(out, frame::to::SPAWN);
            out.put_u32(0);
            out.put_u64(flags);
            calls(out, at, list, weight).map(Kind::Spawn)
        }
    }
}

/// Ends the frame that was started at `at` with a list of calls.
fn calls<'a>(
    out: &mut Vec<u8>,
    at: usize,
    list: Term<'a>,
    weight: Weight,
) -> Result<Box<[u16]>, (Option<usize>, Refused)> {
    let calls = args::batch(out, list, weight).map_err(|(i, refused)| (Some(i), refused))?;
    frame::finish(out, at);
    Ok(calls)
}

/// Where a frame has its number: behind its length and its type.
const ID: std::ops::Range<usize> = frame::HEADER + 1..frame::HEADER + 5;

fn send<'a>(
    env: Env<'a>,
    tree: &Tree,
    process: &Arc<Process>,
    kind: Kind,
    buffers: &mut Buffers,
) -> Term<'a> {
    let mut calls = process.calls.lock();
    if calls.closed {
        return terms::badpid().encode(env);
    }
    let id = calls.next_id();
    buffers.frame[ID].copy_from_slice(&id.to_le_bytes());

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
        return ticket;
    };

    calls.inline = true;
    process.disarm(&tree.poller, &mut calls);
    process.note(&mut calls, &kind);
    calls
        .pending
        .push_back(Pending::new(id, kind, Waiter::Inline));
    process.send(&tree.poller, &mut calls, &buffers.frame);
    let mut guard = calls.guard;
    drop(calls);

    let answer = poll(
        env,
        tree,
        process,
        &mut reader,
        &mut buffers.scratch,
        &mut guard,
    );

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
    answer
}

/// A ticket, for the pending call and for the caller.
fn ticket(env: Env<'_>) -> (Waiter, Term<'_>) {
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
) -> Option<Term<'a>> {
    let mut mail = Mail::Scheduler(env);
    let mut answer = None;
    let start = Instant::now();
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
        // A long reply is the router's, too. What came during a long yield is still taken.
        if last - start > POLL || !go_on {
            if idle && go_on {
                process.wait(SLEEP);
            }
            let _ = tree.read(&mut mail, process, reader, scratch, &mut answer);
            return answer;
        }
    }
}

/// Whether the VM has room for the channels of so many processes: new descriptors
/// get the lowest free numbers, so that of a new one says how full the table is.
fn has_room(tree: &Tree, processes: usize) -> bool {
    let Ok(probe) = tree.poller.probe() else {
        return false;
    };
    let fds = i32::try_from(processes * frame::CHANNELS).unwrap_or(i32::MAX);
    probe.saturating_add(fds).saturating_add(HEADROOM) < crate::launch::nofile()
}
