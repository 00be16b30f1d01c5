//! Flags series beyond a level. With a second level, `clear`, a series that was flagged stays so until it is back on the
//! right side of that one: figures that waver around a level don't make an alert come and go.
//!
//! How long a series must be abnormal before an alert fires (`for`) is not decided here: the alert's state machine does.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod state;

use quarterdeck_sdk::detector::{Detector, Series, Signal, Verdict, Window};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};
use state::{Raised, State};

quarterdeck_sdk::config! {
    /// Configuration of `threshold`. As a rule the instance's is empty, and each alert rule brings its own.
    pub struct Config {
        /// A figure beyond this level is abnormal.
        #[serde(default)]
        pub raise: Option<f64>,
        /// An abnormal series is normal again when its figure is not beyond this level any more. Unless given, `raise`.
        #[serde(default)]
        pub clear: Option<f64>,
        /// Which side of the level is beyond it.
        #[serde(default = "above")]
        pub direction: Direction,
        /// How bad it is.
        #[serde(default = "high")]
        pub severity: Severity,
        /// Which figure of the window is compared.
        #[serde(default = "last")]
        pub aggregate: Aggregate,
    }

    /// Which side of a level is beyond it.
    #[derive(Copy)]
    pub enum Direction {
        /// Greater figures.
        Above,
        /// Smaller figures.
        Below,
    }

    /// Which figure of a window is compared.
    #[derive(Copy)]
    pub enum Aggregate {
        /// The newest.
        Last,
        /// The mean of all.
        Avg,
        /// The smallest.
        Min,
        /// The greatest.
        Max,
    }
}

fn above() -> Direction {
    Direction::Above
}

fn high() -> Severity {
    Severity::High
}

fn last() -> Aggregate {
    Aggregate::Last
}

/// The plugin.
pub struct Threshold;

impl Plugin for Threshold {
    type Config = Config;
    const NAME: &'static str = "threshold";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags series above or below a level, with a second level to clear";

    fn validate(config: &Config) -> Vec<Problem> {
        levels(config).err().map(|message| Problem::at("/clear", message)).into_iter().collect()
    }
}

impl Detector for Threshold {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        let (raise, clear) = levels(config)
            .map_err(Failure::Rejected)?
            .ok_or_else(|| Failure::rejected("`raise` is missing\nhint: give the rule a level, as in `raise: 90`"))?;
        let mut state = State::read(state, window.now_ms);
        let mut signals = Vec::new();
        for (index, series) in window.series.iter().enumerate() {
            let key = state::key(&series.labels);
            let was = state.get(key);
            let level = if was.is_some() { clear } else { raise };
            let signal = match figure(series, config.aggregate) {
                Some(value) if is_beyond(value, level, config.direction) => {
                    Some((value, describe(value, level, config)))
                }
                Some(_) => None,
                // No figure is no reason to believe that it is normal again.
                None => was.map(|raised| (raised.value, format!("has no figure, was {}", raised.value))),
            };
            match signal {
                Some((value, reason)) => {
                    state.set(key, Raised { seen_ms: window.now_ms, value });
                    let severity = config.severity;
                    signals.push(Signal { series: index, severity, value, expected: Some(clear), reason });
                }
                None => state.remove(key),
            }
        }
        Ok(Verdict { signals, state: state.write(), ..Verdict::default() })
    }
}

/// `raise` and `clear`, if there is a `raise`; an error if `clear` lies beyond it.
fn levels(config: &Config) -> Result<Option<(f64, f64)>, String> {
    let Some(raise) = config.raise else { return Ok(None) };
    let clear = config.clear.unwrap_or(raise);
    if is_beyond(clear, raise, config.direction) {
        let (side, other) = match config.direction {
            Direction::Above => ("above", "at most"),
            Direction::Below => ("below", "at least"),
        };
        return Err(format!(
            "`clear` is {clear}, {side} `raise`: expected {other} {raise}, or no alert would ever clear"
        ));
    }
    Ok(Some((raise, clear)))
}

fn is_beyond(value: f64, level: f64, direction: Direction) -> bool {
    match direction {
        Direction::Above => value > level,
        Direction::Below => value < level,
    }
}

fn describe(value: f64, level: f64, config: &Config) -> String {
    let what = match config.aggregate {
        Aggregate::Last => "",
        Aggregate::Avg => "on average ",
        Aggregate::Min => "at least ",
        Aggregate::Max => "at most ",
    };
    let side = match config.direction {
        Direction::Above => "above",
        Direction::Below => "below",
    };
    format!("is {what}{}, {side} {level}", rounded(value))
}

/// As many digits as a person reads.
fn rounded(value: f64) -> f64 {
    if value.abs() < 1e9 { (value * 1000.0).round() / 1000.0 } else { value }
}

/// The figure that is compared; absent where no sample is a number. Infinite ones are bounded, since JSON has none.
fn figure(series: &Series, aggregate: Aggregate) -> Option<f64> {
    let numbers = || series.value.iter().copied().filter(|value| !value.is_nan());
    let figure = match aggregate {
        Aggregate::Last => numbers().next_back(),
        Aggregate::Min => numbers().reduce(f64::min),
        Aggregate::Max => numbers().reduce(f64::max),
        Aggregate::Avg => {
            let (sum, count) = numbers().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (count > 0.0).then(|| sum / count).filter(|mean| !mean.is_nan())
        }
    };
    figure.map(|value| value.clamp(f64::MIN, f64::MAX))
}

quarterdeck_sdk::export!(Threshold: detector);

#[cfg(test)]
mod tests;
