//! From a request to a program that runs.
//!
//! If the request has no calls to make before exec and no namespaces, the new process
//! shares the keeper's memory until it execs (CLONE_VM and CLONE_VFORK, as in
//! posix_spawn(3)): nothing is copied, and the keeper knows at once whether exec succeeded.
//! Otherwise the keeper forks or clones, and a pipe, which exec closes, tells it which call
//! failed and why.

use super::below::Below;
use super::mapper::{self, Refusal};
use crate::channels::{out_of_the_way, pipe};
use crate::exit::leave;
use crate::init;
use crate::io::write_all;
use crate::process::{Process, Request};
use crate::protect::{set_death_signal, set_dumpable};
use crate::reply::Fail;
#[cfg(target_os = "linux")]
use crate::sys::clone::clone_into;
use crate::sys::environ;
use crate::sys::exec::{Script, Strings, execve};
use crate::sys::fd::{dup2, place as put_at};
use crate::sys::process::fork;
use crate::sys::share::{self, Stack};
use crate::sys::signal::{kill, unblock};
use crate::sys::terminal;
use crate::sys::trace::wait_until_ended;
use crate::{dispatch, procfs, signals, spawn};
use alcove_proto::calls::number;
use alcove_proto::frame::Calls;
use alcove_proto::keep::{IdMap, Keep, Step, Stream, Terminal};
use alcove_proto::wire::{Malformed, PutTerm};
#[cfg(target_os = "linux")]
use alcove_proto::wire::{
    Reader,
    arg::{Arg, CloneFlags},
};
use libc::c_int;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::termios::{self, LocalFlags, SetArg};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long a process that was just made may take to report that it is there.
const PROMPT: Duration = Duration::from_secs(5);

/// Where execvp(3) looks when there is no PATH.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What a keeper uses for all the programs that it runs.
pub struct Place {
    null: Option<OwnedFd>,
    stack: Option<Stack>,
}

impl Place {
    /// Gives the calling process /dev/null for its own streams.
    pub fn new() -> Place {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let null = nix::fcntl::open("/dev/null", flags, Mode::empty())
            .and_then(out_of_the_way)
            .ok();
        Place {
            null,
            stack: Stack::new(),
        }
    }
}

/// Why a program couldn't be started.
#[derive(Debug)]
pub struct Failure {
    step: i64,
    why: Reason,
}

#[derive(Debug)]
enum Reason {
    Fail(Fail),
    /// The error text of newuidmap(1) or newgidmap(1).
    Said(Vec<u8>),
}

impl<E: Into<Fail>> From<E> for Reason {
    fn from(fail: E) -> Self {
        Reason::Fail(fail.into())
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Errno(errno) => errno.into(),
            Refusal::Said(text) => Reason::Said(text),
        }
    }
}

impl Failure {
    /// The number of the step that failed, see [`Step`].
    pub fn step(&self) -> i64 {
        self.step
    }

    /// Appends the reason, a term.
    pub fn put_reason(&self, out: &mut Vec<u8>) {
        match &self.why {
            Reason::Fail(fail) => fail.put_reason(out),
            Reason::Said(text) => out.term_bin(text),
        }
    }
}

/// Names the step that failed.
trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<Reason>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|why| Failure {
            step: step as i64,
            why: why.into(),
        })
    }
}

/// A process that runs the program, or will exec it.
pub struct Started {
    /// Its pid.
    pub child: c_int,
    /// The connection to it, if it is the init of a pid namespace.
    pub init: Option<OwnedFd>,
    /// What the keeper has to wait for before the program runs.
    pub starting: Option<Starting>,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// The VM's ends of its streams, if it runs already.
    pub channels: Option<Vec<OwnedFd>>,
}

/// A program that has not been exec'ed yet.
pub struct Starting {
    /// The pipe that exec closes; before that, the process writes to it what failed.
    pipe: Option<OwnedFd>,
    said: Vec<u8>,
    channels: Vec<OwnedFd>,
}

impl Starting {
    /// The descriptor to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads from the pipe, and waits for it. Returns whether that was the end.
    pub fn read(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return true };
        let mut buffer = [0; 256];
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(n @ 1..) => {
                self.said.extend_from_slice(&buffer[..n]);
                false
            }
            Err(Errno::EINTR) => false,
            _ => {
                self.pipe = None;
                true
            }
        }
    }

    /// The step that failed, and the reason as a term; none when the program runs.
    pub fn failure(&self) -> Option<(i64, &[u8])> {
        let (step, reason) = self.said.split_first_chunk()?;
        Some((i64::from_le_bytes(*step), reason))
    }

    /// The VM's ends of the streams.
    pub fn take_channels(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.channels)
    }
}

