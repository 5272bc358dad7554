//! Event loops that were confined and still answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::calls::number;
use alcove_proto::frame::Init;
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::{Handler, field_tag, ptr_tag};
use common::*;

fn prctl(option: i32, arg2: &[u8], arg3: &[u8]) -> Vec<u8> {
    let mut arguments = (option as u64).to_le_bytes().to_vec();
    arguments.raw(arg2);
    arguments.raw(arg3);
    arguments.raw(&int(0));
    arguments.raw(&int(0));
    arguments
}

fn int(value: u64) -> Vec<u8> {
    [&[ptr_tag::INT][..], &value.to_le_bytes()].concat()
}

/// A filter that admits some system calls and kills for others.
fn filter(admitted: &[libc::c_long]) -> Vec<u8> {
    program(
        admitted,
        libc::SECCOMP_RET_ALLOW,
        libc::SECCOMP_RET_KILL_PROCESS,
    )
}

/// A filter that does one thing with the system calls that are listed, and another with all else.
fn program(listed: &[libc::c_long], with_them: u32, with_others: u32) -> Vec<u8> {
    let mut program = Vec::new();
    let mut instruction = |code: u32, jt: u8, jf: u8, k: u32| {
        program.extend_from_slice(&(code as u16).to_ne_bytes());
        program.extend_from_slice(&[jt, jf]);
        program.extend_from_slice(&k.to_ne_bytes());
    };
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    for (at, call) in listed.iter().enumerate() {
        let to_the_end = (listed.len() - at) as u8;
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            to_the_end,
            0,
            *call as u32,
        );
    }
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, with_others);
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, with_them);
    let length = (program.len() / 8) as u16;
    let mut head = length.to_ne_bytes().to_vec();
    head.resize(size_of::<usize>(), 0);
    let mut arguments = vec![ptr_tag::STRUCT];
    arguments.put_u32(2);
    arguments.put_u8(field_tag::BYTES);
    arguments.put_bytes(&head);
    arguments.put_u8(field_tag::POINTER);
    arguments.put_bytes(&program);
    arguments
}

const ADMITTED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
];

/// Installs a filter.
fn install(child: &mut Node, filter: &[u8]) {
    let no_new_privs = prctl(libc::PR_SET_NO_NEW_PRIVS, &int(1), &int(0));
    let mode = int(libc::SECCOMP_MODE_FILTER as u64);
    for call in [no_new_privs, prctl(libc::PR_SET_SECCOMP, &mode, filter)] {
        assert!(child.call(number::prctl, &call).starts_with("{ok,0,"));
    }
}

/// Under a filter with little but read and write, getpid is answered forever,
/// and signals are events.
#[test]
fn a_filter() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let pid = child.pid;
    assert_eq!(child.sigaction(libc::SIGTERM, Handler::Trap), "ok");
    install(&mut child, &filter(ADMITTED));
    for _ in 0..5_000 {
        assert_eq!(child.getpid(), pid);
    }
    let calls: Vec<_> = (0..1000).map(|_| (number::getpid, vec![])).collect();
    let id = child.batch(&calls);
    assert!(child.reply(id).starts_with("{ok,["));
    assert_eq!(tree.root().kill(pid, libc::SIGTERM), "ok");
    assert_eq!(child.event(), Event::Signal(libc::SIGTERM));
    child.send_call(number::exit, &3i32.to_le_bytes());
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid,
            status: 3 << 8,
            notify: 3
        }
    );
    // What isn't admitted kills, so the filter was there.
    let mut child = tree.root().fork();
    install(&mut child, &filter(ADMITTED));
    child.send_call(number::getuid, &[]);
    assert!(matches!(child.wait(), Frame::End));
}

/// A call that a filter traps is an error, whatever the processor leaves in the register of the
/// result: the number of the call, or its first argument, which may be zero.
#[test]
fn a_trapped_call() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let trapped = [libc::SYS_chdir, libc::SYS_getpgid];
    let (trap, allow) = (libc::SECCOMP_RET_TRAP, libc::SECCOMP_RET_ALLOW);
    assert_eq!(child.sigaction(libc::SIGSYS, Handler::Trap), "ok");
    install(&mut child, &program(&trapped, trap, allow));
    for (call, arguments) in [
        (number::chdir, cstr("/")),
        (number::getpgid, 7i32.to_le_bytes().to_vec()),
        (number::getpgid, 0i32.to_le_bytes().to_vec()),
    ] {
        assert_eq!(child.call(call, &arguments), "{error,enosys}");
        assert_eq!(child.event(), Event::Signal(libc::SIGSYS));
    }
    let pid = child.pid;
    assert_eq!(child.getpid(), pid);
}

