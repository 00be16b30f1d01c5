//! What was attained?

use crate::{Failure, Plugin};

/// Says what was attained over a period. Pure, and it folds and merges, so that a month is not read twice:
/// `merge(fold(a), fold(b))` equals `fold(a ++ b)`.
///
/// `config` is the objective's, laid over the instance's.
pub trait SlaCalculator: Plugin {
    /// Adds a part of the period. `partial` is what a fold or merge gave before, absent at the start; at most 256 KiB.
    fn fold(config: &Self::Config, window: &Window, partial: Option<&[u8]>) -> Result<Vec<u8>, Failure>;

    /// Puts two parts together.
    fn merge(config: &Self::Config, a: &[u8], b: &[u8]) -> Result<Vec<u8>, Failure>;

    /// The figures.
    fn finish(config: &Self::Config, partial: &[u8]) -> Result<Attainment, Failure>;
}

/// Samples of one part of the period, oldest first, as two columns. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Where the part begins.
    pub from_ms: i64,
    /// Where it ends.
    pub to_ms: i64,
    /// When the samples were taken.
    pub at_ms: Vec<i64>,
    /// As many as there are times.
    pub value: Vec<f64>,
    /// Spans, with their first and without their last millisecond. A sample inside counts in the raw figure only.
    pub exclusions: Vec<(i64, i64)>,
}

impl Window {
    /// Every sample, and whether an exclusion holds it.
    pub fn samples(&self) -> impl Iterator<Item = (i64, f64, bool)> {
        self.at_ms
            .iter()
            .zip(&self.value)
            .map(|(&at, &value)| (at, value, self.exclusions.iter().any(|&(from, to)| from <= at && at < to)))
    }
}

/// One figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// Good events or samples.
    pub good: f64,
    /// All of them.
    pub total: f64,
    /// What is compared with the target, in the objective's unit; absent: no data, which is never "met".
    pub attained: Option<f64>,
}

/// What was attained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attainment {
    /// With exclusions taken from numerator and denominator.
    pub adjusted: Figure,
    /// With everything.
    pub raw: Figure,
    /// Whether the adjusted figure meets the target; absent: no data.
    pub met: Option<bool>,
    /// Share of the error budget left: 1 at the start, negative when overspent; absent: no budget, or no data.
    pub budget_left: Option<f64>,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Attainment, Figure, SlaCalculator, Window};
    use crate::bindings::sla_calculator::exports::quarterdeck::sla_calculator::sla_calculator as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        struct wit::Window => Window { from_ms, to_ms, at_ms, value, exclusions }
        struct Figure => wit::Figure { good, total, attained }
        struct Attainment => wit::Attainment { adjusted, raw, met, budget_left }
    }

    impl<P: SlaCalculator> wit::Guest for Component<P> {
        fn fold(text: String, window: wit::Window, partial: Option<Vec<u8>>) -> Result<Vec<u8>, wit::Failure> {
            P::fold(&config::<P>(&text)?, &window.mirror(), partial.as_deref()).map_err(Mirror::mirror)
        }

        fn merge(text: String, a: Vec<u8>, b: Vec<u8>) -> Result<Vec<u8>, wit::Failure> {
            P::merge(&config::<P>(&text)?, &a, &b).map_err(Mirror::mirror)
        }

        fn finish(text: String, partial: Vec<u8>) -> Result<wit::Attainment, wit::Failure> {
            P::finish(&config::<P>(&text)?, &partial).map(Mirror::mirror).map_err(Mirror::mirror)
        }
    }
}
