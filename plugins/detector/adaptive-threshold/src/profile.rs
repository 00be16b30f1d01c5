//! What is usual for one series at each hour of the week (or of the day): a centre and a spread for each, learned as the hours pass.
//!
//! Of each hour a few figures are kept; when it is over, their median and their median absolute deviation move the hour's centre and
//! spread, by one part in as many as the hour has been seen, at least by a fifth: the newest five or so weeks count. How far an hour's
//! median lies from what was expected of it counts as spread as well, or series with one figure an hour would seem to have none. An
//! hour that was seen seldom borrows from the others: its spread is the mean of its own, as often as it was seen, and twice the median of all.
//!
//! Single outliers don't move a median. An hour most of whose figures were abnormal is left out altogether, so that an outage does not become
//! usual; but when so many such hours follow one another, it is the level that has changed, and the whole profile is moved there.
//!
//! Spreads say little about how far a series may stray that is mostly still and sometimes is not. So the farthest that figures strayed in an hour
//! is remembered, of the two hours in which it was most: the second of them is how far the series is known to reach, and nearer than that nothing is
//! abnormal. One odd hour therefore changes nothing. They are forgotten by half in a week.

use quarterdeck_sdk::detector::Reader;
use quarterdeck_sdk::statistics::{centre_and_spread, median};

const HOUR_MS: i64 = 3_600_000;
/// Steps from the lowest centre to the highest, as they are remembered: what lies nearer together is the same.
pub(crate) const STEPS: f64 = 4_000.0;
/// With more hours than those of a day, a centre and the cycles in which it was seen share two bytes.
const HOURS_OF_A_DAY: usize = 24;
/// Cycles that are counted then, and the bits that they take.
pub(crate) const WEEKS: u8 = 15;
const WEEK_BITS: u32 = 4;
/// Bytes in front of the figures that are kept.
const HEAD_BYTES: usize = 60;
/// Figures kept of the hour under way. When there are more, every second one goes, and from then on every second one is taken.
const KEPT: usize = 12;
/// In so many hours it is forgotten by half how far the series reaches: a week.
const REACH_HALF_LIFE: f64 = 168.0;
/// A cycle counts as one part of so many at least.
const MEMORY: f64 = 5.0;
/// For normal figures, the mean absolute deviation is this part of the standard deviation: √(π/2).
const MEAN_DEVIATION_TO_SIGMA: f64 = 1.253_314_137_315_5;
/// Steps of a spread's logarithm: a spread of a byte is exact to 6 %, over six orders of magnitude.
const STEPS_PER_OCTAVE: f64 = 12.0;

/// What is usual in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) centre: f64,
    pub(crate) spread: f64,
    /// Cycles in which it was seen, 255 at most.
    pub(crate) seen: u8,
}

/// What is expected at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) centre: f64,
    pub(crate) spread: f64,
    /// By how much the neighbouring hour lies elsewhere, at this distance from it: nobody knows where between them the level changes.
    pub(crate) step: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) buckets: Vec<Bucket>,
    /// The hour under way, since 1970.
    hour: i64,
    /// Its figures, one of `stride`.
    kept: Vec<f64>,
    stride: u16,
    skipped: u16,
    /// All of its figures, and the abnormal ones among them.
    taken: u16,
    beyond: u16,
    /// Hours in a row that were left out, up to now.
    left_out: u16,
    /// The newest sample that was judged, and what it was.
    pub(crate) last_ms: i64,
    pub(crate) last_value: f64,
    /// How many spreads figures strayed at most, in the hour under way, and in the two hours in which it was most.
    hour_most: f64,
    most: [f64; 2],
    /// An alert is raised.
    pub(crate) is_raised: bool,
}

impl Profile {
    pub(crate) fn new(hours: usize) -> Self {
        Profile {
            buckets: vec![Bucket::default(); hours.max(1)],
            hour: i64::MIN,
            kept: Vec::new(),
            stride: 1,
            skipped: 0,
            taken: 0,
            beyond: 0,
            left_out: 0,
            last_ms: i64::MIN,
            last_value: 0.0,
            hour_most: 0.0,
            most: [0.0; 2],
            is_raised: false,
        }
    }

