//! A program that asks its parent to trace it, and goes on as if it hadn't.
//!
//! ```text
//! alcove_traced raise SIGNAL [PARENT]    once that is its parent: raises a signal, says `after`,
//!                                        exits with 3
//! alcove_traced thread SIGNAL            the same, in a thread
//! alcove_traced wait                     says `on`, and waits for signals
//! alcove_traced exec PROGRAM [ARG...]    execs a program, and stays when its parent ends
//! ```
#![cfg(target_os = "linux")]

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

fn main() {
    let all: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = all.iter().map(String::as_str).collect();
    match args[..] {
        ["raise", signal] => raise(number(signal)),
        ["raise", signal, parent] => {
            // SAFETY: takes numbers only.
            while unsafe { libc::getppid() } != number(parent) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            raise(number(signal));
        }
        ["thread", signal] => {
            let signal = number(signal);
            if std::thread::spawn(move || raise(signal)).join().is_err() {
                exit(4);
            }
        }
        ["wait"] => {
            trace();
            say("on");
            loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            }
        }
        ["exec", program, ref rest @ ..] => {
            // SAFETY: takes numbers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
            trace();
            eprintln!("{}", Command::new(program).args(rest).exec());
            exit(5);
        }
        _ => exit(2),
    }
    exit(3);
}

fn number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| exit(2))
}

fn say(text: &str) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        exit(4);
    }
}

fn trace() {
    // SAFETY: takes numbers only.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
        say("not traced");
    }
}

fn raise(signal: i32) {
    trace();
    // SAFETY: takes a number.
    unsafe { libc::raise(signal) };
    say("after");
}
