//! The keeper: runs one program at a time.
//!
//! One frame tells the keeper what to run. It answers once when the program runs or
//! can't run, and once more when the program has ended and nothing of it is left. It is a
//! subreaper: every process that the program starts, in a session of its own or not, becomes the
//! keeper's child once the processes in between have ended. So when the keeper has no child,
//! nothing is left, and killing its own children again and again ends everything. The pid of a
//! child is reliable: no other process has it until the keeper itself reaps the child.
//!
//! ```text
//!           KEEP            exec             ORDER, deadline       grace is over
//!    Free ------> Starting ------> Running -----------------> Asked ------> Killed
//!     ^              | fails          | ends                    | ends        | ends
//!     +--------------+                +--> what is left is killed, too <------+
//!     +----------------------------------------- nothing is left
//! ```
//!
//! When the control socket ends, the keeper ends the program in the same way, and then itself.

mod below;
mod mapper;
#[allow(unsafe_code)]
mod start;

use crate::channels::Received;
use crate::descendants::{GRACE, ROUND};
use crate::exit::{die, leave};
use crate::init::News;
use crate::io::write_all;
use crate::process::Process;
use crate::protect::become_subreaper;
use crate::reply::{Fail, Term};
use crate::sys::fd;
use crate::sys::io;
use crate::sys::poll::poll;
use crate::sys::precedence::Precedence;
use crate::sys::signal::kill;
use crate::sys::trace::let_go_or_kill;
use crate::sys::wait::wait4;
use crate::{channels, init, memory, reap, signals};
use alcove_proto::frame::{self, Frame, Free, HEADER, Kept, RUSAGE, Raw, Reply, Short, to};
use alcove_proto::keep::{Action, FOREVER, Keep, Order, Over, Step, Stream, Why};
use alcove_proto::wire::{Atom, Malformed, Put, PutTerm};
use below::Below;
use libc::c_int;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use start::{Place, Starting};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long killed processes may take to be gone, before the keeper tells the VM that some are
/// left.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the keeper tries again after that to kill what is left.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the keeper reaps at a time, at least, before it looks for what else is to be done.
const REAPING: Duration = Duration::from_millis(1);

/// Runs programs until the control socket ends. All signals are blocked, and stay so.
pub fn run(process: Process) -> ! {
    signals::interrupt_by_child();
    become_subreaper(true);
    let mut keeper = Keeper {
        input: Vec::new(),
        given: Received::default(),
        place: Place::new(),
        below: Below::new(),
        program: None,
        control: Some(process.control),
        process,
    };
    loop {
        if let Err(Malformed) = keeper.step() {
            die(Malformed);
        }
    }
}

struct Keeper {
    process: Process,
    /// The control socket, until it has ended.
    control: Option<c_int>,
    /// The bytes that were received and not yet served.
    input: Vec<u8>,
    /// The descriptors that came with it.
    given: Received,
    place: Place,
    below: Below,
    program: Option<Box<Program>>,
}

/// The program that the keeper runs.
struct Program {
    /// The number of the request.
    id: u32,
    /// The child: the program, or the init of its pid namespace.
    child: c_int,
    /// The connection to that init, and whether it has ended.
    init: Option<OwnedFd>,
    init_over: bool,
    /// The program's pid.
    pid: c_int,
    stage: Stage,
    /// The master of its terminal.
    terminal: Option<OwnedFd>,
    terms: Terms,
    since: Instant,
    deadline: Option<Instant>,
    phase: Phase,
    why: Why,
    end: Option<End>,
    /// The VM was told that the program ended, but some of its processes are left.
    told: bool,
    /// More children may have ended than were reaped.
    more: bool,
    /// Over a program that forks faster than this process reaps, or isn't gone at once.
    precedence: Option<Precedence>,
}

/// How far the start of a program has come.
enum Stage {
    /// The program has not been exec'ed.
    Starting(Starting),
    /// A step of the start failed. The VM is told when nothing is left of the program.
    Failed(Failed),
    /// The program was exec'ed.
    Done,
}

/// A step of a start that failed, and the reason, as a term.
struct Failed {
    step: i64,
    reason: Vec<u8>,
}

