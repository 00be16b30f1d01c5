//! What is known of an instance's calls: where the next one begins.
//!
//! - On the caller's thread, if its last calls were all quick.
//! - Else in the fast lane.
//! - But in the slow lane, if its last call computed for long, or if its calls that are not quick have taken more than their share:
//!   many of a millisecond, one after the other, keep the fast lane from the others as a long one does.
//!
//! Who misbehaves is not quick, however short that was: what ends a call costs the kernel and the host more than the guest.

use super::FAST_CPU;
use super::slice::Spent;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A call that took no longer is quick.
const QUICK: Duration = Duration::from_micros(200);

/// So many quick calls in a row make an instance quick, and a misbehaviour forgotten.
const STREAK: u32 = 16;

/// The calls of an instance that are not quick share one part in so many of the time that passes.
const SHARE: u32 = 32;

/// Above this they have taken too much: what a single call may take.
const TOO_MUCH: Duration = FAST_CPU;

/// Below this they are within their share again. Away from the bound above, so that an instance does not change lanes with each call.
const LITTLE: Duration = Duration::from_millis(1);

/// More is not held against an instance: after a pause of 160 ms what was before is forgotten.
const FULL: Duration = Duration::from_millis(6);

#[derive(Default)]
pub(crate) struct Pace {
    /// Quick calls in a row, up to [`STREAK`].
    streak: AtomicU32,
    /// The last call computed for long.
    slow: AtomicBool,
    /// It misbehaved, and was not quick for long enough since.
    misbehaved: AtomicBool,
    /// The calls that are not quick had taken too much when that was last looked at.
    crowding: AtomicBool,
    taken: Mutex<Bucket>,
}

impl Pace {
    /// The next call may begin on the caller's thread.
    pub(super) fn is_quick(&self) -> bool {
        self.streak.load(Ordering::Relaxed) >= STREAK && !self.crowding.load(Ordering::Relaxed)
    }

    /// The next call begins in the slow lane.
    pub(super) fn is_slow(&self, now: Instant) -> bool {
        let is_crowding = self.crowding.load(Ordering::Relaxed) && self.take(Duration::ZERO, now);
        is_crowding || self.slow.load(Ordering::Relaxed)
    }

    pub(super) fn slow_down(&self) {
        self.slow.store(true, Ordering::Relaxed);
        self.streak.store(0, Ordering::Relaxed);
    }

    /// A call was over where it was asked for. How much of that time it computed is not known.
    pub(super) fn learn_at_once(&self, took: Duration) {
        self.count(took <= QUICK);
    }

    /// A call is over that took so much of the lanes.
    pub(super) fn learn(&self, spent: Spent, now: Instant) {
        if spent.ran > QUICK || self.misbehaved.load(Ordering::Relaxed) {
            self.take(spent.ran, now);
        }
        self.count(spent.ran <= QUICK);
        // A loop that had no processor did not run for long, and would have.
        if spent.busy < FAST_CPU && self.slow.load(Ordering::Relaxed) {
            self.slow.store(false, Ordering::Relaxed);
        }
    }

    /// The call that was over just now ended as none should.
    pub(crate) fn misbehaved(&self) {
        self.misbehaved.store(true, Ordering::Relaxed);
        self.count(false);
    }

