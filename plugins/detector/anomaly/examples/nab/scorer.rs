//! The score of the Numenta Anomaly Benchmark: Lavin & Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly
//! Benchmark" (2015), with the standard profile's weights.
//!
//! A series has windows, each around an anomaly that people labelled. The first sample that is flagged inside a window earns the more the
//! earlier it comes (a sigmoid over the window), whatever else is flagged in it; a window without one costs a whole point. Each sample that is
//! flagged outside of windows costs a share, less right behind a window. The first 15 % of a series (750 samples at most) don't count.
//! The threshold above which a sample's score flags it is one for all series: the one that scores best, as NAB's optimiser has it. The sum
//! is told as a share between what a detector gets that never flags anything (0) and a perfect one (100).

use std::collections::BTreeMap;

/// What a false positive costs, far from any window, in the standard profile. Found and missed windows count 1.
pub(crate) const FALSE_POSITIVE: f64 = 0.11;
const PROBATION: f64 = 0.15;
const LONGEST_PROBATION: f64 = 750.0;

/// One series with its labels: windows as indices of their first and last sample.
pub(crate) struct Labelled {
    pub(crate) samples: usize,
    pub(crate) windows: Vec<(usize, usize)>,
}

/// What a detector made of all series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// 0 to 100, below 0 if it is worse than flagging nothing.
    pub(crate) score: f64,
    /// What flags: scores of at least this.
    pub(crate) threshold: f64,
    pub(crate) windows: usize,
    pub(crate) found: usize,
    /// Flagged samples inside and outside of windows.
    pub(crate) inside: usize,
    pub(crate) outside: usize,
}

impl Outcome {
    /// The share of flagged samples that lie in windows.
    pub(crate) fn precision(&self) -> f64 {
        self.inside as f64 / (self.inside + self.outside).max(1) as f64
    }
}

/// The sigmoid of the paper, from nearly 1 at the window's left end (-1) over 0 at its right end to -1 far behind.
fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// What each sample is worth if it is flagged, and in which window it lies; none in probation.
fn worth(series: &Labelled) -> Vec<Option<(f64, Option<usize>)>> {
    let probation = (PROBATION * series.samples as f64).floor().min(LONGEST_PROBATION);
    let worth = |index: usize| {
        if let Some(window) = series.windows.iter().position(|(first, last)| (*first..=*last).contains(&index)) {
            let (first, last) = series.windows[window];
            let position = -((last - index + 1) as f64) / (last - first + 1) as f64;
            return (sigmoid(position) / sigmoid(-1.0), Some(window));
        }
        let before = series.windows.iter().filter(|(_, last)| *last < index).max_by_key(|(_, last)| *last);
        let far = before.map_or(-1.0, |(first, last)| sigmoid((index - last) as f64 / (last - first) as f64));
        (far * FALSE_POSITIVE, None)
    };
    (0..series.samples).map(|index| (index as f64 >= probation).then(|| worth(index))).collect()
}

/// Scores of all samples of all series (0: not flagged at any threshold) against the labels, at the best threshold.
pub(crate) fn best(series: &[Labelled], scores: &[Vec<f64>]) -> Outcome {
    sweep(series, scores, None)
}

/// The same at a given threshold.
pub(crate) fn at(series: &[Labelled], scores: &[Vec<f64>], threshold: f64) -> Outcome {
    sweep(series, scores, Some(threshold))
}

fn sweep(series: &[Labelled], scores: &[Vec<f64>], fixed: Option<f64>) -> Outcome {
    // Score, what it is worth to flag it, and the window that it lies in.
    let mut points = Vec::new();
    let mut earned: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (number, (series, scores)) in series.iter().zip(scores).enumerate() {
        assert_eq!(series.samples, scores.len(), "a score for each sample");
        for (score, worth) in scores.iter().zip(worth(series)) {
            let Some((worth, window)) = worth else { continue };
            let window = window.map(|window| (number, window));
            if let Some(window) = window {
                earned.insert(window, -1.0);
            }
            if *score > 0.0 {
                points.push((*score, worth, window));
            }
        }
    }
    points.sort_by(|a: &(f64, f64, Option<(usize, usize)>), b| b.0.total_cmp(&a.0));
    let windows = earned.len();
    let normalised = |total: f64| 100.0 * (total + windows as f64) / (2.0 * windows as f64);
    let mut total = -(windows as f64);
    let nothing =
        Outcome { score: normalised(total), threshold: f64::INFINITY, windows, found: 0, inside: 0, outside: 0 };
    let (mut best, mut now) = (nothing, nothing);
    for group in points.chunk_by(|a, b| a.0 == b.0) {
        if fixed.is_some_and(|fixed| group[0].0 < fixed) {
            break;
        }
        for (_, worth, window) in group {
            match window {
                None => {
                    total += worth;
                    now.outside += 1;
                }
                Some(window) => {
                    let so_far = earned.entry(*window).or_insert(-1.0);
                    now.found += usize::from(*so_far == -1.0);
                    now.inside += 1;
                    total += (worth - *so_far).max(0.0);
                    *so_far = so_far.max(*worth);
                }
            }
        }
        now = Outcome { score: normalised(total), threshold: group[0].0, ..now };
        if now.score > best.score {
            best = now;
        }
    }
    if fixed.is_some() { now } else { best }
}
