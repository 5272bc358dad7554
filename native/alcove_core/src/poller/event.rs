//! What is waited for, and what happens.

/// Which of a process's channels an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Calls, replies and events.
    Control,
    /// The write end of the process's stdin.
    Stdin,
    /// The read end of its stdout.
    Stdout,
    /// The read end of its stderr.
    Stderr,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A channel of the process with this id.
    Process(u64, Channel),
    /// The connection to the guardian of the tree.
    Lifeline,
    /// There is a command for the router.
    Wake,
}

impl Source {
    pub(super) const LIFELINE: u64 = u64::MAX;
    pub(super) const WAKE: u64 = u64::MAX - 1;

    pub(super) const fn data(self) -> u64 {
        match self {
            Source::Process(id, channel) => (id << 2) | channel as u64,
            Source::Lifeline => Self::LIFELINE,
            Source::Wake => Self::WAKE,
        }
    }

    pub(super) const fn of(data: u64) -> Self {
        match data {
            Self::LIFELINE => Source::Lifeline,
            Self::WAKE => Source::Wake,
            _ => {
                let channel = match data & 3 {
                    0 => Channel::Control,
                    1 => Channel::Stdin,
                    2 => Channel::Stdout,
                    _ => Channel::Stderr,
                };
                Source::Process(data >> 2, channel)
            }
        }
    }
}

/// What the poller is to report, besides the end of the connection, which it always reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// There is something to read.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

impl Interest {
    /// Something to read.
    pub const READ: Interest = Interest {
        read: true,
        write: false,
    };
    /// Room to write.
    pub const WRITE: Interest = Interest {
        read: false,
        write: true,
    };
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Where.
    pub source: Source,
    /// The other side is closed: nothing will come after what can be read now.
    pub hangup: bool,
    /// There may be room to write.
    pub writable: bool,
}
