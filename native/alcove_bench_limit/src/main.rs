//! The limit of the machine: what alcove does, by bare system calls.
//!
//! The benchmark keeps one of these running and asks it, between rounds of
//! alcove's, for rounds of the same: a line in, a line of numbers out. As
//! alcove's executable it is static, so that it forks as fast.

mod calls;
mod crowd;
mod many;
mod processes;
mod samples;
mod streams;
mod sys;

use std::io::{BufRead, Read, Write};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        None => serve(),
        Some("answer") => answer(),
        Some("hello") => hello(),
        Some(_) => {
            eprintln!("usage: limit [answer | hello]");
            std::process::exit(2);
        }
    };
    if let Err(error) = result {
        eprintln!("limit: {error}");
        std::process::exit(1);
    }
}

/// Serves requests until the end of its input.
fn serve() -> std::io::Result<()> {
    let mut crowd = crowd::Crowd::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match request(&mut crowd, &words) {
            Ok(numbers) => numbers
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("error: {error}"),
        };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn request(crowd: &mut crowd::Crowd, words: &[&str]) -> std::io::Result<Vec<u64>> {
    match words {
        ["pingpong", ms] => calls::ping_pong(time(ms)?, false),
        ["pingpong_pinned", ms] => calls::ping_pong(time(ms)?, true),
        ["pingpong_paced", ms, pause] => calls::paced(time(ms)?, time(pause)?),
        ["pairs", ms, n] => calls::pairs(time(ms)?, number(n)?),
        ["fork", ms] => processes::fork(time(ms)?),
        ["spawn", ms, program] => processes::spawn(time(ms)?, program),
        ["spawners", ms, n, program] => processes::spawners(time(ms)?, number(n)?, program),
        ["container", ms, root] => processes::container(time(ms)?, root),
        ["start", ms] => processes::start(time(ms)?),
        ["idle", n] => processes::idle(number(n)?),
        ["read", bytes, program @ ..] => streams::read(number(bytes)?, program),
        ["write", bytes, script @ ..] => streams::write(number(bytes)?, script),
        ["echo", bytes, program @ ..] => streams::echo(number(bytes)?, program),
        ["crowd", n] => crowd.grow(number(n)?),
        ["calm"] => crowd.calm(),
        _ => Err(std::io::Error::other(format!("no such request: {words:?}"))),
    }
}

fn number(word: &str) -> std::io::Result<usize> {
    word.parse().map_err(std::io::Error::other)
}

fn time(ms: &str) -> std::io::Result<Duration> {
    Ok(Duration::from_millis(number(ms)? as u64))
}

/// A port's program: gives back every packet, whose length is in four bytes.
fn answer() -> std::io::Result<()> {
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut packet = [0; 1024];
    loop {
        let n = stdin.read(&mut packet)?;
        if n == 0 {
            return Ok(());
        }
        stdout.write_all(&packet[..n])?;
        stdout.flush()?;
    }
}

/// A program that says that it is there, and waits for the end of its input.
fn hello() -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(b"h")?;
    stdout.flush()?;
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
