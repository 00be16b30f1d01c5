//! What is known of an instance's calls: where the next one begins.

use super::FAST_CPU;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// A call that took no longer is quick.
const QUICK: Duration = Duration::from_micros(200);

/// So many quick calls in a row make an instance quick.
const STREAK: u32 = 16;

#[derive(Default)]
pub(crate) struct Pace {
    /// Quick calls in a row, up to [`STREAK`].
    streak: AtomicU32,
    /// The last call computed for long.
    slow: AtomicBool,
}

impl Pace {
    /// The next call may begin on the caller's thread.
    pub(super) fn is_quick(&self) -> bool {
        self.streak.load(Ordering::Relaxed) >= STREAK
    }

    /// The next call begins in the slow lane.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(super) fn slow_down(&self) {
        self.slow.store(true, Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
    }

    pub(super) fn learn(&self, busy: Duration) {
        let streak = self.streak.load(Ordering::Relaxed);
        if busy > QUICK {
            self.streak.store(0, Ordering::Relaxed);
        } else if streak < STREAK {
            self.streak.store(streak + 1, Ordering::Relaxed);
        }
        if busy < FAST_CPU && self.is_slow() {
            self.slow.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_earned_slowly_and_lost_at_once() {
        let pace = Pace::default();
        for _ in 0..STREAK {
            assert!(!pace.is_quick());
            pace.learn(Duration::from_micros(20));
        }
        assert!(pace.is_quick());
        pace.learn(Duration::from_millis(1));
        assert!(!pace.is_quick());
    }

    #[test]
    fn one_short_call_leads_out_of_the_slow_lane() {
        let pace = Pace::default();
        pace.slow_down();
        pace.learn(Duration::from_secs(1));
        assert!(pace.is_slow());
        pace.learn(Duration::from_micros(20));
        assert!(!pace.is_slow());
    }
}
