//! The NIF of alcove: every function that Erlang sees, and nothing else.
//!
//! The contract with `alcove_nif.erl` is written down there.

mod args;
mod call;
mod constants;
mod deliver;
mod dirty;
mod handle;
mod keeper;
mod load;
mod pipe;
mod registry;
mod seccomp;
mod terms;
mod tuple;
mod vm;

use rustler::{Atom, Env, LocalPid, NifResult, Term};

use crate::args::Budget;
use crate::call::Request;
use crate::dirty::Outcome;

#[rustler::nif(name = "start_tree", schedule = "DirtyIo")]
fn start<'a>(env: Env<'a>, options: Term<'a>) -> Term<'a> {
    handle::start(env, options)
}

#[rustler::nif]
fn stop<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    handle::stop(env, drv)
}

#[rustler::nif(name = "call")]
fn call_light<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    name: Term<'a>,
    argv: Term<'a>,
) -> Outcome<'a> {
    let request = Request::Call(name, argv);
    let done = handle::call(env, drv, pids, request, &Budget::light());
    Outcome::or(done, c"call$dirty", &[drv, pids, name, argv])
}

#[rustler::nif(name = "call$dirty")]
fn call_heavy<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    name: Term<'a>,
    argv: Term<'a>,
) -> Outcome<'a> {
    let request = Request::Call(name, argv);
    handle::call(env, drv, pids, request, &Budget::heavy()).into()
}

#[rustler::nif(name = "batch")]
fn batch_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, calls: Term<'a>) -> Outcome<'a> {
    let done = handle::call(env, drv, pids, Request::Batch(calls), &Budget::light());
    Outcome::or(done, c"batch$dirty", &[drv, pids, calls])
}

#[rustler::nif(name = "batch$dirty")]
fn batch_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, calls: Term<'a>) -> Outcome<'a> {
    handle::call(env, drv, pids, Request::Batch(calls), &Budget::heavy()).into()
}

#[rustler::nif(name = "spawn")]
fn spawn_light<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    flags: Term<'a>,
    calls: Term<'a>,
) -> Outcome<'a> {
    let done = handle::spawn(env, drv, pids, flags, calls, &Budget::light());
    Outcome::or(done, c"spawn$dirty", &[drv, pids, flags, calls])
}

#[rustler::nif(name = "spawn$dirty")]
fn spawn_heavy<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    flags: Term<'a>,
    calls: Term<'a>,
) -> Outcome<'a> {
    handle::spawn(env, drv, pids, flags, calls, &Budget::heavy()).into()
}

#[rustler::nif(name = "keep")]
fn keep_light<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    spec: Term<'a>,
    calls: Term<'a>,
) -> Outcome<'a> {
    let done = keeper::keep(env, drv, pids, spec, calls, &Budget::light());
    Outcome::or(done, c"keep$dirty", &[drv, pids, spec, calls])
}

#[rustler::nif(name = "keep$dirty")]
fn keep_heavy<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    spec: Term<'a>,
    calls: Term<'a>,
) -> Outcome<'a> {
    keeper::keep(env, drv, pids, spec, calls, &Budget::heavy()).into()
}

#[rustler::nif(name = "pipe", schedule = "DirtyIo")]
fn make_pipe<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    pipe::make(env, drv)
}

#[rustler::nif]
fn close(end: Term<'_>) -> NifResult<Atom> {
    pipe::close(end)
}

#[rustler::nif(name = "order")]
fn order_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, what: Term<'a>) -> Outcome<'a> {
    let done = keeper::request(env, drv, pids, what, &Budget::light());
    Outcome::or(done, c"order$dirty", &[drv, pids, what])
}

#[rustler::nif(name = "order$dirty")]
fn order_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, what: Term<'a>) -> Outcome<'a> {
    keeper::request(env, drv, pids, what, &Budget::heavy()).into()
}

#[rustler::nif(name = "await")]
fn wait<'a>(env: Env<'a>, ticket: Term<'a>, reference: Term<'a>) -> NifResult<Atom> {
    handle::wait(env, ticket, reference)
}

#[rustler::nif]
fn cancel(ticket: Term<'_>) -> NifResult<bool> {
    handle::cancel(ticket)
}

#[rustler::nif(name = "stdin")]
fn stdin_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, data: Term<'a>) -> Outcome<'a> {
    let done = handle::stdin(env, drv, pids, data, &Budget::light());
    Outcome::or(done, c"stdin$dirty", &[drv, pids, data])
}

#[rustler::nif(name = "stdin$dirty")]
fn stdin_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, data: Term<'a>) -> Outcome<'a> {
    handle::stdin(env, drv, pids, data, &Budget::heavy()).into()
}

