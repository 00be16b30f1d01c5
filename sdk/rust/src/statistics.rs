//! Robust statistics that detectors need: medians and spreads that a few outliers don't move, and trends that are more than chance.
//! Nothing here panics over what is no number: such values are left out, and what can't be said is `None`.

pub mod trend;

/// What the median absolute deviation is multiplied with to estimate the standard deviation of normal figures: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The value below which a share `q` (0 to 1) of the finite values lies, interpolated linearly (Hyndman & Fan 1996, type 7).
/// Sorts them.
///
/// ```
/// assert_eq!(quarterdeck_sdk::statistics::quantile(&mut [4.0, 1.0, f64::NAN, 3.0, 2.0], 0.5), Some(2.5));
/// ```
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    // What is no finite number goes to the end.
    values.sort_unstable_by(|a, b| b.is_finite().cmp(&a.is_finite()).then(a.total_cmp(b)));
    let count = values.iter().take_while(|value| value.is_finite()).count();
    let sorted = values.get(..count)?;
    let rank = q.clamp(0.0, 1.0) * count.checked_sub(1)? as f64;
    let below = *sorted.get(rank.floor() as usize)?;
    let above = *sorted.get(rank.ceil() as usize)?;
    let share = rank - rank.floor();
    // Not `below + share * (above - below)`: the difference of the ends of the range is infinite.
    Some(below * (1.0 - share) + above * share)
}

/// The median of the finite values. Sorts them.
pub fn median(values: &mut [f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The median and the spread around it: the median absolute deviation, scaled to the standard deviation of normal figures.
///
/// ```
/// let (centre, spread) = quarterdeck_sdk::statistics::centre_and_spread(&[1.0, 2.0, 3.0, 4.0, 1e9]).unwrap();
/// assert_eq!(centre, 3.0);
/// assert!((spread - 1.4826).abs() < 0.001);
/// ```
pub fn centre_and_spread(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    let centre = median(&mut sorted)?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    Some((centre, median(&mut deviations)? * MAD_TO_SIGMA))
}

/// The probability that a standard normal figure is greater than `z` (Abramowitz & Stegun 1964, 26.2.17: off by at most 7.5e-8).
///
/// ```
/// assert!((quarterdeck_sdk::statistics::normal_tail(1.959_964) - 0.025).abs() < 1e-6);
/// ```
pub fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let polynomial = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let series = polynomial.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = series * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// How many standard deviations either side of the mean hold a share `confidence` of normal figures: 1.96 for 0.95. Found by
/// halving, so as exact as [`normal_tail`].
///
/// ```
/// assert!((quarterdeck_sdk::statistics::normal_width(0.95) - 1.959_964).abs() < 1e-4);
/// ```
pub fn normal_width(confidence: f64) -> f64 {
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if normal_tail(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(median(&mut [f64::NAN, f64::INFINITY, 3.0, 1.0, f64::NEG_INFINITY]), Some(2.0));
        assert_eq!(median(&mut [f64::NAN]), None);
        assert_eq!(median(&mut []), None);
        assert_eq!(centre_and_spread(&[f64::NAN]), None);
    }

    #[test]
    fn the_ends_of_the_range_have_a_median() {
        assert_eq!(median(&mut [f64::MAX, f64::MIN]), Some(0.0));
        assert_eq!(median(&mut [f64::MAX, f64::MAX]), Some(f64::MAX));
    }

    #[test]
    fn quantiles_are_interpolated() {
        let mut values = [10.0, 20.0, 30.0, 40.0, 50.0];
        assert_eq!(quantile(&mut values, 0.0), Some(10.0));
        assert_eq!(quantile(&mut values, 0.9), Some(46.0));
        assert_eq!(quantile(&mut values, 1.0), Some(50.0));
    }

    #[test]
    fn tails_and_widths_are_those_of_the_tables() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655), (2.326_348, 0.01), (3.090_232, 0.001), (-1.0, 0.841_345)] {
            assert!((normal_tail(z) - tail).abs() < 1e-6, "{z}: {}", normal_tail(z));
        }
        for (confidence, width) in [(0.8, 1.281_552), (0.9, 1.644_854), (0.99, 2.575_829)] {
            assert!((normal_width(confidence) - width).abs() < 1e-4, "{confidence}: {}", normal_width(confidence));
        }
    }
}