/// Starts a program, with the descriptors that the VM gave for its streams.
pub fn start(
    process: &mut Process,
    place: &mut Place,
    below: &Below,
    keep: &Keep<'_>,
    given: Result<Vec<OwnedFd>, Errno>,
) -> Result<Started, Failure> {
    for call in [number::fork, number::execvp] {
        if process.denied.has(call) {
            return Err(Fail::Filtered).at(if call == number::fork {
                Step::Fork
            } else {
                Step::Exec
            });
        }
    }
    let flags = spawn::checked_flags(keep.flags).at(Step::Fork)?;
    let streams = Streams::new(place, keep, given.at(Step::Pipe)?)?;
    let mut image = Image::new(keep);
    let plain = flags == 0 && keep.groups.is_empty() && keep.calls == [0, 0];
    match &mut place.stack {
        Some(stack) if plain && !process.filtered => sharing(stack, streams, &mut image),
        _ => forking(process, below, keep, flags, streams, &image),
    }
}

/// Opens a file and writes to it, without blocking.
pub fn write_file(path: &CStr, bytes: &[u8]) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = nix::fcntl::open(path, flags, Mode::empty())?;
    put(&file, bytes)
}

/// Writes to a file of the kernel, which takes everything with one write(2).
fn put(file: &OwnedFd, bytes: &[u8]) -> nix::Result<()> {
    nix::unistd::write(file, bytes).map(drop)
}

/// Sets the size of a terminal.
pub fn set_size(master: &OwnedFd, rows: u16, columns: u16) -> nix::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    terminal::set_size(master.as_fd(), &size)
}

/// Sets the modes in which a terminal is to differ from a new one.
fn set_modes(slave: &OwnedFd, Terminal { echo, raw, .. }: Terminal) -> nix::Result<()> {
    if echo && !raw {
        return Ok(());
    }
    let mut modes = termios::tcgetattr(slave)?;
    if raw {
        termios::cfmakeraw(&mut modes);
    }
    modes.local_flags.set(LocalFlags::ECHO, echo);
    termios::tcsetattr(slave, SetArg::TCSANOW, &modes)
}

