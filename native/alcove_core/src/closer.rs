//! Closes descriptors that came from Unix processes.
//!
//! The process that made a file decides how long close(2) takes: a socket may linger, and a file
//! system that a process serves may never answer. So a thread that nothing waits for closes the
//! descriptors. Each tree has its own, which only exists while there is something to close.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::SigSet;
use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::Mutex;

/// With so many to close, no more messages with descriptors are received.
const FULL: usize = 256;

/// The descriptors that are to be closed.
#[derive(Default)]
pub struct Closer {
    state: Mutex<State>,
    /// How many there are: those that wait, and the one that the thread is closing.
    backlog: AtomicUsize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<OwnedFd>,
    runs: bool,
}

impl Closer {
    /// With nothing to close.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether it has as much to do as it may have.
    pub fn is_full(&self) -> bool {
        self.backlog.load(Ordering::Relaxed) >= FULL
    }

    /// Closes descriptors later, in the thread.
    pub fn close(self: &Arc<Self>, fds: impl IntoIterator<Item = OwnedFd>) {
        let mut state = self.state.lock();
        let before = state.waiting.len();
        state.waiting.extend(fds);
        let more = state.waiting.len() - before;
        self.backlog.fetch_add(more, Ordering::Relaxed);
        if state.waiting.is_empty() || state.runs {
            return;
        }
        let closer = Arc::clone(self);
        let thread = std::thread::Builder::new().name("alcove_closer".into());
        // If no thread can be started, they stay open until there are more to close.
        state.runs = thread.spawn(move || closer.run()).is_ok();
    }

    fn run(&self) {
        // Signals of the VM are for its own threads, so this one blocks them.
        let _ = SigSet::all().thread_block();
        loop {
            let fd = {
                let mut state = self.state.lock();
                let Some(fd) = state.waiting.pop_front() else {
                    state.runs = false;
                    return;
                };
                fd
            };
            close_now(fd);
            self.backlog.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Closes a descriptor. Turns off lingering first, if it is a socket.
fn close_now(fd: OwnedFd) {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // What isn't a socket has no such option.
    let _ = setsockopt(&fd, sockopt::Linger, &at_once);
    drop(fd);
}

/// A socket whose other end a Unix process has. Descriptors that the process has sent and that were
/// not received are closed with the socket. So the closer closes it, not the thread in which it
/// goes out of scope.
pub struct Foreign {
    fd: ManuallyDrop<OwnedFd>,
    empty: bool,
    closer: Arc<Closer>,
}

impl Foreign {
    /// A socket, and the closer that closes it.
    pub fn new(fd: OwnedFd, closer: &Arc<Closer>) -> Self {
        Foreign {
            fd: ManuallyDrop::new(fd),
            empty: false,
            closer: Arc::clone(closer),
        }
    }

    /// Everything that was sent has been received, and nothing more will come, so closing the
    /// socket takes no time.
    pub fn set_empty(&mut self) {
        self.empty = true;
    }
}

impl AsFd for Foreign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: it is taken once, here, and not used after.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        if self.empty {
            drop(fd);
        } else {
            self.closer.close([fd]);
        }
    }
}