    /// Hours since 1970 began on a Thursday; which hour of the cycle is the first does not matter.
    fn index(&self, hour: i64) -> usize {
        let count = i64::try_from(self.buckets.len()).unwrap_or(1).max(1);
        usize::try_from(hour.rem_euclid(count)).unwrap_or_default()
    }

    fn bucket(&self, hour: i64) -> Bucket {
        self.buckets.get(self.index(hour)).copied().unwrap_or_default()
    }

    /// What is expected at a time: the hour's centre in its middle, and between two middles the line between them. None until the hour
    /// has been seen in so many cycles.
    pub(crate) fn expected(&self, at_ms: i64, min_cycles: u8) -> Option<Expected> {
        let hour = at_ms.div_euclid(HOUR_MS);
        let own = self.bucket(hour);
        if own.seen < min_cycles.max(1) {
            return None;
        }
        let usual = self.usual_spread();
        let spread = |bucket: Bucket| {
            let seen = f64::from(bucket.seen);
            (seen * bucket.spread + 2.0 * usual) / (seen + 2.0)
        };
        let from_middle = at_ms.rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64 - 0.5;
        let next = self.bucket(if from_middle < 0.0 { hour.saturating_sub(1) } else { hour.saturating_add(1) });
        if next.seen < min_cycles.max(1) {
            return Some(Expected { centre: own.centre, spread: spread(own), step: 0.0 });
        }
        let weight = from_middle.abs();
        Some(Expected {
            centre: own.centre * (1.0 - weight) + next.centre * weight,
            spread: spread(own) * (1.0 - weight) + spread(next) * weight,
            step: (next.centre - own.centre).abs() * weight,
        })
    }

    /// How many spreads the series is known to stray by.
    pub(crate) fn reach(&self) -> f64 {
        self.most[1]
    }

    /// How far the centres of the hours lie apart.
    pub(crate) fn range(&self) -> f64 {
        let seen = || self.buckets.iter().filter(|bucket| bucket.seen > 0).map(|bucket| bucket.centre);
        (seen().fold(f64::NEG_INFINITY, f64::max) - seen().fold(f64::INFINITY, f64::min)).max(0.0)
    }

    /// The median of the hours' spreads.
    fn usual_spread(&self) -> f64 {
        let seen = self.buckets.iter().filter(|bucket| bucket.seen > 0);
        median(&mut seen.map(|bucket| bucket.spread).collect::<Vec<_>>()).unwrap_or_default()
    }