/// With no descriptors to be had, everything else is answered.
#[test]
fn no_descriptors() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let pid = child.pid;
    let mut limit = (libc::RLIMIT_NOFILE as u64).to_le_bytes().to_vec();
    limit.put_u64(0);
    limit.put_u64(0);
    assert_eq!(child.call(number::setrlimit, &limit), "ok");
    for _ in 0..1_000 {
        assert_eq!(child.getpid(), pid);
    }
    assert_eq!(child.call(number::fork, &[]), "{error,emfile}");
    assert_eq!(child.call(number::chdir, &cstr("/")), "ok");
    assert_eq!(child.sigaction(libc::SIGUSR1, Handler::Trap), "ok");
    assert_eq!(child.kill(pid, libc::SIGUSR1), "ok");
    assert_eq!(child.event(), Event::Signal(libc::SIGUSR1));
    // What it says depends on whether it has libraries to open.
    child.exec(&["true"]);
    assert!(matches!(tree.root().event(), Event::Child { pid: of, .. } if of == pid));
}

/// With few, the control socket has the last of them.
#[test]
fn few_descriptors() {
    let mut tree = Tree::start_with(Init {
        nofile: 20,
        ..options()
    });
    let mut child = tree.root().fork();
    let pid = child.pid;
    assert_eq!(child.getpid(), pid);
    assert_eq!(
        child.call(number::close, &19i32.to_le_bytes()),
        "{error,ebadf}"
    );
    let mut limit = (libc::RLIMIT_NOFILE as u64).to_le_bytes().to_vec();
    limit.put_u64(16);
    limit.put_u64(16);
    assert_eq!(child.call(number::setrlimit, &limit), "ok");
    let mut grandchild = child.fork();
    let pid = grandchild.pid;
    assert_eq!(grandchild.getpid(), pid);
    assert_eq!(
        grandchild.call(number::close, &15i32.to_le_bytes()),
        "{error,ebadf}"
    );
    grandchild.exec(&["sh", "-c", "ls /proc/$$/fd"]);
    assert_eq!(grandchild.output(), "0\n1\n2\n");
}

/// In a pid namespace of its own a process is number one.
#[test]
fn a_pid_namespace() {
    let mut tree = Tree::start();
    if !need::root() {
        return;
    }
    let mut child = tree.root().clone_with(libc::CLONE_NEWPID | libc::SIGCHLD);
    assert_eq!(child.getpid(), 1);
    let mut grandchild = child.fork();
    assert_eq!(grandchild.pid, 2);
    assert_eq!(grandchild.getpid(), 2);
    grandchild.send_call(number::exit, &0i32.to_le_bytes());
    assert_eq!(
        child.event(),
        Event::Child {
            pid: 2,
            status: 0,
            notify: 3
        }
    );
    let pid = child.pid;
    child.send_call(number::exit, &1i32.to_le_bytes());
    assert_eq!(
        tree.root().event(),
        Event::Child {
            pid,
            status: 1 << 8,
            notify: 3
        }
    );
}

/// The id map of a child's new user namespace is the parent's to write.
#[test]
fn a_user_namespace() {
    let mut tree = Tree::start();
    let child = tree
        .root()
        .clone_with(libc::CLONE_NEWUSER | libc::CLONE_NEWUTS);
    let root = tree.root();
    let mut arguments = cstr(&format!("/proc/{}/uid_map", child.pid));
    arguments.put_u64(libc::O_WRONLY as u64);
    arguments.put_u32(0);
    let opened = root.call(number::open, &arguments);
    let fd: i32 = opened
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap();
    let mut arguments = fd.to_le_bytes().to_vec();
    let map = format!("0 {} 1", nix::unistd::geteuid());
    arguments.put_bytes(map.as_bytes());
    assert_eq!(
        root.call(number::write, &arguments),
        format!("{{ok,{}}}", map.len())
    );
    // Other processes of the user may look into this child only.
    let another = root.fork();
    let open = |pid| std::fs::File::open(format!("/proc/{pid}/environ")).is_ok();
    assert!(open(child.pid));
    assert_eq!(open(another.pid), nix::unistd::geteuid().is_root());
}

/// Flags that an event loop can't live with.
#[test]
fn impossible_flags() {
    let mut tree = Tree::start();
    let flags = [
        libc::CLONE_VM,
        libc::CLONE_THREAD,
        libc::CLONE_VFORK,
        libc::CLONE_SIGHAND,
        libc::CLONE_FILES,
        libc::CLONE_PARENT,
        libc::CLONE_SETTLS,
        libc::CLONE_PIDFD,
        libc::CLONE_CHILD_SETTID,
        libc::SIGTERM,
    ];
    for flag in flags {
        let arguments = u64::from(flag as u32).to_le_bytes();
        assert_eq!(
            tree.root().call(number::clone, &arguments),
            "{error,einval}"
        );
    }
}

/// Calls, large ones too, leave a process no larger than before.
#[test]
fn calls_leave_no_memory_behind() {
    let mut tree = Tree::start();
    let mut child = tree.root().fork();
    let pid = child.pid;
    let mut arguments = 99i32.to_le_bytes().to_vec();
    arguments.put_bytes(&vec![7; 8 << 20]);
    child.call(number::write, &arguments);
    // What a call took is given back before the next one is made.
    child.getpid();
    let before = status(pid, "VmData");
    for _ in 0..20 {
        child.call(number::write, &arguments);
    }
    for _ in 0..1_000 {
        child.call(number::environ, &[]);
    }
    assert_eq!(status(pid, "VmData"), before);
}