    fn count(&self, is_quick: bool) {
        let streak = self.streak.load(Ordering::Relaxed);
        if !is_quick {
            self.streak.store(0, Ordering::Relaxed);
        } else if streak < STREAK {
            self.streak.store(streak + 1, Ordering::Relaxed);
            if streak + 1 == STREAK {
                self.misbehaved.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Whether they have taken too much, with this.
    fn take(&self, ran: Duration, now: Instant) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let level = taken.fill(ran, now);
        let is_crowding = level > TOO_MUCH || (level >= LITTLE && self.crowding.load(Ordering::Relaxed));
        self.crowding.store(is_crowding, Ordering::Relaxed);
        is_crowding
    }
}

/// A bucket with a leak: calls put in the time that they ran, and a part of the time that passes runs out.
#[derive(Default)]
struct Bucket {
    level: Duration,
    /// When that was its level. `None`: nothing was put in yet.
    at: Option<Instant>,
}

impl Bucket {
    /// What is in it then.
    fn fill(&mut self, ran: Duration, now: Instant) -> Duration {
        // Two calls that end at once may come in either order.
        let at = self.at.map_or(now, |at| at.max(now));
        let passed = at - self.at.unwrap_or(at);
        self.level = (self.level.saturating_sub(passed / SHARE) + ran).min(FULL);
        self.at = Some(at);
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pace, and a clock that moves when it is told to.
    struct Bench {
        pace: Pace,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Bench { pace: Pace::default(), now: Instant::now() }
        }

        fn pause(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }

        /// A call that runs for so long and then is over.
        fn call(&mut self, micros: u64) {
            let ran = Duration::from_micros(micros);
            self.now += ran;
            self.pace.learn(Spent { busy: ran, ran }, self.now);
        }

        fn is_slow(&self) -> bool {
            self.pace.is_slow(self.now)
        }

        /// Calls of so long, one after the other, until they are sent away.
        fn calls_until_slow(&mut self, micros: u64) -> usize {
            let mut calls = 0;
            while !self.is_slow() {
                assert!(calls < 1_000, "never");
                self.call(micros);
                calls += 1;
            }
            calls
        }
    }

    #[test]
    fn trust_is_earned_slowly_and_lost_at_once() {
        let mut bench = Bench::new();
        for _ in 0..STREAK {
            assert!(!bench.pace.is_quick());
            bench.call(20);
        }
        assert!(bench.pace.is_quick());
        bench.call(1_000);
        assert!(!bench.pace.is_quick());
    }

    #[test]
    fn one_short_call_leads_out_of_the_slow_lane_once_the_long_one_is_forgotten() {
        let mut bench = Bench::new();
        bench.pace.slow_down();
        bench.call(1_000_000);
        bench.pause(10_000);
        assert!(bench.is_slow(), "however long ago it was");
        bench.call(20);
        assert!(!bench.is_slow());
    }

    #[test]
    fn a_loop_that_got_no_processor_stays_in_the_slow_lane() {
        let bench = Bench::new();
        bench.pace.slow_down();
        bench.pace.learn(Spent { busy: Duration::from_millis(100), ran: Duration::from_millis(1) }, bench.now);
        assert!(bench.is_slow());
    }

    #[test]
    fn calls_that_are_not_quick_share_three_milliseconds_and_a_32nd_of_the_time() {
        for micros in [201, 500, 1_000, 2_500] {
            let mut bench = Bench::new();
            let ran = u64::try_from(bench.calls_until_slow(micros)).unwrap() * micros;
            // What runs out while they run is their share, too.
            assert!((3_000..=3_100 + micros).contains(&ran), "{ran} us in calls of {micros} us");
        }
    }

    #[test]
    fn who_goes_on_stays_in_the_slow_lane_and_who_pauses_comes_back() {
        let mut bench = Bench::new();
        bench.calls_until_slow(700);
        for _ in 0..10_000 {
            bench.call(700);
            assert!(bench.is_slow());
        }
        bench.pause(150);
        assert!(bench.is_slow(), "six are not down to one");
        bench.pause(15);
        assert!(!bench.is_slow(), "however many there were");
        assert_eq!(bench.calls_until_slow(700), 4, "less than one was left, and more than three are too much");
    }

    #[test]
    fn calls_within_their_share_stay_in_the_fast_lane_for_ever() {
        let mut bench = Bench::new();
        for _ in 0..10_000 {
            bench.call(700);
            bench.pause(22);
            assert!(!bench.is_slow());
        }
        for _ in 0..10_000 {
            bench.call(2_500);
            bench.pause(80);
            assert!(!bench.is_slow());
        }
    }

    #[test]
    fn who_misbehaves_is_not_quick_until_sixteen_quick_calls_did_not() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.call(50);
            bench.pace.misbehaved();
        }
        assert!(bench.is_slow(), "five milliseconds of it");
        assert!(!bench.pace.is_quick());
        bench.pause(160);
        (0..STREAK - 1).for_each(|_| bench.call(50));
        assert!(!bench.is_slow() && !bench.pace.is_quick());
        bench.call(50);
        assert!(bench.pace.is_quick());
        for _ in 0..100 {
            bench.call(50);
        }
        assert!(!bench.is_slow(), "it is as any other again");
    }

    #[test]
    fn what_took_long_on_the_callers_thread_costs_the_trust_and_no_more() {
        let bench = Bench::new();
        (0..STREAK).for_each(|_| bench.pace.learn_at_once(Duration::from_micros(10)));
        assert!(bench.pace.is_quick());
        bench.pace.learn_at_once(Duration::from_secs(1));
        assert!(!bench.pace.is_quick(), "it may have computed");
        assert!(!bench.is_slow(), "or waited for a processor");
    }

    #[test]
    fn quick_calls_take_nothing_of_it() {
        let mut bench = Bench::new();
        for _ in 0..100_000 {
            bench.call(200);
        }
        assert!(!bench.is_slow() && bench.pace.is_quick());
    }

    #[test]
    fn quick_calls_between_others_earn_no_trust_while_the_others_have_taken_too_much() {
        let mut bench = Bench::new();
        bench.calls_until_slow(900);
        (0..2 * STREAK).for_each(|_| bench.call(10));
        assert!(bench.is_slow() && !bench.pace.is_quick());
        bench.pause(160);
        assert!(!bench.is_slow() && bench.pace.is_quick());
    }

    #[test]
    fn calls_that_end_in_another_order_than_they_are_told_of_let_nothing_run_out_twice() {
        let mut bucket = Bucket::default();
        let now = Instant::now();
        let millis = Duration::from_millis;
        bucket.fill(millis(2), now + millis(32));
        assert_eq!(bucket.fill(millis(2), now), millis(4));
        assert_eq!(bucket.fill(Duration::ZERO, now + millis(64)), millis(3));
        assert_eq!(bucket.fill(millis(100), now + millis(64)), FULL);
    }
}
