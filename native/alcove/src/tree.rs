//! The end of every process below this one.
//!
//! Runs in the guardian, and in root's signal handler when the guardian has been
//! killed: nothing here allocates, takes a lock or needs more than a descriptor.
//! Both are subreapers, so that whatever loses its parent becomes their child,
//! and having no children means that nothing is left.

use crate::signals;
use libc::c_int;
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// How long event loops, which notice for themselves, have before the rest is told.
const NOTICE: Duration = Duration::from_millis(10);
/// How long programs have from the signal that asks them to end to SIGKILL.
pub const GRACE: Duration = Duration::from_millis(300);
/// How long a round of SIGKILL has before the next looks for what escaped it.
const ROUND: Duration = Duration::from_millis(2);

/// Ends every descendant and reaps them all. Returns when there are none.
///
/// Event loops end by themselves when the VM closes their control sockets, and ask their
/// own programs to end, by the signal that these are to get; SIGTERM would be too early for
/// both. Programs that are still there after half of the grace get it nevertheless: their
/// event loop may be busy. `asked` are children that were asked already.
///
/// Root and the guardian mostly do this at the same time. While root has its guardian it asks
/// nobody but what has become its own child, so that nobody is asked twice at a time.
pub fn end(asked: &[c_int]) {
    // Whatever forks without end is many. Only the superuser gets past them.
    // SAFETY: takes numbers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    if gone_within(NOTICE) {
        return;
    }
    let mut window = Window::FIRST;
    let (own, guarded) = (nix::unistd::getpid().as_raw(), signals::is_guarded());
    each_descendant(&window, |descendant| {
        let knows = descendant.looked_after || asked.contains(&descendant.pid);
        if descendant.parent == own || !guarded {
            descendant.ask(if knows { 0 } else { libc::SIGTERM });
        }
    });
    if gone_within(GRACE / 2) {
        return;
    }
    if !signals::is_guarded() {
        each_descendant(&window, |descendant| descendant.ask(libc::SIGTERM));
    }
    if gone_within(GRACE / 2) {
        return;
    }
    loop {
        let mut groups = Groups::new();
        let found = each_descendant(&window, |descendant| {
            groups.kill(descendant.group);
            descendant.signal(libc::SIGKILL);
        });
        if gone_within(ROUND) {
            return;
        }
        if !found {
            window.grow();
        }
    }
}

/// Kills process groups: all of a group at once, so that none of it is forked in
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
            // SAFETY: sends a signal.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
    }
}

/// Asks a child to end: programs by a signal, if it isn't 0, event loops not at all.
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
    /// A child, which is no one else's pid before it is reaped.
    fn child(pid: c_int) -> Descendant {
        let parent = nix::unistd::getpid().as_raw();
        // SAFETY: takes a number.
        let group = unsafe { libc::getpgid(pid) };
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

    /// Sends a signal. The pid of a child is its own until it is reaped; that of
    /// a child's child may be another's by now, so it is looked at again while
    /// it is held.
    fn signal(self, signal: c_int) {
        if self.parent == nix::unistd::getpid().as_raw() || !proc::signal_held(self, signal) {
            // SAFETY: sends a signal.
            unsafe { libc::kill(self.pid, signal) };
        }
    }
}

