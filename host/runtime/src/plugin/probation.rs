//! The first calls of a new version are watched.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So many misbehaviours within the probation are too many.
const FAILURES: u32 = 3;

#[derive(Default)]
pub(crate) struct Probation {
    active: AtomicBool,
    calls: AtomicU32,
    failures: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Undecided,
    Passed,
    Failed { failures: u32, calls: u32 },
}

impl Probation {
    /// Its next calls are watched.
    pub(crate) fn begin(&self) {
        self.calls.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.active.store(true, Ordering::Release);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Counts a call; the verdict is given once.
    pub(crate) fn record(&self, misbehaved: bool, of: u32) -> Verdict {
        if !self.is_active() {
            return Verdict::Undecided;
        }
        let calls = self.calls.fetch_add(1, Ordering::AcqRel) + 1;
        let failures = self.failures.fetch_add(u32::from(misbehaved), Ordering::AcqRel) + u32::from(misbehaved);
        let verdict = if failures >= FAILURES.min(of) {
            Verdict::Failed { failures, calls }
        } else if calls >= of {
            Verdict::Passed
        } else {
            return Verdict::Undecided;
        };
        if self.active.swap(false, Ordering::AcqRel) { verdict } else { Verdict::Undecided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_watched_unasked() {
        assert_eq!(Probation::default().record(true, 1), Verdict::Undecided);
    }

    #[test]
    fn three_misbehaviours_fail_it_once() {
        let probation = Probation::default();
        probation.begin();
        let verdicts: Vec<Verdict> = [true, false, true, true, true].map(|bad| probation.record(bad, 20)).to_vec();
        assert_eq!(verdicts[3], Verdict::Failed { failures: 3, calls: 4 });
        assert_eq!(verdicts[4], Verdict::Undecided);
    }

    #[test]
    fn enough_calls_pass_it() {
        let probation = Probation::default();
        probation.begin();
        let verdicts: Vec<Verdict> = (0..20).map(|call| probation.record(call < 2, 20)).collect();
        assert_eq!(verdicts[18], Verdict::Undecided);
        assert_eq!(verdicts[19], Verdict::Passed);
        assert!(!probation.is_active());
    }
}
