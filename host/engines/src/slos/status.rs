//! From an attainment to an objective's state, and what is told of it.

use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::slo::{SloSpec, SloState};
use quarterdeck_model::kind::sla_calculator::Attainment;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Breached,
    Recovered,
}

/// No data is never "met".
pub fn state(attainment: &Attainment) -> SloState {
    match attainment.met {
        Some(true) => SloState::Met,
        Some(false) => SloState::Breached,
        None => SloState::NoData,
    }
}

/// A breach is told when it begins, a recovery when data says so and somebody was told of a breach: `at_risk`. Missing data is
/// silent, and ends nothing: what was breached before it stays open for those who were told. So it does where the figures are `cut`:
/// they reach back less far than those that showed the breach. A breach is told when there is `enough` to tell it by.
pub fn told(at_risk: bool, after: SloState, cut: bool, enough: bool) -> Option<Told> {
    match (at_risk, after) {
        (false, SloState::Breached) if enough => Some(Told::Breached),
        (true, SloState::Met) if !cut => Some(Told::Recovered),
        _ => None,
    }
}

/// Whether there is enough data to tell a breach by: so many samples, or, where they come seldom, all that a whole window has.
pub fn is_enough(spec: &SloSpec, attainment: &Attainment, observed_since: Option<Timestamp>, now: Timestamp) -> bool {
    let wanted = f64::from(u32::try_from(spec.minimum_samples).unwrap_or(u32::MAX));
    attainment.adjusted.total >= wanted || observed_since.is_some_and(|since| now.since(since) >= spec.window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SloState::{Breached, Met, NoData};

    #[test]
    fn missing_data_neither_recovers_nor_breaches() {
        assert_eq!(told(true, NoData, false, true), None);
        assert_eq!(told(false, NoData, false, true), None);
        assert_eq!(state(&Attainment::default()), NoData);
    }

    #[test]
    fn a_breach_and_a_recovery_are_told_once() {
        assert_eq!(told(false, Breached, false, true), Some(Told::Breached));
        assert_eq!(told(false, Breached, true, true), Some(Told::Breached));
        assert_eq!(told(false, Breached, false, false), None);
        assert_eq!(told(true, Breached, false, true), None);
        assert_eq!(told(true, Met, false, true), Some(Told::Recovered));
        assert_eq!(told(true, Met, true, true), None);
        assert_eq!(told(false, Met, false, true), None);
    }
}
