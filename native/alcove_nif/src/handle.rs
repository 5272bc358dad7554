//! What Erlang code does with a Drv: starts it, finds it, sends it requests.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alcove_proto::calls::ArgKind;
use alcove_proto::frame::Init;
use crossbeam_channel::Receiver;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use parking_lot::{Mutex, MutexGuard};
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifResult, Term};

use crate::args::{self, Budget, Heavy, Refused, Wrong};
use crate::call::{self, Request};
use crate::deliver::{self, Mail};
use crate::vm::{Command, Kept, Life, Process, Role, Tree};
use crate::{load, registry, terms};
use alcove_core::launch::{self, Failure, Plan};
use alcove_core::poller::{Channel, Poller};
use alcove_core::router::{self, Ending};
use alcove_core::stream::Written;

/// Starts a tree for the calling process, the Drv.
pub fn start<'a>(env: Env<'a>, options: Term<'a>) -> Term<'a> {
    let (Ok((plan, owner, reporter)), Ok(note)) = (plan(options), note_of(options)) else {
        return (terms::error(), terms::badarg()).encode(env);
    };
    let poller = match Poller::new() {
        Ok(poller) => poller,
        Err(errno) => return terms::error_tuple(env, errno as i32),
    };
    let (sender, commands) = crossbeam_channel::unbounded();
    let drv = env.pid();
    let tells = (plan.init.exit_status, plan.init.termsig);
    let tree = Arc::new(Tree::new(drv, owner, tells, reporter, note, poller, sender));
    let key = drv.encode(env).as_c_arg();
    let thread = std::thread::Builder::new().name("alcove_router".into());
    registry::insert(key, Arc::clone(&tree));
    let routed = Arc::clone(&tree);
    if thread
        .spawn(move || route(&routed, plan, &commands, key))
        .is_err()
    {
        registry::remove(key);
        return terms::error_tuple(env, Errno::EAGAIN as i32);
    }
    if !load::watch(env, &tree, drv) {
        tree.command(Command::Stop);
    }
    terms::ok().encode(env)
}

fn note_of(options: Term<'_>) -> NifResult<Box<[u8]>> {
    let name = Atom::from_str(options.get_env(), "note")?;
    let note: Binary<'_> = options.map_get(name)?.decode()?;
    Ok(note.as_slice().into())
}

/// The options, the process that gets the messages, and the process that is told of events.
fn plan(options: Term<'_>) -> NifResult<(Plan, LocalPid, Option<LocalPid>)> {
    let env = options.get_env();
    let get = |name: &str| options.map_get(Atom::from_str(env, name)?);
    let strings = |name: &str| -> NifResult<Vec<Vec<u8>>> {
        let list: Vec<Binary<'_>> = get(name)?.decode()?;
        Ok(list.iter().map(|string| string.to_vec()).collect())
    };
    let argv: Result<Vec<_>, _> = strings("argv")?.into_iter().map(CString::new).collect();
    let maxchild: i64 = get("maxchild")?.decode()?;
    let init = Init {
        verbose: get("verbose")?.decode()?,
        exit_status: get("exit_status")?.decode()?,
        termsig: get("termsig")?.decode()?,
        maxchild: u32::try_from(maxchild).ok(),
        maxforkdepth: get("maxforkdepth")?.decode()?,
        flowcontrol: get("flowcontrol")?.decode()?,
        signaloneof: u8::try_from(get("signaloneof")?.decode::<u32>()?)
            .map_err(|_| rustler::Error::BadArg)?,
        nofile: 0,
        env: strings("env")?,
    };
    let plan = Plan {
        argv: argv.map_err(|_| rustler::Error::BadArg)?,
        init,
        stderr_to_stdout: get("stderr_to_stdout")?.decode()?,
        timeout: Duration::from_millis(get("timeout")?.decode()?),
    };
    let reporter = get("reporter")?;
    let reporter = if terms::undefined() == reporter {
        None
    } else {
        Some(reporter.decode()?)
    };
    Ok((plan, get("owner")?.decode()?, reporter))
}

/// The note that a running Drv was started with.
pub fn note<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    let tree = registry::find(drv).filter(|tree| tree.find(&[]).is_some());
    tree.map_or_else(
        || terms::badpid().encode(env),
        |tree| terms::binary(env, &tree.note),
    )
}

