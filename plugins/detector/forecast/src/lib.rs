//! How long until it is full: a disk, a pool of connections, a quota. A robust line through the window says when the limit will be
//! reached, with a band of confidence, and a series is flagged when that may be within a given time.
//!
//! The line is Theil's and Sen's, the median of all slopes, so that a burst or a gap does not turn it; the band comes from Sen's interval
//! of the slope, widened for figures that resemble their neighbours (Hamed & Rao 1998), and from how far the figures stray from the line
//! (`quarterdeck_sdk::statistics::trend`). Since what was cleaned up says nothing about how fast it fills, figures before the last great fall don't count
//! for where the line stands, and growth is only measured between the falls.
//!
//! Never flagged: what has too little history, what is flat or goes the other way, and what follows no line.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod line;

use line::{Forecast, Line};
use quarterdeck_sdk::detector::{Derived, Detector, Memory, Reader, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};

/// Seconds until the limit, by the line, and the ends of the band. There is no sample where it will never be reached.
const UNTIL: &str = "forecast_seconds_until";
const UNTIL_LOWER: &str = "forecast_seconds_until_lower";
const UNTIL_UPPER: &str = "forecast_seconds_until_upper";
/// Change per second, by the line.
const SLOPE: &str = "forecast_slope";
const VERSION: u8 = 1;
const KEEP_MS: i64 = 30 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `forecast`. As a rule the instance's is empty, and each alert rule brings its own.
    pub struct Config {
        /// The level at which it is full: 100 for a share in percent, 0 for what is left.
        #[serde(default)]
        pub limit: Option<f64>,
        /// Which way it fills.
        #[serde(default = "up")]
        pub direction: Direction,
        /// It is flagged when the limit may be reached within this time.
        #[serde(default = "one_day")]
        pub within_seconds: f64,
        /// Which end of the band decides: `lower` warns when it may be full by then, `line` when it probably is, `upper` when it surely is.
        #[serde(default = "lower")]
        pub decide_by: Bound,
        /// How sure the band is: 0.9 holds in nine cases of ten.
        #[serde(default = "ninety_percent")]
        pub confidence: f64,
        /// Samples must span at least this time.
        #[serde(default = "one_hour")]
        pub min_history_seconds: f64,
        /// How well the figures must follow the direction: the share of pairs of points that do, less the share of those that don't
        /// (Kendall's tau).
        #[serde(default = "half")]
        pub min_fit: f64,
        /// How bad it is.
        #[serde(default = "medium")]
        pub severity: Severity,
    }

    /// Which way it fills.
    #[derive(Copy)]
    pub enum Direction {
        /// Full is above: what is used.
        Up,
        /// Full is below: what is left.
        Down,
    }

    /// An end of the band.
    #[derive(Copy)]
    pub enum Bound {
        /// The earliest.
        Lower,
        /// The middle.
        Line,
        /// The latest.
        Upper,
    }
}

fn up() -> Direction {
    Direction::Up
}

fn one_day() -> f64 {
    86_400.0
}

fn lower() -> Bound {
    Bound::Lower
}

fn ninety_percent() -> f64 {
    0.9
}

fn one_hour() -> f64 {
    3600.0
}

fn half() -> f64 {
    0.5
}

fn medium() -> Severity {
    Severity::Medium
}

/// The plugin.
pub struct Capacity;

impl Plugin for Capacity {
    type Config = Config;
    const NAME: &'static str = "forecast";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags what will be full within a time, by a robust line with a confidence band";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.limit.is_some_and(|limit| !limit.is_finite()) {
            problems.push(Problem::at("/limit", "expected a number"));
        }
        for (pointer, seconds) in
            [("/within-seconds", config.within_seconds), ("/min-history-seconds", config.min_history_seconds)]
        {
            if !(seconds > 0.0 && seconds <= 1e9) {
                problems.push(Problem::at(pointer, "expected more than 0"));
            }
        }
        if !(0.5..=0.9999).contains(&config.confidence) {
            problems.push(Problem::at("/confidence", "expected 0.5 to 0.9999"));
        }
        if !(0.0..=1.0).contains(&config.min_fit) {
            problems.push(Problem::at("/min-fit", "expected 0 to 1"));
        }
        problems
    }
}

impl Detector for Capacity {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        let limit = config.limit.ok_or_else(|| {
            Failure::rejected(
                "`limit` is missing\nhint: give the rule the level at which it is full, as in `limit: 100`",
            )
        })?;
        if (window.now_ms.saturating_sub(window.from_ms) as f64) < config.min_history_seconds * 1000.0 {
            return Err(Failure::rejected(format!(
                "the window is shorter than the {} of history that a forecast needs\nhint: make the rule's `window` longer, or `min-history-seconds` smaller",
                words::span(config.min_history_seconds)
            )));
        }
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            let was = memory.get(key).and_then(|bytes| Reader::new(bytes).f64());
            let line = match Line::through(series, window, config) {
                Ok(line) => line,
                // Too little to say: what was flagged stays so, since nothing says that it has changed.
                Err(why) => {
                    if let Some(value) = was {
                        memory.set(key, window.now_ms, value.to_le_bytes().to_vec());
                        verdict.signals.push(signal(index, config, value, format!("was filling up, and {why}")));
                    }
                    continue;
                }
            };
            let forecast = line.until(limit, config.direction);
            let mut derive = |metric: &str, value: f64| {
                if value.is_finite() {
                    verdict.derived.push(Derived { series: index, metric: metric.to_owned(), value });
                }
            };
            derive(SLOPE, line.trend.slope);
            for (metric, seconds) in
                [(UNTIL, forecast.line), (UNTIL_LOWER, forecast.lower), (UNTIL_UPPER, forecast.upper)]
            {
                derive(metric, seconds);
            }
            if is_due(&line, forecast, config) {
                memory.set(key, window.now_ms, line.level.to_le_bytes().to_vec());
                verdict.signals.push(signal(index, config, line.level, describe(&line, forecast, limit, config)));
            } else {
                memory.remove(key);
            }
        }
        verdict.state = memory.write().0;
        Ok(verdict)
    }
}

fn is_due(line: &Line, forecast: Forecast, config: &Config) -> bool {
    let seconds = match config.decide_by {
        Bound::Lower => forecast.lower,
        Bound::Line => forecast.line,
        Bound::Upper => forecast.upper,
    };
    let fits = line.is_growing(config.direction) && line.fit(config.direction) >= config.min_fit;
    // What is full is full, however it came to be so.
    forecast.is_full || (fits && seconds <= config.within_seconds)
}

fn signal(series: usize, config: &Config, value: f64, reason: String) -> Signal {
    Signal { series, severity: config.severity, value, expected: None, reason }
}

fn describe(line: &Line, forecast: Forecast, limit: f64, config: &Config) -> String {
    let (level, limit) = (words::figure(line.level), words::figure(limit));
    if forecast.is_full {
        return format!("is {level}, and {limit} is full");
    }
    let latest = if forecast.upper.is_finite() { words::span(forecast.upper) } else { "never".to_owned() };
    format!(
        "is {level}, and will be {limit} in {} ({} to {latest} at {} %), changing by {} an hour",
        words::span(forecast.line),
        words::span(forecast.lower),
        words::figure(config.confidence * 100.0),
        words::figure(line.trend.slope * 3600.0)
    )
}

quarterdeck_sdk::export!(Capacity: detector);

#[cfg(test)]
mod tests;
