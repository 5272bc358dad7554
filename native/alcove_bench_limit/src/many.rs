//! Processes that all do the same at once.

use crate::sys;
use nix::sys::wait::waitpid;
use nix::unistd::{pipe, read, write};
use std::time::{Duration, Instant};

/// When what is done counts.
pub struct During {
    start: Instant,
    end: Instant,
}

impl During {
    /// Does something over and over until the end, and says how often it was done since the start.
    pub fn count(&self, mut once: impl FnMut() -> std::io::Result<()>) -> std::io::Result<u64> {
        let mut done = 0;
        loop {
            once()?;
            let now = Instant::now();
            if now >= self.end {
                return Ok(done);
            }
            done += u64::from(now >= self.start);
        }
    }
}

/// Has a number of processes do something for a time: how often they did it together, in how
/// many nanoseconds, and the thousandths of the processors' time that were used.
pub fn at_once(
    time: Duration,
    n: usize,
    each: impl Fn(&During) -> std::io::Result<u64>,
) -> std::io::Result<Vec<u64>> {
    let start = Instant::now() + Duration::from_millis(20 + n as u64);
    let during = During {
        start,
        end: start + time,
    };
    let (counts, count) = pipe()?;
    let mut processes = Vec::new();
    for _ in 0..n {
        processes.push(sys::fork(|| {
            let counted = each(&during)
                .and_then(|done| Ok(write(&count, &done.to_le_bytes())?))
                .is_ok();
            i32::from(!counted)
        })?);
    }
    // What none of them has told is missed at the end of the pipe.
    drop(count);
    std::thread::sleep(during.start.saturating_duration_since(Instant::now()));
    let before = Used::now()?;
    std::thread::sleep(during.end.saturating_duration_since(Instant::now()));
    let used = Used::now()?.since(&before);
    let mut done = 0;
    for _ in 0..n {
        let mut bytes = [0; 8];
        if read(&counts, &mut bytes)? != bytes.len() {
            return Err(std::io::Error::other("one has told nothing"));
        }
        done += u64::from_le_bytes(bytes);
    }
    for process in processes {
        waitpid(process, None)?;
    }
    Ok(vec![done, time.as_nanos() as u64, used])
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
