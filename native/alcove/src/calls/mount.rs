//! Mounting file systems.

use crate::process::Process;
use crate::reply::Outcome;
#[cfg(not(target_os = "linux"))]
use crate::sys::bsd;
use nix::errno::Errno;
use std::ffi::CStr;

/// mount(2), as Linux has it. On the BSDs `source` is not used.
///
/// An empty source, type or data is no argument (a null pointer), as it is
/// customary for binding, moving, remounting and propagation, which don't look at it.
pub fn mount(
    _: &mut Process,
    source: &CStr,
    target: &CStr,
    fstype: &CStr,
    flags: u64,
    data: &CStr,
) -> Outcome {
    #[allow(
        clippy::useless_conversion,
        reason = "flags have 32 bits on some platforms"
    )]
    let flags = flags.try_into().map_err(|_| Errno::EINVAL)?;
    #[cfg(target_os = "linux")]
    nix::mount::mount(
        given(source),
        target,
        given(fstype),
        nix::mount::MsFlags::from_bits_retain(flags),
        given(data),
    )?;
    #[cfg(not(target_os = "linux"))]
    {
        let _ = source;
        bsd::mount(fstype, target, flags, given(data))?;
    }
    Ok(())
}

/// umount(2), on the BSDs unmount(2).
pub fn umount(_: &mut Process, path: &CStr) -> Outcome {
    #[cfg(target_os = "linux")]
    nix::mount::umount(path)?;
    #[cfg(not(target_os = "linux"))]
    bsd::unmount(path)?;
    Ok(())
}

/// umount2(2): umount, with flags.
#[cfg(target_os = "linux")]
pub fn umount2(_: &mut Process, path: &CStr, flags: u64) -> Outcome {
    let flags = libc::c_int::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let flags = nix::mount::MntFlags::from_bits_retain(flags);
    Ok(nix::mount::umount2(path, flags)?)
}

/// pivot_root(2): makes a mount point the root, and puts the old root at another.
///
/// The working directory stays where it is.
#[cfg(target_os = "linux")]
pub fn pivot_root(_: &mut Process, new_root: &CStr, put_old: &CStr) -> Outcome {
    Ok(crate::sys::mount::pivot_root(new_root, put_old)?)
}

fn given(argument: &CStr) -> Option<&CStr> {
    (!argument.is_empty()).then_some(argument)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(
    clippy::unnecessary_cast,
    reason = "flags have 32 bits on some platforms"
)]
mod tests {
    use super::*;
    use crate::calls::testing::{Scratch, in_child, need, process, text};
    use nix::mount::MsFlags;
    use nix::sched::{CloneFlags, unshare};
    use nix::unistd::Uid;

    const RDONLY: u64 = libc::MS_RDONLY as u64;
    const PRIVATE: u64 = (libc::MS_REC | libc::MS_PRIVATE) as u64;
    const REMOUNT: u64 = (libc::MS_REMOUNT | libc::MS_RDONLY) as u64;
    const BIND: u64 = libc::MS_BIND as u64;

    #[test]
    fn file_systems_come_and_go_in_a_namespace() {
        if !need::root() {
            return;
        }
        let scratch = Scratch::new("mount");
        let (here, there) = (scratch.path().join("a"), scratch.path().join("b"));
        in_child(|| {
            let mut p = process();
            unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
            assert_eq!(text(&mount(&mut p, c"", c"/", c"", PRIVATE, c"")), "ok");
            std::fs::create_dir(&here).expect("create");
            std::fs::create_dir(&there).expect("create");
            let (a, b) = (scratch.at("a"), scratch.at("b"));
            assert_eq!(
                text(&mount(&mut p, c"", &a, c"tmpfs", 0, c"size=64k")),
                "ok"
            );
            std::fs::write(here.join("file"), "x").expect("write");
            assert_eq!(text(&mount(&mut p, &a, &b, c"", BIND, c"")), "ok");
            assert!(there.join("file").exists());
            assert_eq!(text(&mount(&mut p, c"", &a, c"", REMOUNT, c"")), "ok");
            assert!(std::fs::write(here.join("more"), "x").is_err());
            assert_eq!(text(&umount(&mut p, &b)), "ok");
            assert_eq!(text(&umount(&mut p, &a)), "ok");
            assert_eq!(text(&umount(&mut p, &a)), "{error,einval}");
            assert!(!here.join("file").exists());
        });
    }

    #[test]
    fn what_is_wrong_is_told() {
        if !need::root() {
            return;
        }
        in_child(|| {
            let mut p = process();
            unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .expect("private");
            assert_eq!(
                text(&mount(&mut p, c"", c"/nonesuch", c"tmpfs", RDONLY, c"")),
                "{error,enoent}"
            );
            assert_eq!(
                text(&mount(&mut p, c"", c"/tmp", c"nonesuch", 0, c"")),
                "{error,enodev}"
            );
            assert_eq!(
                text(&mount(&mut p, c"", c"/tmp", c"tmpfs", 0, c"nonesuch=1")),
                "{error,einval}"
            );
            assert_eq!(text(&umount(&mut p, c"/nonesuch")), "{error,enoent}");
            nix::unistd::setuid(Uid::from_raw(0xf000_0001)).expect("setuid");
            assert_eq!(
                text(&mount(&mut p, c"", c"/tmp", c"tmpfs", 0, c"")),
                "{error,eperm}"
            );
        });
    }
}
