//! From an attainment to an objective's state, and what is told of it.

use quarterdeck_model::domain::slo::SloState;
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
/// they reach back less far than those that showed the breach.
pub fn told(at_risk: bool, after: SloState, cut: bool) -> Option<Told> {
    match (at_risk, after) {
        (false, SloState::Breached) => Some(Told::Breached),
        (true, SloState::Met) if !cut => Some(Told::Recovered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SloState::{Breached, Met, NoData};

    #[test]
    fn missing_data_neither_recovers_nor_breaches() {
        assert_eq!(told(true, NoData, false), None);
        assert_eq!(told(false, NoData, false), None);
        assert_eq!(state(&Attainment::default()), NoData);
    }

    #[test]
    fn a_breach_and_a_recovery_are_told_once() {
        assert_eq!(told(false, Breached, false), Some(Told::Breached));
        assert_eq!(told(false, Breached, true), Some(Told::Breached));
        assert_eq!(told(true, Breached, false), None);
        assert_eq!(told(true, Met, false), Some(Told::Recovered));
        assert_eq!(told(true, Met, true), None);
        assert_eq!(told(false, Met, false), None);
    }
}
