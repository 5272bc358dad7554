//! Calls, batches and processes, as the router sees them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use alcove_proto::frame::Init;
use alcove_proto::frame::to;
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::Opt;
use common::*;
use std::io::Write;

fn opt(option: Opt) -> Vec<u8> {
    vec![option as u8]
}

fn opt_value(option: Opt, value: i64) -> Vec<u8> {
    [&[option as u8][..], &value.to_le_bytes()].concat()
}

/// Root says hello and answers; its pid is what it said.
#[test]
fn root_answers() {
    let mut tree = Tree::start();
    let pid = tree.root().pid;
    assert_eq!(tree.root().getpid(), pid);
    assert_eq!(
        tree.root().call(number::version, &[]),
        format!("<<\"{}\">>", alcove_proto::VERSION)
    );
}

/// Each process of a chain as long as maxforkdepth allows answers for itself.
#[test]
fn a_chain_of_sixteen_answers() {
    let mut tree = Tree::start();
    let mut chain = vec![tree.root().fork()];
    for _ in 1..16 {
        let next = chain.last_mut().unwrap().fork();
        chain.push(next);
    }
    for node in &mut chain {
        let pid = node.pid;
        assert_eq!(node.getpid(), pid);
    }
    assert_eq!(
        chain.last_mut().unwrap().call(number::fork, &[]),
        "{error,eagain}"
    );
    let pid = chain[1].pid;
    assert_eq!(chain[0].call(number::pid, &[]), format!("[{pid}]"));
}

/// A chain can be longer when that was asked for.
#[test]
fn a_chain_can_be_longer() {
    let mut tree = Tree::start_with(Init {
        maxforkdepth: 40,
        ..options()
    });
    let mut node = tree.root().fork();
    let mut above = Vec::new();
    for _ in 1..40 {
        let next = node.fork();
        above.push(std::mem::replace(&mut node, next));
    }
    let pid = node.pid;
    assert_eq!(node.getpid(), pid);
    assert_eq!(node.call(number::fork, &[]), "{error,eagain}");
}

/// The defaults, what is inherited, and what can't be set.
#[test]
fn options_are_inherited() {
    let mut tree = Tree::start_with(Init {
        nofile: 100,
        ..options()
    });
    let root = tree.root();
    assert_eq!(root.call(number::getopt, &opt(Opt::Childlimit)), "21");
    assert_eq!(root.call(number::getopt, &opt(Opt::Maxchild)), "21");
    assert_eq!(root.call(number::getopt, &opt(Opt::ExitStatus)), "1");
    assert_eq!(root.call(number::getopt, &opt(Opt::Unknown)), "false");
    assert_eq!(
        root.call(number::setopt, &opt_value(Opt::Childlimit, 3)),
        "false"
    );
    assert_eq!(
        root.call(number::setopt, &opt_value(Opt::Maxchild, -1)),
        "false"
    );
    assert_eq!(
        root.call(number::setopt, &opt_value(Opt::Maxchild, 1)),
        "true"
    );
    assert_eq!(
        root.call(number::setopt, &opt_value(Opt::ExitStatus, 0)),
        "true"
    );
    let mut child = root.fork();
    let _another = root.fork();
    assert_eq!(child.call(number::getopt, &opt(Opt::Childlimit)), "1");
    assert_eq!(child.call(number::getopt, &opt(Opt::ExitStatus)), "0");
    let _only = child.fork();
    assert_eq!(child.call(number::fork, &[]), "{error,eagain}");
}

/// A process has the descriptors that it should, and its parent keeps none.
#[test]
fn a_process_has_four_descriptors() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let _grandchild = child.fork();
    let of = |pid: i32| {
        let mut fds: Vec<i32> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        fds.sort_unstable();
        fds
    };
    child.getpid();
    if !nix::unistd::geteuid().is_root() {
        // Nobody else may look into a process of the tree.
        assert!(std::fs::read_dir(format!("/proc/{}/fd", child.pid)).is_err());
        return;
    }
    // The /proc that is believed has the number 60. Root has closed the child's channels when
    // it answers again.
    tree.root().getpid();
    assert_eq!(of(tree.root().pid), [0, 1, 2, 60, 63]);
    assert_eq!(of(child.pid), [0, 1, 2, 60, 63]);
    assert_eq!(of(tree.guardian.id() as i32), [0, 1, 2, 3]);
}

/// A batch answers all its calls at once, and stops at the first that fails.
#[test]
fn batches() {
    let mut tree = Tree::start();
    let root = tree.root();
    let pid = root.pid;
    let id = root.batch(&[
        (number::getpid, vec![]),
        (number::getopt, opt(Opt::Maxforkdepth)),
    ]);
    assert_eq!(root.reply(id), format!("{{ok,[{pid},16]}}"));
    let missing = [
        (number::getpid, vec![]),
        (number::chdir, cstr("/no/such")),
        (number::getpid, vec![]),
    ];
    let id = root.batch(&missing);
    assert_eq!(root.reply(id), "{error,{2,enoent}}");
    let id = root.batch(&[]);
    assert_eq!(root.reply(id), "{ok,[]}");
}

