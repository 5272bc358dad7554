//! The frames between the VM and a keeper, the process that runs one program at a time.
//!
//! An event loop forks a keeper when it gets [`to::KEEPER`](crate::frame::to::KEEPER).
//! The keeper has a control socket and nothing else, and only takes these frames:
//!
//! ```text
//!            Keep                        Over, free
//!     FREE --------> STARTING --Kept--> RUNNING -----------> FREE
//!      ^                | Reply(error)   | |                  ^
//!      +----------------+                | | Over, some left  | Free
//!                                        | v                  |
//!                                        |CLEARING -----------+
//!                                        |
//!                                        +--Over, neither--> (ends)
//! ```
//!
//! A keeper whose program left something that is to live on ends, so that this gets another parent.

use crate::frame::{Field, Frame, RUSAGE, from, to};
use crate::wire::arg::{Arg, StrVec};
use crate::wire::{Malformed, Put, Reader};
use std::ffi::CStr;

/// No deadline.
pub const FOREVER: u64 = u64::MAX;

/// The kind of a program's standard stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// /dev/null.
    #[default]
    Null = 0,
    /// A pipe, the other end of which is the VM's.
    Pipe = 1,
    /// For stderr: the same as stdout.
    Stdout = 2,
    /// The program's terminal.
    Terminal = 3,
    /// The keeper's own: for root's keepers the console's stderr.
    Inherited = 4,
    /// A descriptor that comes with the frame, in the order of the streams.
    Given = 5,
}

impl Stream {
    /// The stream of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Stream::Null,
            1 => Stream::Pipe,
            2 => Stream::Stdout,
            3 => Stream::Terminal,
            4 => Stream::Inherited,
            5 => Stream::Given,
            _ => return None,
        })
    }

    /// How many descriptors come with a frame that has these streams.
    pub fn given(streams: &[Stream; 3]) -> usize {
        let is_given = |stream: &&Stream| **stream == Stream::Given;
        streams.iter().filter(is_given).count()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::from_number(reader.u8()?).ok_or(Malformed)
    }
}

/// The terminal of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Its size in characters.
    pub rows: u16,
    /// See `rows`.
    pub columns: u16,
    /// Whether what is typed is shown.
    pub echo: bool,
    /// Whether every byte goes through as it is, see cfmakeraw(3).
    pub raw: bool,
}

/// A map of the ids of a user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdMap<'a> {
    /// What /proc/PID/uid_map or gid_map takes; nothing if empty.
    pub lines: &'a [u8],
    /// Whether newuidmap(1) or newgidmap(1) is to write it.
    pub helper: bool,
}

impl<'a> IdMap<'a> {
    fn put(&self, out: &mut impl Put) {
        out.put_bytes(self.lines);
        out.put_u8(u8::from(self.helper));
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(IdMap {
            lines: reader.bytes()?,
            helper: reader.u8()? != 0,
        })
    }
}

/// The steps of a start that a keeper itself takes, as errors name them. Errors name the calls of a
/// request by their index, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// fork(2).
    Fork = 0,
    /// execve(2).
    Exec = -1,
    /// chdir(2).
    Chdir = -2,
    /// pipe(2).
    Pipe = -3,
    /// openpty(3), and what makes it the controlling terminal.
    Terminal = -4,
    /// Writing to /proc/PID/setgroups.
    Setgroups = -5,
    /// Writing to /proc/PID/uid_map.
    UidMap = -6,
    /// Writing to /proc/PID/gid_map.
    GidMap = -7,
    /// Writing to the files of control groups.
    Cgroup = -8,
    /// Time ran out before the program ran.
    Start = -9,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 10] = [
        Step::Fork,
        Step::Exec,
        Step::Chdir,
        Step::Pipe,
        Step::Terminal,
        Step::Setgroups,
        Step::UidMap,
        Step::GidMap,
        Step::Cgroup,
        Step::Start,
    ];

    /// The step of a number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as i64 == number)
    }

    /// How errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Fork => "fork",
            Step::Exec => "execvp",
            Step::Chdir => "chdir",
            Step::Pipe => "pipe",
            Step::Terminal => "openpty",
            Step::Setgroups => "setgroups",
            Step::UidMap => "uid_map",
            Step::GidMap => "gid_map",
            Step::Cgroup => "cgroup",
            Step::Start => "start",
        }
    }
}

