//! What a program finds that replaces an event loop, and what an event loop
//! finds after an exec that failed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use alcove_proto::frame::Init;
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::Handler;
use common::*;
use std::io::{Read, Write};

fn execve(argv: &[&str], env: &[&str]) -> Vec<u8> {
    let mut arguments = execvp(argv);
    put_strings(&mut arguments, env);
    arguments
}

/// Bytes go through a program by its pipes, at any depth.
#[test]
fn cat() {
    let mut tree = Tree::start();
    let mut above = vec![tree.root().fork()];
    for _ in 1..16 {
        let next = above.last_mut().unwrap().fork();
        above.push(next);
    }
    let mut child = above.pop().unwrap();
    child.exec(&["/bin/cat"]);
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"hello process\n")
        .unwrap();
    assert_eq!(child.line(), "hello process");
    child.stdin = None;
    assert_eq!(child.output(), "");
    let pid = child.pid;
    assert_eq!(
        above.last_mut().unwrap().event(),
        Event::Child {
            pid,
            status: 0,
            notify: 3
        }
    );
}

/// stdout and stderr are two pipes.
#[test]
fn stdout_and_stderr() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    child.exec(&["sh", "-c", "echo out; echo err >&2"]);
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!((child.output().as_str(), err.as_str()), ("out\n", "err\n"));
}

/// A program finds three descriptors, default signals and no mask.
#[test]
fn what_a_program_finds() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let script = "ls -x /proc/$$/fd; grep -E 'SigBlk|SigIgn' /proc/self/status";
    child.exec(&["sh", "-c", script]);
    assert_eq!(child.line(), "0  1  2");
    for key in ["SigBlk", "SigIgn"] {
        assert_eq!(child.line(), format!("{key}:\t0000000000000000"));
    }
}

/// What the user wants ignored stays ignored, SIGCHLD and SIGPIPE included;
/// what was trapped is not.
#[test]
fn ignored_signals_stay_ignored() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for signal in [libc::SIGCHLD, libc::SIGPIPE, libc::SIGTERM] {
        assert_eq!(child.sigaction(signal, Handler::Ign), "ok");
    }
    assert_eq!(child.sigaction(libc::SIGHUP, Handler::Trap), "ok");
    child.exec(&["grep", "SigIgn", "/proc/self/status"]);
    let mask = [libc::SIGCHLD, libc::SIGPIPE, libc::SIGTERM].map(|signal| 1u64 << (signal - 1));
    assert_eq!(
        child.output(),
        format!("SigIgn:\t{:016x}\n", mask.iter().sum::<u64>())
    );
}

/// The environment is what was asked for: at the start, and by execve.
#[test]
fn environments() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    child.exec(&["env"]);
    assert_eq!(child.output(), "PATH=/usr/bin:/bin\nALCOVE=test\n");
    let mut child = tree.root().fork();
    child.send_call(number::execve, &execve(&["/usr/bin/env"], &["A=1", "B="]));
    assert_eq!(child.output(), "A=1\nB=\n");
}

/// execvp searches the process's own PATH, and only if there is no slash.
#[test]
fn the_search_path() {
    let env = vec![b"PATH=/no/such:/usr/bin:/bin".to_vec()];
    let mut tree = Tree::start_with(Init { env, ..options() });
    let mut child = tree.root().fork();
    assert_eq!(
        child.call(number::execvp, &execvp(&["no-such-program"])),
        "{error,enoent}"
    );
    assert_eq!(
        child.call(number::execve, &execve(&["echo"], &[])),
        "{error,enoent}"
    );
    assert_eq!(
        child.call(number::execvp, &execvp(&["/etc/passwd"])),
        "{error,eacces}"
    );
    child.exec(&["echo", "found"]);
    assert_eq!(child.output(), "found\n");
}

/// A script that doesn't say what runs it is the shell's.
#[test]
fn a_script_without_interpreter() {
    let path = std::env::temp_dir().join(format!("alcove-script-{}", std::process::id()));
    std::fs::write(&path, "echo \"script $1\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let name = path.to_str().unwrap();
    assert_eq!(
        child.call(number::execve, &execve(&[name], &[])),
        "{error,enoexec}"
    );
    child.exec(&[name, "runs"]);
    assert_eq!(child.output(), "script runs\n");
    std::fs::remove_file(&path).unwrap();
}

/// After an exec that failed everything is as before.
#[test]
fn after_a_failed_exec() {
    let mut tree = Tree::start();
    assert_eq!(
        tree.root().call(number::execvp, &execvp(&["/no/such"])),
        "{error,enoent}"
    );
    let mut parent = tree.root().fork();
    assert_eq!(parent.sigaction(libc::SIGCHLD, Handler::Ign), "ok");
    assert_eq!(parent.sigaction(libc::SIGTERM, Handler::Trap), "ok");
    let mut child = parent.fork();
    assert_eq!(
        parent.call(number::execvp, &execvp(&["/no/such"])),
        "{error,enoent}"
    );
    let pid = parent.pid;
    assert_eq!(parent.kill(pid, libc::SIGTERM), "ok");
    assert_eq!(parent.event(), Event::Signal(libc::SIGTERM));
    child.send_call(number::exit, &5i32.to_le_bytes());
    assert_eq!(
        parent.event(),
        Event::Child {
            pid: child.pid,
            status: 5 << 8,
            notify: 3
        }
    );
}

/// A descriptor that the user opened goes to the program, unless it says not to.
#[test]
fn the_users_descriptors() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for flags in [libc::O_RDONLY, libc::O_RDONLY | libc::O_CLOEXEC] {
        let mut arguments = cstr("/dev/null");
        arguments.put_u64(flags as u64);
        arguments.put_u32(0);
        assert!(child.call(number::open, &arguments).starts_with("{ok,"));
    }
    child.exec(&["sh", "-c", "ls /proc/$$/fd"]);
    assert_eq!(child.output(), "0\n1\n2\n3\n");
}

/// Root itself can become a program; its end is the tree's.
#[test]
fn root_becomes_a_program() {
    let mut tree = Tree::start();
    tree.root()
        .exec(&["sh", "-c", "read line; echo \"$line\"; exit 9"]);
    tree.root()
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"hello\n")
        .unwrap();
    assert_eq!(tree.root().output(), "hello\n");
    assert_eq!(tree.last_words(), Some(9 << 8));
}
