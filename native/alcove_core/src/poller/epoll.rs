//! The poller by epoll(7).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{Event, Interest, Source};
use crate::sync::kernel;
use crate::sys;

impl Interest {
    fn event(self, source: Source) -> EpollEvent {
        let mut flags = EpollFlags::EPOLLET | EpollFlags::EPOLLRDHUP;
        flags.set(EpollFlags::EPOLLIN, self.read);
        flags.set(EpollFlags::EPOLLOUT, self.write);
        EpollEvent::new(flags, source.data())
    }
}

/// A set of descriptors to wait for. Any thread may add and change descriptors
/// or wake the one that waits.
pub struct Poller {
    epoll: Epoll,
    wake: EventFd,
}

/// Events of one wait.
pub struct Events {
    room: Vec<EpollEvent>,
    count: usize,
}

impl Events {
    /// Room for `n` events.
    pub fn with_capacity(n: usize) -> Self {
        Events {
            room: vec![EpollEvent::empty(); n],
            count: 0,
        }
    }

    /// What happened.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.room[..self.count].iter().map(|event| Event {
            source: Source::of(event.data()),
            hangup: event
                .events()
                .intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
            writable: event
                .events()
                .intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
        })
    }
}

impl Poller {
    /// An empty set.
    pub fn new() -> Result<Arc<Self>, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, Source::WAKE))?;
        Ok(Arc::new(Poller { epoll, wake }))
    }

    /// Adds a descriptor.
    pub fn add(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<(), Errno> {
        self.epoll.add(fd, interest.event(source))
    }

    /// Changes what to report. What is true already is reported at once.
    pub fn modify(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<(), Errno> {
        kernel();
        self.epoll.modify(fd, &mut interest.event(source))
    }

    /// The number that a new descriptor would get that isn't to be below `lowest`.
    pub fn probe(&self, lowest: i32) -> Result<i32, Errno> {
        sys::copy(&self.wake, lowest).map(|fd| fd.as_raw_fd())
    }

    /// Ends the wait.
    pub fn wake(&self) {
        // EAGAIN means that the counter is full: the wait ends anyway.
        let _ = self.wake.write(1);
    }

    /// Waits, for ever or for some time; returns whether something happened.
    pub fn wait(&self, events: &mut Events, limit: Option<Duration>) -> Result<bool, Errno> {
        kernel();
        let timeout = match limit {
            None => EpollTimeout::NONE,
            Some(limit) => EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX),
        };
        events.count = match self.epoll.wait(&mut events.room, timeout) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        if events.iter().any(|event| event.source == Source::Wake) {
            // EAGAIN means that another read was there first: nothing is missed.
            let _ = self.wake.read();
        }
        Ok(events.count > 0)
    }
}

impl AsFd for Poller {
    /// Readable when a wait would end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
