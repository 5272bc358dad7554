//! What a call and a fork cost, with a router that polls. Not a test: run it with
//! `cargo test --release -p alcove --test measure -- --ignored --nocapture`, and
//! name another executable in ALCOVE.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use common::*;
use std::time::{Duration, Instant};

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: p50 {:?}, p99 {:?}, max {:?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    let mut tree = Tree::start();
    let mut chain = vec![tree.root().fork()];
    for _ in 1..16 {
        let next = chain.last_mut().unwrap().fork();
        chain.push(next);
    }
    for depth in [1, 16] {
        let node = &mut chain[depth - 1];
        for polling in [true, false] {
            let times = (0..20_000)
                .map(|_| node.round_trip(number::getpid, polling))
                .collect();
            percentiles(
                &format!("getpid at depth {depth}, polling {polling}"),
                times,
            );
        }
    }
    let mut parent = tree.root().fork();
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        let mut child = parent.fork();
        times.push(start.elapsed());
        child.send_call(number::exit, &0i32.to_le_bytes());
        parent.event();
    }
    percentiles("fork", times);
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let start = Instant::now();
        let (_, _child) = parent.spawn(0, &[(number::execvp, execvp(&["/bin/true"]))]);
        parent.event();
        times.push(start.elapsed());
    }
    percentiles("spawn, exec of true and its end", times);
    let smaps = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", parent.pid)).unwrap();
    for line in smaps.lines().filter(|line| line.starts_with("P")) {
        println!("{line}");
    }
}
