//! Landlock: a process restricts itself. See landlock(7).

use super::io::user_fd;
use crate::process::Process;
use crate::reply::Outcome;
use crate::sys::landlock::{self, Object};
use nix::errno::Errno;
use std::os::fd::IntoRawFd;

/// The version of Landlock that the kernel has.
pub fn landlock_abi(_: &mut Process) -> Outcome<i32> {
    Ok(landlock::version()?)
}

/// landlock_create_ruleset(2): what is refused unless a rule allows it, as a descriptor.
///
/// `e2big` or `einval` for what this kernel's version of Landlock doesn't know.
pub fn landlock_create_ruleset(_: &mut Process, fs: u64, net: u64, scoped: u64) -> Outcome<i32> {
    Ok(landlock::create_ruleset([fs, net, scoped])?.into_raw_fd())
}

/// landlock_add_rule(2): allows something beneath an open directory or at a port, which
/// `object` is.
pub fn landlock_add_rule(
    p: &mut Process,
    ruleset: i32,
    rule: i64,
    access: u64,
    object: u64,
) -> Outcome {
    let ruleset = user_fd(p, ruleset)?;
    // linux/landlock.h.
    let object = match rule {
        1 => {
            let directory = i32::try_from(object).map_err(|_| Errno::EBADF)?;
            Object::Beneath(user_fd(p, directory)?)
        }
        2 => Object::Port(object),
        _ => return Err(Errno::EINVAL.into()),
    };
    Ok(landlock::add_rule(ruleset, access, object)?)
}

/// landlock_restrict_self(2): from now on, and for what is forked and exec'ed from here.
pub fn landlock_restrict_self(p: &mut Process, ruleset: i32, flags: u64) -> Outcome {
    let ruleset = user_fd(p, ruleset)?;
    let flags = libc::c_uint::try_from(flags).map_err(|_| Errno::EINVAL)?;
    Ok(landlock::restrict_self(ruleset, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{CONTROL, Scratch, in_child, process, text};

    const WRITE_FILE: u64 = 1 << 1;

    #[test]
    fn what_no_rule_allows_is_refused() {
        if landlock_abi(&mut process()).is_err() {
            return;
        }
        let scratch = Scratch::new("landlock");
        std::fs::create_dir(scratch.path().join("in")).expect("create");
        std::fs::write(scratch.path().join("in/file"), "").expect("write");
        std::fs::write(scratch.path().join("out"), "").expect("write");
        in_child(|| {
            let mut p = process();
            let rules = landlock_create_ruleset(&mut p, WRITE_FILE, 0, 0).expect("rules");
            let flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
            let dir = crate::calls::io::open(&mut p, &scratch.at("in"), flags, 0).expect("open");
            let mut add = |object| text(&landlock_add_rule(&mut p, rules, 1, WRITE_FILE, object));
            assert_eq!(add(dir as u64), "ok");
            assert_eq!(add(CONTROL as u64), "{error,ebadf}");
            assert_eq!(add(u64::MAX), "{error,ebadf}");
            nix::sys::prctl::set_no_new_privs().expect("no new privileges");
            assert_eq!(text(&landlock_restrict_self(&mut p, rules, 0)), "ok");
            std::fs::write(scratch.path().join("in/file"), "x").expect("write");
            let refused = std::fs::write(scratch.path().join("out"), "x").expect_err("refused");
            assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
        });
    }
}