/// The streams of a program.
struct Streams {
    /// The program's ends, by number. They are all above 2.
    theirs: [Option<OwnedFd>; 3],
    /// /dev/null, for streams without an end; -1: the keeper's own descriptor stays.
    null: c_int,
    /// What each stream is, as the request says.
    kinds: [Stream; 3],
    channels: Vec<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl Streams {
    fn new(place: &Place, keep: &Keep<'_>, given: Vec<OwnedFd>) -> Result<Streams, Failure> {
        let mut given = given.into_iter();
        let mut streams = Streams {
            theirs: [None, None, None],
            null: place.null.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            kinds: keep.streams,
            channels: Vec::new(),
            terminal: None,
        };
        if keep.streams.contains(&Stream::Terminal) {
            streams.open_terminal(keep).at(Step::Terminal)?;
        }
        for (number, stream) in keep.streams.iter().enumerate() {
            let is_input = number == 0;
            match stream {
                Stream::Pipe => {
                    let (read, write) = pipe().at(Step::Pipe)?;
                    let (own, theirs) = if is_input {
                        (write, read)
                    } else {
                        (read, write)
                    };
                    own_by(&theirs, keep);
                    streams.channels.push(own);
                    streams.theirs[number] = Some(out_of_the_way(theirs).at(Step::Pipe)?);
                }
                // The VM sets the owner of a given descriptor, since two programs share a pipe.
                Stream::Given => {
                    let theirs = given.next().ok_or(Errno::EBADF).at(Step::Pipe)?;
                    streams.theirs[number] = Some(out_of_the_way(theirs).at(Step::Pipe)?);
                }
                // Without /dev/null, a pipe whose other end is closed takes its place: the program
                // reads the end, and can't write.
                Stream::Null if streams.null < 0 => {
                    let (read, write) = pipe().at(Step::Pipe)?;
                    let theirs = if is_input { read } else { write };
                    streams.theirs[number] = Some(out_of_the_way(theirs).at(Step::Pipe)?);
                }
                _ => {}
            }
        }
        Ok(streams)
    }

    fn open_terminal(&mut self, keep: &Keep<'_>) -> nix::Result<()> {
        let (master, slave, _) = terminal::pair()?;
        let Terminal { rows, columns, .. } = keep.terminal;
        set_size(&master, rows, columns)?;
        set_modes(&slave, keep.terminal)?;
        for fd in [&master, &slave] {
            nix::fcntl::fcntl(
                fd,
                nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
            )?;
        }
        // The VM must never block when it reads from the master. The program has the slave, a
        // different open file description, whose flags stay as they are.
        nix::fcntl::fcntl(&master, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        own_by(&slave, keep);
        let slave = out_of_the_way(slave)?;
        for _ in [Stream::Terminal, Stream::Terminal] {
            let copy = master.try_clone().map_err(|_| Errno::EMFILE)?;
            self.channels.push(copy);
        }
        self.terminal = Some(master);
        self.theirs[0] = Some(slave);
        Ok(())
    }

    /// The descriptors that become 0, 1 and 2; -1 for one that stays.
    fn numbers(&self) -> [c_int; 3] {
        let of = |fd: &Option<OwnedFd>| fd.as_ref().map_or(self.null, AsRawFd::as_raw_fd);
        let mut numbers = [0; 3];
        for number in 0..3 {
            numbers[number] = match self.kinds[number] {
                Stream::Stdout => numbers[1],
                Stream::Terminal => of(&self.theirs[0]),
                Stream::Inherited => -1,
                Stream::Null | Stream::Pipe | Stream::Given => of(&self.theirs[number]),
            };
        }
        numbers
    }
}

/// Gives a stream to the user of the program, which may have to open it by its name. If the keeper
/// may not change the owner, it runs as that user already.
fn own_by(fd: &OwnedFd, keep: &Keep<'_>) {
    if let Some((uid, gid)) = keep.owner {
        let (uid, gid) = (uid.into(), gid.into());
        let _ = nix::unistd::fchown(fd, Some(uid), Some(gid));
    }
}

/// What is to be executed, in the form in which the kernel takes it.
struct Image<'a> {
    cwd: Option<&'a CStr>,
    /// The paths at which the program may be.
    files: Vec<CString>,
    argv: Strings<'a>,
    script: Script<'a>,
    env: Strings<'a>,
}

impl<'a> Image<'a> {
    fn new(keep: &Keep<'a>) -> Image<'a> {
        let env = environment(keep);
        let argv = keep.argv.iter().copied().collect();
        Image {
            cwd: keep.cwd,
            files: candidates(keep.file, path(&env)),
            script: Script::new(&argv),
            argv,
            env,
        }
    }

    /// Execs the program; returns only if that fails, with the reason. As execvp(3), it tries the
    /// next path if a file doesn't exist or may not be executed.
    fn exec(&mut self) -> Fail {
        let (mut last, mut refused) = (Errno::ENOENT, None);
        for file in &self.files {
            last = execve(file, &self.argv, &self.env);
            match last {
                Errno::ENOEXEC => return self.script.execve(file, &self.env).into(),
                Errno::EACCES => refused = Some(Errno::EACCES),
                Errno::ENOENT
                | Errno::ENOTDIR
                | Errno::ESTALE
                | Errno::ENODEV
                | Errno::ETIMEDOUT => {}
                errno => return errno.into(),
            }
        }
        refused.unwrap_or(last).into()
    }
}

/// The environment of a program. The strings belong to the request and to the keeper's own
/// environment.
fn environment<'a>(keep: &Keep<'a>) -> Strings<'a> {
    // If a name is given twice, the last one holds. There may be tens of thousands. A hash would
    // need random numbers, which a filter may refuse.
    let mut names = BTreeSet::new();
    let mut given = Vec::with_capacity(keep.env.len());
    for variable in keep.env.iter().rev() {
        if names.insert(name(variable.to_bytes())) && variable.to_bytes().contains(&b'=') {
            given.push(*variable);
        }
    }
    // SAFETY: nothing changes the environment before the program is exec'ed, but for calls of the
    // request, after which it is read again.
    let inherited = unsafe { environ::variables() }
        .filter(|variable| !names.contains(name(variable.to_bytes())));
    let inherited = inherited.take(if keep.clearenv { 0 } else { usize::MAX });
    inherited.chain(given.iter().rev().copied()).collect()
}

