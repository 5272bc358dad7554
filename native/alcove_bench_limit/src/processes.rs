//! Processes: made, and waited for.

use crate::many;
use crate::samples;
use crate::sys;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, chdir, chroot, execve, read, setgid, setuid};
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

/// Nobody, in whatever user namespace.
const NOBODY: u32 = 65534;

/// fork(2), _exit(2), waitpid(2).
pub fn fork(time: Duration) -> std::io::Result<Vec<u64>> {
    samples::take(time, || wait(sys::fork(|| 0)?))
}

/// posix_spawn(3), waitpid(2).
pub fn spawn(time: Duration, program: &str) -> std::io::Result<Vec<u64>> {
    let program = CString::new(program)?;
    let (env, argv) = (environment(), [&*program]);
    let (actions, attributes) = (PosixSpawnFileActions::init()?, PosixSpawnAttr::init()?);
    samples::take(time, || {
        wait(posix_spawn(&*program, &actions, &attributes, &argv, &env)?)
    })
}

/// The same in a number of processes at once, see [`many::at_once`].
pub fn spawners(time: Duration, n: usize, program: &str) -> std::io::Result<Vec<u64>> {
    let program = CString::new(program)?;
    let (env, argv) = (environment(), [&*program]);
    let (actions, attributes) = (PosixSpawnFileActions::init()?, PosixSpawnAttr::init()?);
    many::at_once(time, n, |during| {
        during.count(|| wait(posix_spawn(&*program, &actions, &attributes, &argv, &env)?))
    })
}

/// Five namespaces, chroot(2), chdir(2), setgid(2), setuid(2), execve(2), waitpid(2).
pub fn container(time: Duration, root: &str) -> std::io::Result<Vec<u64>> {
    let env = environment();
    let flags = libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUTS;
    samples::take(time, || {
        let confined = || -> nix::Result<()> {
            chroot(root)?;
            chdir("/")?;
            setgid(Gid::from_raw(NOBODY))?;
            setuid(Uid::from_raw(NOBODY))?;
            execve(c"/busybox", &[c"true"], &env)?;
            Ok(())
        };
        wait(sys::clone(flags as u32 as u64, || {
            let _ = confined();
            127
        })?)
    })
}

/// posix_spawn(3) of this static program, until it says that it is there.
pub fn start(time: Duration) -> std::io::Result<Vec<u64>> {
    let program = CString::new(std::env::current_exe()?.into_os_string().into_vec())?;
    let env = environment();
    let attributes = PosixSpawnAttr::init()?;
    samples::take_timed(time, || {
        let start = Instant::now();
        let (socket, its) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(its.as_raw_fd(), 0)?;
        actions.add_dup2(its.as_raw_fd(), 1)?;
        let argv = [&*program, c"hello"];
        let pid = posix_spawn(&*program, &actions, &attributes, &argv, &env)?;
        drop(its);
        let said = read(&socket, &mut [0; 1])?;
        let took = start.elapsed();
        drop(socket);
        wait(pid)?;
        if said == 1 {
            Ok(took)
        } else {
            Err(std::io::Error::other("the program said nothing"))
        }
    })
}

/// The memory of processes that were forked and do nothing: the sum of their
/// PSS in KiB, and how many there are.
pub fn idle(n: usize) -> std::io::Result<Vec<u64>> {
    let mut pids = Vec::new();
    for _ in 0..n {
        pids.push(sys::fork(|| {
            nix::unistd::pause();
            0
        })?);
    }
    let sum: std::io::Result<u64> = pids.iter().map(|pid| pss(*pid)).sum();
    for pid in &pids {
        kill(*pid, Signal::SIGKILL)?;
    }
    for pid in pids {
        waitpid(pid, None)?;
    }
    Ok(vec![sum?, n as u64])
}

fn pss(pid: Pid) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| std::io::Error::other("no Pss in smaps_rollup"))
}

fn environment() -> Vec<CString> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            let mut variable = name.into_vec();
            variable.push(b'=');
            variable.extend(value.into_vec());
            CString::new(variable).ok()
        })
        .collect()
}

/// waitpid(2) for a process that must have gone well.
fn wait(pid: Pid) -> std::io::Result<()> {
    match waitpid(pid, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => Err(std::io::Error::other(format!("{status:?}"))),
    }
}
