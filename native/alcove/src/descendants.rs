//! Ends every process below this one.
//!
//! This code runs in the guardian, and in root's signal handler when the guardian has been
//! killed. So nothing here allocates, takes a lock or needs more than one file descriptor.
//! Guardian and root are subreapers: a process that loses its parent becomes their child.
//! So when this process has no children, nothing is left.

use crate::sys::precedence::Precedence;
use crate::sys::signal::kill;
use crate::sys::sleep::nap;
use crate::sys::wait::{is_waited_for, reap};
use crate::{procfs, protect};
use libc::c_int;
use nix::errno::Errno;
use nix::unistd::{Pid, getpgid};
use std::time::{Duration, Instant};

/// How long event loops, which notice the end of the VM themselves, have before programs are asked.
const NOTICE: Duration = Duration::from_millis(10);
/// How long programs have, when the VM is gone, from the signal that asks them to end to SIGKILL.
pub const GRACE: Duration = Duration::from_millis(300);
/// How long an event loop has to ask its programs to end, before this process asks them.
const LATE: Duration = Duration::from_millis(150);
/// How long the programs of an event loop have, whichever process asks them.
pub const GRACE_OF_ALL: Duration = LATE.saturating_add(GRACE);
/// How long a round of SIGKILL has before the next looks for what escaped it.
pub const ROUND: Duration = Duration::from_millis(2);

/// How long this process only kills its own children, before it looks for other descendants.
const SWEEP: Duration = Duration::from_millis(50);
/// How long the parent of a killed keeper looks for processes that became its children.
const ORPHANS: Duration = Duration::from_secs(2);
/// So many rounds follow each other without a longer pause.
const EAGER: u64 = 100;
/// After that the pauses become longer, up to this.
const SELDOM: Duration = Duration::from_secs(1);

/// Time that this process gives others, while it checks on them again and again.
///
/// If this process was kept from checking, the machine was mostly kept from running the
/// others, too, so such a pause counts as one tick only. A machine that stands still for a
/// moment takes no time away from a process, nor lets one process overtake another that began
/// earlier.
pub struct Patience {
    left: Duration,
    looked: Instant,
}

impl Patience {
    /// The most that is counted at a time.
    pub const TICK: Duration = Duration::from_millis(5);

    pub fn new(time: Duration) -> Self {
        Patience {
            left: time,
            looked: Instant::now(),
        }
    }

    /// Whether the time is up. The caller must ask again within less than a tick.
    pub fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.left = self
            .left
            .saturating_sub((now - self.looked).min(Self::TICK));
        self.looked = now;
        self.left.is_zero()
    }
}

/// Ends every descendant and reaps them all. Returns when there are none.
///
/// When the VM closes the control socket of an event loop, the loop ends by itself. It also asks
/// its programs to end, with the signal that the user has set for them. So neither gets SIGTERM at
/// first. Programs that are still there a while later get it nevertheless, since their event loop
/// may be busy, and have all of the grace from then on. `asked` are children that were asked
/// already, by their own signal: they get no other before SIGKILL.
///
/// Root and the guardian mostly do this at the same time. As long as the guardian lives, root only
/// asks its own children, so that no process is asked by both.
pub fn end(asked: &[c_int]) {
    let _precedence = Precedence::take();
    if gone_within(NOTICE) {
        return;
    }
    let mut window = Window::FIRST;
    let (own, guarded) = (nix::unistd::getpid().as_raw(), protect::is_guarded());
    each_descendant(&window, |descendant| {
        let knows = descendant.looked_after || asked.contains(&descendant.pid);
        if descendant.parent == own || !guarded {
            descendant.ask(if knows { 0 } else { libc::SIGTERM });
        }
    });
    if gone_within(LATE) {
        return;
    }
    if !protect::is_guarded() {
        each_descendant(&window, |descendant| {
            let knows = asked.contains(&descendant.pid);
            descendant.ask(if knows { 0 } else { libc::SIGTERM });
        });
    }
    if gone_within(GRACE) {
        return;
    }
    let mut round = ROUND;
    for rounds in 0u64.. {
        // The pid of a child is reliable, and children are found at once. So this outruns a program
        // that forks and exits again and again, which a walk through all of /proc doesn't.
        if sweep() {
            return;
        }
        let mut groups = Groups::new();
        let found = each_descendant(&window, |descendant| {
            groups.kill(descendant.group);
            descendant.signal(libc::SIGKILL);
        });
        // Processes that can't be signalled, or that block in the kernel, are tried less and less
        // often.
        if rounds > EAGER {
            round = (2 * round).min(SELDOM);
        }
        if gone_within(round) {
            return;
        }
        if !found {
            window.grow();
        }
    }
}