/// The name of a variable.
fn name(variable: &[u8]) -> &[u8] {
    let end = variable.iter().position(|byte| *byte == b'=');
    &variable[..end.unwrap_or(variable.len())]
}

/// The value of PATH.
fn path<'a>(env: &Strings<'a>) -> Option<&'a [u8]> {
    env.iter()
        .find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="))
}

/// The paths at which a program may be: in each directory of PATH, unless its name has a slash.
fn candidates(file: &CStr, path: Option<&[u8]>) -> Vec<CString> {
    let name = file.to_bytes();
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![file.to_owned()];
    }
    path.unwrap_or(DEFAULT_PATH)
        .split(|byte| *byte == b':')
        .filter_map(|directory| {
            let mut whole = directory.to_vec();
            if !directory.is_empty() {
                whole.push(b'/');
            }
            whole.extend_from_slice(name);
            CString::new(whole).ok()
        })
        .collect()
}

//--------------------------------------------------------------------
// Sharing memory
//--------------------------------------------------------------------

/// What the keeper passes to the new process, and what that passes back.
struct Shared<'a, 'b> {
    keeper: c_int,
    numbers: [c_int; 3],
    terminal: bool,
    image: &'b mut Image<'a>,
    failed: Option<(Step, Fail)>,
}

fn sharing(
    stack: &mut Stack,
    mut streams: Streams,
    image: &mut Image<'_>,
) -> Result<Started, Failure> {
    let mut shared = Shared {
        keeper: nix::unistd::getpid().as_raw(),
        numbers: streams.numbers(),
        terminal: streams.terminal.is_some(),
        image,
        failed: None,
    };
    let child = share::run(shared_child, stack, &mut shared).at(Step::Fork)?;
    if let Some((step, fail)) = shared.failed {
        wait_until_ended(child);
        return Err(fail).at(step);
    }
    Ok(Started {
        child,
        init: None,
        starting: None,
        terminal: streams.terminal.take(),
        channels: Some(std::mem::take(&mut streams.channels)),
    })
}

fn shared_child(shared: &mut Shared<'_, '_>) -> ! {
    // The parent is the keeper's one thread, which ends with the keeper.
    set_death_signal(libc::SIGKILL);
    if nix::unistd::getppid().as_raw() != shared.keeper {
        leave(127);
    }
    let failed = settle(&shared.numbers, shared.terminal)
        .map_err(|errno| (Step::Terminal, errno.into()))
        .and_then(|()| match shared.image.cwd {
            Some(cwd) => nix::unistd::chdir(cwd).map_err(|errno| (Step::Chdir, errno.into())),
            None => Ok(()),
        });
    shared.failed = Some(match failed {
        Ok(()) => {
            signals::before_exec();
            unblock();
            (Step::Exec, shared.image.exec())
        }
        Err(failed) => failed,
    });
    leave(127)
}

/// In a new process: makes a session, and makes the given descriptors the standard ones.
fn settle(numbers: &[c_int; 3], terminal: bool) -> nix::Result<()> {
    let _ = nix::unistd::setsid();
    for (to, from) in numbers.iter().enumerate() {
        if *from >= 0 {
            dup2(*from, to as c_int)?;
        }
    }
    if terminal {
        terminal::make_controlling(libc::STDIN_FILENO)?;
    }
    Ok(())
}

//--------------------------------------------------------------------
// Forking
//--------------------------------------------------------------------

fn forking(
    process: &mut Process,
    below: &Below,
    keep: &Keep<'_>,
    flags: u64,
    mut streams: Streams,
    image: &Image<'_>,
) -> Result<Started, Failure> {
    let maps = !keep.uid_map.lines.is_empty() || !keep.gid_map.lines.is_empty();
    let has_init = spawn::new_pids(flags);
    let (said, says) = pipe().at(Step::Pipe)?;
    let connection = if maps || has_init || !keep.groups.is_empty() {
        let (own, theirs) = init::connection().at(Step::Pipe)?;
        Some((own, out_of_the_way(theirs).at(Step::Pipe)?))
    } else {
        None
    };
    let keeper = nix::unistd::getpid().as_raw();
    let mut groups = Groups::of(process, &keep.groups);
    let child = groups.fork(flags)?;
    let waits = maps || groups.waits_for_keeper();
    if child == 0 {
        drop(said);
        let keeper_end = connection.map(|(_, theirs)| theirs);
        begin(
            process, keep, keeper, &groups, maps, has_init, says, keeper_end, streams, image,
        );
    }
    drop(says);
    let init = connection.map(|(own, _)| own);
    if let Some(init) = init.as_ref().filter(|_| waits) {
        if let Err(failure) = prepare(below, keep, &groups.lists, child, init) {
            let _ = kill(child, libc::SIGKILL);
            wait_until_ended(child);
            return Err(failure);
        }
    }
    Ok(Started {
        child,
        init: init.filter(|_| has_init),
        starting: Some(Starting {
            pipe: Some(said),
            said: Vec::new(),
            channels: std::mem::take(&mut streams.channels),
        }),
        terminal: streams.terminal.take(),
        channels: None,
    })
}

