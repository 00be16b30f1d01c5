//! Flags series that keep growing: memory, open files, threads, connections that are never given back. Not a level decides, but whether
//! the growth is more than chance over a long window, and fast enough to matter.
//!
//! The test is Mann's (1945) and Kendall's (1975), corrected for ties and, by Hamed & Rao (1998), for figures that resemble their neighbours;
//! how fast it grows is Sen's slope (1968) with its interval (`quarterdeck_sdk::statistics::trend`). A process that is restarted begins anew: where
//! figures fall by a third of their range at once, the window is cut, and only figures between the same restarts are compared (as Hirsch &
//! Slack 1982 do with seasons), so that a leak is found although somebody restarts the process every night. A collector's saw-tooth is
//! no restart, and growth that ends is no leak: the newest part must grow as well.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod growth;

use growth::Growth;
use quarterdeck_sdk::detector::{Derived, Detector, Memory, Reader, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};

/// Whether it leaks: 1 or 0.
const BIT: &str = "leak_bit";
/// Growth per hour, and the end of its interval that is surely exceeded.
const SLOPE: &str = "leak_growth_per_hour";
const SLOPE_LOWER: &str = "leak_growth_per_hour_lower";
/// How sure it is that it grows at all: one less the test's probability.
const CONFIDENCE: &str = "leak_confidence";
const VERSION: u8 = 1;
const KEEP_MS: i64 = 30 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `leak`. It works as it is on a long window (hours); an alert rule may bring its own.
    pub struct Config {
        /// How sure the growth must be: 0.99 is wrong about one series of a hundred that have no trend.
        #[serde(default = "ninety_nine_percent")]
        pub confidence: f64,
        /// How much of the series' own level must be gained over the window by the slowest growth that is sure: 0.1 is a tenth.
        #[serde(default = "a_tenth")]
        pub min_growth: f64,
        /// How steadily it must grow: the share of pairs of figures that rise, less the share of those that fall (Kendall's tau).
        #[serde(default = "half")]
        pub min_fit: f64,
        /// Samples must span at least this time.
        #[serde(default = "one_hour")]
        pub min_history_seconds: f64,
        /// How bad it is.
        #[serde(default = "medium")]
        pub severity: Severity,
    }
}

fn ninety_nine_percent() -> f64 {
    0.99
}

fn a_tenth() -> f64 {
    0.1
}

fn half() -> f64 {
    0.5
}

fn one_hour() -> f64 {
    3600.0
}

fn medium() -> Severity {
    Severity::Medium
}

/// The plugin.
pub struct Leak;

impl Plugin for Leak {
    type Config = Config;
    const NAME: &'static str = "leak";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags series that keep growing over a long window, restarts or not";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(0.5..=0.999_999).contains(&config.confidence) {
            problems.push(Problem::at("/confidence", "expected 0.5 to 0.999999"));
        }
        if !(0.0..=1e6).contains(&config.min_growth) {
            problems.push(Problem::at("/min-growth", "expected 0 or more"));
        }
        if !(0.0..=1.0).contains(&config.min_fit) {
            problems.push(Problem::at("/min-fit", "expected 0 to 1"));
        }
        if !(config.min_history_seconds > 0.0 && config.min_history_seconds <= 1e9) {
            problems.push(Problem::at("/min-history-seconds", "expected more than 0"));
        }
        problems
    }
}

impl Detector for Leak {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        if (window.now_ms.saturating_sub(window.from_ms) as f64) < config.min_history_seconds * 1000.0 {
            return Err(Failure::rejected(format!(
                "the window is shorter than the {} of history that the test needs\nhint: make the rule's `window` longer, or `min-history-seconds` smaller",
                words::span(config.min_history_seconds)
            )));
        }
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            let was = memory.get(key).and_then(|bytes| Reader::new(bytes).f64());
            let mut flag = |memory: &mut Memory, value: f64, reason: String| {
                memory.set(key, window.now_ms, value.to_le_bytes().to_vec());
                verdict.signals.push(Signal {
                    series: index,
                    severity: config.severity,
                    value,
                    expected: None,
                    reason,
                });
            };
            let Some(growth) = Growth::of(series, window, config) else {
                // It has just been restarted, or collected no more: nothing says that the leak is mended.
                if let Some(value) = was {
                    flag(&mut memory, value, "was leaking, and has too few samples now".to_owned());
                }
                continue;
            };
            let leaks = growth.is_leak(config);
            if leaks {
                flag(&mut memory, growth.latest, describe(&growth, config));
            } else {
                memory.remove(key);
            }
            let figures = [
                (BIT, f64::from(u8::from(leaks))),
                (SLOPE, growth.trend.slope * 3600.0),
                (SLOPE_LOWER, growth.trend.lower * 3600.0),
                (CONFIDENCE, 1.0 - growth.trend.probability),
            ];
            for (metric, value) in figures.into_iter().filter(|(_, value)| value.is_finite()) {
                verdict.derived.push(Derived { series: index, metric: metric.to_owned(), value });
            }
        }
        verdict.state = memory.write().0;
        Ok(verdict)
    }
}

fn describe(growth: &Growth, config: &Config) -> String {
    let restarts = match growth.runs {
        0 | 1 => String::new(),
        2 => ", in spite of a restart".to_owned(),
        runs => format!(", in spite of {} restarts", runs - 1),
    };
    format!(
        "is {}, and grew by {} an hour ({} to {} at {} %) for {}{restarts}",
        words::figure(growth.latest),
        words::figure(growth.trend.slope * 3600.0),
        words::figure(growth.trend.lower * 3600.0),
        words::figure(growth.trend.upper * 3600.0),
        words::figure(config.confidence * 100.0),
        words::span(growth.seconds)
    )
}

quarterdeck_sdk::export!(Leak: detector);

#[cfg(test)]
mod tests;
