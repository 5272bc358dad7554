//! The poller by kqueue(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::unistd::pipe2;

use super::event::{Event, Interest, Source};
use crate::sys;

/// A low-water mark that no socket reaches: kqueue then only reports the end.
const NEVER: isize = isize::MAX >> 1;

/// A set of descriptors to wait for. Any thread may add and change descriptors
/// or wake the one that waits.
pub struct Poller {
    queue: Kqueue,
    /// A byte in the pipe ends the wait: not every kqueue has events of its own.
    wake: OwnedFd,
    woken: OwnedFd,
}

/// Events of one wait.
pub struct Events {
    room: Vec<KEvent>,
    count: usize,
}

impl Events {
    /// Room for `n` events.
    pub fn with_capacity(n: usize) -> Self {
        let none = KEvent::new(
            0,
            EventFilter::EVFILT_READ,
            EvFlags::empty(),
            FilterFlag::empty(),
            0,
            0,
        );
        Events {
            room: vec![none; n],
            count: 0,
        }
    }

    /// What happened.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.room[..self.count].iter().map(|event| {
            let hangup = event.flags().contains(EvFlags::EV_EOF);
            Event {
                source: Source::of(event.udata() as u64),
                hangup,
                writable: hangup || event.filter() == Ok(EventFilter::EVFILT_WRITE),
            }
        })
    }
}

impl Poller {
    /// An empty set.
    pub fn new() -> Result<Arc<Self>, Errno> {
        let (woken, wake) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let poller = Poller {
            queue: Kqueue::new()?,
            wake,
            woken,
        };
        poller.modify(&poller.woken, Source::Wake, Interest::READ)?;
        Ok(Arc::new(poller))
    }

    fn change(&self, changes: &[KEvent]) -> Result<(), Errno> {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        self.queue.kevent(changes, &mut [], Some(now)).map(drop)
    }

    /// Adds a descriptor.
    pub fn add(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<(), Errno> {
        self.modify(fd, source, interest)
    }

    /// Changes what to report. What is true already is reported at once.
    pub fn modify(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<(), Errno> {
        let fd = fd.as_fd().as_raw_fd() as usize;
        let data = source.data() as isize;
        let read = if interest.read { 1 } else { NEVER };
        let added = EvFlags::EV_ADD | EvFlags::EV_CLEAR;
        let filter = EventFilter::EVFILT_READ;
        // Removing a filter and adding it again reports again what was reported before.
        let _ = self.change(&[KEvent::new(
            fd,
            filter,
            EvFlags::EV_DELETE,
            FilterFlag::empty(),
            0,
            data,
        )]);
        let writes = if interest.write {
            added
        } else {
            EvFlags::EV_DELETE
        };
        let write = KEvent::new(
            fd,
            EventFilter::EVFILT_WRITE,
            writes,
            FilterFlag::empty(),
            0,
            data,
        );
        match self.change(&[write]) {
            Err(Errno::ENOENT) if !interest.write => {}
            result => result?,
        }
        self.change(&[KEvent::new(
            fd,
            filter,
            added,
            FilterFlag::NOTE_LOWAT,
            read,
            data,
        )])
    }

    /// The number that a new descriptor would get that isn't to be below `lowest`.
    pub fn probe(&self, lowest: i32) -> Result<i32, Errno> {
        // A kqueue can be duplicated, but the copy can't be used; it is closed at once.
        sys::copy(self, lowest).map(|fd| fd.as_raw_fd())
    }

    /// Ends the wait.
    pub fn wake(&self) {
        // A full pipe ends the wait, too.
        let _ = nix::unistd::write(&self.wake, &[0]);
    }

    /// Waits, for ever or for some time; returns whether something happened.
    pub fn wait(&self, events: &mut Events, limit: Option<Duration>) -> Result<bool, Errno> {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as libc::time_t,
            tv_nsec: limit.subsec_nanos() as libc::c_long,
        });
        events.count = match self.queue.kevent(&[], &mut events.room, limit) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        if events.iter().any(|event| event.source == Source::Wake) {
            while matches!(nix::unistd::read(&self.woken, &mut [0; 64]), Ok(1..)) {}
        }
        Ok(events.count > 0)
    }
}

impl AsFd for Poller {
    /// Readable when a wait would end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