/// Reaps until there are no children, for so long at most.
fn gone_within(time: Duration) -> bool {
    let start = Instant::now();
    loop {
        // SAFETY: no status is asked for.
        match Errno::result(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }) {
            Ok(0) if start.elapsed() >= time => return false,
            Ok(0) => pause(),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Waits for a millisecond, less when a signal is handled.
pub fn pause() {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    };
    // SAFETY: `time` is ours; what is left of it isn't asked for.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// Remembers what event loops are called, to tell them from programs.
pub use proc::remember_name;

/// Hands over what /proc shows of the processes below this one. If that is
/// nothing, hands over the children whose pids are in `window`; whether there
/// was anything.
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

/// The pids among which children are looked for where there is no /proc: at
/// first those that were given out after this process's own.
struct Window {
    size: c_int,
}

impl Window {
    const FIRST: Window = Window { size: 64 * 1024 };

    /// The largest that Linux can be set to have.
    const LARGEST_PID: c_int = 4 * 1024 * 1024;

    fn grow(&mut self) {
        self.size = (self.size * 4).min(Self::LARGEST_PID);
    }

    /// Hands over whatever can be waited for.
    fn each_child(&self, mut then: impl FnMut(Descendant)) {
        let own = nix::unistd::getpid().as_raw();
        for pid in (own..own + self.size).map(|pid| pid % Self::LARGEST_PID) {
            // SAFETY: an all-zero siginfo is valid, and the call fills in this one.
            let found = pid > 0
                && unsafe {
                    let mut info: libc::siginfo_t = std::mem::zeroed();
                    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                    libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options) == 0
                };
            if found {
                then(Descendant::child(pid));
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod proc {
    use super::Descendant;
    use libc::{c_char, c_int, c_void};
    use std::ffi::CStr;
    use std::io::{Cursor, Write};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
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

    /// What /proc says of a process.
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
        let file = open(CStr::from_bytes_until_nul(&path).ok()?, 0)?;
        let mut text = Text {
            bytes: [0; 128],
            length: 0,
        };
        let buffer = text.bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: the buffer is as long as is said.
        let n = unsafe { libc::read(file.as_raw_fd(), buffer, text.bytes.len()) };
        text.length = usize::try_from(n).ok()?;
        Some(text)
    }

    fn open(path: &CStr, flags: c_int) -> Option<OwnedFd> {
        let flags = flags | libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: `path` is a C string; a descriptor that is returned is ours.
        unsafe {
            match libc::open(path.as_ptr(), flags) {
                -1 => None,
                fd => Some(OwnedFd::from_raw_fd(fd)),
            }
        }
    }

    /// Sends a signal to a process that is still the child of the same parent;
    /// `false` when the kernel can't hold a process.
    pub fn signal_held(descendant: Descendant, signal: c_int) -> bool {
        // SAFETY: both system calls take numbers only; the descriptor is ours.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, descendant.pid, 0);
            if fd < 0 {
                return nix::errno::Errno::last() == nix::errno::Errno::ESRCH;
            }
            let held = OwnedFd::from_raw_fd(fd as c_int);
            // An orphan has come to this process since.
            let parents = [descendant.parent, nix::unistd::getpid().as_raw()];
            if stat(descendant.pid).is_some_and(|stat| parents.contains(&stat.parent)) {
                let no_info = std::ptr::null::<c_void>();
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    held.as_raw_fd(),
                    signal,
                    no_info,
                    0,
                );
            }
        }
        true
    }

    /// Room for every process that there can be; only the pages that are used
    /// take memory.
    struct Table {
        entries: *mut Entry,
        length: usize,
    }

    /// A process that was seen.
    #[derive(Clone, Copy)]
    struct Entry {
        pid: c_int,
        stat: Stat,
        /// Whether it is a descendant, once that is known.
        below: Option<bool>,
    }

    impl Table {
        /// The largest number of processes that Linux can be set to have.
        const CAPACITY: usize = 4 * 1024 * 1024;
        const BYTES: usize = Self::CAPACITY * size_of::<Entry>();

        fn new() -> Option<Table> {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: maps memory that nothing else uses.
            let memory =
                unsafe { libc::mmap(std::ptr::null_mut(), Self::BYTES, protection, flags, -1, 0) };
            (memory != libc::MAP_FAILED).then(|| Table {
                entries: memory.cast(),
                length: 0,
            })
        }

        fn push(&mut self, entry: Entry) {
            if self.length < Self::CAPACITY {
                // SAFETY: there is room, and the memory is aligned to pages.
                unsafe { self.entries.add(self.length).write(entry) };
                self.length += 1;
            }
        }

        fn entries(&mut self) -> &mut [Entry] {
            // SAFETY: `length` entries were written, and the table is borrowed.
            unsafe { std::slice::from_raw_parts_mut(self.entries, self.length) }
        }
    }

    impl Drop for Table {
        fn drop(&mut self) {
            // SAFETY: mapped by `new`, and nothing refers to it any more.
            unsafe { libc::munmap(self.entries.cast(), Self::BYTES) };
        }
    }

    /// Hands over every process below this one, none when /proc can't be read.
    pub fn each_descendant(then: &mut impl FnMut(Descendant)) {
        let Some(mut table) = Table::new() else {
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

    /// Where a process is among the entries, which are in the order of their pids.
    fn place_of(entries: &[Entry], pid: c_int) -> Option<usize> {
        entries.binary_search_by_key(&pid, |entry| entry.pid).ok()
    }

    /// Whether the process at a place is below `own`; the answer is kept for the
    /// ancestors that were looked at on the way.
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
            // Pids that were used again while they were read may form a circle.
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

    /// Opens /proc, if it is one and numbers processes as this process does.
    fn open_proc() -> Option<OwnedFd> {
        let proc = open(c"/proc", libc::O_DIRECTORY)?;
        let mut own = [0; 16];
        // SAFETY: an all-zero statfs is valid; the calls fill in memory of ours of the
        // length that is said.
        let (is_proc, length) = unsafe {
            let mut info: libc::statfs = std::mem::zeroed();
            let is_proc = libc::fstatfs(proc.as_raw_fd(), &mut info) == 0
                && info.f_type as i64 == libc::PROC_SUPER_MAGIC as i64;
            let buffer = own.as_mut_ptr().cast::<c_char>();
            (
                is_proc,
                libc::readlinkat(proc.as_raw_fd(), c"self".as_ptr(), buffer, own.len()),
            )
        };
        let own = own.get(..usize::try_from(length).ok()?)?;
        let pid: c_int = std::str::from_utf8(own).ok()?.parse().ok()?;
        (is_proc && pid == nix::unistd::getpid().as_raw()).then_some(proc)
    }

    /// Hands over the number of every process.
    fn each_pid(mut then: impl FnMut(c_int)) {
        let Some(proc) = open_proc() else {
            return;
        };
        // Aligned as the kernel aligns the entries.
        let mut buffer = [0u64; 1024];
        loop {
            // SAFETY: the buffer is as long as is said.
            let n = unsafe {
                let size = size_of_val(&buffer);
                libc::syscall(
                    libc::SYS_getdents64,
                    proc.as_raw_fd(),
                    buffer.as_mut_ptr(),
                    size,
                )
            };
            let n = usize::try_from(n).unwrap_or(0);
            if n == 0 {
                return;
            }
            let mut at = 0;
            while at < n {
                // SAFETY: the kernel wrote whole entries into the first `n` bytes, each as
                // long as it says and with a C string for a name.
                let (length, name) = unsafe {
                    let entry = buffer.as_ptr().byte_add(at).cast::<libc::dirent64>();
                    let name = (&raw const (*entry).d_name).cast::<c_char>();
                    (usize::from((*entry).d_reclen), CStr::from_ptr(name))
                };
                if let Some(pid) = name.to_str().ok().and_then(|name| name.parse().ok()) {
                    then(pid);
                }
                at += length;
            }
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

    pub fn each_descendant(_then: &mut impl FnMut(Descendant)) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::testing::in_child;
    use nix::unistd::{ForkResult, fork, getpid, pause, read, write};
    use std::os::fd::{AsFd, OwnedFd};

    /// Processes that tell their pids as soon as they are what they are to be.
    struct Told {
        reader: OwnedFd,
        writer: OwnedFd,
    }

    impl Told {
        fn new() -> Told {
            let (reader, writer) = nix::unistd::pipe().expect("pipe");
            Told { reader, writer }
        }

        /// Forks a process that does this, and waits for signals after it.
        fn fork(&self, run: impl FnOnce(&Told)) {
            // SAFETY: the child does what the test does and waits.
            if let ForkResult::Child = unsafe { fork() }.expect("fork") {
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

        /// As a program, which has another name than an event loop.
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
            assert!(start.elapsed() >= GRACE / 2);
        });
    }
}
