//! The tree ends with the VM, with root and with the guardian, and nothing of it
//! is left.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use alcove_proto::wire::Put;
use common::*;
use std::time::{Duration, Instant};

/// Ends if the tree ends: a second at most.
fn soon() -> Duration {
    slow(Duration::from_secs(1))
}

/// A tree with event loops and programs that try to outlive it.
fn tenacious() -> (Tree, Vec<Node>, Vec<Held>) {
    let mut tree = Tree::start();
    let mut nodes = vec![tree.root().fork()];
    for _ in 0..3 {
        let next = nodes.last_mut().unwrap().fork();
        nodes.push(next);
    }
    let scripts = [
        // Leaves its session and its parent.
        "setsid sh -c 'sleep 4321 & sleep 4321 &' & echo ready; exec sleep 4321",
        // Ignores what asks it to end, and so does what it starts.
        "trap '' TERM HUP INT; (setsid sleep 4321 &) ; echo ready; while :; do sleep 4321; done",
        // Is stopped, and what it started too.
        "setsid sleep 4321 & kill -STOP $!; echo ready; kill -STOP $$",
        // Forks twice.
        "(sh -c 'trap \"\" TERM; sleep 4321; sleep 4321' &) ; echo ready; exit 0",
    ];
    for script in scripts {
        for at in 0..nodes.len() {
            let mut program = nodes[at].fork();
            program.exec(&["sh", "-c", script]);
            assert_eq!(program.line(), "ready");
            nodes.push(program);
        }
        nodes.truncate(4);
    }
    let held = std::iter::once(tree.guardian.id() as i32).filter_map(Held::new);
    let held: Vec<_> = held.chain(descendants(tree.guardian.id() as i32)).collect();
    assert!(held.len() > 4 + 1 + 4 * 6, "{}", held.len());
    (tree, nodes, held)
}

fn all_end(held: &[Held]) {
    let start = Instant::now();
    let mut left = Ticks::of(soon());
    for process in held {
        assert!(process.ends_in_ticks(&mut left), "{}", process.pid);
    }
    println!("{} processes: {:?}", held.len(), start.elapsed());
}

/// The VM goes: every channel closes.
#[test]
fn the_vm_ends() {
    let (mut tree, nodes, held) = tenacious();
    drop(nodes);
    tree.root = None;
    tree.lifeline = None;
    all_end(&held);
}

/// Only the lifeline ends.
#[test]
fn the_lifeline_ends() {
    let (mut tree, _nodes, held) = tenacious();
    tree.lifeline = None;
    all_end(&held);
}

/// Only root's control socket ends.
#[test]
fn roots_control_ends() {
    let (mut tree, _nodes, held) = tenacious();
    tree.root = None;
    all_end(&held);
    assert_eq!(tree.last_words(), Some(0));
}

/// Root is killed; the guardian says so.
#[test]
fn root_is_killed() {
    let (mut tree, _nodes, held) = tenacious();
    let pid = tree.root().pid;
    // SAFETY: sends a signal to a process of this test's.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    all_end(&held);
    assert_eq!(tree.last_words(), Some(libc::SIGKILL));
}

/// The guardian is killed; root ends the tree.
#[test]
fn the_guardian_is_killed() {
    let (mut tree, _nodes, held) = tenacious();
    tree.guardian.kill().unwrap();
    all_end(&held);
    assert_eq!(tree.last_words(), None);
}

/// The guardian is killed when root can't open anything, /proc included.
#[test]
fn the_guardian_is_killed_and_root_can_open_nothing() {
    let (mut tree, _nodes, held) = tenacious();
    let mut limit = u64::from(libc::RLIMIT_NOFILE).to_le_bytes().to_vec();
    limit.put_u64(0);
    limit.put_u64(0);
    assert_eq!(tree.root().call(number::setrlimit, &limit), "ok");
    tree.guardian.kill().unwrap();
    let start = Instant::now();
    for process in &held {
        assert!(process.ends_within(patience()), "{}", process.pid);
    }
    // It takes longer to find processes there.
    println!("without /proc: {:?}", start.elapsed());
}

/// What asks the guardian to end doesn't.
#[test]
fn the_guardian_takes_no_hints() {
    let mut tree = Tree::start();
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
    ] {
        // SAFETY: sends a signal to a process of this test's.
        unsafe { libc::kill(tree.guardian.id() as i32, signal) };
    }
    let pid = tree.root().pid;
    assert_eq!(tree.root().getpid(), pid);
}

