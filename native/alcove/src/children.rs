//! The table of a process's children.

use std::time::{Duration, Instant};

/// The pids of the children that this process forked and that have not been
/// reaped, oldest first.
///
/// The signal handler reaps while the event loop is quiescent, so removing a child must
/// not allocate or free memory. Only [`Children::reserve`] allocates, before a process becomes
/// a parent, and [`Children::reserve_statuses`], before it traps SIGCHLD or becomes a tracer.
#[derive(Debug, Default)]
pub struct Children {
    pids: Vec<i32>,
    /// For each of them, the signal that its program gets when this process loses its
    /// connection.
    signals: Vec<u8>,
    /// Which of them are keepers, and how often each was stopped.
    keepers: Vec<(i32, Stops)>,
    /// How the latest children ended, and how traced processes stopped: pids and statuses
    /// that the user has not yet asked waitpid(2) for.
    statuses: Vec<(i32, i32)>,
}

/// How many statuses are kept.
const STATUSES: usize = 1024;

impl Children {
    /// Makes room for one more child.
    pub fn reserve(&mut self) {
        self.pids.reserve(1);
        self.signals.reserve(1);
        self.keepers.reserve(1);
    }

    /// Makes room for statuses.
    pub fn reserve_statuses(&mut self) {
        self.statuses.reserve_exact(STATUSES - self.statuses.len());
    }

    /// Keeps a status for waitpid(2). If there is no room, the oldest one is dropped.
    pub fn keep_status(&mut self, pid: i32, status: i32) {
        if self.statuses.len() == STATUSES {
            self.statuses.remove(0);
        }
        if self.statuses.len() < self.statuses.capacity() {
            self.statuses.push((pid, status));
        }
    }

    /// The oldest status of a process, or of any if `pid` is -1.
    pub fn take_status(&mut self, pid: i32) -> Option<(i32, i32)> {
        let at = self
            .statuses
            .iter()
            .position(|(of, _)| pid == -1 || *of == pid)?;
        Some(self.statuses.remove(at))
    }

    /// Forgets the stops of a process that goes on, but keeps the status of its end.
    #[cfg(any(target_os = "linux", test))]
    pub fn forget_stops(&mut self, pid: i32) {
        self.statuses
            .retain(|(of, status)| *of != pid || !libc::WIFSTOPPED(*status));
    }

    /// Adds a child that was just forked.
    pub fn add(&mut self, pid: i32, signal: u8) {
        self.pids.push(pid);
        self.signals.push(signal);
    }

    /// Marks a child as a keeper.
    pub fn mark_keeper(&mut self, pid: i32) {
        self.keepers.push((pid, Stops::default()));
    }

    /// Whether a child is a keeper.
    pub fn is_keeper(&self, pid: i32) -> bool {
        self.keepers.iter().any(|(keeper, _)| *keeper == pid)
    }

    /// The stops of a child that is a keeper.
    pub fn stops(&mut self, pid: i32) -> Option<&mut Stops> {
        let mut keepers = self.keepers.iter_mut();
        keepers
            .find(|(keeper, _)| *keeper == pid)
            .map(|(_, stops)| stops)
    }

    /// The signal for a child's program; `None` when there is no such child.
    pub fn signal(&mut self, pid: i32) -> Option<&mut u8> {
        let at = self.pids.iter().position(|child| *child == pid)?;
        self.signals.get_mut(at)
    }

    /// Forgets a child; `false` when there was none of that pid.
    pub fn remove(&mut self, pid: i32) -> bool {
        match self.pids.iter().position(|child| *child == pid) {
            Some(at) => {
                self.pids.remove(at);
                self.signals.remove(at);
                self.keepers.retain(|(keeper, _)| *keeper != pid);
                true
            }
            None => false,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pids.len()
    }

    /// How many of them the user forked: those that are no keepers.
    pub fn forked(&self) -> usize {
        self.pids.len() - self.keepers.len()
    }

    /// The pids, oldest first.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }
}

/// How often a keeper or root was stopped, which must go on. Its parent continues it. If another
/// process stops it again and again, it has no time to do its work, and its parent kills it.
#[derive(Debug, Default)]
pub struct Stops {
    in_a_row: u16,
    last: Option<Instant>,
}

impl Stops {
    const MANY: u16 = 100;
    const SOON: Duration = Duration::from_millis(100);

    /// The signal for a child that was stopped: SIGCONT, or SIGKILL if it is stopped again and
    /// again.
    pub fn signal(&mut self) -> i32 {
        let now = Instant::now();
        let again = self.last.is_some_and(|last| now - last < Self::SOON);
        self.in_a_row = if again {
            self.in_a_row.saturating_add(1)
        } else {
            1
        };
        self.last = Some(now);
        if self.in_a_row < Self::MANY {
            libc::SIGCONT
        } else {
            libc::SIGKILL
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_stopped_without_end_is_killed() {
        let mut stops = Stops::default();
        for _ in 1..Stops::MANY {
            assert_eq!(stops.signal(), libc::SIGCONT);
        }
        assert_eq!(stops.signal(), libc::SIGKILL);
        std::thread::sleep(Stops::SOON);
        assert_eq!(stops.signal(), libc::SIGCONT);
    }

    #[test]
    fn children_keep_their_order() {
        let mut children = Children::default();
        for pid in [10, 20, 30] {
            children.reserve();
            children.add(pid, 15);
        }
        assert!(children.remove(20));
        assert!(!children.remove(20));
        assert_eq!(children.pids(), [10, 30]);
        assert_eq!(children.len(), 2);
        children.mark_keeper(10);
        assert_eq!((children.len(), children.forked()), (2, 1));
        assert!(children.remove(10));
        assert_eq!((children.len(), children.forked()), (1, 1));
    }

    #[test]
    fn statuses_are_kept_until_they_are_asked_for() {
        let mut children = Children::default();
        children.keep_status(1, 0);
        assert_eq!(children.take_status(-1), None);
        children.reserve_statuses();
        for pid in 0..=STATUSES as i32 {
            children.keep_status(pid, 7);
        }
        assert_eq!(children.take_status(0), None);
        assert_eq!(children.take_status(2), Some((2, 7)));
        assert_eq!(children.take_status(-1), Some((1, 7)));
        assert_eq!(children.take_status(-1), Some((3, 7)));
    }

    #[test]
    fn a_stop_is_forgotten_when_the_process_goes_on() {
        let stop = libc::SIGSTOP << 8 | 0x7f;
        let mut children = Children::default();
        children.reserve_statuses();
        for (pid, status) in [(1, stop), (2, stop), (1, 7 << 8)] {
            children.keep_status(pid, status);
        }
        children.forget_stops(1);
        assert_eq!(children.take_status(1), Some((1, 7 << 8)));
        assert_eq!(children.take_status(1), None);
        assert_eq!(children.take_status(2), Some((2, stop)));
    }
}