    /// Takes in a figure, and how many spreads it lies from what was expected, if anything was. `relearn_hours`: after so many abnormal
    /// hours in a row the level has changed.
    pub(crate) fn learn(&mut self, at_ms: i64, value: f64, strayed: f64, is_beyond: bool, relearn_hours: u16) {
        self.turn(at_ms, relearn_hours);
        self.hour_most = self.hour_most.max(strayed);
        (self.last_ms, self.last_value) = (at_ms, value);
        self.taken = self.taken.saturating_add(1);
        self.beyond = self.beyond.saturating_add(u16::from(is_beyond));
        if self.skipped + 1 < self.stride {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        if self.kept.len() >= KEPT {
            let mut is_odd = false;
            self.kept.retain(|_| {
                is_odd = !is_odd;
                is_odd
            });
            self.stride = self.stride.saturating_mul(2);
        }
        self.kept.push(value);
    }

    /// Closes the hour under way if this is a later one. Every hour of a profile without hours is the same one.
    fn turn(&mut self, at_ms: i64, relearn_hours: u16) {
        let hour = at_ms.div_euclid(HOUR_MS);
        if hour <= self.hour {
            return;
        }
        let closed = std::mem::replace(&mut self.hour, hour);
        let kept = std::mem::take(&mut self.kept);
        let is_abnormal = u32::from(self.beyond) * 2 > u32::from(self.taken);
        let strayed = std::mem::take(&mut self.hour_most);
        self.most = self.most.map(|most| most * (-1.0 / REACH_HALF_LIFE).exp2());
        (self.stride, self.skipped, self.taken, self.beyond) = (1, 0, 0, 0);
        let Some((centre, spread)) = centre_and_spread(&kept) else { return };
        let index = self.index(closed);
        self.left_out = if is_abnormal { self.left_out.saturating_add(1) } else { 0 };
        if !is_abnormal {
            let [first, second] = self.most;
            self.most = if strayed > first { [strayed, first] } else { [first, second.max(strayed)] };
        }
        if is_abnormal && self.left_out < relearn_hours {
            return;
        }
        if is_abnormal {
            self.left_out = 0;
            self.shift(centre - self.bucket(closed).centre);
        }
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if bucket.seen == 0 {
            *bucket = Bucket { centre, spread, seen: 1 };
            return;
        }
        let share = (1.0 / (f64::from(bucket.seen) + 1.0)).max(1.0 / MEMORY);
        let off = (centre - bucket.centre).abs() * MEAN_DEVIATION_TO_SIGMA;
        bucket.centre += share * (centre - bucket.centre);
        bucket.spread += share * (spread.max(off) - bucket.spread);
        bucket.seen = bucket.seen.saturating_add(1);
    }

    /// Moves everything: the level is another one, and the shape of the week is still the same.
    fn shift(&mut self, by: f64) {
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.seen > 0) {
            bucket.centre += by;
        }
    }

    /// Bytes of a profile: three for each hour of the week, four for each hour of the day, 108 beside. As many whatever was learned, so that a series
    /// that has found room keeps it.
    const fn bytes(hours: usize) -> usize {
        let each = if hours > HOURS_OF_A_DAY { 3 } else { 4 };
        HEAD_BYTES + KEPT * 4 + hours * each
    }

    /// As bytes. A centre is a whole number of steps between the lowest and the highest of all centres.
    pub(crate) fn write(&self) -> Vec<u8> {
        let is_packed = self.buckets.len() > HOURS_OF_A_DAY;
        let seen = || self.buckets.iter().filter(|bucket| bucket.seen > 0);
        let low = seen().map(|bucket| bucket.centre).fold(f64::INFINITY, f64::min);
        let high = seen().map(|bucket| bucket.centre).fold(f64::NEG_INFINITY, f64::max);
        let (low, range) = if low <= high { (low, high - low) } else { (0.0, 0.0) };
        let step = single(range / if is_packed { STEPS } else { 60_000.0 });
        let widest = single(seen().map(|bucket| bucket.spread).fold(0.0, f64::max));
        let mut out = Vec::with_capacity(Profile::bytes(self.buckets.len()));
        out.extend(low.to_le_bytes());
        out.extend((step as f32).to_le_bytes());
        out.extend((widest as f32).to_le_bytes());
        out.extend(self.hour.to_le_bytes());
        out.extend(self.last_ms.to_le_bytes());
        for value in [self.last_value, self.hour_most, self.most[0], self.most[1]] {
            out.extend((single(value) as f32).to_le_bytes());
        }
        for count in [self.stride, self.skipped, self.taken, self.beyond, self.left_out] {
            out.extend(count.to_le_bytes());
        }
        out.push(u8::from(self.is_raised));
        out.push(self.kept.len() as u8);
        for value in self.kept.iter().copied().chain(std::iter::repeat(0.0)).take(KEPT) {
            out.extend((single(value) as f32).to_le_bytes());
        }
        for bucket in &self.buckets {
            let most = if is_packed { 4_095.0 } else { 65_535.0 };
            let steps = if step > 0.0 { ((bucket.centre - low) / step).round().clamp(0.0, most) } else { 0.0 };
            let steps = steps as u16;
            if is_packed {
                out.extend((steps << WEEK_BITS | u16::from(bucket.seen.min(WEEKS))).to_le_bytes());
                out.push(level(bucket.spread, widest));
            } else {
                out.extend(steps.to_le_bytes());
                out.push(level(bucket.spread, widest));
                out.push(bucket.seen);
            }
        }
        out
    }