/// The control groups of a new process, by how it becomes a member.
///
/// When a process is moved, the kernel waits for all of the machine's processors, which takes some
/// milliseconds. It need not wait where a process is created in a group, or a thread moves itself.
struct Groups<'a> {
    /// One of version 2, in which the process is created: its directory, and the file that lists
    /// its members.
    birth: Option<(OwnedFd, &'a CStr)>,
    /// Of version 1: files to which the process writes that its one thread is a member.
    entries: Vec<OwnedFd>,
    /// The lists of members of other groups, to which the keeper adds the process.
    lists: Vec<&'a CStr>,
}

impl<'a> Groups<'a> {
    /// Finds out what the groups are whose lists of members are given.
    fn of(process: &Process, lists: &[&'a CStr]) -> Self {
        let mut groups = Groups {
            birth: None,
            entries: Vec::new(),
            lists: Vec::new(),
        };
        for list in lists {
            // A filter may not allow what this takes, and may end the process for it.
            let way = (!process.filtered).then(|| Way::into(list)).flatten();
            match way {
                Some(Way::Birth(group)) if groups.birth.is_none() => {
                    groups.birth = Some((group, list));
                }
                Some(Way::Entry(file)) => groups.entries.push(file),
                _ => groups.lists.push(list),
            }
        }
        groups
    }

    /// Creates the process: 0 in the child.
    ///
    /// A process that is moved isn't held up by the limits of a group, as `pids.max` is one of
    /// creating processes. So one that can't be created in the group is only moved there where the
    /// kernel doesn't know how to create it there, as before Linux 5.7, or a filter doesn't let it:
    /// it may have no clone3(2), not take as many arguments, or not know the flag. EINVAL and EPERM
    /// that have another reason come again then.
    fn fork(&mut self, flags: u64) -> Result<c_int, Failure> {
        if let Some((group, list)) = self.birth.take() {
            let refused = match clone_into(flags, group.as_fd()) {
                Ok(child) => return Ok(child),
                Err(errno) => errno,
            };
            match refused {
                Errno::ENOSYS | Errno::E2BIG | Errno::EINVAL | Errno::EPERM => {
                    self.lists.push(list);
                }
                // A limit of the group or of a user, or what there is of the machine.
                Errno::EAGAIN | Errno::ENOMEM => return Err(refused).at(Step::Fork),
                // The group was removed since its list was found.
                Errno::ENODEV => return Err(Errno::ENOENT).at(Step::Cgroup),
                // The group may not or can't have it, for which a move is refused, too: EACCES,
                // ENOENT outside this namespace, EBUSY with controllers for the groups in it,
                // EOPNOTSUPP without a valid domain, ENOSPC without processors.
                _ => return Err(refused).at(Step::Cgroup),
            }
        }
        spawn::fork_closed(flags).at(Step::Fork)
    }

    /// Whether the keeper has to do something before the process goes on.
    fn waits_for_keeper(&self) -> bool {
        !self.lists.is_empty()
    }

    /// In the new process: enters the groups that it enters itself.
    fn enter(&self) -> nix::Result<()> {
        self.entries.iter().try_for_each(|file| put(file, b"0"))
    }
}

#[cfg(not(target_os = "linux"))]
fn clone_into(_: u64, _: BorrowedFd<'_>) -> nix::Result<c_int> {
    Err(Errno::ENOSYS)
}

/// How a new process gets into a control group at no great cost.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "control groups are Linux's")
)]
enum Way {
    Birth(OwnedFd),
    Entry(OwnedFd),
}

