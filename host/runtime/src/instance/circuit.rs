//! Quarantine: an instance that misbehaves again and again is left alone, and tried again from time to time.
//!
//! Closed -> (so many misbehaviours in a row) -> open -> (back-off is over) -> one trial -> closed, or open for twice as long.

use quarterdeck_model::{Span, Timestamp};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

const FIRST: Span = Span::from_secs(5);
const CAP: Span = Span::from_secs(300);

pub(crate) struct Circuit {
    after: u32,
    /// False: closed, without a failure. Spares good calls the lock.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp, trips: u32, reason: String },
    Trial { trips: u32, reason: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Ordinary,
    /// The one call that finds out whether the instance works again.
    Trial,
}

/// A change that others are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Quarantined { reason: String },
    Recovered,
}

impl Circuit {
    pub(crate) fn new(after: u32) -> Self {
        Circuit {
            after: after.max(1),
            troubled: AtomicBool::new(false),
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    /// # Errors
    /// Why there is no call now, for a person.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Admission, String> {
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(Admission::Ordinary);
        }
        let mut state = self.lock();
        match &*state {
            State::Closed { .. } => Ok(Admission::Ordinary),
            State::Open { until, reason, .. } if now < *until => Err(format!("quarantined until {until}: {reason}")),
            State::Open { trips, reason, .. } => {
                *state = State::Trial { trips: *trips, reason: reason.clone() };
                Ok(Admission::Trial)
            }
            State::Trial { reason, .. } => Err(format!("quarantined, a trial is under way: {reason}")),
        }
    }

    /// `misbehaviour`: what the call did wrong; `None`: it ended in order (with a result, or a failure in the plugin's words).
    /// Only the trial's own call decides a trial.
    pub(crate) fn record(&self, admission: Admission, misbehaviour: Option<String>, now: Timestamp) -> Option<Change> {
        if misbehaviour.is_none() && !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let (next, change) = match (&*state, misbehaviour) {
            // Calls that were in flight when it opened.
            (State::Open { .. }, _) => return None,
            (State::Trial { .. }, _) if admission == Admission::Ordinary => return None,
            (State::Trial { .. }, None) => (State::Closed { failures: 0 }, Some(Change::Recovered)),
            (State::Closed { .. }, None) => (State::Closed { failures: 0 }, None),
            (State::Closed { failures }, Some(reason)) if failures + 1 < self.after => {
                drop(reason);
                (State::Closed { failures: failures + 1 }, None)
            }
            (State::Closed { failures }, Some(reason)) => {
                let reason = format!("misbehaved {} times in a row, last: {reason}", failures + 1);
                let next = State::Open { until: now.plus(FIRST), trips: 1, reason: reason.clone() };
                (next, Some(Change::Quarantined { reason }))
            }
            (State::Trial { trips, .. }, Some(reason)) => {
                let reason = format!("the trial failed too: {reason}");
                (State::Open { until: now.plus(back_off(trips + 1)), trips: trips + 1, reason }, None)
            }
        };
        self.troubled.store(!matches!(next, State::Closed { failures: 0 }), Ordering::Release);
        *state = next;
        change
    }

    /// The trial found nothing out (it was cancelled): the next call is one.
    pub(crate) fn abandon_trial(&self, now: Timestamp) {
        let mut state = self.lock();
        if let State::Trial { trips, reason } = &*state {
            *state = State::Open { until: now, trips: *trips, reason: reason.clone() };
        }
    }

    /// A new version or configuration: a fresh start.
    pub(crate) fn reset(&self) {
        *self.lock() = State::Closed { failures: 0 };
        self.troubled.store(false, Ordering::Release);
    }

    /// Whether anything went wrong since the last good call.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    /// How often it has opened since it was closed last.
    pub(crate) fn trips(&self) -> u32 {
        match &*self.lock() {
            State::Closed { .. } => 0,
            State::Open { trips, .. } | State::Trial { trips, .. } => *trips,
        }
    }