/// The working directory of the VM. The kernel has its name and asks no file system, so this
/// may run on a scheduler.
pub fn cwd(env: Env<'_>) -> Term<'_> {
    match nix::unistd::getcwd() {
        Ok(path) => {
            let name = terms::binary(env, path.as_os_str().as_bytes());
            (terms::ok(), name).encode(env)
        }
        Err(errno) => terms::error_tuple(env, errno as i32),
    }
}

/// The router's thread.
fn route(tree: &Tree, plan: Plan, commands: &Receiver<Command>, key: rustler::sys::ErlNifTerm) {
    // Signals of the VM are for its own threads, so this one blocks them.
    let _ = SigSet::all().thread_block();
    let mut mail = Mail::router();
    let mut started = false;
    let routed = catch_unwind(AssertUnwindSafe(|| {
        let launched = launch::launch(plan, &tree.poller, &tree.closer)?;
        started = true;
        let root = launched.root;
        router::run(tree, launched, commands, Mail::router(), || {
            mail.post(&tree.drv, |env| {
                (terms::alcove_nif(), terms::started(), root).encode(env)
            });
        })
        .map_err(Failure::Errno)
    }));
    // Callers that still wait are answered now, since no other answer will come.
    let mut mail = Mail::router();
    tree.end(&mut mail, commands);
    registry::remove(key);
    mail.post(&tree.drv, |env| {
        let (what, reason) = match routed {
            Ok(Ok(Ending::Asked)) => (terms::stopped(), terms::normal().encode(env)),
            Ok(Ok(Ending::Root(status))) => (terms::stopped(), ending(env, status)),
            Ok(Ok(Ending::Unknown)) => (terms::stopped(), terms::killed().encode(env)),
            Ok(Ok(Ending::Late(pids))) => {
                (terms::stopped(), (terms::leftovers(), pids).encode(env))
            }
            Ok(Err(failure)) if !started => (terms::failed(), reason(env, failure)),
            Ok(Err(failure)) => (terms::stopped(), router_died(env, &format!("{failure:?}"))),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                let what = if started {
                    terms::stopped()
                } else {
                    terms::failed()
                };
                (what, router_died(env, text.unwrap_or("panic")))
            }
        };
        (terms::alcove_nif(), what, reason).encode(env)
    });
}

fn ending<'a>(env: Env<'a>, status: i32) -> Term<'a> {
    if !libc::WIFSIGNALED(status) && libc::WEXITSTATUS(status) == 0 {
        terms::normal().encode(env)
    } else {
        terms::status(env, status)
    }
}

fn router_died<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    (terms::router(), terms::binary(env, text.as_bytes())).encode(env)
}

fn reason<'a>(env: Env<'a>, failure: Failure) -> Term<'a> {
    match failure {
        Failure::Errno(errno) => terms::errno(env, errno as i32),
        Failure::Timeout => terms::timeout().encode(env),
        Failure::Status(status) => terms::status(env, status),
        Failure::Exited => terms::exited().encode(env),
        Failure::Version(theirs) => {
            let version = |text: &str| terms::binary(env, text.as_bytes());
            (
                terms::version(),
                version(&theirs),
                version(alcove_proto::VERSION),
            )
                .encode(env)
        }
        Failure::NotAlcove => terms::badproto().encode(env),
        Failure::Cancelled => terms::normal().encode(env),
    }
}

/// Ends a tree.
pub fn stop<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    if let Some(tree) = registry::find(drv) {
        tree.command(Command::Stop);
    }
    terms::ok().encode(env)
}

/// Makes a call.
pub fn call<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    request: Request<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    match registry::find(drv) {
        Some(tree) => call::call(env, &tree, pids, request, budget),
        None => Ok(terms::badpid().encode(env)),
    }
}

/// Forks, or clones with flags, and runs calls in the new process.
pub fn spawn<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    flags: Term<'a>,
    calls: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    match args::flags(ArgKind::CloneFlags.group(), flags, budget) {
        Ok(flags) => call(env, drv, pids, Request::Spawn(flags, calls), budget),
        Err(Wrong::Shape) => Refused::Argument(0).encode(env, Some(0)),
        Err(Wrong::Heavy) => Err(Heavy),
    }
}

