//! What a process in its event loop knows about itself.

use crate::children::Children;
use crate::sys::signal;
use alcove_proto::calls::Set;
use alcove_proto::frame::Init;
use alcove_proto::wire::arg::Opt;

/// The options of an event loop, as `getopt` and `setopt` have them. A forked
/// process inherits them, but for its childlimit, which is its parent's maxchild.
#[derive(Clone, Debug)]
pub struct Options {
    /// Debugging output on stderr.
    pub verbose: u32,
    /// How many children this process may have at a time; fixed.
    pub childlimit: u32,
    /// Whether the owner learns the exit statuses of children.
    pub exit_status: bool,
    /// The childlimit of the processes that this one forks.
    pub maxchild: u32,
    /// The longest fork path.
    pub maxforkdepth: u32,
    /// Whether the owner learns which signals end children.
    pub termsig: bool,
    /// Whether the owner learns what children that ended have used.
    pub rusage: bool,
    /// How many messages of output the router may send for a process that this one
    /// forks; -1: no limit.
    pub flowcontrol: i32,
    /// The signal for the programs of processes that this one forks, when it loses
    /// its connection; 0: none.
    pub signaloneof: u8,
}

impl Options {
    /// Root's options; `nofile` is its soft limit of open files.
    pub fn new(init: &Init, nofile: u64) -> Self {
        // A child costs the VM four descriptors; some are kept for what the VM has open itself.
        let childlimit = u32::try_from((nofile / 4).saturating_sub(4)).unwrap_or(u32::MAX);
        Options {
            verbose: init.verbose,
            childlimit,
            exit_status: init.exit_status,
            maxchild: init.maxchild.unwrap_or(childlimit),
            maxforkdepth: init.maxforkdepth,
            termsig: init.termsig,
            rusage: false,
            flowcontrol: init.flowcontrol,
            signaloneof: init.signaloneof,
        }
    }

    /// The options of a process that is forked by one with these.
    pub fn inherited(&self) -> Self {
        Options {
            childlimit: self.maxchild,
            ..self.clone()
        }
    }

    /// The value of an option; `None` when there is no such option.
    pub fn get(&self, option: Opt) -> Option<i64> {
        match option {
            Opt::Verbose => Some(i64::from(self.verbose)),
            Opt::Childlimit => Some(i64::from(self.childlimit)),
            Opt::ExitStatus => Some(i64::from(self.exit_status)),
            Opt::Maxchild => Some(i64::from(self.maxchild)),
            Opt::Maxforkdepth => Some(i64::from(self.maxforkdepth)),
            Opt::Termsig => Some(i64::from(self.termsig)),
            Opt::Rusage => Some(i64::from(self.rusage)),
            Opt::Flowcontrol => Some(i64::from(self.flowcontrol)),
            Opt::Signaloneof => Some(i64::from(self.signaloneof)),
            Opt::Unknown => None,
        }
    }

    /// Sets an option; `false` when it is unknown or fixed, or the value is out
    /// of its range.
    pub fn set(&mut self, option: Opt, value: i64) -> bool {
        let number = |to: &mut u32| u32::try_from(value).map(|value| *to = value).is_ok();
        let flag = |to: &mut bool| match value {
            0 | 1 => {
                *to = value == 1;
                true
            }
            _ => false,
        };
        match option {
            Opt::Verbose => number(&mut self.verbose),
            Opt::ExitStatus => flag(&mut self.exit_status),
            Opt::Maxchild => number(&mut self.maxchild),
            Opt::Maxforkdepth => number(&mut self.maxforkdepth),
            Opt::Termsig => flag(&mut self.termsig),
            Opt::Rusage => flag(&mut self.rusage),
            Opt::Flowcontrol => match i32::try_from(value) {
                Ok(value @ -1..) => {
                    self.flowcontrol = value;
                    true
                }
                _ => false,
            },
            Opt::Signaloneof => match signal::number(value) {
                Some(signal) => {
                    self.signaloneof = signal;
                    true
                }
                None => false,
            },
            Opt::Childlimit | Opt::Unknown => false,
        }
    }
}

/// How many descriptors are tried at the most where nothing says which are open: the limit of open
/// files may be a thousand million.
pub const MOST_DESCRIPTORS: u32 = 1 << 20;

