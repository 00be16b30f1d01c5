//! A robust line through a series, and when it meets a limit.

use crate::{Config, Direction};
use quarterdeck_sdk::detector::{Series, Window, words};
use quarterdeck_sdk::statistics::normal_width;
use quarterdeck_sdk::statistics::trend::{self, Point, Trend};

/// Points that a window is thinned to: all pairs of them are compared, which is 8,000.
const POINTS: usize = 128;
/// Fewer say nothing.
const FEWEST: usize = 8;
/// A fall that is so many times the median step is a clean-up, not a wobble.
const USUAL: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) trend: Trend,
    /// Where the line stands now.
    pub(crate) level: f64,
    /// How far a figure may stray from it, with the confidence that was asked for.
    stray: f64,
}

/// Seconds until the limit; infinite is never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forecast {
    pub(crate) lower: f64,
    pub(crate) line: f64,
    pub(crate) upper: f64,
    pub(crate) is_full: bool,
}

impl Line {
    /// The line, or why there is none.
    pub(crate) fn through(series: &Series, window: &Window, config: &Config) -> Result<Self, String> {
        let mut points = trend::thinned(&series.at_ms, &series.value, window.from_ms, window.now_ms, POINTS);
        let span = points.first().zip(points.last()).map_or(0.0, |(first, last)| last.seconds - first.seconds);
        // The stretches of time are half empty at their ends, so that what was asked for is never quite there.
        let stretch = window.now_ms.saturating_sub(window.from_ms) as f64 / 1000.0 / POINTS as f64;
        if points.len() < FEWEST || span + 2.0 * stretch < config.min_history_seconds {
            return Err(format!("has samples over {} only", words::span(span)));
        }
        // Turned over, so that filling is rising and a clean-up is a fall.
        let sign = sign(config.direction);
        for point in &mut points {
            point.value *= sign;
        }
        let none = || "follows no line".to_owned();
        let runs = trend::runs(&points, USUAL);
        let found = trend::trend(&runs, config.confidence).ok_or_else(none)?;
        let now = window.now_ms.saturating_sub(window.from_ms) as f64 / 1000.0;
        let last = runs.iter().rev().find(|run| run.len() >= 4).copied().unwrap_or(&points);
        // Where the newest run is too short to be fitted, the line stands where its figures are.
        let newest: &[Point] = runs.last().filter(|run| run.len() < 4).copied().unwrap_or(last);
        let (level, _) = trend::level(newest, found.slope, now).ok_or_else(none)?;
        let (_, spread) = trend::level(last, found.slope, now).ok_or_else(none)?;
        let line = Line {
            trend: Trend {
                slope: found.slope * sign,
                lower: (found.lower * sign).min(found.upper * sign),
                upper: (found.lower * sign).max(found.upper * sign),
                tau: found.tau * sign,
                ..found
            },
            level: level * sign,
            stray: spread * normal_width(config.confidence),
        };
        let is_usable = [line.trend.slope, line.trend.lower, line.trend.upper, line.level, line.stray];
        if is_usable.iter().all(|value| value.is_finite()) { Ok(line) } else { Err(none()) }
    }

    /// Whether it fills, and the interval of the slope says that this is no chance.
    pub(crate) fn is_growing(&self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.trend.lower > 0.0,
            Direction::Down => self.trend.upper < 0.0,
        }
    }

    /// Kendall's tau in the direction of filling.
    pub(crate) fn fit(&self, direction: Direction) -> f64 {
        self.trend.tau * sign(direction)
    }

    /// When the limit is met: by the line; at the earliest, by the steepest slope from the highest figure; at the latest, by the flattest
    /// from the lowest.
    pub(crate) fn until(&self, limit: f64, direction: Direction) -> Forecast {
        let sign = sign(direction);
        let room = (limit - self.level) * sign;
        let (flat, steep) = match direction {
            Direction::Up => (self.trend.lower, self.trend.upper),
            Direction::Down => (-self.trend.upper, -self.trend.lower),
        };
        let seconds = |room: f64, slope: f64| match slope > 0.0 {
            _ if room <= 0.0 => 0.0,
            true => room / slope,
            false => f64::INFINITY,
        };
        Forecast {
            lower: seconds(room - self.stray, steep),
            line: seconds(room, self.trend.slope * sign),
            upper: seconds(room + self.stray, flat),
            is_full: room <= 0.0,
        }
    }
}

fn sign(direction: Direction) -> f64 {
    match direction {
        Direction::Up => 1.0,
        Direction::Down => -1.0,
    }
}