    /// What [`Profile::write`] wrote of a profile with as many hours; or what was written before it made all of them equally long, and
    /// before hours of the week were packed: nobody has to learn again.
    pub(crate) fn read(bytes: &[u8], hours: usize) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (low, step, widest) = (reader.f64()?, reader.f32()?, reader.f32()?);
        let mut profile = Profile::new(hours);
        profile.hour = reader.i64()?;
        profile.last_ms = reader.i64()?;
        (profile.last_value, profile.hour_most) = (reader.f32()?, reader.f32()?);
        profile.most = [reader.f32()?, reader.f32()?];
        profile.stride = reader.u16()?.max(1);
        profile.skipped = reader.u16()?;
        (profile.taken, profile.beyond, profile.left_out) = (reader.u16()?, reader.u16()?, reader.u16()?);
        profile.is_raised = reader.u8()? == 1;
        let kept = usize::from(reader.u8()?);
        let is_whole = bytes.len() == Profile::bytes(hours);
        let is_packed = is_whole && hours > HOURS_OF_A_DAY;
        for place in 0..if is_whole { KEPT } else { kept } {
            let value = reader.f32()?;
            if place < kept {
                profile.kept.push(value);
            }
        }
        for bucket in &mut profile.buckets {
            let steps = reader.u16()?;
            let level = reader.u8()?;
            let (steps, seen) =
                if is_packed { (steps >> WEEK_BITS, (steps & u16::from(WEEKS)) as u8) } else { (steps, reader.u8()?) };
            *bucket = Bucket { centre: low + f64::from(steps) * step, spread: spread(level, widest), seen };
        }
        reader.is_at_end().then_some(profile)
    }
}

/// What four bytes hold of it, within their range.
fn single(value: f64) -> f64 {
    f64::from(value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32)
}

/// A spread as a byte: how many steps it is below the widest, from 255 down; 0 is none.
fn level(spread: f64, widest: f64) -> u8 {
    if spread <= 0.0 || widest <= 0.0 {
        return 0;
    }
    (255.0 + (spread / widest).log2() * STEPS_PER_OCTAVE).round().clamp(1.0, 255.0) as u8
}

