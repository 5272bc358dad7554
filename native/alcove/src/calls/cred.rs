//! Who a process is.

use crate::process::Process;
#[cfg(target_os = "linux")]
use crate::protect::{self, Protection};
use crate::reply::{Bare, List, Outcome};
#[cfg(target_os = "linux")]
use crate::signals;
use crate::sys::groups;
#[cfg(target_os = "linux")]
use crate::sys::process;
use nix::unistd::{self, Gid, Uid};

/// getuid(2): the real user id.
pub fn getuid(_: &mut Process) -> Bare<u32> {
    Bare(unistd::getuid().as_raw())
}

/// getgid(2): the real group id.
pub fn getgid(_: &mut Process) -> Bare<u32> {
    Bare(unistd::getgid().as_raw())
}

/// setuid(2): the effective user id; for a privileged process the real and the
/// saved one too.
pub fn setuid(p: &mut Process, uid: u32) -> Outcome {
    keeping(p, || unistd::setuid(Uid::from_raw(uid)))?;
    Ok(())
}

/// setgid(2): the effective group id; for a privileged process the real and the
/// saved one too.
pub fn setgid(p: &mut Process, gid: u32) -> Outcome {
    keeping(p, || unistd::setgid(Gid::from_raw(gid)))?;
    Ok(())
}

/// geteuid(2): the effective user id.
pub fn geteuid(_: &mut Process) -> Bare<u32> {
    Bare(unistd::geteuid().as_raw())
}

/// getegid(2): the effective group id.
pub fn getegid(_: &mut Process) -> Bare<u32> {
    Bare(unistd::getegid().as_raw())
}

#[cfg(any(
    target_os = "linux",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
pub use saved::{getresgid, getresuid, setresgid, setresuid};

/// getgroups(2): the supplementary groups.
pub fn getgroups(_: &mut Process) -> Outcome<List<u32>> {
    Ok(List(groups::getgroups()?))
}

/// setgroups(2): the supplementary groups.
pub fn setgroups(p: &mut Process, groups: Vec<u32>) -> Outcome {
    Ok(keeping(p, || groups::setgroups(&groups))?)
}

/// The saved ids.
#[cfg(any(
    target_os = "linux",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "openbsd"
))]
mod saved {
    use super::keeping;
    use crate::process::Process;
    use crate::reply::{Flat, Outcome};
    use nix::unistd::{self, Gid, Uid};

    /// getresuid(2): the real, effective and saved user ids.
    pub fn getresuid(_: &mut Process) -> Flat<(u32, u32, u32)> {
        let got = unistd::getresuid();
        let numbers = got.map(|ids| {
            let (real, effective, saved) = (ids.real, ids.effective, ids.saved);
            (real.as_raw(), effective.as_raw(), saved.as_raw())
        });
        Flat(numbers.map_err(Into::into))
    }

    /// getresgid(2): the real, effective and saved group ids.
    pub fn getresgid(_: &mut Process) -> Flat<(u32, u32, u32)> {
        let got = unistd::getresgid();
        let numbers = got.map(|ids| {
            let (real, effective, saved) = (ids.real, ids.effective, ids.saved);
            (real.as_raw(), effective.as_raw(), saved.as_raw())
        });
        Flat(numbers.map_err(Into::into))
    }

    /// setresuid(2): the real, effective and saved user ids; the largest number keeps one.
    pub fn setresuid(p: &mut Process, ruid: u32, euid: u32, suid: u32) -> Outcome {
        let [real, effective, saved] = [ruid, euid, suid].map(Uid::from_raw);
        Ok(keeping(p, || unistd::setresuid(real, effective, saved))?)
    }

    /// setresgid(2): the real, effective and saved group ids; the largest number keeps one.
    pub fn setresgid(p: &mut Process, rgid: u32, egid: u32, sgid: u32) -> Outcome {
        let [real, effective, saved] = [rgid, egid, sgid].map(Gid::from_raw);
        Ok(keeping(p, || unistd::setresgid(real, effective, saved))?)
    }
}

/// Changes credentials and keeps what the kernel takes that as an occasion to
/// change with them: whether the process ends with its parent, and whether others
/// of the same user may look into it.
///
/// Under a filter this is left to the user: a filter that admits the change
/// need not admit prctl(2), and may end the process for it.
#[cfg(target_os = "linux")]
pub(super) fn keeping<T>(p: &Process, change: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    if p.filtered {
        return change();
    }
    let before = Protection::now();
    let result = change();
    restore(p, before);
    result
}

/// Makes the protection of this process what it was. The kernel refuses a `dumpable` of 2,
/// which only it can set.
#[cfg(target_os = "linux")]
fn restore(p: &Process, before: Protection) {
    let now = Protection::now();
    if now.dumpable != before.dumpable {
        process::set_dumpable(before.dumpable);
    }
    if now.death_signal == before.death_signal {
        return;
    }
    if before.death_signal == signals::death_signal(p) {
        // This also sees to it that the parent did not die in between.
        signals::credentials_changed(p);
    } else {
        protect::set_death_signal(before.death_signal);
    }
}

/// Only Linux ties these to credentials.
#[cfg(not(target_os = "linux"))]
pub(super) fn keeping<T>(_: &Process, change: impl FnOnce() -> nix::Result<T>) -> nix::Result<T> {
    change()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, need, process, text};

    #[test]
    fn ids_are_the_kernels() {
        let mut p = process();
        let (uid, gid) = (unistd::getuid(), unistd::getgid());
        assert_eq!(text(&getuid(&mut p)), uid.to_string());
        assert_eq!(text(&getgid(&mut p)), gid.to_string());
    }

    #[test]
    fn privileges_are_dropped_for_good() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&setgid(&mut p, 0xf000_0001)), "ok");
            assert_eq!(text(&setuid(&mut p, 0xf000_0002)), "ok");
            assert_eq!(getuid(&mut p).0, 0xf000_0002);
            assert_eq!(getgid(&mut p).0, 0xf000_0001);
            assert_eq!(text(&setuid(&mut p, 0)), "{error,eperm}");
            assert_eq!(text(&setgid(&mut p, 0)), "{error,eperm}");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn protection_outlives_a_change_of_credentials() {
        if !need::root() {
            return;
        }
        for (death_signal, dumpable) in [(libc::SIGUSR1, 0), (libc::SIGUSR2, 1), (0, 0)] {
            in_child(|| {
                let mut p = process();
                nix::sys::prctl::set_pdeathsig(
                    nix::sys::signal::Signal::try_from(death_signal).ok(),
                )
                .expect("set");
                protect::set_dumpable(dumpable == 1);
                assert_eq!(text(&setuid(&mut p, 0xf000_0002)), "ok");
                assert_eq!(
                    Protection::now(),
                    Protection {
                        death_signal,
                        dumpable
                    }
                );
            });
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_ends_with_its_parent_after_it_too() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            crate::signals::begin_child(unistd::getppid().as_raw());
            assert_eq!(text(&setuid(&mut p, 0xf000_0002)), "ok");
            assert_eq!(Protection::now().death_signal, libc::SIGKILL);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_more_is_called_under_a_filter() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            p.filtered = true;
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGUSR1).expect("set");
            assert_eq!(text(&setuid(&mut p, 0xf000_0002)), "ok");
            assert_eq!(Protection::now().death_signal, 0);
        });
    }
}
