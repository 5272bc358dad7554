//! Terms of Unix processes as Erlang terms.

use std::sync::OnceLock;

use alcove_proto::calls::{self, CALLS, Call};
use alcove_proto::keep::{Over, Step, Why};
use alcove_proto::wire::{self, ATOMS, Atom as Known, Builder, Malformed, Reader, tag};
use alcove_proto::{constants, errno, frame};
use rustler::sys::ErlNifTerm;
use rustler::types::tuple::make_tuple;
use rustler::{Atom, Encoder, Env, NewBinary, Term};

use crate::tuple::fields;

rustler::atoms! {
    ok,
    error,
    unknown,
    alcove_nif,
    alcove_call,
    alcove_event,
    alcove_stdout,
    alcove_stderr,
    started,
    failed,
    stopped,
    forked,
    gone,
    undefined,
    busy,
    normal,
    router,
    signal,
    exit_status,
    termsig,
    version,
    badproto,
    exited,
    killed,
    event_loop,
    exec,
    timeout,
    default,
    infinity,
    undef,
    allow,
    deny,
    length,
    last,
    pids,
    stdin,
    stdout,
    stderr,
    fork,
    clone,
    badpid = "$badpid",
    badarg = "$badarg",
    alcove_rlimit,
    alcove_timeval,
    ptr,
    now,
    omit,
    rusage,
    atom_end = "end",
    size,
    keeper,
    over,
    itself,
    asked,
    lost,
    leftovers,
    utime,
    stime,
    maxrss,
    minflt,
    majflt,
    inblock,
    oublock,
    nvcsw,
    nivcsw,
    inet,
    inet6,
    local,
    atom_true = "true",
    atom_false = "false",
}

/// The largest signal number of any platform, and more.
const SIGNALS: u16 = 128;

/// Every atom that a Unix process can name. They are made when the library is loaded
/// and never later.
struct Names {
    known: Vec<Atom>,
    errors: Vec<Option<Atom>>,
    signals: Vec<Option<Atom>>,
    /// Sorted by the atom's word.
    calls: Vec<(ErlNifTerm, &'static Call)>,
}

static NAMES: OnceLock<Names> = OnceLock::new();

/// Makes the atoms.
pub fn load(env: Env<'_>) -> bool {
    let atom = |name: &str| Atom::from_str(env, name).ok();
    let known: Vec<Atom> = ATOMS.iter().filter_map(|name| atom(name)).collect();
    let mut calls: Vec<_> = CALLS
        .iter()
        .filter_map(|call| Some((atom(call.name)?.as_c_arg(), call)))
        .collect();
    calls.sort_unstable_by_key(|(name, _)| *name);
    let whole = known.len() == ATOMS.len() && calls.len() == CALLS.len();
    NAMES.get_or_init(|| Names {
        known,
        errors: (0..=errno::MAX).map(|n| atom(errno::name(n)?)).collect(),
        signals: (0..=SIGNALS)
            .map(|n| atom(constants::signal_name(i32::from(n))?))
            .collect(),
        calls,
    });
    whole
}

/// The name of a call.
pub fn call_name<'a>(env: Env<'a>, number: u16) -> Term<'a> {
    let name = calls::by_number(number).and_then(|call| Atom::from_str(env, call.name).ok());
    name.map_or_else(|| number.encode(env), |name| name.encode(env))
}

/// The call of a name.
pub fn call(name: Term<'_>) -> Option<&'static Call> {
    let calls = &NAMES.get()?.calls;
    let at = calls
        .binary_search_by_key(&name.as_c_arg(), |(name, _)| *name)
        .ok()?;
    Some(calls[at].1)
}

/// The name of an error, or its number when the platform has no name for it.
pub fn errno<'a>(env: Env<'a>, number: i32) -> Term<'a> {
    named(env, number, NAMES.get().map_or(&[], |names| &names.errors))
}

/// The name of a signal, or its number.
pub fn signal_name<'a>(env: Env<'a>, number: i32) -> Term<'a> {
    named(env, number, NAMES.get().map_or(&[], |names| &names.signals))
}

fn named<'a>(env: Env<'a>, number: i32, names: &[Option<Atom>]) -> Term<'a> {
    let name = usize::try_from(number).ok().and_then(|n| *names.get(n)?);
    name.map_or_else(|| number.encode(env), |name| name.encode(env))
}

/// `{error, Reason}`.
pub fn error_tuple<'a>(env: Env<'a>, number: i32) -> Term<'a> {
    (error(), errno(env, number)).encode(env)
}

/// How a process ended: `{exit_status, N}` or `{termsig, Signal}`.
pub fn status<'a>(env: Env<'a>, status: i32) -> Term<'a> {
    if libc::WIFSIGNALED(status) {
        (termsig(), signal_name(env, libc::WTERMSIG(status))).encode(env)
    } else {
        (exit_status(), libc::WEXITSTATUS(status)).encode(env)
    }
}

/// What a process used.
pub fn usage<'a>(env: Env<'a>, usage: &[i64; frame::RUSAGE]) -> Term<'a> {
    let [user, user_part, system, system_part, counts @ ..] = usage;
    let names = [
        maxrss(),
        minflt(),
        majflt(),
        inblock(),
        oublock(),
        nvcsw(),
        nivcsw(),
    ];
    let time = |sec: i64, usec: i64| (alcove_timeval(), sec, usec).encode(env);
    let times = [
        (utime(), time(*user, *user_part)),
        (stime(), time(*system, *system_part)),
    ];
    let counts = names.into_iter().zip(counts.map(|count| count.encode(env)));
    let pairs: Vec<_> = times.into_iter().chain(counts).collect();
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}

