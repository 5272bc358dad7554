//! When to poll for an answer and when to leave the processor to others.
//!
//! Both sides of a control socket poll for some microseconds, yielding the
//! processor between tries, before they block, since a wake-up costs more. If
//! another process needs the processor, a yield costs a time slice. A side that
//! notices that stops polling for a while, and for longer each time.

use std::time::{Duration, Instant};

/// If a yield takes longer than this, another process needed the processor.
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

    /// A yield took this long, until `now`. Returns whether to go on polling.
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

/// How long to look for the next event.
const LOOK: Duration = Duration::from_micros(100);

/// How often polling may be in vain before it is left out.
const TOLERANCE: u32 = 4;

/// Polling is tried again after it was left out at most two to the power of this times.
const RELUCTANCE: u32 = 6;

/// Whether polling has been worth it lately. Each time that it is in vain again, it is
/// left out more often.
#[derive(Debug)]
pub struct Patience {
    tolerance: u32,
    misses: u32,
    skip: u32,
}

impl Patience {
    /// Polling may be in vain so often in a row before it is left out.
    pub const fn new(tolerance: u32) -> Self {
        Patience {
            tolerance,
            misses: 0,
            skip: 0,
        }
    }

    /// Whether to poll now. Each time that it answers no, the next poll comes nearer.
    pub fn allows(&mut self) -> bool {
        let due = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        due
    }

    /// Remembers whether something was found.
    pub fn polled(&mut self, found: bool) {
        if found {
            self.misses = 0;
        } else {
            self.misses = (self.misses + 1).min(self.tolerance + RELUCTANCE);
            self.skip = (1 << self.misses.saturating_sub(self.tolerance)) - 1;
        }
    }
}

/// Polls for events before the thread that waits for them sleeps.
///
/// Events come in bursts: a process closes its channels, and then its parent
/// reports how it ended. A wake-up for each event costs more than polling for the next
/// one for a moment. If polling finds nothing again and again, it isn't worth it.
#[derive(Debug)]
pub struct Eager {
    guard: Guard,
    patience: Patience,
}

impl Default for Eager {
    fn default() -> Self {
        Eager {
            guard: Guard::new(),
            patience: Patience::new(TOLERANCE),
        }
    }
}

impl Eager {
    /// Calls `look` until it finds something, if that is worth it and for a short time.
    /// False when there is nothing yet, so that the thread should sleep.
    pub fn poll<E>(&mut self, mut look: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        let start = Instant::now();
        if !self.patience.allows() || !self.guard.allows(start) {
            return Ok(false);
        }
        let mut last = start;
        loop {
            if look()? {
                self.patience.polled(true);
                return Ok(true);
            }
            std::thread::yield_now();
            let now = Instant::now();
            if !self.guard.yielded(now - last, now) || now - start > LOOK {
                self.patience.polled(false);
                return Ok(false);
            }
            last = now;
        }
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

    #[test]
    fn what_is_there_is_found_at_once() {
        let (mut eager, mut looks) = (Eager::default(), 0);
        let found = eager.poll(|| {
            looks += 1;
            Ok::<_, ()>(true)
        });
        assert_eq!((found, looks), (Ok(true), 1));
        assert_eq!(eager.poll(|| Err(5)), Err(5));
    }

    #[test]
    fn looking_ends_after_a_short_time() {
        assert_eq!(Eager::default().poll(|| Ok::<_, ()>(false)), Ok(false));
    }

    #[test]
    fn looking_in_vain_becomes_rare_and_success_makes_up_for_it() {
        let mut eager = Eager::default();
        let skipped = |eager: &mut Eager| {
            eager.patience.polled(false);
            (0..).take_while(|_| !eager.patience.allows()).count()
        };
        let seen: Vec<usize> = (0..12).map(|_| skipped(&mut eager)).collect();
        assert_eq!(seen, [0, 0, 0, 0, 1, 3, 7, 15, 31, 63, 63, 63]);
        assert_eq!(eager.poll(|| Ok::<_, ()>(true)), Ok(true));
        assert_eq!(skipped(&mut eager), 0);
    }
}