/// Waits with a reference for the message that a ticket stands for.
pub fn wait<'a>(env: Env<'a>, ticket: Term<'a>, reference: Term<'a>) -> NifResult<Atom> {
    let ticket = load::ticket(ticket).ok_or(rustler::Error::BadArg)?;
    deliver::wait(env, &ticket, reference);
    Ok(terms::ok())
}

/// Gives up on a ticket.
pub fn cancel(ticket: Term<'_>) -> NifResult<bool> {
    let ticket = load::ticket(ticket).ok_or(rustler::Error::BadArg)?;
    Ok(ticket.cancel())
}

/// Why no process was found.
enum Without<'a> {
    /// The answer for the caller.
    Answer(Term<'a>),
    /// The search takes too long for a scheduler.
    Heavy,
}

impl From<Heavy> for Without<'_> {
    fn from(_: Heavy) -> Self {
        Without::Heavy
    }
}

impl<'a> Without<'a> {
    fn answer(self) -> Result<Term<'a>, Heavy> {
        match self {
            Without::Answer(answer) => Ok(answer),
            Without::Heavy => Err(Heavy),
        }
    }
}

/// The process at a fork path.
fn process<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    budget: &Budget,
) -> Result<(Arc<Tree>, Arc<Process>), Without<'a>> {
    let Some(path) = args::path(pids, budget)? else {
        return Err(Without::Answer(
            (terms::badarg(), terms::pids()).encode(env),
        ));
    };
    registry::find(drv)
        .and_then(|tree| tree.find(&path).map(|process| (tree, process)))
        .ok_or_else(|| Without::Answer(terms::badpid().encode(env)))
}

/// Takes a lock, but doesn't wait for it on a scheduler.
fn lock<'m, T>(mutex: &'m Mutex<T>, budget: &Budget) -> Result<MutexGuard<'m, T>, Heavy> {
    if budget.is_light() {
        mutex.try_lock().ok_or(Heavy)
    } else {
        Ok(mutex.lock())
    }
}

/// Writes to the stdin of a process.
pub fn stdin<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    data: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let data = match args::data(data, budget) {
        Ok(data) => data,
        Err(refused) => return refused.encode(env, None),
    };
    let (tree, process) = match process(env, drv, pids, budget) {
        Ok(found) => found,
        Err(without) => return without.answer(),
    };
    let size = data.len() as u64;
    let mut stdin = lock(&process.stdin, budget)?;
    budget.spend(stdin.weight(data.len()))?;
    let waited = stdin.is_waiting();
    // The environment shares the binary and doesn't copy it.
    let keep = || Kept::new(|inner| data.to_term(inner));
    let written = stdin.write(&data, keep, env.pid());
    let waits = stdin.is_waiting();
    drop(stdin);
    if waits && !waited {
        tree.command(Command::Stdin(process));
    }
    if !matches!(written, Written::Failed(_)) {
        tree.counters.stdin.fetch_add(size, Ordering::Relaxed);
    }
    Ok(match written {
        Written::Taken => true.encode(env),
        Written::Wait(ticket) => load::hold_ticket(env, ticket),
        Written::Failed(errno) => terms::error_tuple(env, errno as i32),
    })
}

/// Closes a stream of a process.
pub fn eof<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    stream: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let (tree, process) = match process(env, drv, pids, budget) {
        Ok(found) => found,
        Err(without) => return without.answer(),
    };
    let closed = if terms::stdin() == stream {
        lock(&process.stdin, budget)?.eof()
    } else {
        let channel = if terms::stdout() == stream {
            Channel::Stdout
        } else if terms::stderr() == stream {
            Channel::Stderr
        } else {
            return Refused::Argument(1).encode(env, None);
        };
        let closed = lock(process.stream(channel), budget)?.close();
        if closed.is_ok() {
            tree.command(Command::Closed(process));
        }
        closed
    };
    Ok(match closed {
        Ok(()) => terms::ok().encode(env),
        Err(errno) => terms::error_tuple(env, errno as i32),
    })
}