/// A process in its event loop.
#[derive(Debug)]
pub struct Process {
    /// The control socket. All other descriptors belong to the user.
    pub control: i32,
    /// The length of this process's fork path; 0 for root.
    pub depth: u32,
    /// The options.
    pub options: Options,
    /// The children that this process forked.
    pub children: Children,
    /// This process made a user namespace for itself. Others can look into it until the namespace
    /// has its maps of ids, since these could not be written otherwise.
    pub open: bool,
    /// A seccomp filter was installed here or in an ancestor. The process must make no system
    /// call that the user didn't ask for, so the loop no longer polls.
    pub filtered: bool,
    /// This process has asked for another pid namespace for what it forks.
    pub divides: bool,
    /// As far as this process knows, what it has open has lower numbers than this, or than its
    /// limit of open files: that may be lower now than it was.
    pub below: u32,
    /// Calls that are refused, here and in what this process forks.
    pub denied: Set,
    /// The call that is being made.
    pub request: Request,
}

/// What the forking calls have to know about the call that is being made, and
/// what they report about it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The caller's number for it.
    pub id: u32,
    /// How far it is.
    pub progress: Progress,
}

/// How far a call is.
///
/// ```text
///   SINGLE ----- forks -----> ANSWERED   in the process that forked
///      +-------- forks -----> BORN       in the new process
///   LISTED ----- forks -----> LISTED
///      +-------- forks -----> BORN
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was sent by itself, and waits for its answer.
    Single,
    /// It is one of a batch or a spawn, which is answered as a whole.
    Listed,
    /// The frame with the channels of the process that it forked was the answer.
    Answered,
    /// This process was forked by the call: like fork(2), the call returns in both processes.
    Born,
}

impl Request {
    /// No call was made yet.
    pub const NONE: Request = Request {
        id: 0,
        progress: Progress::Listed,
    };

    /// A call that was sent by itself.
    pub fn single(id: u32) -> Request {
        Request {
            id,
            progress: Progress::Single,
        }
    }

    /// A call of a batch or a spawn.
    pub fn listed(id: u32) -> Request {
        Request {
            id,
            progress: Progress::Listed,
        }
    }

    /// The same, in the process that was forked by it.
    pub fn born(self) -> Request {
        Request {
            progress: Progress::Born,
            ..self
        }
    }

    /// The process that the call forked was announced, which answers a single call.
    pub fn announced(&mut self) {
        if self.progress == Progress::Single {
            self.progress = Progress::Answered;
        }
    }
}

impl Process {
    /// Root, with its control socket and options.
    pub fn root(control: i32, options: Options) -> Self {
        Process {
            control,
            depth: 0,
            options,
            children: Children::default(),
            open: false,
            filtered: false,
            divides: false,
            below: 0,
            denied: Set::default(),
            request: Request::NONE,
        }
    }

    /// Takes note that descriptors below such a number may be open, also when the limit of open
    /// files no longer says so.
    pub fn may_have_below(&mut self, number: u64) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.below = self.below.max(number.min(MOST_DESCRIPTORS));
    }

    /// Takes note of a descriptor that may be open.
    pub fn may_have(&mut self, fd: i64) {
        if let Ok(fd) = u64::try_from(fd) {
            self.may_have_below(fd.saturating_add(1));
        }
    }

    /// Whether a descriptor is alcove's own, so that calls must not touch it.
    pub fn is_internal(&self, fd: i32) -> bool {
        fd == self.control || crate::procfs::is_trusted(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(
            &Init {
                maxforkdepth: 16,
                ..Init::default()
            },
            1024,
        )
    }

    #[test]
    fn defaults_come_from_the_limit_of_open_files() {
        assert_eq!(options().get(Opt::Childlimit), Some(252));
        assert_eq!(options().get(Opt::Maxchild), Some(252));
        assert_eq!(Options::new(&Init::default(), 0).childlimit, 0);
        assert_eq!(options().get(Opt::Unknown), None);
    }

    #[test]
    fn values_are_checked() {
        let mut options = options();
        assert!(options.set(Opt::Maxchild, 1000));
        assert!(!options.set(Opt::Maxchild, -1));
        assert!(!options.set(Opt::Maxchild, i64::from(u32::MAX) + 1));
        assert!(!options.set(Opt::Childlimit, 5));
        assert!(!options.set(Opt::Unknown, 5));
        assert!(!options.set(Opt::Termsig, 2));
        assert!(options.set(Opt::Termsig, 1));
        assert_eq!(options.maxchild, 1000);
        assert!(options.termsig);
    }

    #[test]
    fn a_child_gets_its_limit_from_maxchild() {
        let mut options = options();
        options.maxchild = 7;
        options.verbose = 2;
        let child = options.inherited();
        assert_eq!((child.childlimit, child.maxchild, child.verbose), (7, 7, 2));
    }
}
