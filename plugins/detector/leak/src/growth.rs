//! How surely and how fast a series grows, between its restarts.

use crate::Config;
use quarterdeck_sdk::detector::{Series, Window};
use quarterdeck_sdk::statistics::median;
use quarterdeck_sdk::statistics::trend::{self, Point, Trend};

/// Points that a window is thinned to: all pairs of them are compared.
const POINTS: usize = 128;
/// Fewer say nothing.
const FEWEST: usize = 12;
/// A fall that is so many times the median step is a restart.
const USUAL: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Growth {
    pub(crate) trend: Trend,
    /// The newest figure.
    pub(crate) latest: f64,
    /// The median of all.
    level: f64,
    /// Stretches between restarts.
    pub(crate) runs: usize,
    /// Over how long.
    pub(crate) seconds: f64,
    /// Whether the newer half of the points still rises.
    goes_on: bool,
}

impl Growth {
    pub(crate) fn of(series: &Series, window: &Window, config: &Config) -> Option<Self> {
        let points = trend::thinned(&series.at_ms, &series.value, window.from_ms, window.now_ms, POINTS);
        let seconds = points.last()?.seconds - points.first()?.seconds;
        // The stretches of time are half empty at their ends, so that what was asked for is never quite there.
        let stretch = window.now_ms.saturating_sub(window.from_ms) as f64 / 1000.0 / POINTS as f64;
        if points.len() < FEWEST || seconds + 2.0 * stretch < config.min_history_seconds {
            return None;
        }
        let runs = trend::runs(&points, USUAL);
        let trend = trend::trend(&runs, config.confidence)?;
        let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let latest = *values.last()?;
        Some(Growth {
            trend,
            latest,
            level: median(&mut values)?,
            // What lies between two falls at once is the fall itself.
            runs: runs.iter().filter(|run| run.len() > 1).count(),
            seconds,
            goes_on: goes_on(&points, trend.slope),
        })
    }

    pub(crate) fn is_leak(&self, config: &Config) -> bool {
        let gained = self.trend.lower * self.seconds;
        self.trend.probability <= 1.0 - config.confidence
            && self.trend.lower > 0.0
            && self.trend.tau >= config.min_fit
            && gained >= config.min_growth * self.level.abs()
            && self.goes_on
    }
}

/// A cache that has filled has stopped growing, although the window as a whole rose: the newer half must rise at least half as fast.
fn goes_on(points: &[Point], slope: f64) -> bool {
    let newer = points.get(points.len() / 2..).unwrap_or_default();
    let found = trend::trend(&trend::runs(newer, USUAL), 0.9);
    // Too few between restarts to say, and the whole window has said already.
    found.is_none_or(|found| found.slope > slope / 2.0)
}