/// A program gets SIGTERM first, and time to put its things away.
#[test]
fn programs_are_asked_first() {
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    let mut polite = parent.fork();
    let script = "$SIG{TERM} = sub { print qq(bye\\n); exit }; $| = 1; print qq(ready\\n); sleep";
    polite.exec(&["perl", "-e", script]);
    assert_eq!(polite.line(), "ready");
    tree.root = None;
    tree.lifeline = None;
    drop(parent);
    assert_eq!(polite.output(), "bye\n");
}

/// A process that loses its channel takes its own children with it, while the
/// rest of the tree goes on.
#[test]
fn one_channel_ends() {
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    let parent_pid = parent.pid;
    let mut stubborn = parent.fork();
    stubborn.exec(&["sh", "-c", "trap '' TERM; echo ready; exec sleep 4321"]);
    assert_eq!(stubborn.line(), "ready");
    let held = [
        Held::new(parent_pid).unwrap(),
        Held::new(stubborn.pid).unwrap(),
    ];
    drop(parent);
    all_end(&held);
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid: parent_pid,
            status: 0,
            notify: 3
        }
    );
    let pid = tree.root().pid;
    assert_eq!(tree.root().getpid(), pid);
}

/// A process ends with its parent, also when the parent ends at once.
#[test]
fn the_parent_ends_at_once() {
    let mut tree = Tree::start();
    for flags in [0, libc::CLONE_NEWPID] {
        for _ in 0..50 {
            let mut parent = tree.root().fork();
            let mut payload = Vec::new();
            payload.put_u64(flags as u64);
            parent.send_call(number::clone, &payload);
            parent.send_call(
                number::kill,
                &[parent.pid.to_le_bytes(), 9i32.to_le_bytes()].concat(),
            );
            let child = match parent.wait() {
                Frame::Forked { node, .. } => node,
                // Not the superuser: no new pid namespaces.
                Frame::Reply(..) => continue,
                frame => panic!("{frame:?}"),
            };
            if let Some(held) = Held::new(child.pid) {
                assert!(held.ends_within(soon()));
            }
        }
    }
}

/// Orphans of programs are reaped.
#[test]
fn orphans_are_reaped() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    child.exec(&[
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8; do (true &) ; done; echo ready; read x",
    ]);
    assert_eq!(child.line(), "ready");
    let root = tree.root().pid;
    eventually("the orphans are gone", || children(root) == [child.pid]);
}

/// An idle tree is gone almost at once, unless others have the machine.
#[test]
fn an_idle_tree_ends_fast() {
    let times = std::iter::repeat_with(|| {
        let mut tree = Tree::start();
        let mut nodes = vec![tree.root().fork()];
        for _ in 1..16 {
            let next = nodes.last_mut().unwrap().fork();
            nodes.push(next);
        }
        let start = Instant::now();
        drop(nodes);
        tree.root = None;
        tree.last_words();
        println!("an idle tree: {:?}", start.elapsed());
        start.elapsed()
    });
    let fast = slow(Duration::from_millis(100));
    assert!(times.take(20).any(|time| time < fast));
}

/// A bomb of forks is cleared.
#[test]
fn a_fork_bomb_is_cleared() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let mut limit = u64::from(libc::RLIMIT_NPROC).to_le_bytes().to_vec();
    limit.put_u64(200);
    limit.put_u64(200);
    assert_eq!(child.call(number::setrlimit, &limit), "ok");
    if nix::unistd::geteuid().is_root() {
        // The superuser has no such limit.
        assert_eq!(child.call(number::setgid, &54_321u32.to_le_bytes()), "ok");
        assert_eq!(child.call(number::setuid, &54_321u32.to_le_bytes()), "ok");
    }
    let bomb = "$SIG{TERM} = 'IGNORE'; $| = 1; print qq(ready\\n); fork while 1";
    child.exec(&["perl", "-e", bomb]);
    assert_eq!(child.line(), "ready");
    eventually("there are many", || descendants(child.pid).len() > 100);
    let held = Held::new(tree.guardian.id() as i32).unwrap();
    let start = Instant::now();
    tree.root = None;
    tree.lifeline = None;
    assert!(held.ends_within(patience()));
    println!("a fork bomb: {:?}", start.elapsed());
}
