//! A call and its reply: two processes and a socket pair.

use crate::many;
use crate::samples;
use crate::sys;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, read, write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What alcove's frames for getpid(2) take, there and back.
const CALL: [u8; 11] = [0; 11];
const REPLY: [u8; 18] = [0; 18];

/// Blocking writes and reads between two processes, each where the kernel puts
/// it or both on one processor.
pub fn ping_pong(time: Duration, pinned: bool) -> std::io::Result<Vec<u64>> {
    let everywhere = sched_getaffinity(Pid::from_raw(0))?;
    if pinned {
        let mut one = CpuSet::new();
        one.set(nix::sched::sched_getcpu()?)?;
        sched_setaffinity(Pid::from_raw(0), &one)?;
    }
    let other = Other::start()?;
    let told = samples::take(time, || other.call());
    other.end()?;
    sched_setaffinity(Pid::from_raw(0), &everywhere)?;
    told
}

/// The same with a pause before each call, in which both processes fall asleep.
pub fn paced(time: Duration, pause: Duration) -> std::io::Result<Vec<u64>> {
    let other = Other::start()?;
    let told = samples::take_timed(time, || {
        std::thread::sleep(pause);
        let start = Instant::now();
        other.call()?;
        Ok(start.elapsed())
    })?;
    other.end()?;
    Ok(told)
}

/// Many pairs of processes at once, see [`many::at_once`].
pub fn pairs(time: Duration, n: usize) -> std::io::Result<Vec<u64>> {
    many::at_once(time, n, |during| {
        let other = Other::start()?;
        let calls = during.count(|| other.call())?;
        other.end()?;
        Ok(calls)
    })
}

/// A process that answers.
struct Other {
    socket: OwnedFd,
    pid: Pid,
}

impl Other {
    fn start() -> std::io::Result<Self> {
        let (socket, its) = socketpair(
            AddressFamily::Unix,
            SockType::Stream,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let pid = sys::fork(|| {
            // Its end of the input is that this process closes the last other end.
            if nix::unistd::close(std::os::fd::AsRawFd::as_raw_fd(&socket)).is_err() {
                return 1;
            }
            let mut call = [0; 64];
            while let Ok(1..) = read(&its, &mut call) {
                if write(&its, &REPLY).is_err() {
                    break;
                }
            }
            0
        })?;
        Ok(Other { socket, pid })
    }

    fn call(&self) -> std::io::Result<()> {
        let mut reply = [0; 64];
        write(&self.socket, &CALL)?;
        read(&self.socket, &mut reply)?;
        Ok(())
    }

    fn end(self) -> std::io::Result<()> {
        drop(self.socket);
        waitpid(self.pid, None)?;
        Ok(())
    }
}
