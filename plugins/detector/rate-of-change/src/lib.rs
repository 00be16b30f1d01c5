//! Flags series that change too much within a time: a queue that doubles in ten minutes, traffic that halves, a counter of errors
//! that gains a hundred. Counters are taken with their resets.
//!
//! A *gauge* is compared with what it was `over-seconds` ago. Of a *counter* it is the gain over that time that counts: in itself
//! for `absolute`, and for `relative` against the gain over the same time before. Where both are given, both must be exceeded, so that a
//! share of next to nothing is no alert. A series whose history in the window is too short is not judged.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod change;

use change::Change;
use quarterdeck_sdk::detector::{Derived, Detector, Memory, Reader, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};

/// The newest change of each series, in its own unit.
const ABSOLUTE: &str = "change_absolute";
/// And as a share of what it was before.
const RELATIVE: &str = "change_relative";
const VERSION: u8 = 1;
/// A raised series that has not been seen for so long is forgotten.
const KEEP_MS: i64 = 30 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `rate-of-change`. As a rule the instance's is empty, and each alert rule brings its own.
    pub struct Config {
        /// Over how long a change is looked at. The rule's `window` must be longer, for `relative` changes of counters twice as long.
        #[serde(default = "five_minutes")]
        pub over_seconds: f64,
        /// A change by more than this, in the series' own unit, is abnormal.
        #[serde(default)]
        pub absolute: Option<f64>,
        /// A change by more than this share of what it was before is abnormal: 0.5 is half more, or half less.
        #[serde(default)]
        pub relative: Option<f64>,
        /// Which way a series must go. Counters only gain, but they may gain less than before.
        #[serde(default = "either")]
        pub direction: Direction,
        /// What the series are: a gauge may go both ways, a counter only rises, or begins anew at 0.
        #[serde(default = "gauge")]
        pub kind: SeriesKind,
        /// A series that was flagged is normal again below this share of the levels.
        #[serde(default = "one")]
        pub clear: f64,
        /// How bad it is.
        #[serde(default = "medium")]
        pub severity: Severity,
    }

    /// Which way a series must go.
    #[derive(Copy)]
    pub enum Direction {
        /// Only growth is abnormal.
        Up,
        /// Only decline is abnormal.
        Down,
        /// Both are.
        Either,
    }

    /// What a series is.
    #[derive(Copy)]
    pub enum SeriesKind {
        /// May go both ways.
        Gauge,
        /// Only rises, or begins anew at 0.
        Counter,
    }
}

fn five_minutes() -> f64 {
    300.0
}

fn either() -> Direction {
    Direction::Either
}

fn gauge() -> SeriesKind {
    SeriesKind::Gauge
}

fn one() -> f64 {
    1.0
}

fn medium() -> Severity {
    Severity::Medium
}

/// The plugin.
pub struct RateOfChange;

impl Plugin for RateOfChange {
    type Config = Config;
    const NAME: &'static str = "rate-of-change";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags series that change too much within a time, counters with their resets";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(config.over_seconds >= 1.0 && config.over_seconds <= 1e9) {
            problems.push(Problem::at("/over-seconds", "expected a second or more"));
        }
        for (pointer, level) in [("/absolute", config.absolute), ("/relative", config.relative)] {
            if level.is_some_and(|level| level < 0.0 || level.is_nan()) {
                problems.push(Problem::at(pointer, "expected 0 or more; which way it goes is `direction`'s"));
            }
        }
        if !(0.0..=1.0).contains(&config.clear) {
            problems.push(Problem::at("/clear", "expected a share from 0 to 1"));
        }
        problems
    }
}

