//! Why something can't be used, and when it is worth another try.

use quarterdeck_model::plugin::CallError;
use std::time::{Duration, Instant};

/// The wait before the first other try; doubled from one to the next.
const FIRST: Duration = Duration::from_secs(1);
/// A component that needs all of a compiler's time costs a small part of one core at this pace.
const CAP: Duration = Duration::from_secs(15 * 60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For a person.
    pub(crate) reason: String,
    /// It tells of this moment, not of the content: no permission, no process for the compiler, no time on a loaded machine.
    pub(crate) passing: bool,
}

impl Refusal {
    pub(crate) fn passing(reason: String) -> Self {
        Refusal { reason, passing: true }
    }

    /// Of a call on the ground: one that ran out of time may only have had too little of a processor.
    pub(crate) fn of_call(what: &str, error: &CallError) -> Self {
        let passing =
            matches!(error, CallError::Deadline { .. } | CallError::Unavailable { .. } | CallError::Cancelled);
        Refusal { reason: format!("{what}: {error}"), passing }
    }

    /// The same, said in a larger sentence.
    pub(crate) fn within(self, what: &str) -> Self {
        Refusal { reason: format!("{what}: {}", self.reason), ..self }
    }
}

/// What is said without more is said of the content.
impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal { reason, passing: false }
    }
}

/// When something that failed for a passing reason is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    tries: u32,
    pub(crate) at: Instant,
}

impl Again {
    /// After a failure now; `before` it there may have been others.
    pub(crate) fn after(before: Option<Again>, now: Instant) -> Self {
        let tries = before.map_or(0, |before| before.tries).saturating_add(1);
        let factor = 1u32.checked_shl(tries - 1).unwrap_or(u32::MAX);
        Again { tries, at: now + FIRST.saturating_mul(factor).min(CAP) }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.at <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let now = Instant::now();
        let mut again = None;
        let waits: Vec<u64> = (0..40)
            .map(|_| {
                let next = Again::after(again, now);
                again = Some(next);
                next.at.duration_since(now).as_secs()
            })
            .collect();
        assert_eq!(waits[..5], [1, 2, 4, 8, 16]);
        assert_eq!(waits[39], 900);
    }

    #[test]
    fn running_out_of_time_is_passing_and_a_trap_is_not() {
        let trap = CallError::Trapped { reason: "unreachable".to_owned() };
        assert!(!Refusal::of_call("`describe` failed", &trap).passing);
        let busy = CallError::Unavailable { message: "no sandbox is free".to_owned() };
        assert!(Refusal::of_call("`describe` failed", &busy).passing);
    }
}
