//! Whether figures go up or down over time by more than chance, and how fast.
//!
//! The test is that of Mann (1945) and Kendall (1975), with the correction for ties; the slope is that of Theil (1950) and Sen (1968),
//! the median of the slopes between all pairs of points, and its confidence interval is Sen's. Neighbouring figures that resemble each
//! other make a trend look surer than it is: the variance is corrected for that as by Hamed & Rao (1998). Figures that begin anew in
//! between (a process that was restarted) are taken in runs: as Hirsch & Slack (1982) do with seasons, only points of the same run are
//! compared, and what the runs say is added up.

use super::{MAD_TO_SIGMA, median, normal_tail, normal_width, quantile};

/// A figure at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the beginning of what is looked at.
    pub seconds: f64,
    /// The figure.
    pub value: f64,
}

/// At most so many points that are spread evenly over the time from `from_ms` to `to_ms`: the median of each stretch, at the mean of
/// its times. What is no finite number, or outside, is left out; the order of the samples does not matter, nor that times occur twice.
pub fn thinned(at_ms: &[i64], value: &[f64], from_ms: i64, to_ms: i64, most: usize) -> Vec<Point> {
    let length = to_ms.saturating_sub(from_ms).max(1) as f64;
    let mut stretches: Vec<Vec<Point>> = vec![Vec::new(); most.max(1)];
    for (&at, &value) in at_ms.iter().zip(value) {
        let offset = at.saturating_sub(from_ms) as f64;
        let (seconds, share) = (offset / 1000.0, offset / length);
        if !value.is_finite() || !(0.0..=1.0).contains(&share) {
            continue;
        }
        let index = ((share * most as f64) as usize).min(most.saturating_sub(1));
        if let Some(stretch) = stretches.get_mut(index) {
            stretch.push(Point { seconds, value });
        }
    }
    let point = |stretch: Vec<Point>| {
        let mut values: Vec<f64> = stretch.iter().map(|point| point.value).collect();
        let seconds = stretch.iter().map(|point| point.seconds).sum::<f64>() / stretch.len().max(1) as f64;
        Some(Point { seconds, value: median(&mut values)? })
    };
    stretches.into_iter().filter_map(point).collect()
}

/// Cuts points where they begin anew: where a figure falls, from one point to the next, by more than a third of the whole range and
/// by more than `usual` times the median of such steps. A garbage collector's drops are usual, a restart's is not.
pub fn runs(points: &[Point], usual: f64) -> Vec<&[Point]> {
    let values = || points.iter().map(|point| point.value);
    let range = values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min);
    let steps = || points.windows(2).filter_map(|pair| pair.last().zip(pair.first())).map(|(b, a)| b.value - a.value);
    let mut sizes: Vec<f64> = steps().map(f64::abs).collect();
    let limit = (range / 3.0).max(median(&mut sizes).unwrap_or_default() * usual);
    let mut found = Vec::new();
    let mut rest = points;
    let mut done = 0;
    for (index, step) in steps().enumerate() {
        if -step > limit
            && let Some((run, after)) = rest.split_at_checked(index + 1 - done)
        {
            found.push(run);
            (rest, done) = (after, index + 1);
        }
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    found
}

/// What the figures do over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change per second.
    pub slope: f64,
    /// The slope is at least this, with the confidence that was asked for.
    pub lower: f64,
    /// And at most this.
    pub upper: f64,
    /// Kendall's: the share of pairs that rise less the share of those that fall, -1 to 1. How well "it only ever rises" fits.
    pub tau: f64,
    /// How probable it is that figures without a trend go as far in this direction or the other.
    pub probability: f64,
    /// Points that were compared.
    pub points: usize,
}

