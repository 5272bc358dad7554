//! The table of a process's children.

/// The pids of the children that this process forked and that have not been
/// reaped, oldest first.
///
/// The signal handler reaps while the event loop is quiescent, so removing must
/// not allocate or free; only [`Children::reserve`] allocates, before a process becomes
/// a parent, and [`Children::reserve_statuses`], before it traps SIGCHLD or becomes a tracer.
#[derive(Debug, Default)]
pub struct Children {
    pids: Vec<i32>,
    /// For each of them, the signal that its program gets when this process loses its
    /// connection.
    signals: Vec<u8>,
    /// How the latest children ended, and how traced processes stopped: pids and statuses
    /// that waitpid(2) has not been asked for.
    statuses: Vec<(i32, i32)>,
}

/// How many statuses are kept.
const STATUSES: usize = 1024;

impl Children {
    /// Makes room for one more child.
    pub fn reserve(&mut self) {
        self.pids.reserve(1);
        self.signals.reserve(1);
    }

    /// Makes room for statuses.
    pub fn reserve_statuses(&mut self) {
        self.statuses.reserve_exact(STATUSES - self.statuses.len());
    }

    /// Keeps a status for waitpid(2). The oldest goes when there is no room.
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

    /// Adds a child that was just forked.
    pub fn add(&mut self, pid: i32, signal: u8) {
        self.pids.push(pid);
        self.signals.push(signal);
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
                true
            }
            None => false,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pids.len()
    }

    /// The pids, oldest first.
    pub fn pids(&self) -> &[i32] {
        &self.pids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
