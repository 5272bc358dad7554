//! Precedence over the processes that this one ends.
//!
//! Processes that fork without end are many and take the processor, and a session can have a share
//! of its own. So whoever kills them gets the processor first, where it may: the superuser, mostly.

use libc::c_int;
#[cfg(target_os = "linux")]
use nix::errno::Errno;

/// Has the calling process go before others, until this is dropped. Signal-safe.
pub struct Precedence {
    scheduled: Option<Scheduled>,
    nice: c_int,
}

impl Precedence {
    pub fn take() -> Precedence {
        // SAFETY: takes numbers only.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let scheduled = Scheduled::first();
        if scheduled.is_none() {
            set_nice(-20);
        }
        Precedence { scheduled, nice }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        match &self.scheduled {
            Some(before) => before.restore(),
            None => set_nice(self.nice),
        }
    }
}

/// Only the superuser may lower it.
fn set_nice(nice: c_int) {
    // SAFETY: takes numbers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// A policy of scheduling, and the static priority in it.
#[cfg(target_os = "linux")]
struct Scheduled {
    policy: c_int,
    priority: c_int,
}

#[cfg(target_os = "linux")]
impl Scheduled {
    /// The lowest of those that go before all that have none. What is forked gets the usual.
    const FIRST: Scheduled = Scheduled {
        policy: libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
        priority: 1,
    };

    /// Takes it, if the process may. What it had before.
    fn first() -> Option<Scheduled> {
        let before = Scheduled::now().ok();
        before.filter(|_| Scheduled::FIRST.set().is_ok())
    }

    fn now() -> nix::Result<Scheduled> {
        // SAFETY: takes a number: the calling process.
        let policy = Errno::result(unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) })?;
        let mut priority: c_int = 0;
        // SAFETY: the kernel's sched_param is this one number.
        Errno::result(unsafe { libc::syscall(libc::SYS_sched_getparam, 0, &raw mut priority) })?;
        Ok(Scheduled {
            policy: policy as c_int,
            priority,
        })
    }

    /// Whoever may take a priority without being the superuser, by RLIMIT_RTPRIO, can't have what
    /// is forked inherit it again.
    fn restore(&self) {
        let reset = Scheduled {
            policy: self.policy | libc::SCHED_RESET_ON_FORK,
            ..*self
        };
        let _ = self.set().or_else(|_| reset.set());
    }

    /// Not every C library has this call.
    fn set(&self) -> nix::Result<()> {
        let (policy, param) = (self.policy, &raw const self.priority);
        // SAFETY: as above.
        Errno::result(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, param) })
            .map(drop)
    }
}

/// Elsewhere there is only nice.
#[cfg(not(target_os = "linux"))]
enum Scheduled {}

#[cfg(not(target_os = "linux"))]
impl Scheduled {
    fn first() -> Option<Scheduled> {
        None
    }

    fn restore(&self) {
        match *self {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::sys::testing::in_child;

    #[test]
    fn is_given_back() {
        in_child(|| {
            let before = Scheduled::now().expect("a policy");
            let taken = Precedence::take();
            let during = Scheduled::now().expect("a policy");
            if taken.scheduled.is_some() {
                assert_eq!(during.policy, Scheduled::FIRST.policy);
                assert_eq!(during.priority, 1);
            }
            drop(taken);
            let after = Scheduled::now().expect("a policy");
            assert_eq!(
                (after.policy, after.priority),
                (before.policy, before.priority)
            );
        });
    }
}