    /// Why nothing would be admitted now, if so.
    pub(crate) fn quarantine_at(&self, now: Timestamp) -> Option<String> {
        match &*self.lock() {
            State::Open { until, .. } if *until <= now => None,
            State::Closed { .. } => None,
            State::Open { reason, .. } | State::Trial { reason, .. } => Some(reason.clone()),
        }
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.is_troubled() && !matches!(&*self.lock(), State::Closed { .. })
    }

    /// Why it is quarantined, if it is.
    pub(crate) fn quarantine(&self) -> Option<String> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        match &*self.lock() {
            State::Closed { .. } => None,
            State::Open { until, reason, .. } => Some(format!("{reason}; tried again after {until}")),
            State::Trial { reason, .. } => Some(format!("{reason}; a trial is under way")),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait after the given number of trips: 5 s, doubled each time, at most 5 minutes.
fn back_off(trips: u32) -> Span {
    let factor = 1u64.checked_shl(trips.saturating_sub(1)).unwrap_or(u64::MAX);
    Span::from_millis(FIRST.as_millis().saturating_mul(factor)).min(CAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::MIN.plus(Span::from_secs(seconds))
    }

    fn tripped() -> Circuit {
        let circuit = Circuit::new(2);
        assert_eq!(circuit.record(Admission::Ordinary, Some("trap".to_owned()), at(0)), None);
        assert!(matches!(
            circuit.record(Admission::Ordinary, Some("trap".to_owned()), at(0)),
            Some(Change::Quarantined { .. })
        ));
        circuit
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_good_call_between_them_does_not() {
        let circuit = Circuit::new(2);
        for _ in 0..10 {
            assert_eq!(circuit.record(Admission::Ordinary, Some("trap".to_owned()), at(0)), None);
            assert_eq!(circuit.record(Admission::Ordinary, None, at(0)), None);
        }
        assert_eq!(circuit.admit(at(0)), Ok(Admission::Ordinary));
        assert!(!circuit.is_quarantined());
        tripped().admit(at(4)).unwrap_err();
        assert!(tripped().is_quarantined() && tripped().quarantine().is_some());
    }

    #[test]
    fn one_trial_at_a_time_closes_it_again() {
        let circuit = tripped();
        assert_eq!(circuit.admit(at(5)), Ok(Admission::Trial));
        circuit.admit(at(5)).unwrap_err();
        assert_eq!(circuit.record(Admission::Trial, None, at(5)), Some(Change::Recovered));
        assert_eq!(circuit.admit(at(5)), Ok(Admission::Ordinary));
        assert_eq!(circuit.quarantine(), None);
    }

    #[test]
    fn every_failed_trial_doubles_the_wait_up_to_five_minutes() {
        let circuit = tripped();
        let mut now = at(5);
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(circuit.admit(now), Ok(Admission::Trial));
            circuit.record(Admission::Trial, Some("trap".to_owned()), now);
            circuit.admit(now.plus(Span::from_secs(wait - 1))).unwrap_err();
            now = now.plus(Span::from_secs(wait));
        }
    }

    #[test]
    fn a_cancelled_trial_leaves_the_next_call_as_the_trial() {
        let circuit = tripped();
        assert_eq!(circuit.admit(at(5)), Ok(Admission::Trial));
        circuit.abandon_trial(at(6));
        assert_eq!(circuit.admit(at(6)), Ok(Admission::Trial));
    }

    #[test]
    fn a_call_from_before_the_quarantine_decides_no_trial() {
        for stale in [None, Some("trap".to_owned())] {
            let circuit = tripped();
            assert_eq!(circuit.admit(at(5)), Ok(Admission::Trial));
            assert_eq!(circuit.record(Admission::Ordinary, stale, at(5)), None);
            circuit.admit(at(5)).unwrap_err();
            assert_eq!(circuit.record(Admission::Trial, None, at(6)), Some(Change::Recovered));
        }
    }
}