/// What the request says about how to end the program.
struct Terms {
    signal: u8,
    grace: Duration,
    leave: bool,
    kill: Option<CString>,
}

/// What the keeper has done to end a program.
#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// The program was asked to end, and will be killed at this time.
    Asked(Instant),
    /// The keeper has been killing the program and what it leaves since this time.
    Killed(Instant),
}

/// How a program ended.
#[derive(Clone, Copy)]
struct End {
    status: c_int,
    used: [i64; RUSAGE],
    wall: Duration,
}

impl Keeper {
    /// Does what is due, and waits for more to do.
    fn step(&mut self) -> Result<(), Malformed> {
        match self.program.take() {
            None => self.wait_for_request(),
            Some(mut program) => {
                let gone = program.advance(&mut self.below);
                if gone {
                    self.hear_of_start(&mut program);
                }
                if self.settle(&mut program, gone) {
                    // `program` is dropped here, with its descriptors.
                    return Ok(());
                }
                let events = self.wait(&program);
                if events.starting {
                    self.hear_of_start(&mut program);
                }
                if events.init {
                    program.hear_of_init();
                }
                self.program = Some(program);
                if events.control {
                    self.receive();
                    self.serve()?;
                }
                Ok(())
            }
        }
    }

    fn wait_for_request(&mut self) -> Result<(), Malformed> {
        if self.control.is_none() {
            leave(0);
        }
        self.receive();
        self.serve()
    }

    /// Receives bytes, and waits for some if there are none.
    fn receive(&mut self) {
        let Some(control) = self.control else { return };
        let mut buffer = [0; 4096];
        loop {
            // A filter that admits an event loop allows read(2), but maybe not recvmsg(2). A read
            // drops the descriptors that come with the bytes.
            let received = if self.process.filtered {
                io::read(control, &mut buffer)
            } else {
                channels::receive(control, &mut buffer, &mut self.given)
            };
            match received {
                Ok(n) if n > 0 => {
                    self.input.extend_from_slice(&buffer[..n]);
                    memory::wipe(&mut buffer[..n]);
                    return;
                }
                Err(Errno::EINTR) => {}
                _ => return self.lost(),
            }
        }
    }

    /// The VM is gone, or doesn't need this keeper any more.
    fn lost(&mut self) {
        self.control = None;
        if let Some(program) = &mut self.program {
            program.abandon();
        }
    }

    /// Serves the frames that are complete.
    fn serve(&mut self) -> Result<(), Malformed> {
        while let Some(length) = frame::length(&self.input)? {
            let end = HEADER + length;
            if self.input.len() < end {
                break;
            }
            let mut input = std::mem::take(&mut self.input);
            let served = self.serve_frame(&input[HEADER..end]);
            memory::wipe(&mut input[..end]);
            input.drain(..end);
            // Long frames are rare, and their memory isn't kept.
            input.shrink_to(64 * 1024);
            self.input = input;
            served?;
        }
        // Descriptors come with the first byte of their frame: without a frame there must be none.
        let unasked = !self.given.fds.is_empty() || self.given.cut;
        if self.given.fds.len() > channels::STREAMS || self.input.is_empty() && unasked {
            return Err(Malformed);
        }
        Ok(())
    }

    /// The descriptors that the VM gave for the streams of a request.
    fn given(&mut self, streams: &[Stream; 3]) -> Result<Result<Vec<OwnedFd>, Errno>, Malformed> {
        let wanted = Stream::given(streams);
        if wanted > 0 && self.process.filtered {
            return Ok(Err(Errno::ENOSYS));
        }
        if wanted > 0 && std::mem::take(&mut self.given.cut) {
            self.given.fds.clear();
            return Ok(Err(Errno::EMFILE));
        }
        if wanted > self.given.fds.len() {
            return Err(Malformed);
        }
        Ok(Ok(self.given.fds.drain(..wanted).collect()))
    }

