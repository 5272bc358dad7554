//! Resource limits.

use crate::process::Process;
use crate::reply::{Outcome, Term};
use crate::sys::resource::{self, RLIM_INFINITY, rlim_t, rlimit};
use alcove_proto::wire::arg::Rlimit;
use alcove_proto::wire::{Atom, PutTerm};
use libc::c_int;
use nix::errno::Errno;

/// No limit, whatever number the platform has for that: all 64 bits set.
const INFINITY: u64 = u64::MAX;

/// `#alcove_rlimit{}`
impl Term for Rlimit {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_tuple(3);
        out.term_atom(Atom::AlcoveRlimit);
        out.term_uint(self.cur);
        out.term_uint(self.max);
    }
}

/// getrlimit(2).
pub fn getrlimit(_: &mut Process, resource: u64) -> Outcome<Rlimit> {
    let number = number(resource)?;
    let limit = resource::getrlimit(number)?;
    Ok(Rlimit {
        cur: to_wire(limit.rlim_cur),
        max: to_wire(limit.rlim_max),
    })
}

/// setrlimit(2).
pub fn setrlimit(p: &mut Process, resource: u64, limit: Rlimit) -> Outcome {
    let number = number(resource)?;
    if number == libc::RLIMIT_NOFILE as c_int {
        // What is open stays open. Both calls are prlimit(2): a filter that admits one of them
        // admits the other.
        if let Ok(before) = resource::getrlimit(number) {
            p.may_have_below(to_wire(before.rlim_max));
        }
    }
    let most = limit.max;
    let limit = rlimit {
        rlim_cur: from_wire(limit.cur)?,
        rlim_max: from_wire(limit.max)?,
    };
    set(number, &limit)?;
    if number == libc::RLIMIT_NOFILE as c_int {
        p.may_have_below(most);
    }
    Ok(())
}

/// Sets a limit, or fails with EINVAL: a 32-bit kernel takes one that it has no room for as none at
/// all.
fn set(number: c_int, limit: &rlimit) -> nix::Result<()> {
    if cfg!(target_pointer_width = "64") {
        return resource::setrlimit(number, limit);
    }
    let before = resource::getrlimit(number)?;
    resource::setrlimit(number, limit)?;
    let after = resource::getrlimit(number)?;
    let is_none = |asked, has| asked != RLIM_INFINITY && has == RLIM_INFINITY;
    if is_none(limit.rlim_cur, after.rlim_cur) || is_none(limit.rlim_max, after.rlim_max) {
        resource::setrlimit(number, &before)?;
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn number(resource: u64) -> nix::Result<c_int> {
    c_int::try_from(resource).map_err(|_| Errno::EINVAL)
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the type is signed on some platforms"
)]
fn to_wire(limit: rlim_t) -> u64 {
    if limit == RLIM_INFINITY {
        INFINITY
    } else {
        limit as u64
    }
}

#[allow(
    clippy::unnecessary_fallible_conversions,
    reason = "the type is signed on some platforms"
)]
fn from_wire(limit: u64) -> nix::Result<rlim_t> {
    match limit {
        INFINITY => Ok(RLIM_INFINITY),
        limit => rlim_t::try_from(limit).map_err(|_| Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, process, text};
    use crate::process::MOST_DESCRIPTORS;

    const NOFILE: u64 = libc::RLIMIT_NOFILE as u64;
    const CPU: u64 = libc::RLIMIT_CPU as u64;

    #[test]
    fn limits_are_set_and_read() {
        in_child(|| {
            let mut p = process();
            let before = getrlimit(&mut p, NOFILE).expect("a limit").max;
            let limit = Rlimit { cur: 10, max: 20 };
            assert_eq!(text(&setrlimit(&mut p, NOFILE, limit)), "ok");
            // What was open stays open.
            assert_eq!(u64::from(p.below), before.min(MOST_DESCRIPTORS.into()));
            assert_eq!(
                text(&getrlimit(&mut p, NOFILE)),
                "{ok,{alcove_rlimit,10,20}}"
            );
            let limit = Rlimit { cur: 21, max: 20 };
            assert_eq!(text(&setrlimit(&mut p, NOFILE, limit)), "{error,einval}");
        });
    }

    #[test]
    fn what_is_read_can_be_set_unchanged() {
        in_child(|| {
            let mut p = process();
            let limit = getrlimit(&mut p, CPU).expect("a limit");
            assert_eq!(setrlimit(&mut p, CPU, limit), Ok(()));
            assert_eq!(getrlimit(&mut p, CPU), Ok(limit));
        });
    }

    #[test]
    fn infinity_is_the_largest_number() {
        assert_eq!(to_wire(RLIM_INFINITY), u64::MAX);
        assert_eq!(from_wire(u64::MAX), Ok(RLIM_INFINITY));
        let limit = Rlimit {
            cur: 0,
            max: u64::MAX,
        };
        assert_eq!(
            text(&Ok::<_, crate::reply::Fail>(limit)),
            "{ok,{alcove_rlimit,0,18446744073709551615}}"
        );
    }

    #[test]
    fn resources_are_checked() {
        let mut p = process();
        for resource in [1000, u64::MAX, 1 << 32 | NOFILE] {
            assert_eq!(text(&getrlimit(&mut p, resource)), "{error,einval}");
            let limit = Rlimit { cur: 0, max: 0 };
            assert_eq!(text(&setrlimit(&mut p, resource, limit)), "{error,einval}");
        }
    }
}
