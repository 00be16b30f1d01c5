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

/// A breach is told whenever it begins, a recovery whenever data says so. Missing data is silent, and ends nothing: what was
/// breached before it stays open for those who were told.
pub fn told(before: Option<SloState>, after: SloState) -> Option<Told> {
    match (before, after) {
        (Some(SloState::Breached), SloState::Breached) => None,
        (_, SloState::Breached) => Some(Told::Breached),
        (Some(SloState::Breached | SloState::NoData), SloState::Met) => Some(Told::Recovered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SloState::{Breached, Met, NoData};

    #[test]
    fn missing_data_neither_recovers_nor_breaches() {
        assert_eq!(told(Some(Breached), NoData), None);
        assert_eq!(told(Some(Met), NoData), None);
        assert_eq!(told(None, NoData), None);
        assert_eq!(state(&Attainment::default()), NoData);
    }

    #[test]
    fn a_breach_and_a_recovery_are_told_once() {
        assert_eq!(told(None, Breached), Some(Told::Breached));
        assert_eq!(told(Some(Met), Breached), Some(Told::Breached));
        assert_eq!(told(Some(Breached), Breached), None);
        assert_eq!(told(Some(Breached), Met), Some(Told::Recovered));
        assert_eq!(told(Some(NoData), Met), Some(Told::Recovered));
        assert_eq!(told(Some(Met), Met), None);
        assert_eq!(told(None, Met), None);
    }
}