    fn serve_frame(&mut self, frame: &[u8]) -> Result<(), Malformed> {
        let frame = Raw::new(frame)?;
        match (frame.kind, &mut self.program) {
            (to::KEEP, None) => {
                let keep: Keep<'_> = frame.read()?;
                let given = self.given(&keep.streams)?;
                self.keep(&keep, given);
                Ok(())
            }
            (to::ORDER, program) => {
                let order: Order = frame.read()?;
                // The program that the order is for may have ended meanwhile.
                let program = program.as_mut().filter(|program| program.id == order.of);
                match order.action {
                    Action::End { signal, grace } => {
                        if let Some(program) = program {
                            program.ask(Why::Asked, signal, Duration::from_millis(grace.into()));
                        }
                    }
                    Action::Signal { id, signal } => {
                        let sent = program
                            .map_or(Err(Errno::ESRCH), |program| program.signal(signal.into()));
                        self.reply(id, sent);
                    }
                    Action::Size { id, rows, columns } => {
                        let set = program.map_or(Err(Errno::ESRCH), |program| {
                            let terminal = program.terminal.as_ref().ok_or(Errno::ENOTTY)?;
                            start::set_size(terminal, rows, columns)
                        });
                        self.reply(id, set);
                    }
                }
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    fn keep(&mut self, keep: &Keep<'_>, given: Result<Vec<OwnedFd>, Errno>) {
        let since = Instant::now();
        let started = start::start(&mut self.process, &mut self.place, &self.below, keep, given);
        match started {
            Ok(started) => {
                let has_init = started.init.is_some();
                let mut program = Box::new(Program {
                    id: keep.id,
                    child: started.child,
                    pid: started.child,
                    init: started.init,
                    init_over: false,
                    stage: started.starting.map_or(Stage::Done, Stage::Starting),
                    terminal: started.terminal,
                    terms: Terms {
                        signal: keep.signal,
                        grace: Duration::from_millis(keep.grace.into()),
                        // The kernel ends all of a pid namespace with its init.
                        leave: keep.leave && !has_init,
                        kill: keep.kill.map(CString::from),
                    },
                    since,
                    deadline: (keep.timeout != FOREVER)
                        .then(|| since.checked_add(Duration::from_millis(keep.timeout)))
                        .flatten(),
                    phase: Phase::Running,
                    why: Why::Itself,
                    end: None,
                    told: false,
                    more: false,
                    precedence: None,
                });
                if let Some(channels) = started.channels {
                    self.announce(&mut program, channels);
                }
                self.program = Some(program);
            }
            Err(failure) => {
                let mut reason = Vec::new();
                failure.put_reason(&mut reason);
                let step = failure.step();
                self.refuse(keep.id, &Failed { step, reason }, false);
            }
        }
    }

    /// Tells the VM that a program runs, and gives it its ends of the streams.
    fn announce(&mut self, program: &mut Program, fds: Vec<OwnedFd>) {
        program.stage = Stage::Done;
        let kept = Short::of(&Kept {
            id: program.id,
            pid: program.pid as u32,
        });
        let Some(control) = self.control else { return };
        if channels::give(control, &kept, fds).is_err() {
            self.lost();
            program.abandon();
        }
    }

    /// Sends a frame.
    fn send(&mut self, bytes: &[u8]) {
        let sent = self.control.map(|control| write_all(control, bytes));
        if let Some(Err(_)) = sent {
            self.lost();
        }
    }

    /// Answers a request with `ok` or `{error, Errno}`.
    fn reply(&mut self, id: u32, result: nix::Result<()>) {
        let mut out = Vec::with_capacity(32);
        let at = Reply { id, term: &[] }.begin(&mut out);
        match result {
            Ok(()) => out.term_atom(Atom::Ok),
            Err(errno) => Fail::from(errno).put(&mut out),
        }
        frame::finish(&mut out, at);
        self.send(&out);
    }

    /// Answers a request with `{error, {Step, Reason}}`. Unless something is left, the keeper can
    /// be used again. It says so before the answer, so that the caller that gets the answer can use
    /// it.
    fn refuse(&mut self, id: u32, failed: &Failed, some_left: bool) {
        let mut out = Vec::with_capacity(64);
        if !some_left {
            Free {}.write(&mut out);
        }
        let at = Reply { id, term: &[] }.begin(&mut out);
        out.term_tuple(2);
        out.term_atom(Atom::Error);
        out.term_tuple(2);
        out.term_int(failed.step);
        out.raw(&failed.reason);
        frame::finish(&mut out, at);
        self.send(&out);
    }

    /// Reads what the process that is to exec reports, and handles success or failure of the start.
    fn hear_of_start(&mut self, program: &mut Program) {
        let Stage::Starting(starting) = &mut program.stage else {
            return;
        };
        // A process reports a failure in one piece, so a failure is complete even before the end of
        // the pipe. The process, or the program, may be gone by now.
        if !starting.read() && starting.failure().is_none() {
            return;
        }
        // The program was ended before it was exec'ed.
        if !matches!(program.why, Why::Itself) {
            return;
        }
        if let Some((step, reason)) = starting.failure() {
            let reason = reason.to_vec();
            program.stage = Stage::Failed(Failed { step, reason });
            program.kill();
            return;
        }
        let channels = starting.take_channels();
        program.hear_of_init();
        self.announce(program, channels);
    }

    /// Tells the VM when a program is over. Returns true when the keeper is free again.
    fn settle(&mut self, program: &mut Program, gone: bool) -> bool {
        if gone {
            if program.told {
                self.free();
            } else {
                self.tell(program, Left::Nothing);
            }
            return true;
        }
        if program.end.is_some() && program.terms.leave && program.has_run() {
            self.tell(program, Left::ToLive);
            // Root becomes the parent of what the program leaves, and this keeper ends.
            leave(0);
        }
        let overdue = matches!(program.phase, Phase::Killed(since) if since.elapsed() >= PATIENCE);
        if overdue && !program.told {
            self.tell(program, Left::ToKill);
            program.told = true;
            if self.control.is_none() {
                // Root and the guardian go on to kill what is left.
                leave(0);
            }
        }
        false
    }

    fn tell(&mut self, program: &mut Program, left: Left) {
        let some_left = left == Left::ToKill;
        if !program.has_run() {
            let ended;
            let failed = match &program.stage {
                Stage::Failed(failed) => failed,
                _ => {
                    let mut reason = Vec::new();
                    reason.term_errno(Errno::ETIMEDOUT as i32);
                    let step = Step::Start as i64;
                    ended = Failed { step, reason };
                    &ended
                }
            };
            return self.refuse(program.id, failed, some_left);
        }
        let mut out = Vec::with_capacity(160);
        Over {
            pid: program.pid as u32,
            status: program.end.map(|end| end.status),
            why: program.why,
            wall: program
                .end
                .map_or(program.since.elapsed(), |end| end.wall)
                .as_nanos() as u64,
            used: program.end.map_or([0; RUSAGE], |end| end.used),
            free: left == Left::Nothing,
            some_left,
            left: if some_left {
                self.below.pids()
            } else {
                Vec::new()
            },
        }
        .write(&mut out);
        self.send(&out);
    }

    /// Tells the VM that the keeper can be used again.
    fn free(&mut self) {
        self.send(&Short::of(&Free {}));
    }

    /// Waits for something to do.
    fn wait(&self, program: &Program) -> Events {
        let control = self.control.map(fd::borrow);
        let starting = match &program.stage {
            Stage::Starting(starting) => starting.fd(),
            _ => None,
        };
        let init = program.init.as_ref().filter(|_| !program.init_over);
        let sources = [control, starting, init.map(AsFd::as_fd)];
        let mut polled = Vec::with_capacity(sources.len());
        polled.extend(
            sources
                .iter()
                .flatten()
                .map(|fd| PollFd::new(*fd, PollFlags::POLLIN)),
        );
        let limit = program
            .next()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let mut mask = SigSet::all();
        mask.remove(nix::sys::signal::Signal::SIGCHLD);
        let n = poll(&mut polled, limit, mask).unwrap_or(0);
        let mut events = polled.iter().map(|fd| n > 0 && fd.any() == Some(true));
        let mut event = |source: &Option<_>| source.is_some() && events.next() == Some(true);
        Events {
            control: event(&sources[0]),
            starting: event(&sources[1]),
            init: event(&sources[2]),
        }
    }
}

struct Events {
    control: bool,
    starting: bool,
    init: bool,
}

impl Program {
    /// Whether the program was exec'ed.
    fn has_run(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Reaps the children that have ended, and does what is due. Returns true when nothing is left.
    fn advance(&mut self, below: &mut Below) -> bool {
        let mut time = REAPING;
        loop {
            let reaped = self.reap(time);
            if reaped == Reaped::Gone {
                return true;
            }
            self.more = reaped == Reaped::More;
            if self.more {
                self.precedence.get_or_insert_with(Precedence::take);
            }
            let now = Instant::now();
            if self.end.is_some() && !self.terms.leave {
                self.kill();
            }
            match self.phase {
                Phase::Running if self.deadline.is_some_and(|at| at <= now) => {
                    self.ask(Why::Timeout, self.terms.signal, self.terms.grace);
                }
                Phase::Asked(until) if until <= now => self.kill(),
                _ => {}
            }
            let Phase::Killed(since) = self.phase else {
                return false;
            };
            if self.end.is_some() || self.told || self.more {
                below.kill();
                self.precedence.get_or_insert_with(Precedence::take);
                // Those that fork on are killed again in time.
                time = now.elapsed().max(REAPING);
            }
            // Processes that fork while they are killed are killed again without a pause.
            if reaped == Reaped::None || now.duration_since(since) > PATIENCE {
                return false;
            }
        }
    }

    /// Reaps the children that have ended, for so long at most.
    fn reap(&mut self, time: Duration) -> Reaped {
        let (mut any, start) = (false, Instant::now());
        while !any || start.elapsed() < time {
            match wait4(-1, libc::WNOHANG) {
                // The program, or what it left, has asked to be traced.
                Ok(child) if let_go_or_kill(&child) => any = true,
                Ok(child) if child.pid == self.child => {
                    any = true;
                    self.hear_of_init();
                    let end = End {
                        status: child.status,
                        used: reap::numbers(&child.usage),
                        wall: self.since.elapsed(),
                    };
                    // The init has reported how the program ended, unless the init was killed.
                    self.end.get_or_insert(end).used = end.used;
                    self.init = None;
                }
                Ok(child) if child.pid > 0 => any = true,
                Err(Errno::EINTR) => {}
                Ok(_) if any => return Reaped::Some,
                Ok(_) => return Reaped::None,
                Err(_) => return Reaped::Gone,
            }
        }
        Reaped::More
    }

    /// Receives from the init which pid the program has, and how it ended.
    fn hear_of_init(&mut self) {
        while let Some(init) = &self.init {
            match init::hear(init) {
                News::Program(pid) => self.pid = pid,
                News::Status(status) => {
                    self.end.get_or_insert(End {
                        status,
                        used: [0; RUSAGE],
                        wall: self.since.elapsed(),
                    });
                }
                News::None => return,
                News::Over => {
                    self.init_over = true;
                    return;
                }
            }
        }
    }

    /// When the keeper has something to do next, even if no event comes.
    fn next(&self) -> Option<Instant> {
        match self.phase {
            _ if self.more => Some(Instant::now()),
            Phase::Running => self.deadline,
            Phase::Asked(until) => Some(until),
            Phase::Killed(_) if self.told => Some(Instant::now() + AGAIN),
            Phase::Killed(_) => Some(Instant::now() + ROUND),
        }
    }

    /// Asks the program to end, or kills it if it has no grace.
    fn ask(&mut self, why: Why, signal: u8, grace: Duration) {
        let until = Instant::now() + grace;
        match self.phase {
            Phase::Running => {
                if self.end.is_none() {
                    self.why = why;
                }
                if grace.is_zero() || matches!(self.stage, Stage::Starting(_)) {
                    return self.kill();
                }
                let _ = self.signal(signal.into());
                let _ = self.signal(libc::SIGCONT);
                self.phase = Phase::Asked(until);
            }
            Phase::Asked(_) if grace.is_zero() => self.kill(),
            Phase::Asked(before) => self.phase = Phase::Asked(before.min(until)),
            Phase::Killed(_) => {}
        }
    }

    /// Ends the program, since the VM is gone: it gets its own grace, but not all of a long one.
    fn abandon(&mut self) {
        let grace = self.terms.grace.min(GRACE);
        self.ask(Why::Asked, self.terms.signal, grace);
    }

    /// Sends a signal to the program and its process group.
    fn signal(&mut self, signal: c_int) -> nix::Result<()> {
        if self.end.is_some() {
            return Err(Errno::ESRCH);
        }
        if let Some(init) = &self.init {
            return init::forward(init, signal);
        }
        // The child isn't reaped: no other process or group has its pid.
        match kill(-self.child, signal) {
            // The child has not made its process group yet.
            Err(Errno::ESRCH) => kill(self.child, signal),
            sent => sent,
        }
    }

    /// Kills the program, and from now on everything that is left of it.
    fn kill(&mut self) {
        if matches!(self.phase, Phase::Killed(_)) {
            return;
        }
        self.phase = Phase::Killed(Instant::now());
        if let Some(kill) = &self.terms.kill {
            let _ = start::write_file(kill, b"1");
        }
        if self.end.is_none() || self.init.is_some() {
            // With the init, the kernel kills all of its pid namespace.
            if self.init.is_none() {
                let _ = kill(-self.child, libc::SIGKILL);
            }
            let _ = kill(self.child, libc::SIGKILL);
        }
    }
}

/// What is left of a program.
#[derive(PartialEq)]
enum Left {
    /// The keeper is free again.
    Nothing,
    /// What is to live on without this keeper, which ends.
    ToLive,
    /// What couldn't be killed yet.
    ToKill,
}

/// What became of the children.
#[derive(PartialEq)]
enum Reaped {
    /// There is none.
    Gone,
    /// None has ended.
    None,
    /// All that had ended were reaped.
    Some,
    /// Others may have ended, too.
    More,
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::process::Options;
    use crate::sys::process::fork;
    use crate::sys::testing::in_child;
    use alcove_proto::frame::Init;
    use nix::sys::signal::Signal;
    use nix::unistd::pause;
    use std::os::fd::IntoRawFd;

    /// A keeper whose VM is gone.
    fn keeper() -> Keeper {
        let (control, vms) = channels::control().expect("a control socket");
        drop(vms);
        let control = control.into_raw_fd();
        Keeper {
            input: Vec::new(),
            given: Received::default(),
            place: Place::new(),
            below: Below::new(),
            program: None,
            control: Some(control),
            process: Process::root(control, Options::new(&Init::default(), 1024)),
        }
    }

    /// A program that has just begun.
    fn program(grace: Duration) -> Program {
        let child = fork().expect("fork");
        if child == 0 {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal");
            loop {
                pause();
            }
        }
        Program {
            id: 1,
            child,
            pid: child,
            init: None,
            init_over: false,
            stage: Stage::Done,
            terminal: None,
            terms: Terms {
                signal: 0,
                grace,
                leave: false,
                kill: None,
            },
            since: Instant::now(),
            deadline: None,
            phase: Phase::Running,
            why: Why::Itself,
            end: None,
            told: false,
            more: false,
            precedence: None,
        }
    }

    #[test]
    fn a_program_keeps_its_grace_when_the_vm_is_gone() {
        let announced = |keeper: &mut Keeper, mut program| {
            keeper.announce(&mut program, Vec::new());
            program
        };
        let running = |keeper: &mut Keeper, program| {
            keeper.program = Some(Box::new(program));
            keeper.receive();
            *keeper.program.take().expect("a program")
        };
        for lost in [announced, running] {
            // How long the program has.
            let left = |grace| {
                let mut keeper = keeper();
                let mut program = lost(&mut keeper, program(grace));
                let (phase, now) = (program.phase, Instant::now());
                program.kill();
                while !program.advance(&mut keeper.below) {}
                assert!(keeper.control.is_none());
                match phase {
                    Phase::Running => Duration::MAX,
                    Phase::Asked(until) => until.saturating_duration_since(now),
                    Phase::Killed(_) => Duration::ZERO,
                }
            };
            in_child(|| {
                assert_eq!(left(Duration::ZERO), Duration::ZERO);
                assert!(left(Duration::from_millis(50)) <= Duration::from_millis(50));
                assert!(left(Duration::from_secs(60)) <= GRACE);
            });
        }
    }
}