#[rustler::nif(name = "eof")]
fn eof_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, stream: Term<'a>) -> Outcome<'a> {
    let done = handle::eof(env, drv, pids, stream, &Budget::light());
    Outcome::or(done, c"eof$dirty", &[drv, pids, stream])
}

#[rustler::nif(name = "eof$dirty")]
fn eof_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, stream: Term<'a>) -> Outcome<'a> {
    handle::eof(env, drv, pids, stream, &Budget::heavy()).into()
}

#[rustler::nif(schedule = "DirtyIo")]
fn owner<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, to: Term<'a>) -> Term<'a> {
    handle::owner(env, drv, pids, to)
}

#[rustler::nif(name = "flowcontrol")]
fn flow_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Outcome<'a> {
    let done = handle::flow(env, drv, pids, &Budget::light());
    Outcome::or(done, c"flowcontrol$dirty", &[drv, pids])
}

#[rustler::nif(name = "flowcontrol$dirty")]
fn flow_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Outcome<'a> {
    handle::flow(env, drv, pids, &Budget::heavy()).into()
}

#[rustler::nif(name = "flowcontrol")]
fn set_flow_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, n: Term<'a>) -> Outcome<'a> {
    let done = handle::set_flow(env, drv, pids, n, &Budget::light());
    Outcome::or(done, c"set_flowcontrol$dirty", &[drv, pids, n])
}

#[rustler::nif(name = "set_flowcontrol$dirty")]
fn set_flow_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, n: Term<'a>) -> Outcome<'a> {
    handle::set_flow(env, drv, pids, n, &Budget::heavy()).into()
}

#[rustler::nif(name = "children")]
fn children_light<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Outcome<'a> {
    let done = handle::children(env, drv, pids, &Budget::light());
    Outcome::or(done, c"children$dirty", &[drv, pids])
}

#[rustler::nif(name = "children$dirty")]
fn children_heavy<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Outcome<'a> {
    handle::children(env, drv, pids, &Budget::heavy()).into()
}

#[rustler::nif(schedule = "DirtyIo")]
fn reset_owner<'a>(env: Env<'a>, drv: Term<'a>, owner: LocalPid) -> Term<'a> {
    handle::reset_owner(env, drv, owner)
}

#[rustler::nif]
fn resume<'a>(env: Env<'a>, drv: Term<'a>, token: u64) -> Term<'a> {
    handle::resume(env, drv, token)
}

#[rustler::nif(schedule = "DirtyIo")]
fn info<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    handle::info(env, drv)
}

#[rustler::nif]
fn define<'a>(env: Env<'a>, group: Term<'a>, name: Term<'a>) -> Term<'a> {
    constants::define(env, group, name)
}

#[rustler::nif(name = "constants", schedule = "DirtyCpu")]
fn all_constants<'a>(env: Env<'a>, group: Term<'a>) -> Term<'a> {
    constants::all(env, group)
}

#[rustler::nif]
fn signal_name<'a>(env: Env<'a>, number: i64) -> Term<'a> {
    constants::signal_name(env, number)
}

#[rustler::nif]
fn errno_name<'a>(env: Env<'a>, number: i64) -> Term<'a> {
    constants::errno_name(env, number)
}

#[rustler::nif]
fn groups<'a>(env: Env<'a>) -> Term<'a> {
    constants::groups(env)
}

#[rustler::nif]
fn calls<'a>(env: Env<'a>) -> Term<'a> {
    constants::calls(env)
}

#[rustler::nif]
fn arity<'a>(env: Env<'a>, name: Term<'a>) -> Term<'a> {
    constants::arity(env, name)
}

#[rustler::nif]
fn note<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    handle::note(env, drv)
}

#[rustler::nif]
fn cwd<'a>(env: Env<'a>) -> Term<'a> {
    handle::cwd(env)
}

#[rustler::nif]
fn drvs() -> u64 {
    load::drvs()
}

#[rustler::nif]
fn version<'a>(env: Env<'a>) -> Term<'a> {
    terms::binary(env, alcove_proto::VERSION.as_bytes())
}

#[rustler::nif]
fn limits<'a>(env: Env<'a>) -> Term<'a> {
    constants::limits(env)
}

#[rustler::nif(name = "seccomp", schedule = "DirtyCpu")]
fn seccomp_program<'a>(env: Env<'a>, policy: Term<'a>, arch: Term<'a>) -> Term<'a> {
    seccomp::compile(env, policy, arch)
}

#[rustler::nif]
fn seccomp_number<'a>(env: Env<'a>, name: Term<'a>, arch: Term<'a>) -> Term<'a> {
    seccomp::number(env, name, arch)
}

#[rustler::nif]
fn seccomp_calls<'a>(env: Env<'a>, arch: Term<'a>) -> Term<'a> {
    seccomp::calls(env, arch)
}
