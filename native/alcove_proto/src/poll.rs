//! When to poll for an answer and when to leave the processor to others.
//!
//! Both sides of a control socket poll for some microseconds, yielding the
//! processor between tries, before they block: a wake-up costs more. Where
//! somebody else computes, a yield costs a time slice, so whoever finds that
//! stops polling for a while, and for longer each time that it finds it again.

use std::time::{Duration, Instant};

/// A yield that takes longer than this went to somebody who computes.
const CROWDED: Duration = Duration::from_micros(100);

/// How long not to poll after the first such yield; a single one may be chance.
const FIRST: Duration = Duration::from_millis(2);

/// The longest time not to poll.
const LONGEST: Duration = Duration::from_secs(2);

/// So many quick yields show that the processor is free again.
const CALM: u32 = 256;

/// Whether polling is worth it.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    until: Option<Instant>,
    pause: Duration,
    calm: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// Nothing is known yet.
    pub const fn new() -> Self {
        Guard {
            until: None,
            pause: FIRST,
            calm: 0,
        }
    }

    /// Whether to poll now.
    pub fn allows(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// A yield took so long until `now`; whether to go on polling.
    pub fn yielded(&mut self, took: Duration, now: Instant) -> bool {
        if took > CROWDED {
            self.until = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST);
            self.calm = 0;
            return false;
        }
        self.calm += 1;
        if self.calm == CALM {
            self.calm = 0;
            self.pause = (self.pause / 2).max(FIRST);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(1);
    const SLOW: Duration = Duration::from_millis(3);

    #[test]
    fn a_slow_yield_stops_polling_for_a_while() {
        let (mut guard, now) = (Guard::new(), Instant::now());
        assert!(guard.allows(now));
        assert!(guard.yielded(QUICK, now));
        assert!(!guard.yielded(SLOW, now));
        assert!(!guard.allows(now));
        assert!(guard.allows(now + FIRST));
    }

    #[test]
    fn pauses_grow_to_a_limit_and_shrink_when_it_is_calm() {
        let (mut guard, now) = (Guard::new(), Instant::now());
        for _ in 0..20 {
            guard.yielded(SLOW, now);
        }
        assert_eq!(guard.until, Some(now + LONGEST));
        for _ in 0..20 * CALM {
            assert!(guard.yielded(QUICK, now));
        }
        guard.yielded(SLOW, now);
        assert_eq!(guard.until, Some(now + FIRST));
    }
}
