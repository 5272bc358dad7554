//! Landlock: a process restricts itself. Linux only; see landlock(7).

use crate::process::Process;
use crate::reply::Outcome;

/// The version of Landlock that the kernel has.
pub fn landlock_abi(_: &mut Process) -> Outcome<i32> {
    sys::landlock_abi()
}

/// landlock_create_ruleset(2): what is refused unless a rule allows it, as a descriptor.
///
/// `e2big` or `einval` for what this kernel's version of Landlock doesn't know.
pub fn landlock_create_ruleset(_: &mut Process, fs: u64, net: u64, scoped: u64) -> Outcome<i32> {
    sys::landlock_create_ruleset([fs, net, scoped])
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
    sys::landlock_add_rule(p, ruleset, rule, access, object)
}

/// landlock_restrict_self(2): from now on, and for what is forked and exec'ed from here.
pub fn landlock_restrict_self(p: &mut Process, ruleset: i32, flags: u64) -> Outcome {
    sys::landlock_restrict_self(p, ruleset, flags)
}

#[cfg(target_os = "linux")]
mod sys {
    use super::*;
    use crate::sys::io::user_fd;
    use nix::errno::Errno;

    /// Asks for the version: linux/landlock.h.
    const CREATE_RULESET_VERSION: libc::c_uint = 1;
    const RULE_PATH_BENEATH: i64 = 1;
    const RULE_NET_PORT: i64 = 2;

    pub fn landlock_abi() -> Outcome<i32> {
        let none = std::ptr::null::<u64>();
        // SAFETY: no structure is given.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                none,
                0_usize,
                CREATE_RULESET_VERSION,
            )
        };
        Ok(Errno::result(version)? as i32)
    }

    /// `attr` is a `struct landlock_ruleset_attr`. Older kernels take a longer one than
    /// theirs if what they don't know is zero.
    pub fn landlock_create_ruleset(attr: [u64; 3]) -> Outcome<i32> {
        // SAFETY: the structure is as large as is said.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                attr.as_ptr(),
                size_of_val(&attr),
                0 as libc::c_uint,
            )
        };
        Ok(Errno::result(fd)? as i32)
    }

    pub fn landlock_add_rule(
        p: &Process,
        ruleset: i32,
        rule: i64,
        access: u64,
        object: u64,
    ) -> Outcome {
        let ruleset = user_fd(p, ruleset)?;
        // Both structures begin with 64 bits of access; a descriptor or 64 bits of a port follow.
        let mut attr = [0; 16];
        attr[..8].copy_from_slice(&access.to_ne_bytes());
        match rule {
            RULE_PATH_BENEATH => {
                let fd = i32::try_from(object).map_err(|_| Errno::EBADF)?;
                attr[8..12].copy_from_slice(&user_fd(p, fd)?.to_ne_bytes());
            }
            RULE_NET_PORT => attr[8..].copy_from_slice(&object.to_ne_bytes()),
            _ => return Err(Errno::EINVAL.into()),
        }
        let (rule, flags) = (rule as libc::c_uint, 0 as libc::c_uint);
        // SAFETY: the structure is at least as large as the rule's.
        let result = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                ruleset,
                rule,
                attr.as_ptr(),
                flags,
            )
        };
        Errno::result(result)?;
        Ok(())
    }

    pub fn landlock_restrict_self(p: &Process, ruleset: i32, flags: u64) -> Outcome {
        let ruleset = user_fd(p, ruleset)?;
        let flags = libc::c_uint::try_from(flags).map_err(|_| Errno::EINVAL)?;
        // SAFETY: takes numbers and touches no memory.
        Errno::result(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, flags) })?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::*;
    use crate::reply::Fail;

    pub fn landlock_abi() -> Outcome<i32> {
        Err(Fail::Unsupported)
    }

    pub fn landlock_create_ruleset(_: [u64; 3]) -> Outcome<i32> {
        Err(Fail::Unsupported)
    }

    pub fn landlock_add_rule(_: &Process, _: i32, _: i64, _: u64, _: u64) -> Outcome {
        Err(Fail::Unsupported)
    }

    pub fn landlock_restrict_self(_: &Process, _: i32, _: u64) -> Outcome {
        Err(Fail::Unsupported)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::testing::{CONTROL, Scratch, in_child, process, text};

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
            let dir = crate::sys::io::open(&mut p, &scratch.at("in"), flags, 0).expect("open");
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
