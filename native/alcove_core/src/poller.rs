//! What the router waits for: every descriptor of a tree, edge-triggered.
//!
//! The poller always reports the end of a connection, whatever else it is asked to report.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use epoll::{Events, Poller};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kqueue;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use kqueue::{Events, Poller};

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
    const LIFELINE: u64 = u64::MAX;
    const WAKE: u64 = u64::MAX - 1;

    const fn data(self) -> u64 {
        match self {
            Source::Process(id, channel) => (id << 2) | channel as u64,
            Source::Lifeline => Self::LIFELINE,
            Source::Wake => Self::WAKE,
        }
    }

    const fn of(data: u64) -> Self {
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