/// A fork in a batch gives a process and goes on in the parent only.
#[test]
fn a_batch_may_fork() {
    let mut tree = Tree::start();
    let root = tree.root();
    let id = root.batch(&[
        (number::getpid, vec![]),
        (number::fork, vec![]),
        (number::getpid, vec![]),
    ]);
    let mut child = match root.wait() {
        Frame::Forked {
            id: of,
            last: false,
            node,
        } if of == id => node,
        frame => panic!("{frame:?}"),
    };
    let pid = root.pid;
    assert_eq!(
        root.reply(id),
        format!("{{ok,[{pid},{{ok,{}}},{pid}]}}", child.pid)
    );
    let pid = child.pid;
    assert_eq!(child.getpid(), pid);
}

/// Before what may not return, a batch says what it has so far.
#[test]
fn a_batch_may_exec() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let calls = [
        (number::getpid, vec![]),
        (number::execvp, execvp(&["true"])),
    ];
    let id = child.batch(&calls);
    match child.wait() {
        Frame::Partial(of, list) if of == id => assert_eq!(list, format!("[{}]", child.pid)),
        frame => panic!("{frame:?}"),
    }
    assert!(matches!(child.wait(), Frame::End));

    let mut child = tree.root().fork();
    let calls = [
        (number::getpid, vec![]),
        (number::execvp, execvp(&["/no/such"])),
    ];
    let id = child.batch(&calls);
    assert!(matches!(child.wait(), Frame::Partial(of, _) if of == id));
    assert_eq!(child.reply(id), "{error,{2,enoent}}");
    let pid = child.pid;
    assert_eq!(child.getpid(), pid);
}

/// A process is created, set up and replaced by a program in one round trip.
#[test]
fn spawn_and_exec() {
    let mut tree = Tree::start();
    let calls = [
        (number::chdir, cstr("/")),
        (number::execvp, execvp(&["pwd"])),
    ];
    let (id, mut child) = tree.root().spawn(0, &calls);
    match child.wait() {
        Frame::Partial(of, list) if of == id => assert_eq!(list, "[ok]"),
        frame => panic!("{frame:?}"),
    }
    assert!(matches!(child.wait(), Frame::End));
    assert_eq!(child.output(), "/\n");
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid: child.pid,
            status: 0,
            notify: 3
        }
    );
}

/// Without an exec the new process goes to its event loop.
#[test]
fn spawn_and_stay() {
    let mut tree = Tree::start();
    let (id, mut child) = tree.root().spawn(0, &[(number::getpid, vec![])]);
    let pid = child.pid;
    assert_eq!(child.reply(id), format!("{{ok,[{pid}]}}"));
    assert_eq!(child.getpid(), pid);
    assert_ne!(tree.root().getpid(), pid);
}

/// A process that can't be set up says why and is gone.
#[test]
fn spawn_fails() {
    let mut tree = Tree::start();
    let calls = [(number::getpid, vec![]), (number::chdir, cstr("/no/such"))];
    let (id, mut child) = tree.root().spawn(0, &calls);
    assert_eq!(child.reply(id), "{error,{2,enoent}}");
    assert!(matches!(child.wait(), Frame::End));
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid: child.pid,
            status: 127 << 8,
            notify: 3
        }
    );
    // And one that can't be created.
    let mut payload = (libc::CLONE_VM as u64).to_le_bytes().to_vec();
    payload.put_u16(0);
    let id = tree.root().send(to::SPAWN, &payload);
    assert_eq!(tree.root().reply(id), "{error,{0,einval}}");
}

/// Calls may be sent ahead; what is behind a fork is the parent's.
#[test]
fn calls_ahead() {
    let mut tree = Tree::start();
    let root = tree.root();
    let first = root.send_call(number::getpid, &[]);
    let forking = root.send_call(number::fork, &[]);
    let last = root.send_call(number::getpid, &[]);
    let pid = root.pid.to_string();
    assert_eq!(root.reply(first), pid);
    let mut child = match root.wait() {
        Frame::Forked { id, node, .. } if id == forking => node,
        frame => panic!("{frame:?}"),
    };
    assert_eq!(root.reply(last), pid);
    let pid = child.pid;
    assert_eq!(child.getpid(), pid);
}

/// Arguments that aren't what the table says are the call's error.
#[test]
fn wrong_arguments_are_einval() {
    let mut tree = Tree::start();
    let root = tree.root();
    assert_eq!(root.call(number::getpid, &[1]), "{error,einval}");
    assert_eq!(root.call(number::kill, &[1, 2, 3]), "{error,einval}");
    assert_eq!(root.call(number::execvp, &[255; 8]), "{error,einval}");
    let pid = root.pid;
    assert_eq!(root.getpid(), pid);
}

