//! Flags series far from what is usual at the hour of the week: traffic that is low for a Monday morning, a job that is slow for a
//! night. Nobody sets a level; it is learned, and the series' own spread says what is far.
//!
//! For each of the 168 hours of the week (or the 24 of the day) a robust centre and spread are kept (`profile.rs`). A figure more than `spreads`
//! spreads away, and farther than the series is known to stray, is abnormal. Nothing is learned from an hour that was mostly abnormal, so an outage does not become usual; but after
//! `relearn-after-hours` of them in a row that is the new level: the profile moves there, with the week's shape as it was.
//!
//! Until an hour has been seen in `min-cycles` cycles, nothing is judged in it, and `adaptive_threshold_learning` is 1.
//!
//! What is learned stands in the rule's state, 64 KiB for all of its series: 104 with hours of the week, 300 with hours of the day, 520 without a season.
//! A profile takes as much room at its beginning as later, so whatever has room keeps it. Of more series, those that are known already stay, and the others are
//! never judged: they say so by `adaptive_threshold_forgotten`, and the log says once an hour how many they are. Split such a rule by its labels.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod profile;

use profile::Profile;
use quarterdeck_sdk::detector::{Derived, Detector, Memory, Series, Signal, Verdict, Window, key, words};
use quarterdeck_sdk::host::log;
use quarterdeck_sdk::{Failure, Plugin, Problem, Severity};
use std::collections::BTreeSet;

/// What is usual now, and the bounds beyond which a figure is abnormal.
const EXPECTED: &str = "adaptive_threshold_expected";
const UPPER: &str = "adaptive_threshold_upper";
const LOWER: &str = "adaptive_threshold_lower";
/// How many spreads the figure is away from what is usual, up or down; `spreads` is where it becomes abnormal.
const DEVIATION: &str = "adaptive_threshold_deviation";
/// Whether this hour has not been seen often enough.
const LEARNING: &str = "adaptive_threshold_learning";
/// Whether there is no room to remember the series.
const FORGOTTEN: &str = "adaptive_threshold_forgotten";
const VERSION: u8 = 1;
const HOUR_MS: i64 = 3_600_000;
/// What has not been seen for five weeks is learned anew.
const KEEP_MS: i64 = 35 * 24 * 3_600_000;

quarterdeck_sdk::config! {
    /// Configuration of `adaptive-threshold`. It works as it is; an alert rule may bring its own.
    pub struct Config {
        /// So many spreads (standard deviations, where figures are normal) from what is usual is abnormal.
        #[serde(default = "five")]
        pub spreads: f64,
        /// A series that was flagged is normal again within so many. Unless given, half of `spreads`.
        #[serde(default)]
        pub clear_spreads: Option<f64>,
        /// Which side is abnormal.
        #[serde(default = "both")]
        pub direction: Direction,
        /// What figures depend on.
        #[serde(default = "week")]
        pub season: Season,
        /// In so many weeks (days, with hours of the day; hours, without a season) an hour must have been seen before figures are judged in it. No
        /// more than 15 weeks are counted.
        #[serde(default = "two")]
        pub min_cycles: u8,
        /// No spread is taken for smaller than this, in the series' own unit.
        #[serde(default)]
        pub min_spread: f64,
        /// Nor for smaller than this share of what is usual.
        #[serde(default = "one_percent")]
        pub min_spread_share: f64,
        /// Nor for smaller than this share of how far what is usual varies over the week (or day).
        #[serde(default = "two_percent")]
        pub min_spread_range: f64,
        /// What has been abnormal for so many hours in a row is the new level.
        #[serde(default = "one_day")]
        pub relearn_after_hours: u16,
        /// Which figure of the window is judged.
        #[serde(default = "last")]
        pub aggregate: Aggregate,
        /// How bad it is.
        #[serde(default = "medium")]
        pub severity: Severity,
    }

    /// Which side is abnormal.
    #[derive(Copy)]
    pub enum Direction {
        /// Greater figures.
        Above,
        /// Smaller figures.
        Below,
        /// Both.
        Both,
    }

    /// What figures depend on.
    #[derive(Copy)]
    pub enum Season {
        /// The hour of the week.
        Week,
        /// The hour of the day.
        Day,
        /// Neither.
        None,
    }

    /// Which figure of a window is judged.
    #[derive(Copy)]
    pub enum Aggregate {
        /// The newest.
        Last,
        /// The mean of all.
        Avg,
        /// The median of all.
        Median,
    }
}

fn five() -> f64 {
    5.0
}

fn both() -> Direction {
    Direction::Both
}

fn week() -> Season {
    Season::Week
}

fn two() -> u8 {
    2
}

