//! Windows as odd as a detector may ever be handed.

use crate::Labels;
use crate::detector::{Detector, STATE_BYTES, Series, Window};
use crate::json;

const WINDOWS: u64 = 300;
const SERIES: u64 = 4;
const LENGTH_MS: i64 = 2 * 3_600_000;
/// Derived samples of a series that the host takes.
const DERIVED: usize = 8;

/// Calls a detector with some hundred windows, one after the other, with the state that it handed back, and now and then with none or with
/// rubbish: samples that are no numbers, infinite or at the ends of the range, times that occur twice, are out of order, of the future or at
/// the ends of the range, series without samples, and series that come and go. Each is asked twice.
///
/// # Panics
///
/// The detector panics or refuses a window, answers differently the second time, speaks of a series that is not there, says a figure that
/// is no finite number, or remembers more than the host keeps.
#[expect(clippy::panic, reason = "an assertion for tests")]
pub fn bears_odd_windows<D: Detector>(config: &str) {
    let config: D::Config = json::from_str(config).unwrap_or_else(|error| panic!("the configuration: {error}"));
    let mut state: Option<Vec<u8>> = None;
    for (number, window) in odd_windows().enumerate() {
        match number % 50 {
            20 => state = None,
            40 => state = Some((0..=255).collect()),
            _ => {}
        }
        let ask = || D::evaluate(&config, &window, state.as_deref());
        let verdict = ask().unwrap_or_else(|error| panic!("window {number} is refused: {error}"));
        assert_eq!(Ok(&verdict), ask().as_ref(), "window {number} is answered differently the second time");
        let count = window.series.len();
        for signal in &verdict.signals {
            assert!(signal.series < count && signal.value.is_finite(), "window {number}: {signal:?}");
            assert!(signal.expected.is_none_or(f64::is_finite), "window {number}: {signal:?}");
        }
        for derived in &verdict.derived {
            assert!(derived.series < count && derived.value.is_finite(), "window {number}: {derived:?}");
        }
        assert!(verdict.derived.len() <= DERIVED * count, "window {number}: too many derived samples");
        state = verdict.state;
        assert!(state.as_ref().is_none_or(|state| state.len() <= STATE_BYTES), "window {number}: too large a state");
    }
}

/// The same ones every time.
pub fn odd_windows() -> impl Iterator<Item = Window> {
    let mut chance = Chance(42);
    (0..WINDOWS).map(move |number| {
        let now_ms = 1_700_000_000_000 + i64::try_from(number).unwrap_or_default() * 1_200_000;
        let from_ms = now_ms - LENGTH_MS;
        let present = (0..SERIES).filter(|_| chance.below(5) > 0).collect::<Vec<_>>();
        let series = present.into_iter().map(|name| series(name, from_ms, now_ms, &mut chance)).collect();
        Window { now_ms, from_ms, series }
    })
}

fn series(name: u64, from_ms: i64, now_ms: i64, chance: &mut Chance) -> Series {
    let count = chance.one_of(&[0, 1, 2, 10, 60, 120]);
    let oddity = chance.below(4);
    let mut series = Series { labels: Labels::new().with("series", name.to_string()), ..Series::default() };
    for step in 0..count {
        let usual = from_ms + (now_ms - from_ms) * (step + 1) / count;
        let (at_ms, value) = match (oddity, chance.below(12)) {
            (1 | 3, 0) => (usual, chance.one_of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY])),
            (1 | 3, 1) => (usual, chance.one_of(&[f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0])),
            (2 | 3, 2) => (from_ms, 1.0),
            (2 | 3, 3) => (now_ms + 60_000, 2.0),
            (2 | 3, 4) => (chance.one_of(&[i64::MIN, i64::MAX]), 3.0),
            (_, other) => (usual, other as f64 + if name.is_multiple_of(2) { step as f64 } else { 0.0 }),
        };
        series.at_ms.push(at_ms);
        series.value.push(value);
    }
    series
}

/// The same on every machine (a linear congruence).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    fn one_of<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64) as usize;
        choices.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_are_the_same_in_every_language() {
        let mut digest: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for window in odd_windows() {
            add(&window.now_ms.to_le_bytes());
            add(&window.from_ms.to_le_bytes());
            for series in window.series {
                add(series.labels.get("series").unwrap().as_bytes());
                for (at_ms, value) in series.at_ms.iter().zip(&series.value) {
                    add(&at_ms.to_le_bytes());
                    add(&value.to_le_bytes());
                }
            }
        }
        assert_eq!(digest, 0xf352_4231_80c8_9133);
    }

    #[test]
    fn the_windows_hold_what_they_promise_and_are_the_same_every_time() {
        let samples = || odd_windows().flat_map(|window| window.series).flat_map(|series| series.value);
        assert!(samples().any(f64::is_nan) && samples().any(|value| value == f64::MAX));
        let times = || odd_windows().flat_map(|window| window.series).flat_map(|series| series.at_ms);
        assert!(times().any(|at| at == i64::MAX));
        let series = || odd_windows().flat_map(|window| window.series);
        assert!(series().any(|series| series.value.is_empty()));
        assert!(series().any(|series| series.at_ms.windows(2).any(|pair| pair[0] == pair[1])));
        assert!(odd_windows().map(|window| window.now_ms).eq(odd_windows().map(|window| window.now_ms)));
        assert!(times().eq(times()));
    }
}
