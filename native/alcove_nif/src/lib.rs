//! The NIF of alcove: every function that Erlang sees, and nothing else.
//!
//! The contract with `alcove_nif.erl` is written down there.

mod args;
mod call;
mod constants;
mod deliver;
mod handle;
mod launch;
mod load;
mod poller;
mod process;
mod registry;
mod router;
mod scm;
mod seccomp;
mod stream;
mod sys;
mod terms;
mod ticket;
mod tree;

use rustler::{Atom, Env, LocalPid, NifResult, Term};

use crate::args::Weight;
use crate::call::Request;

#[rustler::nif]
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
) -> Term<'a> {
    handle::call(env, drv, pids, Request::Call(name, argv), Weight::Light)
}

#[rustler::nif(schedule = "DirtyIo")]
fn call_dirty<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    name: Term<'a>,
    argv: Term<'a>,
) -> Term<'a> {
    handle::call(env, drv, pids, Request::Call(name, argv), Weight::Heavy)
}

#[rustler::nif]
fn batch<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, calls: Term<'a>) -> Term<'a> {
    handle::call(env, drv, pids, Request::Batch(calls), Weight::Light)
}

#[rustler::nif(schedule = "DirtyIo")]
fn batch_dirty<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, calls: Term<'a>) -> Term<'a> {
    handle::call(env, drv, pids, Request::Batch(calls), Weight::Heavy)
}

#[rustler::nif]
fn spawn<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    flags: Term<'a>,
    calls: Term<'a>,
) -> Term<'a> {
    handle::spawn(env, drv, pids, flags, calls, Weight::Light)
}

#[rustler::nif(schedule = "DirtyIo")]
fn spawn_dirty<'a>(
    env: Env<'a>,
    drv: Term<'a>,
    pids: Term<'a>,
    flags: Term<'a>,
    calls: Term<'a>,
) -> Term<'a> {
    handle::spawn(env, drv, pids, flags, calls, Weight::Heavy)
}

#[rustler::nif(name = "await")]
fn wait<'a>(env: Env<'a>, ticket: Term<'a>, reference: Term<'a>) -> NifResult<Atom> {
    handle::wait(env, ticket, reference)
}

#[rustler::nif]
fn cancel(ticket: Term<'_>) -> NifResult<bool> {
    handle::cancel(ticket)
}

#[rustler::nif]
fn stdin<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, data: Term<'a>) -> Term<'a> {
    handle::stdin(env, drv, pids, data, Weight::Light)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn stdin_dirty<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, data: Term<'a>) -> Term<'a> {
    handle::stdin(env, drv, pids, data, Weight::Heavy)
}

#[rustler::nif]
fn eof<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, stream: Term<'a>) -> Term<'a> {
    handle::eof(env, drv, pids, stream)
}

#[rustler::nif]
fn owner<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, to: Term<'a>) -> Term<'a> {
    handle::owner(env, drv, pids, to)
}

#[rustler::nif]
fn flowcontrol<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Term<'a> {
    handle::flow(env, drv, pids)
}

#[rustler::nif(name = "flowcontrol")]
fn set_flowcontrol<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>, messages: i64) -> Term<'a> {
    handle::set_flow(env, drv, pids, messages)
}

#[rustler::nif]
fn children<'a>(env: Env<'a>, drv: Term<'a>, pids: Term<'a>) -> Term<'a> {
    handle::children(env, drv, pids)
}

#[rustler::nif]
fn reset_owner<'a>(env: Env<'a>, drv: Term<'a>, owner: LocalPid) -> Term<'a> {
    handle::reset_owner(env, drv, owner)
}

#[rustler::nif]
fn resume<'a>(env: Env<'a>, drv: Term<'a>, token: u64) -> Term<'a> {
    handle::resume(env, drv, token)
}

#[rustler::nif]
fn info<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    handle::info(env, drv)
}

#[rustler::nif]
fn define<'a>(env: Env<'a>, group: Term<'a>, name: Term<'a>) -> Term<'a> {
    constants::define(env, group, name)
}

#[rustler::nif(name = "constants")]
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
fn version<'a>(env: Env<'a>) -> Term<'a> {
    terms::binary(env, alcove_proto::VERSION.as_bytes())
}

#[rustler::nif]
fn limits<'a>(env: Env<'a>) -> Term<'a> {
    constants::limits(env)
}

#[rustler::nif(name = "seccomp", schedule = "DirtyCpu")]
fn seccomp_program<'a>(env: Env<'a>, policy: Term<'a>) -> Term<'a> {
    seccomp::compile(env, policy)
}
