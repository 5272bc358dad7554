//! The platform's constants and the table of calls, for Erlang.

use alcove_proto::calls::CALLS;
use alcove_proto::constants::{self, Group};
use alcove_proto::errno;
use alcove_proto::frame::MAX_DATA;
use rustler::{Atom, Encoder, Env, Term};

use crate::terms;

fn atom<'a>(env: Env<'a>, name: &str) -> Term<'a> {
    Atom::from_str(env, name).map_or_else(|_| terms::unknown().encode(env), |a| a.encode(env))
}

/// `Some(None)` for all groups.
fn group(term: Term<'_>) -> Option<Option<Group>> {
    let name = term.atom_to_string().ok()?;
    if name == "all" {
        return Some(None);
    }
    Group::ALL
        .iter()
        .find(|group| group.name() == name)
        .map(|group| Some(*group))
}

/// The value of a constant, or `unknown`. The name is an atom or a binary.
pub fn define<'a>(env: Env<'a>, in_group: Term<'a>, name: Term<'a>) -> Term<'a> {
    let name = name.atom_to_string().or_else(|_| name.decode());
    let value = group(in_group).and_then(|group| constants::lookup(group, &name.ok()?));
    value.map_or_else(|| terms::unknown().encode(env), |value| value.encode(env))
}

/// The constants of a group.
pub fn all<'a>(env: Env<'a>, in_group: Term<'a>) -> Term<'a> {
    let groups = match group(in_group) {
        Some(Some(group)) => vec![group],
        Some(None) => Group::ALL.to_vec(),
        None => vec![],
    };
    let constants = groups.into_iter().flat_map(constants::all);
    constants
        .map(|(name, value)| (atom(env, name), value))
        .collect::<Vec<_>>()
        .encode(env)
}

/// The name of a signal, or `unknown`.
pub fn signal_name<'a>(env: Env<'a>, number: i64) -> Term<'a> {
    let name = i32::try_from(number).ok().and_then(constants::signal_name);
    name.map_or_else(|| terms::unknown().encode(env), |name| atom(env, name))
}

/// The name of an error, or `unknown`.
pub fn errno_name<'a>(env: Env<'a>, number: i64) -> Term<'a> {
    let name = u16::try_from(number).ok().and_then(errno::name);
    name.map_or_else(|| terms::unknown().encode(env), |name| atom(env, name))
}

/// The names of the groups.
pub fn groups<'a>(env: Env<'a>) -> Term<'a> {
    let groups = Group::ALL.iter().map(|group| atom(env, group.name()));
    groups.collect::<Vec<_>>().encode(env)
}

/// The table of calls.
pub fn calls<'a>(env: Env<'a>) -> Term<'a> {
    let text = |text: &str| terms::binary(env, text.as_bytes());
    let row = |call: &alcove_proto::calls::Call| {
        let args: Vec<_> = call
            .args
            .iter()
            .map(|(name, kind)| {
                (
                    atom(env, name),
                    atom(env, &format!("{kind:?}").to_lowercase()),
                )
            })
            .collect();
        let name = terms::call_name(env, call.number);
        (
            name,
            call.number,
            args,
            text(call.man),
            atom(env, &format!("{:?}", call.platforms)),
            text(call.summary),
        )
    };
    CALLS.iter().map(row).collect::<Vec<_>>().encode(env)
}

/// How many arguments a call of this name takes; `unknown` if there is none.
pub fn arity<'a>(env: Env<'a>, name: Term<'a>) -> Term<'a> {
    let found = name
        .atom_to_string()
        .ok()
        .and_then(|name| CALLS.iter().find(|call| call.name == name));
    found.map_or_else(
        || terms::unknown().encode(env),
        |call| call.args.len().encode(env),
    )
}

/// What a call may carry.
pub fn limits<'a>(env: Env<'a>) -> Term<'a> {
    Term::map_from_pairs(env, &[(atom(env, "max_data"), MAX_DATA)])
        .unwrap_or_else(|_| Term::map_new(env))
}
