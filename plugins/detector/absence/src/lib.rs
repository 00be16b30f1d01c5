//! Flags series that were there and stopped: a job that reports no more, a sensor that fell silent. What is expected is learned: every
//! series that had samples for a while is missed, each by itself, when there is none for longer than a grace. What a rule names in its
//! `expect` is missed without having been there: the host hands it over as a series without samples, and the grace begins when that
//! happens first.
//!
//! A rule sees a series as long as it has a sample in the rule's `window`, so the window must be longer than the grace. Once a series
//! has left the window, its alert stays as it is, by the rule's `no-data` policy; with `no-data = "normal"` it ends then, and the
//! window is how long a series is missed - unless the rule expects it.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::detector::{Derived, Detector, Memory, Reader, Series, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};

/// How old the newest sample of each series is.
const AGE: &str = "seconds_since_sample";
const VERSION: u8 = 1;
/// An established series that has not been seen for so long has to establish itself again.
const KEEP_MS: i64 = 30 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `absence`. It works as it is; an alert rule may bring its own.
    pub struct Config {
        /// A series without a sample for longer than this is missed.
        #[serde(default = "five_minutes")]
        #[schema("x-sees-ended" = true)]
        pub grace_seconds: f64,
        /// A series is only missed if it had samples over at least this time before. What comes and goes within it is not.
        #[serde(default = "one_minute")]
        pub present_for_seconds: f64,
        /// How bad it is.
        #[serde(default = "high")]
        pub severity: Severity,
    }
}

fn five_minutes() -> f64 {
    300.0
}

fn one_minute() -> f64 {
    60.0
}

fn high() -> Severity {
    Severity::High
}

/// The plugin.
pub struct Absence;

impl Plugin for Absence {
    type Config = Config;
    const NAME: &'static str = "absence";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags series that were there and stopped, or are expected, each after a grace";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(config.grace_seconds > 0.0 && config.grace_seconds <= 1e9) {
            problems.push(Problem::at("/grace-seconds", "expected more than 0"));
        }
        if !(0.0..=1e9).contains(&config.present_for_seconds) {
            problems.push(Problem::at("/present-for-seconds", "expected 0 or more"));
        }
        problems
    }
}

/// What is known of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// When its present stretch of samples began.
    since_ms: i64,
    /// Its newest sample.
    last_ms: i64,
    /// It has been there for long enough to be missed.
    is_established: bool,
}

impl Known {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Known { since_ms: reader.i64()?, last_ms: reader.i64()?, is_established: reader.u8()? == 1 })
    }

    fn write(self) -> Vec<u8> {
        let mut bytes = self.since_ms.to_le_bytes().to_vec();
        bytes.extend(self.last_ms.to_le_bytes());
        bytes.push(u8::from(self.is_established));
        bytes
    }

    /// What is known of a series that is expected and not there: it has been missed since somebody looked for it, unless it was there.
    fn expected(before: Option<Self>, now_ms: i64) -> Self {
        before.map_or(Known { since_ms: now_ms, last_ms: now_ms, is_established: true }, |known| Known {
            is_established: true,
            ..known
        })
    }

    /// Takes in what the window has of it. A gap longer than the grace begins a new stretch, but what was established stays so.
    fn after(before: Option<Self>, times: &[i64], config: &Config) -> Option<Self> {
        let grace_ms = (config.grace_seconds * 1000.0) as i64;
        let mut known = before;
        for &at in times.iter().filter(|at| before.is_none_or(|before| **at > before.last_ms)) {
            let continued = known.filter(|known| at.saturating_sub(known.last_ms) <= grace_ms);
            let since_ms = continued.map_or(at, |known| known.since_ms);
            let was = known.is_some_and(|known| known.is_established);
            let is_long = at.saturating_sub(since_ms) as f64 >= config.present_for_seconds * 1000.0;
            known = Some(Known { since_ms, last_ms: at, is_established: was || is_long });
        }
        known
    }
}

impl Detector for Absence {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        let length = window.now_ms.saturating_sub(window.from_ms) as f64 / 1000.0;
        if length <= config.grace_seconds {
            return Err(Failure::rejected(format!(
                "a window of {} never shows a series that has been silent for {}\nhint: make the rule's `window` longer than the grace",
                words::span(length),
                words::span(config.grace_seconds)
            )));
        }
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            let before = memory.get(key).and_then(Known::read);
            // The host leaves out what has no samples in the window, but for what the rule expects.
            let is_expected = series.at_ms.is_empty();
            let after = if is_expected {
                Some(Known::expected(before, window.now_ms))
            } else {
                Known::after(before, &times(series, window.now_ms), config)
            };
            let Some(known) = after else { continue };
            memory.set(key, window.now_ms, known.write());
            let age = window.now_ms.saturating_sub(known.last_ms).max(0) as f64 / 1000.0;
            if !is_expected {
                verdict.derived.push(Derived { series: index, metric: AGE.to_owned(), value: age });
            }
            if known.is_established && age > config.grace_seconds {
                verdict.signals.push(Signal {
                    series: index,
                    severity: config.severity,
                    value: age,
                    expected: None,
                    reason: if is_expected {
                        format!("is expected, and not there for {}", words::span(age))
                    } else {
                        format!("has no sample for {}", words::span(age))
                    },
                });
            }
        }
        verdict.state = memory.write().0;
        Ok(verdict)
    }
}

/// When the series had a figure, in order, and not in the future. What is no number is no figure: Prometheus's mark of a series that
/// ended is such.
fn times(series: &Series, now_ms: i64) -> Vec<i64> {
    let pairs = series.at_ms.iter().zip(&series.value);
    let mut times: Vec<i64> =
        pairs.filter(|(at, value)| **at <= now_ms && !value.is_nan()).map(|(at, _)| *at).collect();
    times.sort_unstable();
    times
}

quarterdeck_sdk::export!(Absence: detector);

#[cfg(test)]
mod tests;