/// The trend of points that may begin anew in between; `confidence` is that of the slope's interval (0.95). None with fewer than
/// four points in a run.
pub fn trend(runs: &[&[Point]], confidence: f64) -> Option<Trend> {
    let mut slopes = Vec::new();
    let (mut score, mut variance, mut pairs, mut points) = (0.0, 0.0, 0.0, 0);
    let long = || runs.iter().filter(|run| run.len() >= 4);
    for run in long() {
        for (index, a) in run.iter().enumerate() {
            for b in run.iter().skip(index + 1).filter(|b| b.seconds > a.seconds) {
                slopes.push((b.value - a.value) / (b.seconds - a.seconds));
                score += (b.value - a.value).partial_cmp(&0.0).map_or(0.0, |order| f64::from(order as i8));
                pairs += 1.0;
            }
        }
    }
    let slope = median(&mut slopes)?;
    for run in long() {
        variance += mann_kendall_variance(run) * resemblance(run, slope);
        points += run.len();
    }
    // One less, because the score goes in steps.
    let z = if variance > 0.0 { (score.abs() - 1.0).max(0.0) / variance.sqrt() } else { 0.0 };
    // Sen's interval: as many slopes below the median, and above, as the score strays by.
    let share = normal_width(confidence) * variance.sqrt() / pairs / 2.0;
    Some(Trend {
        slope,
        lower: quantile(&mut slopes, 0.5 - share)?,
        upper: quantile(&mut slopes, 0.5 + share)?,
        tau: score / pairs,
        probability: if z > 0.0 { (2.0 * normal_tail(z)).min(1.0) } else { 1.0 },
        points,
    })
}

/// The variance of the score of points without a trend, `(n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18` with groups of `t` equal figures.
fn mann_kendall_variance(run: &[Point]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = run.iter().map(|point| point.value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|group| term(group.len() as f64)).sum();
    (term(run.len() as f64) - ties) / 18.0
}

/// How much greater the variance is because neighbours resemble each other (Hamed & Rao 1998, equation 4), from the autocorrelation of
/// the ranks of what the slope leaves over, at lags where it is more than chance. Never below 1: figures that alternate make nothing
/// surer here. Lags up to a quarter of the points, beyond which too few pairs are left to say.
fn resemblance(run: &[Point], slope: f64) -> f64 {
    let n = run.len() as f64;
    let ranks = ranks(&run.iter().map(|point| point.value - slope * point.seconds).collect::<Vec<_>>());
    let mean = (n + 1.0) / 2.0;
    let total: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if total <= 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for lag in 1..=run.len() / 4 {
        let pairs = ranks.iter().zip(ranks.iter().skip(lag));
        let correlation: f64 = pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / total;
        if correlation.abs() > 1.96 / n.sqrt() {
            let i = lag as f64;
            sum += (n - i) * (n - i - 1.0) * (n - i - 2.0) * correlation;
        }
    }
    (1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0)
}

/// Ranks from 1, the mean of them for equal figures.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for group in order.chunk_by(|a, b| a.1 == b.1) {
        let count = group.len() as f64;
        for (index, _) in group {
            if let Some(rank) = ranks.get_mut(*index) {
                *rank = before + f64::midpoint(count, 1.0);
            }
        }
        before += count;
    }
    ranks
}

