//! Says for how long the kernel kept the schedulers of a virtual machine from running, though they
//! could: a line `FROM TO KEPT` for each while in which it did, in microseconds, with the times
//! since 1970. Before that it says `on`. Ends when something comes on its standard input, or that
//! ends, after a line `end`.
//!
//! That is the time which their threads spent in the queues of processors (proc(5), schedstat), the
//! time which the host took from the machine's processors, or the time for which this program,
//! which does nothing but sleep and look, was kept from running itself: the longest of the three.
#![cfg(target_os = "linux")]

use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often it looks.
const EACH: Duration = Duration::from_millis(1);

/// A tick of /proc/stat.
const TICK: u64 = 10_000;

static OVER: AtomicBool = AtomicBool::new(false);

fn main() {
    let Some(threads) = std::env::args().nth(1).and_then(|pid| schedulers(&pid)) else {
        eprintln!("usage: alcove_watch PID");
        exit(2);
    };
    std::thread::spawn(|| {
        let _ = stdin().read(&mut [0]);
        OVER.store(true, Ordering::SeqCst);
    });
    let (mut before, mut waited, mut stolen) = (now(), waits(&threads), steal());
    say("on");
    while !OVER.load(Ordering::SeqCst) {
        std::thread::sleep(EACH);
        let time = now();
        let own = (time - before).saturating_sub(2 * EACH.as_micros() as u64);
        let (queued, taken) = (waits(&threads), steal());
        let longest = waited.iter().zip(&queued).map(|(before, now)| now - before);
        let kept = longest.max().unwrap_or(0).max(taken - stolen).max(own);
        if kept > 0 {
            say(&format!("{before} {time} {kept}"));
        }
        (before, waited, stolen) = (time, queued, taken);
    }
    say("end");
}

/// A line; if nobody reads it, this is over.
fn say(line: &str) {
    let mut out = stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        exit(0);
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// What the kernel says of each scheduler's thread: those that run Erlang code, not the dirty ones.
fn schedulers(pid: &str) -> Option<Vec<PathBuf>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut threads = Vec::new();
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if name.trim().ends_with("_scheduler") || name.starts_with("erts_sched") {
            threads.push(task.path().join("schedstat"));
        }
    }
    (!threads.is_empty()).then_some(threads)
}

/// How many microseconds each has waited for a processor.
fn waits(threads: &[PathBuf]) -> Vec<u64> {
    let wait = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        let nanoseconds: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(nanoseconds / 1000)
    };
    threads.iter().map(|path| wait(path).unwrap_or(0)).collect()
}

/// How many microseconds the host has taken from the processors.
fn steal() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let ticks = first
        .split_whitespace()
        .nth(8)
        .and_then(|ticks| ticks.parse().ok());
    ticks.unwrap_or(0) * TICK
}
