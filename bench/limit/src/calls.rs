//! A call and its reply: two processes and a socket pair.

use crate::samples;
use crate::sys;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe, read, write};
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

/// Many pairs of processes at once: how many calls they made together, in how many
/// nanoseconds, and the thousandths of the processors' time that were used.
pub fn pairs(time: Duration, n: usize) -> std::io::Result<Vec<u64>> {
    let start = Instant::now() + Duration::from_millis(20 + n as u64);
    let end = start + time;
    let (counts, count) = pipe()?;
    let mut callers = Vec::new();
    for _ in 0..n {
        callers.push(sys::fork(|| match caller(start, end, &count) {
            Ok(()) => 0,
            Err(_) => 1,
        })?);
    }
    std::thread::sleep(start.saturating_duration_since(Instant::now()));
    let before = Used::now()?;
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let used = Used::now()?.since(&before);
    let mut calls = 0;
    for _ in 0..n {
        let mut bytes = [0; 8];
        read(&counts, &mut bytes)?;
        calls += u64::from_le_bytes(bytes);
    }
    for caller in callers {
        waitpid(caller, None)?;
    }
    Ok(vec![calls, time.as_nanos() as u64, used])
}

fn caller(start: Instant, end: Instant, count: &OwnedFd) -> std::io::Result<()> {
    let other = Other::start()?;
    let mut calls: u64 = 0;
    loop {
        other.call()?;
        let now = Instant::now();
        if now >= end {
            break;
        }
        calls += u64::from(now >= start);
    }
    write(count, &calls.to_le_bytes())?;
    other.end()
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

/// The processors' time so far: all of it, and what they were idle.
struct Used {
    all: u64,
    idle: u64,
}

impl Used {
    fn now() -> std::io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .map_while(|word| word.parse().ok())
            .collect();
        // Idle, and idle with input or output under way.
        let idle = ticks.iter().skip(3).take(2).sum();
        Ok(Used {
            all: ticks.iter().sum(),
            idle,
        })
    }

    fn since(&self, before: &Self) -> u64 {
        let all = (self.all - before.all).max(1);
        1000 - 1000 * (self.idle - before.idle).min(all) / all
    }
}
