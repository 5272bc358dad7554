//! Capabilities.
//!
//! A set of them is a number with a bit for each.

use super::cred::keeping;
use crate::process::Process;
use crate::reply::{Map, Outcome, Value};
use crate::sys::cap::{self, Sets};
use alcove_proto::wire::Atom;
use libc::{c_int, c_ulong};
use nix::errno::Errno;

/// capget(2): the effective, permitted and inheritable capabilities of a process; 0 is this one.
pub fn capget(_: &mut Process, pid: i32) -> Outcome<Map<3>> {
    let sets = cap::get(pid)?;
    Ok(Map([
        (Atom::Effective, Value::Uint(sets.effective)),
        (Atom::Permitted, Value::Uint(sets.permitted)),
        (Atom::Inheritable, Value::Uint(sets.inheritable)),
    ]))
}

/// capset(2): the effective, permitted and inheritable capabilities of this process.
pub fn capset(p: &mut Process, effective: u64, permitted: u64, inheritable: u64) -> Outcome {
    let sets = Sets {
        effective,
        permitted,
        inheritable,
    };
    Ok(keeping(p, || cap::set(sets))?)
}

/// The capabilities for which an option says 1, up to the last that the kernel knows.
fn held(ask: impl Fn(c_ulong) -> nix::Result<c_int>) -> Outcome<u64> {
    let mut set = 0;
    for cap in 0..c_ulong::from(u64::BITS) {
        match ask(cap) {
            Ok(0) => {}
            Ok(_) => set |= 1 << cap,
            Err(Errno::EINVAL) if cap > 0 => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(set)
}

fn each(caps: u64) -> impl Iterator<Item = c_ulong> {
    (0..c_ulong::from(u64::BITS)).filter(move |cap| caps & 1 << cap != 0)
}

/// cap_get_bound(3): the bounding set, which limits what an exec can gain.
pub fn cap_get_bound(_: &mut Process) -> Outcome<u64> {
    held(cap::bound)
}

/// cap_drop_bound(3): drops capabilities from the bounding set, for good. All or none.
pub fn cap_drop_bound(_: &mut Process, caps: u64) -> Outcome {
    // A capability that the kernel doesn't know is found before any is dropped.
    each(caps).try_for_each(|cap| cap::bound(cap).map(drop))?;
    each(caps).try_for_each(cap::drop_bound)?;
    Ok(())
}

/// cap_get_ambient(3): the ambient set, which a program keeps that has no capabilities itself.
pub fn cap_get_ambient(_: &mut Process) -> Outcome<u64> {
    held(|cap| cap::ambient(libc::PR_CAP_AMBIENT_IS_SET, cap))
}

/// cap_set_ambient(3): makes this the ambient set. All are permitted and inheritable, or none
/// is set.
pub fn cap_set_ambient(p: &mut Process, caps: u64) -> Outcome {
    let before = cap_get_ambient(p)?;
    cap::ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    let raise = |caps| {
        each(caps).try_for_each(|cap| cap::ambient(libc::PR_CAP_AMBIENT_RAISE, cap).map(drop))
    };
    if let Err(errno) = raise(caps) {
        cap::ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
        raise(before)?;
        return Err(errno.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, need, process, text};

    const CHOWN: u64 = 1;
    const KILL: u64 = 1 << 5;

    #[test]
    fn what_is_dropped_stays_dropped() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            let both = CHOWN | KILL;
            assert_eq!(text(&capset(&mut p, both, both, KILL)), "ok");
            assert_eq!(
                text(&capget(&mut p, 0)),
                format!("{{ok,#{{effective=>{both},permitted=>{both},inheritable=>{KILL}}}}}")
            );
            assert_eq!(text(&cap_set_ambient(&mut p, KILL)), "ok");
            assert_eq!(text(&cap_get_ambient(&mut p)), format!("{{ok,{KILL}}}"));
            assert_eq!(text(&cap_set_ambient(&mut p, both)), "{error,eperm}");
            assert_eq!(text(&cap_get_ambient(&mut p)), format!("{{ok,{KILL}}}"));
            // CAP_SETPCAP is gone.
            assert_eq!(text(&cap_drop_bound(&mut p, CHOWN)), "{error,eperm}");
            assert_eq!(text(&capset(&mut p, 0, 0, 0)), "ok");
            assert_eq!(text(&capset(&mut p, CHOWN, CHOWN, 0)), "{error,eperm}");
        });
    }

    #[test]
    fn an_unknown_capability_drops_none() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            let before = cap_get_bound(&mut p);
            assert_eq!(
                text(&cap_drop_bound(&mut p, 1 << 63 | CHOWN)),
                "{error,einval}"
            );
            assert_eq!(cap_get_bound(&mut p), before);
            assert_eq!(text(&cap_drop_bound(&mut p, CHOWN)), "ok");
            assert_eq!(cap_get_bound(&mut p), before.map(|set| set & !CHOWN));
        });
    }
}
