//! What signals do to a process in its event loop.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::Handler;
use common::*;

fn select(seconds: i64) -> Vec<u8> {
    let mut arguments = Vec::new();
    for _ in 0..3 {
        arguments.put_u32(0);
    }
    arguments.put_u8(1);
    arguments.put_i64(seconds);
    arguments.put_i64(0);
    arguments
}

/// Every signal can be trapped, ignored and set back, but for those that can't.
#[test]
fn every_signal() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for signal in 1..=64 {
        let refused = [libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(&signal);
        for handler in [Handler::Trap, Handler::Ign, Handler::Dfl] {
            let expected = if refused { "{error,einval}" } else { "ok" };
            assert_eq!(
                child.sigaction(signal, handler),
                expected,
                "{signal} {handler:?}"
            );
        }
    }
    for signal in [-1, 0, 65, i32::MAX] {
        assert_eq!(child.sigaction(signal, Handler::Trap), "{error,einval}");
    }
}

/// A trapped signal is an event, whether the process waits or sends it itself.
#[test]
fn trapped_signals_are_events() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for signal in [
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGPIPE,
        libc::SIGSEGV,
        34,
        64,
    ] {
        assert_eq!(child.sigaction(signal, Handler::Trap), "ok");
        let pid = child.pid;
        assert_eq!(tree.root().kill(pid, signal), "ok");
        assert_eq!(child.event(), Event::Signal(signal));
        assert_eq!(child.kill(pid, signal), "ok");
        assert_eq!(child.event(), Event::Signal(signal));
    }
}

/// Root's signals, the one included by which it learns of the guardian's end.
#[test]
fn roots_own_signals() {
    let mut tree = Tree::start();
    let root = tree.root();
    for signal in [libc::SIGTERM, 64] {
        assert_eq!(root.sigaction(signal, Handler::Trap), "ok");
        let pid = root.pid;
        assert_eq!(root.kill(pid, signal), "ok");
        assert_eq!(root.event(), Event::Signal(signal));
        assert_eq!(root.sigaction(signal, Handler::Ign), "ok");
        assert_eq!(root.kill(pid, signal), "ok");
    }
    let pid = root.pid;
    assert_eq!(root.getpid(), pid);
    assert_eq!(root.sigaction(64, Handler::Dfl), "ok");
    root.send_call(
        number::kill,
        &[pid.to_le_bytes(), 64i32.to_le_bytes()].concat(),
    );
    while !matches!(root.wait(), Frame::End) {}
    assert_eq!(tree.last_words(), Some(64));
}

/// The default action is the default action.
#[test]
fn default_actions() {
    let mut tree = Tree::start();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1] {
        let mut child = tree.root().fork();
        let pid = child.pid;
        assert_eq!(tree.root().kill(pid, signal), "ok");
        assert!(matches!(child.wait(), Frame::End));
        assert_eq!(
            tree.root().event(),
            Event::Child {
                pid,
                status: signal,
                notify: 3
            }
        );
    }
}

/// A child that ended is first that, and then a signal.
#[test]
fn sigchld() {
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    assert_eq!(parent.sigaction(libc::SIGCHLD, Handler::Trap), "ok");
    let mut child = parent.fork();
    let pid = child.pid;
    child.send_call(number::exit, &3i32.to_le_bytes());
    assert_eq!(
        parent.event(),
        Event::Child {
            pid,
            status: 3 << 8,
            notify: 3
        }
    );
    assert_eq!(parent.event(), Event::Signal(libc::SIGCHLD));
    for handler in [Handler::Ign, Handler::Dfl] {
        assert_eq!(parent.sigaction(libc::SIGCHLD, handler), "ok");
        let mut child = parent.fork();
        let pid = child.pid;
        child.send_call(number::exit, &4i32.to_le_bytes());
        assert_eq!(
            parent.event(),
            Event::Child {
                pid,
                status: 4 << 8,
                notify: 3
            }
        );
        parent.getpid();
        assert!(!parent.has_event());
    }
}

/// A forked process has its parent's handlers, but not root's own.
#[test]
fn handlers_are_inherited() {
    let mut tree = Tree::start();
    assert_eq!(tree.root().sigaction(libc::SIGTERM, Handler::Trap), "ok");
    assert_eq!(tree.root().sigaction(libc::SIGUSR1, Handler::Ign), "ok");
    let mut child = tree.root().fork();
    let pid = child.pid;
    assert_eq!(child.kill(pid, libc::SIGUSR1), "ok");
    assert_eq!(child.kill(pid, libc::SIGTERM), "ok");
    assert_eq!(child.event(), Event::Signal(libc::SIGTERM));
    child.send_call(
        number::kill,
        &[pid.to_le_bytes(), 64i32.to_le_bytes()].concat(),
    );
    assert!(!matches!(child.wait(), Frame::Event(_)));
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid,
            status: 64,
            notify: 3
        }
    );
}

/// A trapped signal ends a select; a child that nobody asked about doesn't.
#[test]
fn select_is_interrupted() {
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    let parent_pid = parent.pid;
    let mut child = parent.fork();
    assert_eq!(parent.sigaction(libc::SIGUSR1, Handler::Trap), "ok");
    let id = parent.send_call(number::select, &select(60));
    eventually("the call waits", || {
        status(parent_pid, "State").starts_with('S')
    });
    child.send_call(number::exit, &0i32.to_le_bytes());
    assert!(matches!(child.wait(), Frame::End));
    assert_eq!(tree.root().kill(parent_pid, libc::SIGUSR1), "ok");
    assert_eq!(parent.reply(id), "{error,eintr}");
    let mut events = [parent.event(), parent.event()];
    events.sort_by_key(|event| matches!(event, Event::Signal(_)));
    assert_eq!(
        events[0],
        Event::Child {
            pid: child.pid,
            status: 0,
            notify: 3
        }
    );
    assert_eq!(events[1], Event::Signal(libc::SIGUSR1));
}

/// A storm of signals between calls loses no reply and no child.
#[test]
fn a_storm() {
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    let pid = parent.pid;
    assert_eq!(parent.sigaction(libc::SIGUSR1, Handler::Trap), "ok");
    let mut ended = 0;
    for round in 0..200 {
        let mut child = parent.fork();
        tree.root().send_call(
            number::kill,
            &[pid.to_le_bytes(), 10i32.to_le_bytes()].concat(),
        );
        child.send_call(number::exit, &0i32.to_le_bytes());
        assert_eq!(parent.getpid(), pid, "{round}");
        tree.root().wait();
    }
    while ended < 200 {
        if let Event::Child { .. } = parent.event() {
            ended += 1;
        }
    }
}