/// Kills this process's children, and those that they leave behind, for a moment or until there
/// are none. Returns whether there are none. As whatever loses its parent becomes a child of this
/// process, this ends all that can be killed: first the children, then theirs, and so on.
fn sweep() -> bool {
    let Some(children) = proc::open_proc().and_then(procfs::children) else {
        return false;
    };
    let mut patience = Patience::new(SWEEP);
    loop {
        let (mut found, start) = (false, Instant::now());
        procfs::newest_children(&children, |pid| {
            found = true;
            let _ = kill(pid, libc::SIGKILL);
        });
        match reap_for(start.elapsed().max(ROUND)) {
            Reaped::Gone => return true,
            Reaped::None => pause(),
            Reaped::Some => {}
        }
        if !found || patience.is_over() {
            return false;
        }
    }
}

/// Kills the children that this process didn't fork, but that became its children when their parent
/// died. Goes on with those that come meanwhile, until there are none or [`ORPHANS`] is over.
/// Nothing here allocates.
pub fn end_orphans(forked: &[c_int]) {
    let mut patience = Patience::new(ORPHANS);
    let mut precedence = None;
    loop {
        let (mut found, mut reaped) = (false, false);
        each_child(|pid| {
            if forked.contains(&pid) {
                return;
            }
            found = true;
            let _ = kill(pid, libc::SIGKILL);
            reaped |= reap(pid) != Ok(0);
        });
        if !found || patience.is_over() {
            return;
        }
        precedence.get_or_insert_with(Precedence::take);
        if !reaped {
            pause();
        }
    }
}

/// Calls `then` for each child, with the pid that the kernel has for it in this process's pid
/// namespace. It trusts nothing that a program wrote.
fn each_child(then: impl FnMut(c_int)) {
    match proc::trusted().and_then(procfs::children) {
        Some(children) => procfs::each_child(&children, then),
        None => Window::FIRST.each_pid(then),
    }
}

/// Kills process groups. A whole group dies at once, so that no member of it can fork in
/// the meantime. This process's own group is left alone.
struct Groups {
    own: c_int,
    last: c_int,
}

impl Groups {
    fn new() -> Groups {
        let own = nix::unistd::getpgrp().as_raw();
        Groups { own, last: own }
    }

    fn kill(&mut self, group: c_int) {
        if group > 1 && group != self.own && group != self.last {
            self.last = group;
            let _ = kill(-group, libc::SIGKILL);
        }
    }
}

/// Asks a child to end. A program gets the signal, if that isn't 0; an event loop gets none.
/// Both are continued if they are stopped.
pub fn ask(pid: c_int, signal: c_int) {
    let event_loop = proc::stat(pid).is_some_and(|stat| stat.event_loop);
    Descendant {
        event_loop,
        ..Descendant::child(pid)
    }
    .ask(signal);
}

/// A process below this one.
#[derive(Clone, Copy)]
struct Descendant {
    pid: c_int,
    parent: c_int,
    group: c_int,
    event_loop: bool,
    /// Its parent is an event loop other than this process.
    looked_after: bool,
}

impl Descendant {
    /// A child. Until it is reaped, no other process has its pid.
    fn child(pid: c_int) -> Descendant {
        let parent = nix::unistd::getpid().as_raw();
        let group = getpgid(Some(Pid::from_raw(pid))).map_or(-1, Pid::as_raw);
        Descendant {
            pid,
            parent,
            group,
            event_loop: false,
            looked_after: false,
        }
    }

    fn ask(self, signal: c_int) {
        if !self.event_loop && signal != 0 {
            self.signal(signal);
        }
        self.signal(libc::SIGCONT);
    }

    /// Sends a signal. The pid of a child is its own until this process reaps it. The pid of
    /// a child's child may belong to another process by now, so this holds that process by a
    /// pidfd and checks it again before it sends the signal.
    fn signal(self, signal: c_int) {
        if self.parent == nix::unistd::getpid().as_raw() || !proc::signal_held(self, signal) {
            let _ = kill(self.pid, signal);
        }
    }
}

