//! Times, and what is told of them.

use std::time::{Duration, Instant};

/// Which quantiles are told, in thousandths.
const QUANTILES: [usize; 12] = [0, 10, 50, 100, 250, 500, 750, 900, 950, 990, 999, 1000];

/// How long something is done before it is measured.
const WARM_UP: Duration = Duration::from_millis(10);

/// Does something over and over for a time; tells how often, in how many
/// nanoseconds, and the quantiles of the time that each took.
pub fn take(
    time: Duration,
    mut once: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<Vec<u64>> {
    take_timed(time, || {
        let start = Instant::now();
        once()?;
        Ok(start.elapsed())
    })
}

/// The same for something that measures itself, without what it does besides.
pub fn take_timed(
    time: Duration,
    mut once: impl FnMut() -> std::io::Result<Duration>,
) -> std::io::Result<Vec<u64>> {
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        once()?;
    }
    let mut samples = Vec::with_capacity(1 << 16);
    let start = Instant::now();
    while start.elapsed() < time {
        samples.push(once()?.as_nanos() as u64);
    }
    let elapsed = start.elapsed();
    let mut told = vec![samples.len() as u64, elapsed.as_nanos() as u64];
    samples.sort_unstable();
    let last = samples.len() - 1;
    told.extend(QUANTILES.map(|q| samples[(last * q + 500) / 1000]));
    Ok(told)
}