/// Runs a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep<'a> {
    /// The caller's number for the request.
    pub id: u32,
    /// Flags of clone(2): the namespaces that are new. 0: fork(2).
    pub flags: u64,
    /// stdin, stdout and stderr.
    pub streams: [Stream; 3],
    /// What the terminal is, if there is one.
    pub terminal: Terminal,
    /// The user and the group that the streams are to belong to; none: the keeper's.
    pub owner: Option<(u32, u32)>,
    /// How many milliseconds the program may take, from when the keeper has the frame.
    pub timeout: u64,
    /// How many milliseconds it then has, from the signal that ends it to SIGKILL.
    pub grace: u32,
    /// That signal.
    pub signal: u8,
    /// Whether processes that the program leaves behind live on.
    pub leave: bool,
    /// What goes into /proc/PID/setgroups; nothing if empty.
    pub setgroups: &'a [u8],
    /// The users of a new user namespace.
    pub uid_map: IdMap<'a>,
    /// Its groups.
    pub gid_map: IdMap<'a>,
    /// Files of control groups into which the number of the process is written before
    /// anything is called in it.
    pub groups: Vec<&'a CStr>,
    /// A file that kills what is in a control group: cgroup.kill.
    pub kill: Option<&'a CStr>,
    /// Whether the environment begins empty rather than as the keeper's.
    pub clearenv: bool,
    /// Variables as `NAME=value`; a `NAME` alone is taken out.
    pub env: Vec<&'a CStr>,
    /// The working directory, which is changed to before the calls.
    pub cwd: Option<&'a CStr>,
    /// The program, which is looked for in PATH unless it has a slash.
    pub file: &'a CStr,
    /// Its arguments, its name first.
    pub argv: Vec<&'a CStr>,
    /// Calls that are made in the process before it execs, as a batch has them: their number,
    /// then for each its own, the length of its arguments, and these.
    pub calls: &'a [u8],
}

/// No user: the largest number means none to the kernel as well.
const NONE: u32 = u32::MAX;

fn put_strings(out: &mut impl Put, strings: &[&CStr]) {
    out.put_u32(strings.len() as u32);
    for string in strings {
        out.put_cstr(string.to_bytes());
    }
}

impl<'a> Frame<'a> for Keep<'a> {
    const KIND: u8 = to::KEEP;
    const SIZE: Option<usize> = None;

    fn put(&self, out: &mut impl Put) {
        out.put_u32(self.id);
        out.put_u64(self.flags);
        for stream in self.streams {
            out.put_u8(stream as u8);
        }
        out.put_u16(self.terminal.rows);
        out.put_u16(self.terminal.columns);
        out.put_u8(u8::from(self.terminal.echo));
        out.put_u8(u8::from(self.terminal.raw));
        let (uid, gid) = self.owner.unwrap_or((NONE, NONE));
        out.put_u32(uid);
        out.put_u32(gid);
        out.put_u64(self.timeout);
        out.put_u32(self.grace);
        out.put_u8(self.signal);
        out.put_u8(u8::from(self.leave));
        out.put_bytes(self.setgroups);
        self.uid_map.put(out);
        self.gid_map.put(out);
        put_strings(out, &self.groups);
        put_strings(out, self.kill.as_slice());
        out.put_u8(u8::from(self.clearenv));
        put_strings(out, &self.env);
        put_strings(out, self.cwd.as_slice());
        out.put_cstr(self.file.to_bytes());
        put_strings(out, &self.argv);
        out.raw(self.calls);
    }

    fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let reader = &mut Reader::new(payload);
        Ok(Keep {
            id: reader.u32()?,
            flags: reader.u64()?,
            streams: [
                Stream::read(reader)?,
                Stream::read(reader)?,
                Stream::read(reader)?,
            ],
            terminal: Terminal {
                rows: reader.u16()?,
                columns: reader.u16()?,
                echo: reader.u8()? != 0,
                raw: reader.u8()? != 0,
            },
            owner: {
                let owner = (reader.u32()?, reader.u32()?);
                (owner.0 != NONE).then_some(owner)
            },
            timeout: reader.u64()?,
            grace: reader.u32()?,
            signal: reader.u8()?,
            leave: reader.u8()? != 0,
            setgroups: reader.bytes()?,
            uid_map: IdMap::read(reader)?,
            gid_map: IdMap::read(reader)?,
            groups: StrVec::read(reader)?,
            kill: StrVec::read(reader)?.first().copied(),
            clearenv: reader.u8()? != 0,
            env: StrVec::read(reader)?,
            cwd: StrVec::read(reader)?.first().copied(),
            file: reader.cstr()?,
            argv: StrVec::read(reader)?,
            calls: reader.rest(),
        })
    }
}

/// What the VM asks of a keeper whose program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The number of the request that the program runs for: that may be over by now, and
    /// another program run.
    pub of: u32,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End the program: by a signal, or by SIGKILL when the grace is 0.
    End {
        /// The signal.
        signal: u8,
        /// Milliseconds until SIGKILL.
        grace: u32,
    },
    /// Send a signal to the program and its process group. Answered by a reply.
    Signal {
        /// The caller's number for the request.
        id: u32,
        /// The signal.
        signal: u8,
    },
    /// Set the size of its terminal. Answered by a reply.
    Size {
        /// The caller's number for the request.
        id: u32,
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

impl Frame<'_> for Order {
    const KIND: u8 = to::ORDER;
    const SIZE: Option<usize> = None;

    fn put(&self, out: &mut impl Put) {
        out.put_u32(self.of);
        match self.action {
            Action::End { signal, grace } => {
                out.put_u8(0);
                out.put_u8(signal);
                out.put_u32(grace);
            }
            Action::Signal { id, signal } => {
                out.put_u8(1);
                out.put_u32(id);
                out.put_u8(signal);
            }
            Action::Size { id, rows, columns } => {
                out.put_u8(2);
                out.put_u32(id);
                out.put_u16(rows);
                out.put_u16(columns);
            }
        }
    }

    fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let of = reader.u32()?;
        let action = match reader.u8()? {
            0 => Action::End {
                signal: reader.u8()?,
                grace: reader.u32()?,
            },
            1 => Action::Signal {
                id: reader.u32()?,
                signal: reader.u8()?,
            },
            2 => Action::Size {
                id: reader.u32()?,
                rows: reader.u16()?,
                columns: reader.u16()?,
            },
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(Order { of, action })
    }
}