fn one_percent() -> f64 {
    0.01
}

fn two_percent() -> f64 {
    0.02
}

fn one_day() -> u16 {
    24
}

fn last() -> Aggregate {
    Aggregate::Last
}

fn medium() -> Severity {
    Severity::Medium
}

/// The plugin.
pub struct AdaptiveThreshold;

impl Plugin for AdaptiveThreshold {
    type Config = Config;
    const NAME: &'static str = "adaptive-threshold";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Flags series far from what is usual at the hour of the week, which it learns";

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(config.spreads > 0.0 && config.spreads <= 1e6) {
            problems.push(Problem::at("/spreads", "expected more than 0"));
        }
        if config.clear_spreads.is_some_and(|clear| !(0.0..=config.spreads).contains(&clear)) {
            problems.push(Problem::at("/clear-spreads", format!("expected at most {}", config.spreads)));
        }
        if config.min_cycles == 0 {
            problems.push(Problem::at("/min-cycles", "expected 1 or more"));
        }
        if matches!(config.season, Season::Week) && config.min_cycles > profile::WEEKS {
            let most = format!("expected at most {}: no more weeks are counted", profile::WEEKS);
            problems.push(Problem::at("/min-cycles", most));
        }
        for (pointer, share) in [
            ("/min-spread", config.min_spread),
            ("/min-spread-share", config.min_spread_share),
            ("/min-spread-range", config.min_spread_range),
        ] {
            if !(0.0..=f64::MAX).contains(&share) {
                problems.push(Problem::at(pointer, "expected 0 or more"));
            }
        }
        if config.relearn_after_hours == 0 {
            problems.push(Problem::at("/relearn-after-hours", "expected 1 or more"));
        }
        problems
    }
}

/// What is usual at a moment, and how far from it a figure lies.
struct Judged {
    expected: f64,
    lower: f64,
    upper: f64,
    /// In spreads, counted from the expected; what lies between two hours of different level counts as expected. Where the series is known to
    /// reach farther than is abnormal, in parts of that reach: as many as are abnormal is where it ends.
    deviation: f64,
    /// In spreads alone.
    strayed: f64,
}

impl Judged {
    /// None while the hour is being learned.
    fn of(profile: &Profile, at_ms: i64, value: f64, config: &Config) -> Option<Self> {
        let expected = profile.expected(at_ms, config.min_cycles)?;
        let floor = config
            .min_spread
            .max(config.min_spread_share * expected.centre.abs())
            // Centres are remembered in steps: what lies within one is nowhere else.
            .max(config.min_spread_range.max(1.0 / profile::STEPS) * profile.range())
            .max(f64::MIN_POSITIVE);
        let spread = expected.spread.max(floor);
        let wider = (profile.reach() / config.spreads).max(1.0);
        let half = config.spreads * spread * wider + expected.step;
        let off = value - expected.centre;
        let strayed = ((off.abs() - expected.step).max(0.0) / spread).min(1e9);
        Some(Judged {
            expected: expected.centre,
            lower: expected.centre - half,
            upper: expected.centre + half,
            deviation: (strayed / wider).copysign(off),
            strayed,
        })
    }

    fn is_beyond(&self, spreads: f64, direction: Direction) -> bool {
        match direction {
            Direction::Above => self.deviation > spreads,
            Direction::Below => -self.deviation > spreads,
            Direction::Both => self.deviation.abs() > spreads,
        }
    }
}