impl Way {
    #[cfg(target_os = "linux")]
    fn into(list: &CStr) -> Option<Way> {
        use nix::fcntl::{open, openat};
        use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
        use std::os::unix::ffi::OsStrExt;
        let group = std::path::Path::new(std::ffi::OsStr::from_bytes(list.to_bytes())).parent()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let group = open(group, flags, Mode::empty()).ok()?;
        match fstatfs(&group).ok()?.filesystem_type() {
            CGROUP2_SUPER_MAGIC => Some(Way::Birth(group)),
            CGROUP_SUPER_MAGIC => {
                let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let file = openat(&group, "tasks", flags, Mode::empty()).ok()?;
                Some(Way::Entry(file))
            }
            _ => None,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn into(_: &CStr) -> Option<Way> {
        None
    }
}

/// Makes the changes to a process that have to be made from outside, and lets it go on.
fn prepare(
    below: &Below,
    keep: &Keep<'_>,
    lists: &[&CStr],
    child: c_int,
    process: &OwnedFd,
) -> Result<(), Failure> {
    if !init::is_ready(process, PROMPT) {
        return Err(Errno::ETIMEDOUT).at(Step::Start);
    }
    let own = |lines| IdMap {
        lines,
        helper: false,
    };
    for (name, helper, map, step) in [
        ("setgroups", "", own(keep.setgroups), Step::Setgroups),
        ("uid_map", "newuidmap", keep.uid_map, Step::UidMap),
        ("gid_map", "newgidmap", keep.gid_map, Step::GidMap),
    ] {
        if map.helper {
            mapper::write(helper, child, map.lines).at(step)?;
        } else if !map.lines.is_empty() {
            below
                .open(child, name)
                .and_then(|file| put(&file, map.lines))
                .at(step)?;
        }
    }
    for list in lists {
        write_file(list, child.to_string().as_bytes()).at(Step::Cgroup)?;
    }
    if init::go(process) {
        Ok(())
    } else {
        Err(Errno::ESRCH).at(Step::Start)
    }
}

/// The new process: waits until the keeper has prepared it, and becomes the program. If there is
/// to be an init, this process becomes the init and its child the program.
#[allow(
    clippy::too_many_arguments,
    reason = "what a new process gets from its parent"
)]
fn begin(
    process: &mut Process,
    keep: &Keep<'_>,
    keeper: c_int,
    groups: &Groups<'_>,
    maps: bool,
    has_init: bool,
    says: OwnedFd,
    connection: Option<OwnedFd>,
    streams: Streams,
    image: &Image<'_>,
) -> ! {
    signals::begin_child(if has_init { 0 } else { keeper });
    let fail = |says: &OwnedFd, step: Step, errno: Errno| -> ! {
        say(says.as_raw_fd(), step as i64, &reason(errno));
        leave(127)
    };
    let waits = maps || groups.waits_for_keeper();
    if let Some(connection) = connection.as_ref().filter(|_| waits) {
        // The files of a process in /proc belong to its user only while it is dumpable.
        if maps {
            set_dumpable(true);
        }
        if !init::wait_for_maps(connection) {
            leave(127);
        }
        if maps {
            set_dumpable(false);
        }
    }
    if let Err(errno) = groups.enter() {
        fail(&says, Step::Cgroup, errno);
    }
    if has_init {
        let gate = match leaves_network(keep).then(pipe).transpose() {
            Ok(gate) => gate,
            Err(errno) => fail(&says, Step::Pipe, errno),
        };
        match fork() {
            Ok(0) => {
                signals::begin_child(1);
                if let Some((gate, inits)) = gate {
                    drop(inits);
                    wait_for_end(&gate);
                }
            }
            Ok(program) => {
                if let Some(Err(errno)) = gate.as_ref().map(|_| leave_network()) {
                    fail(&says, Step::Fork, errno);
                }
                drop((says, streams, gate));
                let Some(connection) = connection else {
                    leave(127)
                };
                become_init(process, &connection, program)
            }
            Err(errno) => fail(&says, Step::Fork, errno),
        }
    }
    become_program(
        process,
        keep,
        says,
        connection.filter(|_| has_init),
        streams,
        image,
    )
}