/// Gives a fork path to an Erlang process.
pub fn owner<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, owner: Term<'a>) -> Term<'a> {
    let (tree, process) = match process(env, drv, pids, &Budget::heavy()) {
        Ok(found) => found,
        Err(Without::Answer(answer)) => return answer,
        // With a heavy budget nothing takes too long.
        Err(Without::Heavy) => return terms::badpid().encode(env),
    };
    let owner = if terms::default() == owner {
        None
    } else {
        match owner.decode::<LocalPid>() {
            Ok(pid) => Some(pid),
            Err(_) => return (terms::badarg(), 1).encode(env),
        }
    };
    tree.give(process, owner);
    terms::ok().encode(env)
}

/// How many messages of output the owner of a process wants; -1: all.
pub fn flow<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    match process(env, drv, pids, budget) {
        Ok((_, process)) => Ok(process.flow().encode(env)),
        Err(without) => without.answer(),
    }
}

/// Sets how many messages of output the owner wants.
pub fn set_flow<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    messages: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let Ok(messages) = messages.decode() else {
        return Refused::Argument(1).encode(env, None);
    };
    match process(env, drv, pids, budget) {
        Ok((tree, process)) => {
            process.set_flow(messages);
            tree.command(Command::Flow(process));
            Ok(true.encode(env))
        }
        Err(without) => without.answer(),
    }
}

/// The most processes among which a scheduler searches for the children of one.
const FEW: usize = 256;

/// The children of a process, as far as their channels are known here.
pub fn children<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    budget: &Budget,
) -> Result<Term<'a>, Heavy> {
    let (tree, parent) = match process(env, drv, pids, budget) {
        Ok(found) => found,
        Err(without) => return without.answer(),
    };
    if budget.is_light() && tree.count() > FEW {
        return Err(Heavy);
    }
    let row = |child: &Arc<Process>| {
        let life = child.calls.lock().life;
        let ended = child.end.lock().is_some();
        let state = match life {
            Life::Looping if matches!(child.role, Role::Keeper(_)) => terms::keeper(),
            Life::Looping => terms::event_loop(),
            Life::Program if !ended => terms::exec(),
            Life::Program | Life::Left => terms::exited(),
        };
        (child.pid(), state, child.flow()).encode(env)
    };
    let mut children = tree.children(&parent);
    children.retain(|child| {
        tree.find(&child.path)
            .is_some_and(|found| found.id == child.id)
    });
    children.sort_unstable_by_key(|child| child.id);
    Ok(children.iter().map(row).collect::<Vec<_>>().encode(env))
}

/// Takes every fork path from an Erlang process that died.
pub fn reset_owner<'a>(env: Env<'a>, drv: Term<'a>, owner: LocalPid) -> Term<'a> {
    if let Some(tree) = registry::find(drv) {
        for process in tree.all() {
            process.owner.lock().take_if(|pid| *pid == owner);
        }
        tree.command(Command::OwnerGone(owner));
    }
    terms::ok().encode(env)
}

/// Resumes the streams of an owner that keeps up.
pub fn resume<'a>(env: Env<'a>, drv: Term<'a>, token: u64) -> Term<'a> {
    if let Some(tree) = registry::find(drv) {
        tree.command(Command::Resume(token));
    }
    terms::ok().encode(env)
}

/// The counters of a tree, and the number of things that wait.
pub fn info<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    let Some(tree) = registry::find(drv) else {
        return terms::badpid().encode(env);
    };
    let counters = &tree.counters;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let processes = tree.all();
    let sum = |count: fn(&Process) -> usize| {
        let counts = processes.iter().map(|process| count(process) as u64);
        counts.sum::<u64>()
    };
    let pairs = [
        ("processes", processes.len() as u64),
        ("pending", sum(|process| process.calls.lock().pending.len())),
        ("stdin_queued", sum(|process| process.stdin.lock().queued())),
        ("streams_held", sum(Process::streams_held)),
        ("calls", of(&counters.calls)),
        ("inline", of(&counters.inline)),
        ("forks", of(&counters.forks)),
        ("stdin_bytes", of(&counters.stdin)),
        ("output_bytes", of(&counters.output)),
        ("held", of(&counters.held)),
    ];
    let pairs: Vec<_> = pairs
        .iter()
        .filter_map(|(name, n)| Some((Atom::from_str(env, name).ok()?, n)))
        .collect();
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
}