impl Detector for AdaptiveThreshold {
    fn evaluate(config: &Config, window: &Window, state: Option<&[u8]>) -> Result<Verdict, Failure> {
        if let Some(problem) = Self::validate(config).first() {
            return Err(Failure::rejected(format!("{}: {}", problem.pointer, problem.message)));
        }
        let hours = match config.season {
            Season::Week => 168,
            Season::Day => 24,
            Season::None => 1,
        };
        let mut memory = Memory::read(state, VERSION, window.now_ms, KEEP_MS);
        let mut verdict = Verdict::default();
        let mut keys = Vec::new();
        let mut learned_last = i64::MIN;
        for (index, series) in window.series.iter().enumerate() {
            let key = key(&series.labels);
            keys.push(key);
            let known = memory.get(key).and_then(|bytes| Profile::read(bytes, hours));
            let mut profile = known.unwrap_or_else(|| Profile::new(hours));
            learned_last = learned_last.max(profile.last_ms);
            let figure = figure(series, window.now_ms, config.aggregate);
            // Without a new sample nothing is learned, and what was raised stays so.
            let judged = match figure {
                Some((at_ms, value)) => {
                    let judged = Judged::of(&profile, at_ms, value, config);
                    if at_ms > profile.last_ms {
                        take_in(&mut profile, at_ms, value, judged.as_ref(), config);
                    }
                    judged.map(|judged| (value, judged))
                }
                None => None,
            };
            derive(&mut verdict, index, judged.as_ref().map(|(_, judged)| judged), figure.is_some());
            if let (true, Some((value, judged))) = (profile.is_raised, &judged) {
                verdict.signals.push(Signal {
                    series: index,
                    severity: config.severity,
                    value: *value,
                    expected: Some(judged.expected),
                    reason: describe(*value, judged),
                });
            } else if profile.is_raised {
                verdict.signals.push(Signal {
                    series: index,
                    severity: config.severity,
                    value: figure.map_or(profile.last_value, |(_, value)| value),
                    expected: None,
                    reason: "was far from what is usual, and can't be judged now".to_owned(),
                });
            }
            memory.set(key, window.now_ms, profile.write());
        }
        let (state, left_out) = memory.write();
        let left_out: BTreeSet<u64> = left_out.into_iter().collect();
        for (index, _) in keys.iter().enumerate().filter(|(_, key)| left_out.contains(key)) {
            verdict.derived.push(Derived { series: index, metric: FORGOTTEN.to_owned(), value: 1.0 });
        }
        // Once an hour: what is known was learned from in an earlier one.
        if !left_out.is_empty() && learned_last.div_euclid(HOUR_MS) != window.now_ms.div_euclid(HOUR_MS) {
            log::warn!(
                "{} of {} series find no room in the 64 KiB of the rule, and are not judged; hint: divide the rule by what it selects, or learn by the hour of the day",
                left_out.len(),
                window.series.len()
            );
        }
        verdict.state = state;
        Ok(verdict)
    }
}

/// Judges whether the series is raised now, and learns.
fn take_in(profile: &mut Profile, at_ms: i64, value: f64, judged: Option<&Judged>, config: &Config) {
    let clear = config.clear_spreads.unwrap_or(config.spreads / 2.0);
    let limit = if profile.is_raised { clear } else { config.spreads };
    if let Some(judged) = judged {
        profile.is_raised = judged.is_beyond(limit, config.direction);
    }
    // What is beyond on the side that nobody asked about is no less an outlier.
    let is_outlier = judged.is_some_and(|judged| judged.is_beyond(config.spreads, Direction::Both));
    let strayed = judged.map_or(0.0, |judged| judged.strayed);
    profile.learn(at_ms, value, strayed, is_outlier, config.relearn_after_hours);
}

fn derive(verdict: &mut Verdict, series: usize, judged: Option<&Judged>, has_figure: bool) {
    let mut derive = |metric: &str, value: f64| {
        if value.is_finite() {
            verdict.derived.push(Derived { series, metric: metric.to_owned(), value });
        }
    };
    if let Some(judged) = judged {
        derive(EXPECTED, judged.expected);
        derive(UPPER, judged.upper);
        derive(LOWER, judged.lower);
        derive(DEVIATION, judged.deviation);
    }
    if has_figure {
        derive(LEARNING, f64::from(u8::from(judged.is_none())));
    }
}

fn describe(value: f64, judged: &Judged) -> String {
    let side = if judged.deviation < 0.0 { "below" } else { "above" };
    format!(
        "is {}, {} spreads {side} the {} that is usual at this hour ({} to {})",
        words::figure(value),
        words::figure((judged.strayed * 10.0).round() / 10.0),
        words::figure(judged.expected),
        words::figure(judged.lower),
        words::figure(judged.upper)
    )
}

/// The figure that is judged, and when it was: the time of the newest sample that is a number, and not of the future.
fn figure(series: &Series, now_ms: i64, aggregate: Aggregate) -> Option<(i64, f64)> {
    let pairs = series.at_ms.iter().copied().zip(series.value.iter().copied());
    let (at_ms, newest) = pairs.filter(|(at, value)| *at <= now_ms && value.is_finite()).max_by_key(|(at, _)| *at)?;
    let numbers = || series.value.iter().copied().filter(|value| value.is_finite());
    let value = match aggregate {
        Aggregate::Last => newest,
        Aggregate::Avg => numbers().sum::<f64>() / numbers().count() as f64,
        Aggregate::Median => quarterdeck_sdk::statistics::median(&mut numbers().collect::<Vec<_>>())?,
    };
    // Differences of figures at the ends of the range must not be infinite.
    Some((at_ms, value.clamp(-1e150, 1e150))).filter(|(_, value)| value.is_finite())
}

quarterdeck_sdk::export!(AdaptiveThreshold: detector);

#[cfg(test)]
mod tests;