/// Why a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// By itself.
    Itself = 0,
    /// The VM asked for it.
    Asked = 1,
    /// Its time was over.
    Timeout = 2,
}

/// A program has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The program's pid.
    pub pid: u32,
    /// Its status, as wait(2) has it; none when it couldn't be killed.
    pub status: Option<i32>,
    /// Why it ended.
    pub why: Why,
    /// For how many nanoseconds it ran.
    pub wall: u64,
    /// What it and the children that it waited for have used.
    pub used: [i64; RUSAGE],
    /// Whether the keeper can be used again.
    pub free: bool,
    /// Whether something is left that couldn't be killed in time.
    pub some_left: bool,
    /// The pids of what is left, as far as they are known.
    pub left: Vec<u32>,
}

impl Frame<'_> for Over {
    const KIND: u8 = from::OVER;
    const SIZE: Option<usize> = None;

    fn put(&self, out: &mut impl Put) {
        out.put_u32(self.pid);
        out.put_u8(u8::from(self.status.is_some()));
        out.put_i32(self.status.unwrap_or_default());
        out.put_u8(self.why as u8);
        out.put_u64(self.wall);
        self.used.put(out);
        out.put_u8(u8::from(self.free));
        out.put_u8(u8::from(self.some_left));
        out.put_u32(self.left.len() as u32);
        for pid in &self.left {
            out.put_u32(*pid);
        }
    }

    fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let pid = reader.u32()?;
        let known = reader.u8()? != 0;
        let status = reader.i32()?;
        let why = match reader.u8()? {
            0 => Why::Itself,
            1 => Why::Asked,
            2 => Why::Timeout,
            _ => return Err(Malformed),
        };
        let wall = reader.u64()?;
        let used = Field::read(&mut reader)?;
        let free = reader.u8()? != 0;
        let some_left = reader.u8()? != 0;
        let count = reader.u32()? as usize;
        if count != reader.rest().len() / size_of::<u32>() {
            return Err(Malformed);
        }
        let left = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Over {
            pid,
            status: known.then_some(status),
            why,
            wall,
            used,
            free,
            some_left,
            left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Raw;

    fn written<'a>(frame: &impl Frame<'a>) -> Vec<u8> {
        let mut out = Vec::new();
        frame.write(&mut out);
        out
    }

    fn raw(bytes: &[u8]) -> Raw<'_> {
        let mut rest = bytes;
        let raw = Raw::next(&mut rest).expect("a frame").expect("a whole one");
        assert!(rest.is_empty());
        raw
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let keep = Keep {
            id: 7,
            flags: 0x2000_0000,
            streams: [Stream::Given, Stream::Pipe, Stream::Stdout],
            terminal: Terminal {
                rows: 24,
                columns: 80,
                echo: true,
                raw: false,
            },
            owner: Some((1000, 100)),
            timeout: FOREVER,
            grace: 5000,
            signal: 15,
            leave: true,
            setgroups: b"deny",
            uid_map: IdMap {
                lines: b"0 1000 1\n",
                helper: true,
            },
            gid_map: IdMap::default(),
            groups: vec![c"/sys/fs/cgroup/a/cgroup.procs"],
            kill: Some(c"/sys/fs/cgroup/a/cgroup.kill"),
            clearenv: true,
            env: vec![c"A=b", c"C"],
            cwd: Some(c"/"),
            file: c"true",
            argv: vec![c"true", c"", c"x"],
            calls: &[0, 0],
        };
        let out = written(&keep);
        let payload = raw(&out).payload;
        assert_eq!(raw(&out).read(), Ok(keep.clone()));
        for cut in 0..payload.len() - keep.calls.len() {
            assert!(Keep::read(&payload[..cut]).is_err());
        }
    }

    #[test]
    fn orders_and_answers_are_read_as_they_were_written() {
        let orders = [
            Action::End {
                signal: 15,
                grace: 9,
            },
            Action::Signal { id: 3, signal: 10 },
            Action::Size {
                id: 4,
                rows: 24,
                columns: 80,
            },
        ];
        for order in orders.map(|action| Order { of: 9, action }) {
            assert_eq!(raw(&written(&order)).read(), Ok(order));
        }
        let over = Over {
            pid: 2,
            status: Some(256),
            why: Why::Timeout,
            wall: 1_000_000,
            used: [1; RUSAGE],
            free: false,
            some_left: true,
            left: vec![5, 6],
        };
        let out = written(&over);
        let payload = raw(&out).payload;
        assert_eq!(raw(&out).read(), Ok(over));
        for cut in 0..payload.len() {
            assert!(Over::read(&payload[..cut]).is_err());
        }
    }
}