/// How a keeper's program ended.
pub fn over_map<'a>(env: Env<'a>, over: &Over) -> Term<'a> {
    let why = match over.why {
        Why::Itself => itself(),
        Why::Asked => asked(),
        Why::Timeout => timeout(),
    };
    let end = match over.status {
        Some(number) => status(env, number),
        None => unknown().encode(env),
    };
    let left = if over.some_left {
        over.left.encode(env)
    } else {
        atom_false().encode(env)
    };
    (end, why, over.wall, usage(env, &over.used), left).encode(env)
}

/// A fork path.
pub fn path<'a>(env: Env<'a>, pids: &[u32]) -> Term<'a> {
    pids.encode(env)
}

/// Builds Erlang terms from the terms of a Unix process.
struct Erlang<'a>(Env<'a>);

impl<'a> Builder for Erlang<'a> {
    type Term = Term<'a>;

    fn atom(&mut self, place: u16) -> Option<Term<'a>> {
        let known = NAMES.get()?.known.get(usize::from(place))?;
        Some(known.encode(self.0))
    }
    fn errno(&mut self, number: u16) -> Term<'a> {
        errno(self.0, i32::from(number))
    }
    fn signal(&mut self, number: u16) -> Term<'a> {
        signal_name(self.0, i32::from(number))
    }
    fn int(&mut self, value: i64) -> Term<'a> {
        value.encode(self.0)
    }
    fn uint(&mut self, value: u64) -> Term<'a> {
        value.encode(self.0)
    }
    fn bin(&mut self, bytes: &[u8]) -> Option<Term<'a>> {
        Some(binary(self.0, bytes))
    }
    fn list(&mut self, terms: Vec<Term<'a>>) -> Term<'a> {
        terms.encode(self.0)
    }
    fn tuple(&mut self, terms: Vec<Term<'a>>) -> Term<'a> {
        make_tuple(self.0, &terms)
    }
    fn map(&mut self, pairs: Vec<(Term<'a>, Term<'a>)>) -> Option<Term<'a>> {
        let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Term::map_from_term_arrays(self.0, &keys, &values).ok()
    }
}

/// A binary.
pub fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, bytes).into()
}

/// One whole term.
pub fn term<'a>(env: Env<'a>, bytes: &[u8]) -> Result<Term<'a>, Malformed> {
    // The commonest reply of all.
    const OK: [u8; 2] = (Known::Ok as u16).to_le_bytes();
    if *bytes == [tag::ATOM, OK[0], OK[1]] {
        return Ok(ok().encode(env));
    }
    let mut reader = Reader::new(bytes);
    let term = wire::read_term(&mut reader, &mut Erlang(env))?;
    reader.end()?;
    Ok(term)
}

/// The outcome of a batch: `{ok, Results}`, or `{error, {Index, Call, Reason}}`
/// with the name of the call, which the process doesn't send.
pub fn batch<'a>(env: Env<'a>, bytes: &[u8], calls: &[u16]) -> Result<Term<'a>, Malformed> {
    let outcome = term(env, bytes)?;
    match batch_error(outcome, calls)? {
        None => Ok(outcome),
        Some((0, reason)) => Ok((error(), reason).encode(env)),
        Some((index, reason)) => {
            let call = calls.get(index - 1).ok_or(Malformed)?;
            Ok((error(), (index as u64, call_name(env, *call), reason)).encode(env))
        }
    }
}

/// Why a program doesn't run: `{error, {Step, Reason}}`, or `{error, {Index, Call, Reason}}`.
pub fn refused_program<'a>(
    env: Env<'a>,
    bytes: &[u8],
    calls: &[u16],
) -> Result<Term<'a>, Malformed> {
    let [_, detail] = fields(term(env, bytes)?).ok_or(Malformed)?;
    let [step, reason] = fields(detail).ok_or(Malformed)?;
    let number: i64 = step.decode().map_err(|_| Malformed)?;
    let detail = match Step::from_number(number) {
        Some(step) => {
            let name = Atom::from_str(env, step.name()).map_err(|_| Malformed)?;
            (name, reason).encode(env)
        }
        None => {
            let index = usize::try_from(number - 1).map_err(|_| Malformed)?;
            let call = calls.get(index).ok_or(Malformed)?;
            (number, call_name(env, *call), reason).encode(env)
        }
    };
    Ok((error(), detail).encode(env))
}

fn batch_error<'a>(
    outcome: Term<'a>,
    calls: &[u16],
) -> Result<Option<(usize, Term<'a>)>, Malformed> {
    let [head, detail] = fields(outcome).ok_or(Malformed)?;
    if error() != head {
        return Ok(None);
    }
    let [index, reason] = fields(detail).ok_or(Malformed)?;
    let index: usize = index.decode().map_err(|_| Malformed)?;
    if index > calls.len() {
        Err(Malformed)
    } else {
        Ok(Some((index, reason)))
    }
}

/// The outcome of a batch that left the event loop: the results that were sent
/// before, and `ok` for the last call.
pub fn partial<'a>(env: Env<'a>, bytes: &[u8]) -> Result<Term<'a>, Malformed> {
    let results: Vec<Term<'a>> = term(env, bytes)?.decode().map_err(|_| Malformed)?;
    let last = ok().encode(env);
    let results: Vec<Term<'a>> = results.into_iter().chain([last]).collect();
    Ok((ok(), results).encode(env))
}
