//! Namespaces.

use super::cred::keeping;
use super::io::user_fd;
use crate::process::Process;
use crate::protect;
use crate::reply::Outcome;
use crate::sys::fd::borrow;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use std::ffi::CStr;

/// setns(2): enters the namespace of a file like `/proc/1/ns/net`.
///
/// A pid namespace only applies to children that are forked from now on.
pub fn setns(p: &mut Process, namespace: &CStr) -> Outcome {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::open(namespace, flags, Mode::empty())?;
    keeping(p, || nix::sched::setns(&fd, CloneFlags::empty()))?;
    p.divides = true;
    Ok(())
}

/// setns(2): enters the namespace that a descriptor stands for, of this type; a type of 0 is
/// any. With a descriptor of a process (pidfd_open), the namespaces of these types that it is in.
pub fn setns_fd(p: &mut Process, fd: i32, nstype: u64) -> Outcome {
    let fd = user_fd(p, fd)?;
    if fd < 0 {
        return Err(Errno::EBADF.into());
    }
    let nstype = namespaces(nstype)?;
    keeping(p, || nix::sched::setns(borrow(fd), nstype))?;
    p.divides = true;
    Ok(())
}

/// unshare(2): leaves namespaces for new ones.
///
/// A pid namespace only applies to children that are forked from now on. A
/// process that makes a user namespace becomes dumpable (PR_SET_DUMPABLE), since the files of
/// /proc that hold its maps of ids would not belong to it otherwise. See
/// [`crate::spawn::close_if_mapped`].
pub fn unshare(p: &mut Process, flags: u64) -> Outcome {
    let flags = namespaces(flags)?;
    keeping(p, || nix::sched::unshare(flags))?;
    p.divides |= flags.contains(CloneFlags::CLONE_NEWPID);
    if flags.contains(CloneFlags::CLONE_NEWUSER) && !p.filtered {
        protect::set_dumpable(true);
        p.open = true;
    }
    Ok(())
}

/// The kernel refuses flags that aren't namespaces.
fn namespaces(flags: u64) -> nix::Result<CloneFlags> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    Ok(CloneFlags::from_bits_retain(flags as libc::c_int))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::testing::{in_child, need, process, text};
    use crate::protect::{Protection, set_dumpable};
    use crate::spawn::close_if_mapped;
    use nix::sys::signal::Signal;
    use nix::unistd::{Gid, Uid};

    const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
    const NEWNET: u64 = libc::CLONE_NEWNET as u64;
    const NEWPID: u64 = libc::CLONE_NEWPID as u64;
    const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;

    fn namespace(name: &str) -> std::path::PathBuf {
        std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace")
    }

    #[test]
    fn namespaces_are_left_and_entered_again() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            let before = (namespace("uts"), namespace("net"));
            let home = std::fs::File::open("/proc/self/ns/net").expect("open");
            assert_eq!(text(&unshare(&mut p, NEWUTS | NEWNET)), "ok");
            assert_ne!(namespace("uts"), before.0);
            assert_ne!(namespace("net"), before.1);
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&home));
            let path = std::ffi::CString::new(path).expect("no NUL");
            assert_eq!(text(&setns(&mut p, &path)), "ok");
            assert_eq!(namespace("net"), before.1);
            assert_eq!(text(&unshare(&mut p, NEWNET)), "ok");
            let fd = std::os::fd::AsRawFd::as_raw_fd(&home);
            assert_eq!(text(&setns_fd(&mut p, fd, NEWUTS)), "{error,einval}");
            assert_eq!(text(&setns_fd(&mut p, fd, NEWNET)), "ok");
            assert_eq!(namespace("net"), before.1);
        });
    }

    #[test]
    fn new_pid_namespaces_are_for_the_children() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&unshare(&mut p, NEWPID)), "ok");
            in_child(|| assert_eq!(std::process::id(), 1));
        });
    }

    #[test]
    fn a_new_user_namespace_can_be_given_its_maps() {
        in_child(|| {
            let mut p = process();
            set_dumpable(false);
            nix::sys::prctl::set_pdeathsig(Signal::SIGUSR1).expect("set");
            let (uid, gid) = (Uid::effective(), Gid::effective());
            if text(&unshare(&mut p, NEWUSER)) == "{error,eperm}" {
                // Not every kernel allows this to an ordinary user.
                assert!(!uid.is_root());
                return;
            }
            assert_eq!(
                Protection::now(),
                Protection {
                    death_signal: libc::SIGUSR1,
                    dumpable: 1
                }
            );
            std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("write the map");
            assert!(Uid::effective().is_root());
            // After that no other process needs to look into it.
            close_if_mapped(&mut p);
            assert_eq!(Protection::now().dumpable, 1);
            std::fs::write("/proc/self/setgroups", "deny").expect("deny");
            std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("write the map");
            close_if_mapped(&mut p);
            assert_eq!(Protection::now().dumpable, 0);
        });
    }

    #[test]
    fn what_is_wrong_is_told() {
        in_child(|| {
            let mut p = process();
            assert_eq!(text(&setns(&mut p, c"/nonesuch")), "{error,enoent}");
            assert_eq!(text(&setns(&mut p, c"/dev/null")), "{error,einval}");
            assert_eq!(text(&setns_fd(&mut p, -1, NEWUTS)), "{error,ebadf}");
            assert_eq!(text(&setns_fd(&mut p, 0, u64::MAX)), "{error,einval}");
            assert_eq!(text(&unshare(&mut p, 1)), "{error,einval}");
            assert_eq!(text(&unshare(&mut p, u64::MAX)), "{error,einval}");
        });
    }
}