fn spread(level: u8, widest: f64) -> f64 {
    if level == 0 { 0.0 } else { widest * ((f64::from(level) - 255.0) / STEPS_PER_OCTAVE).exp2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(hours: usize, days: i64, figure: impl Fn(i64) -> f64) -> Profile {
        let mut profile = Profile::new(hours);
        for minute in (0..days * 1440).step_by(5) {
            profile.learn(minute * 60_000, figure(minute), 0.0, false, 24);
        }
        profile.turn(days * 24 * HOUR_MS, 24);
        profile
    }

    #[test]
    fn what_was_written_is_read_as_it_was_within_its_precision_and_no_longer_changes_then() {
        // A range of two millions. Of a day, centres are exact to half a 60,000th of it; of a week, to half a 4,000th.
        for (hours, length, precision) in [(24, 204, 17.0), (168, 612, 251.0)] {
            let profile = learned(hours, 15, |minute| 1e9 + 1e6 * (minute as f64 / 229.0).sin());
            let bytes = profile.write();
            assert_eq!(bytes.len(), length);
            let read = Profile::read(&bytes, hours).unwrap();
            for (before, after) in profile.buckets.iter().zip(&read.buckets) {
                assert!((before.centre - after.centre).abs() < precision, "{before:?} {after:?}");
                assert!((before.spread / after.spread - 1.0).abs() < 0.04, "{before:?} {after:?}");
                assert_eq!(before.seen, after.seen);
            }
            // The rest is as it was, but for a value that has four bytes.
            let rest = |profile: &Profile| Profile { buckets: Vec::new(), last_value: 0.0, ..profile.clone() };
            assert_eq!(rest(&profile), rest(&read));
            let mut again = read.clone();
            for _ in 0..100 {
                again = Profile::read(&again.write(), hours).unwrap();
            }
            for (before, after) in read.buckets.iter().zip(&again.buckets) {
                assert!((before.centre - after.centre).abs() < 1.0, "{before:?} {after:?}");
                assert!((before.spread / after.spread - 1.0).abs() < 0.01, "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn weeks_are_counted_up_to_fifteen() {
        let mut profile = Profile::new(168);
        for week in 0..20 {
            profile.learn(week * 168 * HOUR_MS, 1.0, 0.0, false, 24);
        }
        profile.turn(20 * 168 * HOUR_MS, 24);
        assert_eq!(profile.bucket(0).seen, 20);
        let read = Profile::read(&profile.write(), 168).unwrap();
        assert_eq!((read.bucket(0).seen, read.bucket(1).seen), (15, 0));
        assert!(read.expected(0, 15).is_some());
    }

    /// As bytes, in the way before hours of the week were packed and lengths were equal.
    fn as_before(profile: &Profile) -> Vec<u8> {
        let (low, step, widest) = (100.0, 0.5_f32, 8.0_f32);
        let mut out = profile.write();
        out.truncate(HEAD_BYTES + profile.kept.len() * 4);
        out.splice(..16, [&f64::to_le_bytes(low)[..], &step.to_le_bytes(), &widest.to_le_bytes()].concat());
        for hour in 0..profile.buckets.len() {
            out.extend((hour as u16).to_le_bytes());
            out.extend([255, 3]);
        }
        out
    }

    #[test]
    fn what_was_learned_before_profiles_were_packed_is_read_still() {
        for hours in [1, 24, 168] {
            let profile = learned(hours, 2, |minute| minute as f64);
            let mut open = profile.clone();
            open.learn(2 * 24 * HOUR_MS + 1, 5.0, 0.0, false, 24);
            let read = Profile::read(&as_before(&open), hours).unwrap();
            assert_eq!((read.kept.as_slice(), read.hour, read.last_ms), (&[5.0][..], open.hour, open.last_ms));
            let expected = |hour: usize| Bucket { centre: 100.0 + hour as f64 * 0.5, spread: 8.0, seen: 3 };
            assert_eq!(read.buckets, (0..hours).map(expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_cut_or_of_another_season_is_not_read() {
        let bytes = learned(24, 2, |minute| minute as f64).write();
        assert!(Profile::read(&bytes, 24).is_some());
        assert_eq!(Profile::read(&bytes, 168), None);
        assert_eq!(Profile::read(&bytes, 1), None);
        assert_eq!(Profile::read(bytes.get(..bytes.len() - 1).unwrap(), 24), None);
        assert_eq!(Profile::read(&[], 24), None);
    }

    #[test]
    fn an_hour_that_has_not_been_seen_often_enough_expects_nothing() {
        let profile = learned(24, 2, |_| 5.0);
        assert_eq!(profile.expected(0, 2), Some(Expected { centre: 5.0, spread: 0.0, step: 0.0 }));
        assert_eq!(profile.expected(0, 3), None);
        assert_eq!(Profile::new(168).expected(0, 0), None);
    }

    #[test]
    fn between_the_middles_of_two_hours_lies_the_line_between_them() {
        let profile = learned(24, 3, |minute| (minute / 60 % 24) as f64 * 10.0);
        let at = |minute: i64| profile.expected(minute * 60_000, 3).unwrap();
        assert_eq!(at(10 * 60 + 30).centre, 100.0);
        assert_eq!((at(11 * 60).centre, at(11 * 60).step), (105.0, 5.0));
        assert_eq!(at(10 * 60 + 45).centre, 102.5);
    }

    #[test]
    fn one_figure_an_hour_has_a_spread_too() {
        let mut profile = Profile::new(24);
        for hour in 0..24 * 20 {
            profile.learn(hour * HOUR_MS, if hour / 24 % 2 == 0 { 90.0 } else { 110.0 }, 0.0, false, 24);
        }
        let expected = profile.expected(0, 3).unwrap();
        assert!((8.0..20.0).contains(&expected.spread), "{expected:?}");
    }

    #[test]
    fn an_hour_that_was_mostly_abnormal_is_left_out_and_many_in_a_row_are_the_new_level() {
        let mut profile = learned(24, 3, |minute| (minute / 60 % 24) as f64);
        let before = profile.clone();
        let day = 24 * HOUR_MS;
        for minute in (0..23 * 60).step_by(5) {
            profile.learn(3 * day + minute * 60_000, 1000.0, 90.0, true, 24);
        }
        assert_eq!(profile.buckets, before.buckets);
        for minute in (23 * 60..25 * 60).step_by(5) {
            profile.learn(3 * day + minute * 60_000, 1000.0, 90.0, true, 24);
        }
        let centres: Vec<f64> = profile.buckets.iter().map(|bucket| bucket.centre).collect();
        assert_eq!((centres[0], centres[12], centres[23]), (977.0, 989.0, 1000.0), "moved as a whole");
        // A few abnormal figures don't make an abnormal hour, nor do they move it.
        let mut profile = before.clone();
        for minute in 0..120 {
            let is_odd = minute % 60 < 20;
            profile.learn(3 * day + minute * 60_000, if is_odd { 1000.0 } else { 0.0 }, 0.0, is_odd, 24);
        }
        assert_eq!((profile.buckets[0].centre, profile.buckets[0].seen), (0.0, 4));
    }

    #[test]
    fn how_far_a_series_reaches_is_what_it_did_twice_and_is_forgotten_by_half_in_a_week() {
        let mut profile = Profile::new(1);
        let mut hour = |strayed: f64, is_beyond: bool| {
            let at_ms = profile.hour.max(0) + 1;
            profile.learn(at_ms * HOUR_MS, 1.0, strayed, is_beyond, 24);
            profile.turn((at_ms + 1) * HOUR_MS, 24);
            profile.reach()
        };
        assert_eq!(hour(50.0, false), 0.0, "one odd hour is none");
        assert!((9.9..=10.0).contains(&hour(10.0, false)));
        assert!((9.8..=10.0).contains(&hour(70.0, true)), "nor is an abnormal one");
        assert!((29.0..=30.0).contains(&hour(30.0, false)));
        for _ in 0..84 {
            hour(0.0, false);
        }
        assert!((14.0..=15.2).contains(&hour(0.0, false)), "each of the 84 turned the hour twice");
    }

    #[test]
    fn any_number_of_figures_an_hour_keeps_a_few_of_all_of_it() {
        let mut profile = Profile::new(1);
        for second in 0..3600 {
            profile.learn(second * 1000, second as f64, 0.0, false, 24);
            assert!(profile.kept.len() <= KEPT);
        }
        profile.turn(HOUR_MS, 24);
        let centre = profile.buckets[0].centre;
        assert!((1400.0..2200.0).contains(&centre), "{centre}");
    }

    #[test]
    fn the_ends_of_the_range_are_kept_as_what_fits() {
        let mut profile = Profile::new(24);
        for hour in 0..72 {
            profile.learn(hour * HOUR_MS, if hour % 2 == 0 { f64::MAX } else { f64::MIN }, f64::MAX, hour > 30, 3);
        }
        let _ = profile.expected(0, 1);
        if let Some(read) = Profile::read(&profile.write(), 24) {
            let _ = read.expected(HOUR_MS, 1);
        }
        profile.learn(i64::MAX, 1.0, 0.0, true, 24);
        profile.learn(i64::MIN, 1.0, 0.0, true, 24);
    }
}