/// What is no frame ends the process, and the tree when it is root.
#[test]
fn a_malformed_frame_ends_the_process() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    child.send_raw(&[0, 0, 0, 0]);
    assert!(matches!(child.wait(), Frame::End));
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid: child.pid,
            status: 1 << 8,
            notify: 3
        }
    );
    tree.root().send(77, &[]);
    assert_eq!(tree.last_words(), Some(1 << 8));
}

/// Frames of all sizes come through, in one piece or in many.
#[test]
fn frames_of_all_sizes() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for size in [1, 65_525, 65_526, 65_527, 70_000, 1 << 20, 16 << 20] {
        let mut arguments = 99i32.to_le_bytes().to_vec();
        arguments.put_bytes(&vec![7; size]);
        assert_eq!(
            child.call(number::write, &arguments),
            "{error,ebadf}",
            "{size}"
        );
    }
    let mut bytes = Vec::new();
    for id in 1..=100u32 {
        bytes.raw(&[7, 0, 0, 0, to::CALL]);
        bytes.put_u32(id);
        bytes.put_u16(number::getpid);
    }
    for piece in bytes.chunks(5) {
        child.send_raw(piece);
    }
    let pid = child.pid.to_string();
    for id in 1..=100 {
        assert_eq!(child.reply(id), pid);
    }
}

/// Hundreds of children that end at once.
#[test]
fn hundreds_of_children() {
    let (_, hard) = nofile();
    let what = format!("a hard limit of 2048 open files, it is {hard}");
    if !need::has(hard >= 2048, &what) {
        return;
    }
    let mut tree = Tree::start_with(Init {
        maxchild: None,
        nofile: 8192,
        ..options()
    });
    let mut children: Vec<_> = (0..300).map(|_| tree.root().fork()).collect();
    for child in &mut children {
        let pid = child.pid;
        assert_eq!(child.getpid(), pid);
    }
    for child in &mut children {
        child.send_call(number::exit, &7i32.to_le_bytes());
    }
    let mut ended: Vec<_> = children
        .iter()
        .map(|_| match tree.root().event() {
            Event::Child {
                pid, status: 0x700, ..
            } => pid,
            event => panic!("{event:?}"),
        })
        .collect();
    let mut expected: Vec<_> = children.iter().map(|child| child.pid).collect();
    ended.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ended, expected);
    assert_eq!(tree.root().call(number::pid, &[]), "[]");
}

/// The user may close the standard descriptors; a child has its own.
#[test]
fn a_child_of_a_process_without_stdio() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    for fd in 0i32..3 {
        assert_eq!(child.call(number::close, &fd.to_le_bytes()), "ok");
    }
    let mut grandchild = child.fork();
    let pid = grandchild.pid;
    assert_eq!(grandchild.getpid(), pid);
    grandchild.exec(&["cat"]);
    grandchild
        .stdin
        .take()
        .unwrap()
        .write_all(b"hello")
        .unwrap();
    assert_eq!(grandchild.output(), "hello");
}

/// What an earlier call was about isn't in the memory of a process that is
/// forked later.
#[test]
fn arguments_are_forgotten() {
    let secret = |at: usize| format!("secret-{}-{at}", std::process::id() * 7 + at as u32);
    let mut tree = Tree::start();
    let mut parent = tree.root().fork();
    let mut large = 99i32.to_le_bytes().to_vec();
    large.put_bytes(secret(0).repeat(10_000).as_bytes());
    assert_eq!(parent.call(number::write, &large), "{error,ebadf}");
    let mut small = 99i32.to_le_bytes().to_vec();
    small.put_bytes(secret(1).as_bytes());
    assert_eq!(parent.call(number::write, &small), "{error,ebadf}");
    let program = secret(2);
    assert_eq!(
        parent.call(number::execvp, &execvp(&["/no/such", &program])),
        "{error,enoent}"
    );
    let id = parent.batch(&[(number::write, small), (number::chdir, cstr(&secret(3)))]);
    assert_eq!(parent.reply(id), "{error,{1,ebadf}}");
    assert_eq!(
        parent.call(number::chdir, &cstr(&secret(3))),
        "{error,enoent}"
    );
    assert_eq!(
        parent.call(
            number::setenv,
            &[cstr(&secret(4)), cstr(""), vec![0; 4]].concat()
        ),
        "ok"
    );
    parent.getpid();
    let child = parent.fork();
    let memory = memory(child.pid);
    if !need::has(memory.is_ok(), "to look into a process, as root may") {
        return;
    }
    let memory = memory.unwrap();
    let holds = |text: String| {
        memory
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    };
    assert!(
        holds(secret(4)),
        "the environment is kept, so this would find what isn't"
    );
    for at in 0..4 {
        assert!(!holds(secret(at)), "{at}");
    }
}

fn memory(pid: i32) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let file = std::fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let range = line.split(' ').next().unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        if file.read_exact_at(&mut bytes, from).is_ok() {
            memory.extend(bytes);
        }
    }
    Ok(memory)
}
