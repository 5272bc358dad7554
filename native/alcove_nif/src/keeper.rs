//! Requests to keepers: what Erlang code asks of them, as frames.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use alcove_core::keeper;
use alcove_proto::frame::{self, Frame};
use alcove_proto::keep::{Action, FOREVER, IdMap, Keep, Order, Stream, Terminal};
use nix::errno::Errno;
use rustler::{Decoder, Encoder, Env, Term};

use crate::args::{self, Budget, Heavy, Refused, Wrong};
use crate::vm::{Asked, Kind, Pending, Queued, Ticket, Waiter};
use crate::{call, load, terms, tuple};
use alcove_core::pipe::PipeEnd;
use alcove_core::process::claim::Claim;

/// Runs a program. Returns a ticket, whose outcome is `{ok, ForkPath}`, `{error, {Step, Reason}}`
/// or `{error, {Index, Call, Reason}}`; or an error, if the request can't be made.
pub fn keep<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    spec: Term<'a>,
    list: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let Some(path) = args::path(pids, budget)? else {
        return Ok((terms::badarg(), terms::pids()).encode(env));
    };
    let mut calls = Vec::with_capacity(256);
    let numbers = match args::batch(&mut calls, list, budget) {
        Ok(numbers) => numbers,
        Err((index, refused)) => return refused.encode(env, Some(index)),
    };
    let spec = match Spec::decode(spec, budget) {
        Ok(spec) => spec,
        Err(Wrong::Heavy) => return Err(Heavy),
        Err(Wrong::Shape) => return Refused::Argument(2).encode(env, None),
    };
    let Some(tree) = crate::registry::find(drv) else {
        return Ok(terms::badpid().encode(env));
    };
    let Some(parent) = tree.find_event_loop(&path) else {
        return Ok(terms::badpid().encode(env));
    };
    if !call::has_room_for(&tree, 1 + spec.descriptors()) {
        return Ok(terms::error_tuple(env, Errno::EMFILE as i32));
    }
    let mut frame = Vec::with_capacity(calls.len() + 1024);
    spec.keep(&calls).write(&mut frame);
    if frame.len() > frame::HEADER + frame::MAX_FRAME {
        return Refused::Length.encode(env, None);
    }
    let fds = match spec.given.iter().map(|end| end.copy()).collect() {
        Ok(fds) => fds,
        Err(errno) => return Ok(terms::error_tuple(env, errno as i32)),
    };
    let ticket = Arc::new(Ticket::new(env.pid()));
    let claim = Claim::new(&tree.poller, spec.signal, spec.grace);
    if !load::watch_claim(env, &tree, &claim) {
        // The calling process has ended meanwhile, so the answer doesn't matter.
        return Ok(terms::badpid().encode(env));
    }
    let queued = Queued {
        frame,
        fds,
        asked: Asked {
            calls: numbers,
            streams: spec.streams,
            flow: spec.flow,
            claim,
        },
        waiter: Waiter::Ticket(Arc::clone(&ticket)),
    };
    Ok(if tree.keep(&parent, queued) {
        load::hold_ticket(env, ticket)
    } else {
        terms::badpid().encode(env)
    })
}

/// Sends an order about a program: `{'end', Signal, Grace}`, `{signal, Signal}` or `{size, Rows,
/// Columns}`. For an order that has an answer, returns a ticket.
pub fn request<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    what: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let Some(path) = args::path(pids, budget)? else {
        return Ok((terms::badarg(), terms::pids()).encode(env));
    };
    let found = crate::registry::find(drv).and_then(|tree| {
        let (_, keeper) = path.split_last()?;
        let of = tree.find(&path)?.request()?;
        let keeper = tree.find(keeper)?;
        Some((tree, keeper, of))
    });
    let Some((tree, keeper, of)) = found else {
        return Ok(terms::badpid().encode(env));
    };
    let Some(action) = decode_action(what) else {
        return Refused::Argument(2).encode(env, None);
    };
    let mut calls = keeper.calls.lock();
    if calls.is_closed() {
        return Ok(terms::badpid().encode(env));
    }
    let id = calls.next_id();
    let mut frame = Vec::with_capacity(16);
    let action = match action {
        Action::End { .. } => {
            Order { of, action }.write(&mut frame);
            keeper.send(&tree.poller, &mut calls, &frame);
            return Ok(terms::ok().encode(env));
        }
        Action::Signal { signal, .. } => Action::Signal { id, signal },
        Action::Size { rows, columns, .. } => Action::Size { id, rows, columns },
    };
    Order { of, action }.write(&mut frame);
    let ticket = Arc::new(Ticket::new(env.pid()));
    let pending = Pending::new(id, Kind::Order, Waiter::Ticket(Arc::clone(&ticket)));
    keeper.enqueue(&tree.poller, &mut calls, pending, &frame);
    Ok(load::hold_ticket(env, ticket))
}

fn decode_action(what: Term<'_>) -> Option<Action> {
    let id = 0;
    if let Some([name, signal]) = tuple::fields(what) {
        let signal = signal.decode().ok()?;
        return (terms::signal() == name).then_some(Action::Signal { id, signal });
    }
    let [name, first, second] = tuple::fields(what)?;
    if terms::atom_end() == name {
        return Some(Action::End {
            signal: first.decode().ok()?,
            grace: second.decode().ok()?,
        });
    }
    (terms::size() == name).then_some(Action::Size {
        id,
        rows: first.decode().ok()?,
        columns: second.decode().ok()?,
    })
}

