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

use alcove_core::launch;
use alcove_core::process::turn::{Ended, Turn};
use alcove_core::reader::Received;
use alcove_core::tree::SCRATCH;
use alcove_proto::frame::{self, Frame};
use nix::errno::Errno;
use rustler::{Encoder, Env, Term};

use crate::args::{self, Budget, Heavy, Refused};
use crate::deliver::Mail;
use crate::vm::{Kind, Process, Ticket, Tree, Vm, Waiter};
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
        let Some(process) = tree.find_event_loop(&path) else {
            return Ok(terms::badpid().encode(env));
        };
        if kind.forks() > 0 && !has_room(tree, kind.forks()) {
            return Ok(no_room(env, &kind));
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

/// The VM has no room for the processes that would be forked, so nothing is done: as if the first
/// of a list of calls had failed.
fn no_room<'a>(env: Env<'a>, kind: &Kind) -> Term<'a> {
    match kind {
        Kind::Batch(calls) => {
            let first = calls.first().copied().unwrap_or_default();
            let errno = terms::errno(env, Errno::EMFILE as i32);
            (terms::error(), (1, terms::call_name(env, first), errno)).encode(env)
        }
        _ => terms::error_tuple(env, Errno::EMFILE as i32),
    }
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
    let calls = if budget.is_light() {
        process.calls.try_lock_for(TURN).ok_or(Heavy)?
    } else {
        process.calls.lock()
    };
    if calls.is_closed() {
        return Ok(terms::badpid().encode(env));
    }
    let wait = || ticket(env);
    let frame = &mut buffers.frame;
    let mut turn = match process.call(&tree.poller, calls, kind, frame, wait) {
        Ok(turn) => turn,
        Err(ticket) => return Ok(ticket),
    };
    let start = Instant::now();
    let answer = poll(env, tree, process, &mut turn, &mut buffers.scratch, start);
    if budget.is_light() {
        rustler::schedule::consume_timeslice(env, percent(start.elapsed()));
    }

    let ended = turn.end(&tree.poller, answer.is_some(), wait);
    Ok(match (answer, ended) {
        (Some(answer), _) => {
            tree.counters.inline.fetch_add(1, Ordering::Relaxed);
            answer
        }
        (None, Ended::Later(ticket)) => ticket,
        (None, Ended::Answered | Ended::Gone) => terms::badpid().encode(env),
    })
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
    turn: &mut Turn<'_, Vm>,
    scratch: &mut [u8],
    start: Instant,
) -> Option<Term<'a>> {
    let mut mail = Mail::scheduler(env);
    let mut last = start;
    loop {
        let received = tree.read(&mut mail, process, &mut turn.reader, scratch);
        let answer = mail.answered();
        if answer.is_some() || matches!(received, Received::End | Received::Malformed) {
            return answer;
        }
        let idle = received == Received::Nothing;
        if idle {
            std::thread::yield_now();
        }
        let now = Instant::now();
        let go_on = !idle || turn.guard.yielded(now - last, now);
        last = now;
        // The router also handles a long reply. What came during a long yield is still read here.
        if last - start > POLL || !go_on {
            if idle && go_on {
                process.wait(SLEEP);
            }
            let _ = tree.read(&mut mail, process, &mut turn.reader, scratch);
            return mail.answered();
        }
    }
}

/// Whether the VM has room for the channels of so many processes. New descriptors get
/// the lowest free number, so the number of a new one shows how full the table is.
fn has_room(tree: &Tree, processes: usize) -> bool {
    has_room_for(tree, processes * frame::CHANNELS)
}

/// Whether the VM has room for so many descriptors. Where channels are moved out of the low
/// numbers, there must be room above these for them, too.
pub fn has_room_for(tree: &Tree, fds: usize) -> bool {
    let limit = launch::nofile();
    let fds = i32::try_from(fds).unwrap_or(i32::MAX);
    let end = |lowest| {
        let first = tree.poller.probe(lowest).ok()?;
        Some(first.saturating_add(fds))
    };
    let room = end(0).is_some_and(|end| end.saturating_add(HEADROOM) < limit);
    let above = |lowest| end(lowest).is_some_and(|end| end <= limit);
    room && launch::lowest().is_none_or(above)
}