/// Whether the program leaves the network in which it begins, by one of its calls. Its init does
/// the same before the first of them: whoever sees a process in /proc may read there what goes on
/// in that process's network.
#[cfg(target_os = "linux")]
fn leaves_network(keep: &Keep<'_>) -> bool {
    const NETWORK: u64 = libc::CLONE_NEWNET as u64;
    let leaves = |(number, arguments): (u16, &[u8])| {
        let flags = CloneFlags::read(&mut Reader::new(arguments));
        number == number::unshare && flags.is_ok_and(|flags| flags & NETWORK != 0)
    };
    keep.flags & NETWORK == 0
        && Calls::read(keep.calls).is_ok_and(|calls| calls.flatten().any(leaves))
}

#[cfg(not(target_os = "linux"))]
fn leaves_network(_: &Keep<'_>) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn leave_network() -> nix::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
}

#[cfg(not(target_os = "linux"))]
fn leave_network() -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Waits until nobody has the other end of a pipe.
fn wait_for_end(pipe: &OwnedFd) {
    while nix::unistd::read(pipe, &mut [0]) == Err(Errno::EINTR) {}
}

/// Closes every descriptor except the connection to the keeper.
fn become_init(process: &Process, connection: &OwnedFd, program: c_int) -> ! {
    let kept = connection.as_raw_fd();
    spawn::close_all_but(&[0, 1, 2, kept], Some(process), procfs::trusted);
    let _ = nix::unistd::chdir("/");
    init::run(connection, program)
}

fn become_program(
    process: &mut Process,
    keep: &Keep<'_>,
    says: OwnedFd,
    connection: Option<OwnedFd>,
    streams: Streams,
    image: &Image<'_>,
) -> ! {
    let fail = |says: c_int, step: i64, reason: &[u8]| -> ! {
        say(says, step, reason);
        leave(127)
    };
    let terminal = streams.terminal.is_some();
    if let Err(errno) = settle(&streams.numbers(), terminal) {
        fail(says.as_raw_fd(), Step::Terminal as i64, &reason(errno));
    }
    // The pipe that reports failures takes the number of the control socket. That descriptor
    // is alcove's own, and the calls of the request can't use it.
    let place = process.control;
    if let Err(errno) = put_at(says.as_fd(), place, true) {
        fail(says.as_raw_fd(), Step::Pipe as i64, &reason(errno));
    }
    drop(says);
    if connection.is_some_and(|connection| !init::introduce(&connection)) {
        leave(127);
    }
    std::mem::forget(streams);
    spawn::close_all_but(&[0, 1, 2, place], Some(process), procfs::trusted);
    process.depth += 1;
    process.children = Default::default();
    process.request = Request::NONE;
    if let Some(Err(errno)) = image.cwd.map(nix::unistd::chdir) {
        fail(place, Step::Chdir as i64, &reason(errno));
    }
    let changed = !keep.env.is_empty() || keep.clearenv;
    if changed {
        // SAFETY: the request and the keeper's own environment stay until the program is exec'ed.
        unsafe { environ::replace_by(&image.env) };
    }
    unblock();
    if let Err((step, reason)) = call_all(process, keep.calls) {
        fail(place, step, &reason);
    }
    // A call may have changed the environment, and with it the PATH to search.
    let env = environment(&Keep::default());
    let mut image = Image {
        cwd: None,
        files: candidates(keep.file, path(&env)),
        argv: image.argv.clone(),
        script: image.script.clone(),
        env,
    };
    signals::before_exec();
    let refused = image.exec();
    fail(place, Step::Exec as i64, &reason(refused))
}

/// Makes the calls; returns the index of the first that fails, and why.
fn call_all(process: &mut Process, calls: &[u8]) -> Result<(), (i64, Vec<u8>)> {
    let malformed = |Malformed| (Step::Start as i64, reason(Errno::EPROTO));
    let mut out = Vec::with_capacity(1024);
    for (index, call) in (1..).zip(Calls::read(calls).map_err(malformed)?) {
        let (number, arguments) = call.map_err(malformed)?;
        out.clear();
        if dispatch::call(process, number, arguments, &mut out).map_err(malformed)?
            == dispatch::Ended::Badly
        {
            return Err((index, out.split_off(dispatch::ERROR.len())));
        }
    }
    Ok(())
}

fn reason(fail: impl Into<Fail>) -> Vec<u8> {
    let mut out = Vec::new();
    fail.into().put_reason(&mut out);
    out
}

fn say(to: c_int, step: i64, reason: &[u8]) {
    let mut bytes = step.to_le_bytes().to_vec();
    bytes.extend_from_slice(reason);
    let _ = write_all(to, &bytes);
}
