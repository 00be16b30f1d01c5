//! A streaming score of how unlike itself a series is, without a season and without a level that anybody sets; the anomaly bit of each
//! evaluation is a metric, so that its rate can be queried and alerted on like any other: `100 * avg_over_time(anomaly_bit[15m]) > 20`.
//!
//! The score says by how much of the range of what it has been a sample lies outside of that range (`novelty.rs`). It learns as it goes, so what
//! stays is soon no anomaly any more; a signal is held for a while after the newest anomaly. For what has a daily or weekly shape,
//! `adaptive-threshold` sees more.
//!
//! What is known of a series takes 106 bytes of the rule's state: 600 series a rule. Of more, those that are known already stay, and the
//! others are never judged: they say so by `anomaly_forgotten`.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod novelty;

use novelty::{Novelty, Rules};
use quarterdeck_sdk::detector::{Derived, Detector, Memory, Series, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};
use std::collections::BTreeSet;

/// Whether a sample since the evaluation before was an anomaly: 1 or 0. Absent while too few samples were seen.
const BIT: &str = "anomaly_bit";
/// The greatest score of the samples since the evaluation before: by how much of its range the series left it.
const SCORE: &str = "anomaly_score";
/// Whether there is no room to remember the series.
const FORGOTTEN: &str = "anomaly_forgotten";
const VERSION: u8 = 1;
/// What has not been seen for two weeks is learned anew.
const KEEP_MS: i64 = 14 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `anomaly`. It works as it is; an alert rule may bring its own.
    pub struct Config {
        /// A sample that lies outside of its series' range by more than this share of it is an anomaly.
        #[serde(default = "six_percent")]
        pub outside: f64,
        /// Excursions that are smaller than this, in the series' own unit, are none.
        #[serde(default)]
        pub min_change: f64,
        /// So many samples must have been seen before one is judged.
        #[serde(default = "one_hundred")]
        pub min_samples: u32,
        /// In so many samples the range comes together by half, so that what was long ago is an anomaly again.
        #[serde(default = "five_thousand")]
        pub half_life_samples: f64,
        /// What the series are: of a counter, the gain per second is judged.
        #[serde(default = "gauge")]
        pub kind: SeriesKind,
        /// A series stays flagged for so long after its newest anomaly.
        #[serde(default = "five_minutes")]
        pub hold_seconds: f64,
        /// How bad it is.
        #[serde(default = "low")]
        pub severity: Severity,
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

fn six_percent() -> f64 {
    0.06
}

fn one_hundred() -> u32 {
    100
}

fn five_thousand() -> f64 {
    5000.0
}

fn gauge() -> SeriesKind {
    SeriesKind::Gauge
}

fn five_minutes() -> f64 {
    300.0
}

fn low() -> Severity {
    Severity::Low
}

/// The plugin.
pub struct Anomaly;

impl Plugin for Anomaly {
    type Config = Config;
    const NAME: &'static str = "anomaly";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Scores how unlike itself each series is; the anomaly bit is a metric";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(config.outside > 0.0 && config.outside <= 1e6) {
            problems.push(Problem::at("/outside", "expected more than 0"));
        }
        if !(0.0..=f64::MAX).contains(&config.min_change) {
            problems.push(Problem::at("/min-change", "expected 0 or more"));
        }
        if !(1.0..=1e9).contains(&config.half_life_samples) {
            problems.push(Problem::at("/half-life-samples", "expected 1 or more"));
        }
        if !(0.0..=1e9).contains(&config.hold_seconds) {
            problems.push(Problem::at("/hold-seconds", "expected 0 or more"));
        }
        problems
    }
}

impl Detector for Anomaly {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        let mut keys = Vec::new();
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            keys.push(key);
            let mut known = memory.get(key).and_then(Novelty::read).unwrap_or_else(Novelty::new);
            if let Some(score) = take_in(&mut known, series, window.now_ms, config) {
                let bit = f64::from(u8::from(score > config.outside));
                for (metric, value) in [(BIT, bit), (SCORE, score)] {
                    verdict.derived.push(Derived { series: index, metric: metric.to_owned(), value });
                }
            }
            let since_ms = window.now_ms.saturating_sub(known.anomaly_ms);
            if known.anomaly_ms > i64::MIN && since_ms as f64 <= config.hold_seconds * 1000.0 {
                verdict.signals.push(signal(index, &known, since_ms, config));
            }
            memory.set(key, window.now_ms, known.write());
        }
        let (state, left_out) = memory.write();
        let left_out: BTreeSet<u64> = left_out.into_iter().collect();
        for (index, _) in keys.iter().enumerate().filter(|(_, key)| left_out.contains(key)) {
            verdict.derived.push(Derived { series: index, metric: FORGOTTEN.to_owned(), value: 1.0 });
        }
        verdict.state = state;
        Ok(verdict)
    }
}

/// Takes in the samples that are new; the greatest of their scores, none while too few were seen or none is new.
fn take_in(known: &mut Novelty, series: &Series, now_ms: i64, config: &Config) -> Option<f64> {
    let rules = Rules {
        min_samples: config.min_samples,
        half_life_samples: config.half_life_samples,
        min_change: config.min_change,
    };
    let pairs = series.at_ms.iter().copied().zip(series.value.iter().copied());
    let mut fresh: Vec<(i64, f64)> =
        pairs.filter(|(at, value)| *at > known.last_ms && *at <= now_ms && value.is_finite()).collect();
    fresh.sort_by_key(|(at, _)| *at);
    fresh.dedup_by_key(|(at, _)| *at);
    let mut greatest: Option<f64> = None;
    for (at_ms, value) in fresh {
        let before = (known.last_ms > i64::MIN).then_some((known.last_ms, known.last));
        (known.last_ms, known.last) = (at_ms, value);
        let figure: f64 = match (config.kind, before) {
            (SeriesKind::Gauge, _) => value,
            (SeriesKind::Counter, Some((before_ms, before))) => {
                let gained = if value < before { value } else { value - before };
                // Of figures at the ends of the range this is infinite.
                (gained * 1000.0 / at_ms.saturating_sub(before_ms).max(1) as f64).clamp(f64::MIN, f64::MAX)
            }
            (SeriesKind::Counter, None) => continue,
        };
        let range = known.range();
        let Some(score) = known.take(figure, &rules) else { continue };
        greatest = Some(greatest.map_or(score, |greatest| greatest.max(score)));
        if score > config.outside {
            (known.anomaly_ms, known.anomaly, known.usual) = (at_ms, figure, range);
        }
    }
    greatest
}

fn signal(series: usize, known: &Novelty, since_ms: i64, config: &Config) -> Signal {
    let unit = match config.kind {
        SeriesKind::Gauge => "",
        SeriesKind::Counter => " a second",
    };
    let (figure, low, high) =
        (words::figure(known.anomaly), words::figure(known.usual.0), words::figure(known.usual.1));
    let when = if since_ms < 1000 { String::new() } else { format!(" {} ago", words::span(since_ms as f64 / 1000.0)) };
    // A jump inside of the range is one of what the mean leaves over.
    let reason = if known.anomaly < known.usual.0 || known.anomaly > known.usual.1 {
        format!("was {figure}{unit}{when}, outside of its range from {low} to {high}")
    } else {
        format!("was {figure}{unit}{when}, unlike the figures around it, in its range from {low} to {high}")
    };
    Signal { series, severity: config.severity, value: known.anomaly, expected: None, reason }
}

quarterdeck_sdk::export!(Anomaly: detector);

#[cfg(test)]
mod tests;
