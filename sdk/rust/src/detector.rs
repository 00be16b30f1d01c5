//! Is this series abnormal?

mod memory;
pub mod words;

pub use memory::{Memory, Reader, STATE_BYTES, key};

use crate::{Failure, Labels, Plugin, Severity};

/// Judges series. Pure: the same input gives the same output.
pub trait Detector: Plugin {
    /// Called once per evaluation of a rule, with every series that the rule selects. `config` is the rule's, laid over the
    /// instance's: make what only a rule can know an `Option`, and reject the call where it is missing. `state` is what the
    /// last call for that rule gave back.
    fn evaluate(config: &Self::Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure>;
}

/// What there is to judge. Times are milliseconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// The time of the evaluation.
    pub now_ms: i64,
    /// Where the window begins.
    pub from_ms: i64,
    /// Every series that the rule selects.
    pub series: Vec<Series>,
}

/// The samples of one series inside the window, oldest first, as two columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its dimensions.
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub at_ms: Vec<i64>,
    /// As many as there are times.
    pub value: Vec<f64>,
}

/// Which series are abnormal, and what to remember.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// A series without a signal is normal.
    pub signals: Vec<Signal>,
    /// Handed back at the next call of the same rule; at most 64 KiB.
    pub state: Option<Vec<u8>>,
    /// Samples of its own; at most eight for each series of the window.
    pub derived: Vec<Derived>,
}

/// What the detector says of one series as a sample of its own, at the time of the evaluation: whether it is an anomaly, what was
/// expected. Stored with the labels of that series and the rule's name as `rule`, and queried like any other.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Index into the window's series.
    pub series: usize,
    /// Name of the metric: `anomaly_bit`.
    pub metric: String,
    /// Its value now.
    pub value: f64,
}

/// One judgement about one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Index into the window's series.
    pub series: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What was measured.
    pub value: f64,
    /// What would be normal, where that can be said.
    pub expected: Option<f64>,
    /// For a person: `is 97, at or above 90`.
    pub reason: String,
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Derived, Detector, Series, Signal, Verdict, Window};
    use crate::bindings::detector::exports::quarterdeck::detector::detector as wit;
    use crate::mirror::{Mirror, mirror};
    use crate::plugin::{Component, config};

    mirror! {
        struct wit::Series => Series { labels, at_ms, value }
        struct wit::Window => Window { now_ms, from_ms, series }
        struct Verdict => wit::Verdict { signals, state, derived }
    }

    impl Mirror<wit::Signal> for Signal {
        fn mirror(self) -> wit::Signal {
            wit::Signal {
                series: u32::try_from(self.series).unwrap_or(u32::MAX),
                severity: self.severity.mirror(),
                value: self.value,
                expected: self.expected,
                reason: self.reason,
            }
        }
    }

    impl Mirror<wit::Derived> for Derived {
        fn mirror(self) -> wit::Derived {
            let series = u32::try_from(self.series).unwrap_or(u32::MAX);
            wit::Derived { series, metric: self.metric, value: self.value }
        }
    }

    impl<P: Detector> wit::Guest for Component<P> {
        fn evaluate(text: String, window: wit::Window, state: Option<Vec<u8>>) -> Result<wit::Verdict, wit::Failure> {
            P::evaluate(&config::<P>(&text)?, &window.mirror(), state.as_deref())
                .map(Mirror::mirror)
                .map_err(Mirror::mirror)
        }
    }
}