/// Where a line of this slope stands at a time (the median of where each point would have it), and how far points stray from it: their
/// median absolute deviation, scaled to a standard deviation.
pub fn level(run: &[Point], slope: f64, seconds: f64) -> Option<(f64, f64)> {
    let mut levels: Vec<f64> = run.iter().map(|point| point.value + slope * (seconds - point.seconds)).collect();
    let level = median(&mut levels)?;
    let mut strays: Vec<f64> = levels.iter().map(|other| (other - level).abs()).collect();
    Some((level, median(&mut strays)? * MAD_TO_SIGMA))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        values.iter().enumerate().map(|(index, value)| Point { seconds: index as f64, value: *value }).collect()
    }

    /// The same figures on every machine, between -1 and 1.
    fn noise(count: usize) -> Vec<f64> {
        let mut seed: u64 = 42;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn a_straight_line_is_found_exactly_in_spite_of_outliers() {
        let mut values: Vec<f64> = (0..40).map(|index| 3.0 + 2.0 * f64::from(index)).collect();
        values[7] = 1e9;
        values[30] = -1e9;
        let points = points(&values);
        let found = trend(&[&points], 0.95).unwrap();
        assert_eq!(found.slope, 2.0);
        assert!(found.tau > 0.8 && found.probability < 1e-6, "{found:?}");
        assert_eq!(level(&points, 2.0, 39.0), Some((81.0, 0.0)));
    }

    #[test]
    fn equal_figures_count_neither_way_and_lessen_the_variance() {
        // Of ten figures: 10*9*25/18 = 125, less 2*1*9/18 for a group of two and 3*2*11/18 for one of three.
        let points = points(&[1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert!((mann_kendall_variance(&points) - (125.0 - 84.0 / 18.0)).abs() < 1e-9);
        let found = trend(&[&points], 0.95).unwrap();
        assert!((found.tau - 41.0 / 45.0).abs() < 1e-9, "all but four tied pairs rise: {found:?}");
    }

    #[test]
    fn noise_has_no_trend_and_constant_figures_have_none_at_all() {
        let found = trend(&[&points(&noise(100))], 0.95).unwrap();
        assert!(found.probability > 0.05 && found.lower < 0.0 && found.upper > 0.0, "{found:?}");
        let found = trend(&[&points(&[5.0; 50])], 0.95).unwrap();
        assert_eq!((found.slope, found.tau, found.probability), (0.0, 0.0, 1.0));
    }

    #[test]
    fn figures_are_those_of_every_language() {
        let values: Vec<f64> = noise(24).iter().enumerate().map(|(index, value)| 0.05 * index as f64 + value).collect();
        let found = trend(&[&points(&values)], 0.95).unwrap();
        let figures = [found.slope, found.lower, found.upper, found.tau, found.probability];
        let expected = [
            0.055_658_672_679_038_28,
            0.027_103_033_498_315_464,
            0.091_193_789_153_297_36,
            0.463_768_115_942_029,
            0.001_631_947_981_030_292,
        ];
        for (own, expected) in figures.into_iter().zip(expected) {
            assert!((own - expected).abs() < 1e-12, "{found:?}");
        }
    }

    #[test]
    fn neighbours_that_resemble_each_other_make_a_trend_less_sure() {
        // A slow wave on a weak trend, and the same figures shuffled but for the trend.
        let wave: Vec<f64> = (0..96).map(|i| 0.01 * f64::from(i) + (f64::from(i) / 15.0).sin()).collect();
        let apart: Vec<f64> = (0..96).map(|i| 0.01 * f64::from(i) + (f64::from(i * 37 % 96) / 15.0).sin()).collect();
        let (wave, apart) = (trend(&[&points(&wave)], 0.95).unwrap(), trend(&[&points(&apart)], 0.95).unwrap());
        assert!(wave.upper - wave.lower > 1.5 * (apart.upper - apart.lower), "{wave:?} {apart:?}");
    }

    #[test]
    fn what_begins_anew_is_cut_there_and_its_runs_agree() {
        let saw: Vec<f64> = (0..90).map(|index| f64::from(index % 30)).collect();
        let points = points(&saw);
        let runs = runs(&points, 8.0);
        assert_eq!(runs.iter().map(|run| run.len()).collect::<Vec<_>>(), [30, 30, 30]);
        let found = trend(&runs, 0.95).unwrap();
        assert_eq!((found.slope, found.tau, found.points), (1.0, 1.0, 90));
        let whole = trend(&[&points], 0.95).unwrap();
        assert!(whole.tau < 0.4, "taken as a whole it hardly rises: {whole:?}");
    }

    #[test]
    fn usual_drops_are_no_restarts() {
        // A collector that frees as much every fourth time.
        let saw: Vec<f64> = (0..80).map(|index| f64::from(index % 4) + f64::from(index) / 100.0).collect();
        assert_eq!(runs(&points(&saw), 8.0).len(), 1);
    }

    #[test]
    fn thinning_takes_medians_and_minds_neither_order_nor_duplicates() {
        let at = [9_000, 1_000, 1_000, 2_000, 6_000, 99_000, -5];
        let value = [4.0, 1.0, 3.0, f64::NAN, 7.0, 1.0, 1.0];
        let thin = thinned(&at, &value, 0, 10_000, 2);
        assert_eq!(thin, [Point { seconds: 1.0, value: 2.0 }, Point { seconds: 7.5, value: 5.5 }]);
        assert!(thinned(&[], &[], 0, 0, 0).is_empty());
        assert_eq!(thinned(&[i64::MIN, i64::MAX], &[1.0, 1.0], i64::MIN, i64::MAX, 3).len(), 2);
    }

    #[test]
    fn the_ends_of_the_range_and_too_few_points_are_no_trend_and_no_panic() {
        let wild = points(&[f64::MAX, f64::MIN, 0.0, -0.0, f64::MAX, f64::MIN]);
        let _ = trend(&runs(&wild, 8.0), 0.95);
        assert_eq!(trend(&[&points(&[1.0, 2.0, 3.0])], 0.95), None);
        assert_eq!(trend(&[], 0.95), None);
        assert!(runs(&[], 8.0).is_empty());
        assert_eq!(level(&[], 1.0, 0.0), None);
    }
}