impl Detector for RateOfChange {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        if config.absolute.is_none() && config.relative.is_none() {
            return Err(Failure::rejected(
                "neither `absolute` nor `relative` is there\nhint: give the rule a level, as in `relative: 0.5`",
            ));
        }
        let over_ms = (config.over_seconds * 1000.0) as i64;
        let needed_ms = match (config.kind, config.relative) {
            (SeriesKind::Counter, Some(_)) => over_ms.saturating_mul(2),
            _ => over_ms,
        };
        if window.now_ms.saturating_sub(window.from_ms) < needed_ms {
            return Err(Failure::rejected(format!(
                "the window is shorter than the {} that are looked at\nhint: make the rule's `window` longer",
                words::span(needed_ms as f64 / 1000.0)
            )));
        }
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            let was = memory.get(key).and_then(|bytes| Reader::new(bytes).f64());
            let change = match config.kind {
                SeriesKind::Gauge => change::of_gauge(series, window.now_ms, over_ms),
                SeriesKind::Counter => change::of_counter(series, window.now_ms, over_ms),
            };
            let Some(change) = change else {
                // Nothing to compare is no reason to believe that it is normal again, nor that it is not.
                if let Some(value) = was {
                    memory.set(key, window.now_ms, value.to_le_bytes().to_vec());
                    verdict.signals.push(Signal {
                        series: index,
                        severity: config.severity,
                        value,
                        expected: None,
                        reason: "has too few samples to be compared, and changed too much before".to_owned(),
                    });
                }
                continue;
            };
            verdict.derived.push(Derived { series: index, metric: ABSOLUTE.to_owned(), value: change.absolute });
            if let Some(value) = change.relative {
                verdict.derived.push(Derived { series: index, metric: RELATIVE.to_owned(), value });
            }
            if is_beyond(&change, config, if was.is_some() { config.clear } else { 1.0 }) {
                memory.set(key, window.now_ms, change.value.to_le_bytes().to_vec());
                verdict.signals.push(Signal {
                    series: index,
                    severity: config.severity,
                    value: change.value,
                    expected: Some(change.before),
                    reason: describe(&change, config),
                });
            } else {
                memory.remove(key);
            }
        }
        verdict.state = memory.write().0;
        Ok(verdict)
    }
}

fn is_beyond(change: &Change, config: &Config, share: f64) -> bool {
    let exceeds = |figure: f64, level: f64| {
        let level = level * share;
        match config.direction {
            Direction::Up => figure > level,
            Direction::Down => -figure > level,
            Direction::Either => figure.abs() > level,
        }
    };
    // What a counter gained is compared with the level whichever way its gain went.
    let absolute = match config.kind {
        SeriesKind::Gauge => config.absolute.is_none_or(|level| exceeds(change.absolute, level)),
        SeriesKind::Counter => config.absolute.is_none_or(|level| change.absolute > level * share),
    };
    // From nothing to something is more than any share of it.
    let relative = change.relative.unwrap_or(match (config.kind, change.absolute) {
        (SeriesKind::Gauge, difference) if difference != 0.0 => f64::INFINITY.copysign(difference),
        _ => 0.0,
    });
    absolute && config.relative.is_none_or(|level| exceeds(relative, level))
}

fn describe(change: &Change, config: &Config) -> String {
    let over = words::span(config.over_seconds);
    let share = |relative: f64| format!("{} %", words::figure((relative * 1000.0).round() / 10.0));
    match (config.kind, change.relative) {
        (SeriesKind::Gauge, relative) => {
            let share = relative.map(|relative| format!(", by {}", share(relative))).unwrap_or_default();
            let (before, now) = (words::figure(change.before), words::figure(change.value));
            format!("went from {before} to {now} in {over}{share}")
        }
        (SeriesKind::Counter, Some(relative)) => {
            let (gained, before) = (words::figure(change.value), words::figure(change.before));
            format!("gained {gained} in {over}, {} against {before} before", share(relative))
        }
        (SeriesKind::Counter, None) => format!("gained {} in {over}", words::figure(change.value)),
    }
}

quarterdeck_sdk::export!(RateOfChange: detector);

#[cfg(test)]
mod tests;