/// Reaps children until there are none, or until the time is over. Returns whether there are none.
fn gone_within(time: Duration) -> bool {
    let mut patience = Patience::new(time);
    loop {
        match reap(-1) {
            Ok(0) if patience.is_over() => return false,
            Ok(0) if time > GRACE => nap(Patience::TICK),
            Ok(0) => pause(),
            // More may come without end.
            Ok(_) if patience.is_over() => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// What became of the children.
enum Reaped {
    /// There is none.
    Gone,
    /// None has ended.
    None,
    Some,
}

/// Reaps the children that have ended, for so long at most: some may fork on meanwhile.
fn reap_for(time: Duration) -> Reaped {
    let (start, mut any) = (Instant::now(), false);
    loop {
        match reap(-1) {
            Ok(0) if any => return Reaped::Some,
            Ok(0) => return Reaped::None,
            Ok(_) if start.elapsed() > time => return Reaped::Some,
            Ok(_) => any = true,
            Err(Errno::EINTR) => {}
            Err(_) => return Reaped::Gone,
        }
    }
}

/// Waits for a millisecond, or less if a signal is handled.
pub fn pause() {
    nap(Duration::from_millis(1));
}

/// Remembers the process name of event loops, to tell them from programs.
pub use proc::remember_name;

/// Calls `then` for each process below this one that /proc shows. If it shows none, calls `then`
/// for the children whose pids are in `window`. Returns whether there were any.
fn each_descendant(window: &Window, mut then: impl FnMut(Descendant)) -> bool {
    let mut found = false;
    proc::each_descendant(&mut |descendant| {
        found = true;
        then(descendant);
    });
    if !found {
        window.each_child(|child| {
            found = true;
            then(child);
        });
    }
    found
}

/// The range of pids in which this process looks for children if there is no /proc: at
/// first the pids that the kernel gave out after this process's own.
pub struct Window {
    size: c_int,
}

impl Window {
    pub const FIRST: Window = Window { size: 64 * 1024 };
    /// Every pid that there can be.
    pub const WHOLE: Window = Window {
        size: Self::LARGEST_PID,
    };

    /// The largest that Linux can be set to have.
    const LARGEST_PID: c_int = 4 * 1024 * 1024;

    fn grow(&mut self) {
        self.size = (self.size * 4).min(Self::LARGEST_PID);
    }

    /// Calls `then` for each child in the range that can be waited for.
    fn each_child(&self, mut then: impl FnMut(Descendant)) {
        self.each_pid(|pid| then(Descendant::child(pid)));
    }

    /// Calls `then` with the pid of each process in the range that can be waited for.
    pub fn each_pid(&self, mut then: impl FnMut(c_int)) {
        let own = nix::unistd::getpid().as_raw();
        for pid in (own..own + self.size).map(|pid| pid % Self::LARGEST_PID) {
            if pid > 0 && is_waited_for(pid) {
                then(pid);
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod proc {
    use super::Descendant;
    use crate::procfs;
    use crate::sys::fd::readlinkat;
    use crate::sys::pidfd;
    use crate::sys::table::Table;
    use libc::c_int;
    use nix::errno::Errno;
    use nix::fcntl::OFlag;
    use nix::sys::stat::Mode;
    use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
    use std::ffi::CStr;
    use std::io::{Cursor, Write};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

    /// The longest name that the kernel has for a process.
    const NAME: usize = 16;
    static EVENT_LOOP: [AtomicU8; NAME] = [const { AtomicU8::new(0) }; NAME];

    /// See [`super::remember_name`].
    pub fn remember_name() {
        let text = read(std::process::id() as c_int);
        if let Some((name, _)) = text.as_ref().and_then(Text::split) {
            for (to, from) in EVENT_LOOP.iter().zip(name) {
                to.store(*from, Relaxed);
            }
        }
    }

    fn is_event_loop(name: &[u8]) -> bool {
        let known = EVENT_LOOP
            .iter()
            .map(|byte| byte.load(Relaxed))
            .take_while(|byte| *byte != 0);
        name.iter().copied().eq(known)
    }

    /// What /proc says about a process.
    #[derive(Clone, Copy)]
    pub struct Stat {
        pub parent: c_int,
        pub group: c_int,
        pub event_loop: bool,
    }

    pub fn stat(pid: c_int) -> Option<Stat> {
        let text = read(pid)?;
        let (name, fields) = text.split()?;
        let mut numbers = std::str::from_utf8(fields).ok()?.split(' ').skip(2);
        Some(Stat {
            parent: numbers.next()?.parse().ok()?,
            group: numbers.next()?.parse().ok()?,
            event_loop: is_event_loop(name),
        })
    }

    /// The first bytes of /proc/PID/stat: `PID (NAME) STATE PARENT GROUP ...`.
    struct Text {
        bytes: [u8; 128],
        length: usize,
    }

    impl Text {
        fn bytes(&self) -> &[u8] {
            &self.bytes[..self.length]
        }

        /// A name may hold any byte, so it ends at the last parenthesis.
        fn split(&self) -> Option<(&[u8], &[u8])> {
            let open = self.bytes().iter().position(|byte| *byte == b'(')?;
            let close = self.bytes().iter().rposition(|byte| *byte == b')')?;
            Some((
                self.bytes().get(open + 1..close)?,
                self.bytes().get(close + 1..)?,
            ))
        }
    }

    fn read(pid: c_int) -> Option<Text> {
        let mut path = [0; 32];
        write!(Cursor::new(&mut path[..]), "/proc/{pid}/stat\0").ok()?;
        let file = open(CStr::from_bytes_until_nul(&path).ok()?, OFlag::empty())?;
        let mut text = Text {
            bytes: [0; 128],
            length: 0,
        };
        text.length = nix::unistd::read(&file, &mut text.bytes).ok()?;
        Some(text)
    }

    fn open(path: &CStr, flags: OFlag) -> Option<OwnedFd> {
        let flags = flags | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        nix::fcntl::open(path, flags, Mode::empty()).ok()
    }

    /// Sends a signal to a process that is still the child of the same parent;
    /// `false` when the kernel can't hold a process.
    pub fn signal_held(descendant: Descendant, signal: c_int) -> bool {
        let held = match pidfd::open(descendant.pid, 0) {
            Ok(held) => held,
            Err(errno) => return errno == Errno::ESRCH,
        };
        // The process may have become this process's child since, as an orphan.
        let parents = [descendant.parent, nix::unistd::getpid().as_raw()];
        if stat(descendant.pid).is_some_and(|stat| parents.contains(&stat.parent)) {
            let sent = pidfd::send_signal(held.as_fd(), signal, 0);
            return matches!(sent, Ok(()) | Err(Errno::ESRCH));
        }
        true
    }

    /// The largest number of processes that Linux can be set to have.
    const MOST: usize = 4 * 1024 * 1024;

    /// A process that was found in /proc.
    #[derive(Clone, Copy)]
    struct Entry {
        pid: c_int,
        stat: Stat,
        /// Whether it is a descendant, once that is known.
        below: Option<bool>,
    }

    /// Calls `then` for every process below this one; for none if /proc can't be read.
    pub fn each_descendant(then: &mut impl FnMut(Descendant)) {
        let Some(mut table) = Table::new(MOST) else {
            return;
        };
        each_pid(|pid| {
            if let Some(stat) = stat(pid) {
                table.push(Entry {
                    pid,
                    stat,
                    below: None,
                });
            }
        });
        let own = nix::unistd::getpid().as_raw();
        let entries = table.entries();
        // /proc lists the processes by their pids, but doesn't promise to.
        entries.sort_unstable_by_key(|entry| entry.pid);
        for at in 0..entries.len() {
            if is_below(entries, at, own) {
                let Entry {
                    pid,
                    stat:
                        Stat {
                            parent,
                            group,
                            event_loop,
                        },
                    ..
                } = entries[at];
                let looked_after = parent != own
                    && place_of(entries, parent).is_some_and(|at| entries[at].stat.event_loop);
                then(Descendant {
                    pid,
                    parent,
                    group,
                    event_loop,
                    looked_after,
                });
            }
        }
    }

    /// The index of a process among the entries, which are sorted by pid.
    fn place_of(entries: &[Entry], pid: c_int) -> Option<usize> {
        entries.binary_search_by_key(&pid, |entry| entry.pid).ok()
    }

    /// Whether the process at an index is below `own`. The answer is stored for the
    /// ancestors that were visited on the way.
    fn is_below(entries: &mut [Entry], at: usize, own: c_int) -> bool {
        let parent = |entries: &[Entry], at: usize| place_of(entries, entries[at].stat.parent);
        let (mut top, mut steps) = (at, 0);
        let below = loop {
            if let Some(known) = entries[top].below {
                break known;
            }
            if entries[top].stat.parent == own {
                break true;
            }
            // If the kernel reused pids while they were read, the parents may form a circle.
            match parent(entries, top) {
                Some(next) if steps < entries.len() => (top, steps) = (next, steps + 1),
                _ => break false,
            }
        };
        let mut seen = at;
        loop {
            entries[seen].below = Some(below);
            match parent(entries, seen) {
                Some(next) if entries[next].below.is_none() && seen != top => seen = next,
                _ => return below,
            }
        }
    }

    /// Opens /proc, if it is a proc file system of this process's pid namespace.
    pub fn open_proc() -> Option<OwnedFd> {
        ours(open(c"/proc", OFlag::O_DIRECTORY)?)
    }

    /// The /proc that root opened, if it is of this process's pid namespace.
    pub fn trusted() -> Option<OwnedFd> {
        ours(procfs::trusted()?)
    }

    fn ours(proc: OwnedFd) -> Option<OwnedFd> {
        let mut own = [0; 16];
        let is_proc = fstatfs(&proc).is_ok_and(|info| info.filesystem_type() == PROC_SUPER_MAGIC);
        let own = readlinkat(proc.as_fd(), c"self", &mut own).ok()?;
        let pid: c_int = std::str::from_utf8(own).ok()?.parse().ok()?;
        (is_proc && pid == nix::unistd::getpid().as_raw()).then_some(proc)
    }

    /// Calls `then` with the pid of every process.
    fn each_pid(then: impl FnMut(c_int)) {
        if let Some(proc) = open_proc() {
            procfs::each_number(&proc, then);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod proc {
    use super::Descendant;
    use libc::c_int;

    pub struct Stat {
        pub event_loop: bool,
    }

    pub fn remember_name() {}

    pub fn stat(_pid: c_int) -> Option<Stat> {
        None
    }

    pub fn signal_held(_descendant: Descendant, _signal: c_int) -> bool {
        false
    }

    pub fn trusted() -> Option<std::os::fd::OwnedFd> {
        None
    }

    pub fn each_descendant(_then: &mut impl FnMut(Descendant)) {}

    pub fn open_proc() -> Option<std::os::fd::OwnedFd> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::process::fork;
    use crate::sys::testing::in_child;
    use nix::unistd::{getpid, pause, read, write};
    use std::os::fd::{AsFd, OwnedFd};

    /// Processes that report their pids once they are set up.
    struct Told {
        reader: OwnedFd,
        writer: OwnedFd,
    }

    impl Told {
        fn new() -> Told {
            let (reader, writer) = nix::unistd::pipe().expect("pipe");
            Told { reader, writer }
        }

        /// Forks a process that runs this, and then waits for signals.
        fn fork(&self, run: impl FnOnce(&Told)) {
            if fork() == Ok(0) {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
                    .expect("a signal");
                run(self);
                loop {
                    pause();
                }
            }
        }

        fn tell(&self) {
            let pid = getpid().as_raw().to_ne_bytes();
            assert_eq!(write(self.writer.as_fd(), &pid), Ok(pid.len()));
        }

        /// Makes the process look like a program, whose name differs from that of an event loop.
        fn tell_as_program(&self) {
            nix::sys::prctl::set_name(c"program").expect("a name");
            self.tell();
        }

        fn next(&self) -> c_int {
            let mut pid = [0; 4];
            assert_eq!(read(&self.reader, &mut pid), Ok(pid.len()));
            c_int::from_ne_bytes(pid)
        }
    }

    #[test]
    fn programs_of_event_loops_are_looked_after() {
        in_child(|| {
            remember_name();
            let told = Told::new();
            told.fork(|told| {
                told.tell();
                told.fork(|told| {
                    told.tell_as_program();
                    told.fork(Told::tell);
                });
            });
            let event_loop = told.next();
            let program = told.next();
            let of_program = told.next();
            told.fork(Told::tell_as_program);
            let own = told.next();
            let mut seen = Vec::new();
            assert!(each_descendant(&Window::FIRST, |it| {
                seen.push((it.pid, it.looked_after));
            }));
            let mut expected = [
                (event_loop, false),
                (program, true),
                (of_program, false),
                (own, false),
            ];
            expected.sort_unstable();
            assert_eq!(seen, expected);
        });
    }

    #[test]
    fn what_was_asked_gets_time() {
        in_child(|| {
            remember_name();
            let told = Told::new();
            told.fork(Told::tell_as_program);
            let asked = told.next();
            let start = Instant::now();
            end(&[asked]);
            assert!(start.elapsed() >= GRACE);
        });
    }
}