/// A request, as Erlang code passes it. See `alcove_nif:keep/4`.
struct Spec {
    flags: u64,
    streams: [Stream; 3],
    /// The ends of pipes that are given as streams, in their order.
    given: Vec<Arc<PipeEnd>>,
    terminal: Terminal,
    owner: Option<(u32, u32)>,
    timeout: u64,
    grace: u32,
    signal: u8,
    leave: bool,
    setgroups: Vec<u8>,
    uid_map: (Vec<u8>, bool),
    gid_map: (Vec<u8>, bool),
    groups: Vec<CString>,
    kill: Option<CString>,
    clearenv: bool,
    env: Vec<CString>,
    cwd: Option<CString>,
    file: CString,
    argv: Vec<CString>,
    flow: i64,
}

impl Spec {
    fn decode(term: Term<'_>, budget: &Budget) -> Result<Spec, Wrong> {
        let [
            flags,
            streams,
            terminal,
            owner,
            timeout,
            grace,
            signal,
            leave,
            setgroups,
            uid_map,
            gid_map,
            groups,
            kill,
            clearenv,
            env,
            cwd,
            file,
            argv,
            flow,
        ] = tuple::fields(term).ok_or(Wrong::Shape)?;
        let strings = |list: Term<'_>| -> Result<Vec<CString>, Wrong> {
            let mut strings = Vec::new();
            let mut rest = list;
            while let Ok((head, tail)) = rest.list_get_cell() {
                let string = args::bytes(head, budget)?;
                strings.push(CString::new(string.as_ref()).map_err(|_| Wrong::Shape)?);
                rest = tail;
            }
            if !rest.is_empty_list() {
                return Err(Wrong::Shape);
            }
            Ok(strings)
        };
        let one = |list| strings(list).map(|mut strings| strings.pop());
        let bytes = |term| args::bytes(term, budget).map(|bytes| bytes.to_vec());
        let mut given = Vec::new();
        let mut stream = |term: Term<'_>| {
            if let Some(end) = load::end(term) {
                given.push(end);
                return Ok(Stream::Given);
            }
            let stream = Stream::from_number(decoded(term)?);
            stream
                .filter(|stream| *stream != Stream::Given)
                .ok_or(Wrong::Shape)
        };
        let [stdin, stdout, stderr] = tuple::fields(streams).ok_or(Wrong::Shape)?;
        let streams = [stream(stdin)?, stream(stdout)?, stream(stderr)?];
        Ok(Spec {
            flags: decoded(flags)?,
            streams,
            given,
            terminal: {
                let (rows, columns, echo, raw) = decoded(terminal)?;
                Terminal {
                    rows,
                    columns,
                    echo,
                    raw,
                }
            },
            owner: if terms::undefined() == owner {
                None
            } else {
                Some(decoded(owner)?)
            },
            timeout: if terms::infinity() == timeout {
                FOREVER
            } else {
                decoded(timeout)?
            },
            grace: decoded(grace)?,
            signal: decoded(signal)?,
            leave: decoded(leave)?,
            setgroups: bytes(setgroups)?,
            uid_map: id_map(uid_map, budget)?,
            gid_map: id_map(gid_map, budget)?,
            groups: strings(groups)?,
            kill: one(kill)?,
            clearenv: decoded(clearenv)?,
            env: strings(env)?,
            cwd: one(cwd)?,
            file: one(file)?.ok_or(Wrong::Shape)?,
            argv: strings(argv)?,
            flow: decoded(flow)?,
        })
    }

    /// How many descriptors of the VM it takes.
    fn descriptors(&self) -> usize {
        keeper::sorts(&self.streams).len() + self.given.len()
    }

    fn keep<'a>(&'a self, calls: &'a [u8]) -> Keep<'a> {
        let all = |strings: &'a [CString]| -> Vec<&'a CStr> {
            strings.iter().map(CString::as_c_str).collect()
        };
        let map = |(lines, helper): &'a (Vec<u8>, bool)| IdMap {
            lines,
            helper: *helper,
        };
        Keep {
            id: 0,
            flags: self.flags,
            streams: self.streams,
            terminal: self.terminal,
            owner: self.owner,
            timeout: self.timeout,
            grace: self.grace,
            signal: self.signal,
            leave: self.leave,
            setgroups: &self.setgroups,
            uid_map: map(&self.uid_map),
            gid_map: map(&self.gid_map),
            groups: all(&self.groups),
            kill: self.kill.as_deref(),
            clearenv: self.clearenv,
            env: all(&self.env),
            cwd: self.cwd.as_deref(),
            file: &self.file,
            argv: all(&self.argv),
            calls,
        }
    }
}

/// A map of ids, and whether a helper writes it.
fn id_map(term: Term<'_>, budget: &Budget) -> Result<(Vec<u8>, bool), Wrong> {
    let [lines, helper] = tuple::fields(term).ok_or(Wrong::Shape)?;
    let lines = args::bytes(lines, budget)?;
    Ok((lines.to_vec(), decoded(helper)?))
}

fn decoded<'a, T: Decoder<'a>>(term: Term<'a>) -> Result<T, Wrong> {
    term.decode().map_err(|_| Wrong::Shape)
}
