//! Samples as an older version kept them: frames of samples of one minute, by time.

use super::pending::Point;
use crate::codec::Input;
use crate::disk::{Disk, failure};
use crate::keys;
use quarterdeck_model::Timestamp;
use quarterdeck_model::store::StoreError;

/// No frame spans more: whoever looks for a time starts this much earlier.
const MINUTE: i64 = 60_000;
const VERSION: u8 = 1;

fn corrupt() -> StoreError {
    StoreError::Corrupt("a frame of samples".to_owned())
}

fn decode(bytes: &[u8], mut found: impl FnMut(Point)) -> Option<()> {
    let mut input = Input::new(bytes);
    if input.byte()? != VERSION {
        return None;
    }
    let base = input.int()?;
    let mut series = 0i64;
    while !input.rest().is_empty() {
        series = series.checked_add(input.int()?)?;
        let at = base.checked_add_unsigned(input.uint()?)?;
        let value = f64::from_bits(input.uint()?.reverse_bits());
        found(Point { series: u32::try_from(series).ok()?, at, value });
    }
    Some(())
}

/// Every sample in a range, in no order, until `found` fails. `from` exclusive, `to` inclusive.
pub(crate) fn each(
    disk: &Disk,
    from: Timestamp,
    to: Timestamp,
    mut found: impl FnMut(Point) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (from, to) = (from.as_millis(), to.as_millis());
    let (start, end) = (keys::samples(from.saturating_sub(MINUTE), 0), keys::samples(to, u32::MAX));
    if start > end {
        return Ok(());
    }
    for entry in disk.tree.range(start..=end) {
        let (_, value) = entry.map_err(failure)?;
        let mut taken = Ok(());
        let read = decode(&value, |point| {
            if taken.is_ok() && point.at > from && point.at <= to {
                taken = found(point);
            }
        });
        read.ok_or_else(corrupt)?;
        taken?;
    }
    Ok(())
}

/// When the first frame is that may have samples of that time or later.
pub(crate) fn first(disk: &Disk, from: i64) -> Result<Option<i64>, StoreError> {
    let start = keys::samples(from.div_euclid(MINUTE) * MINUTE, 0);
    let end = keys::samples(i64::MAX, u32::MAX);
    let first = disk.tree.range(start..=end).next().transpose().map_err(failure)?;
    first.map(|(key, _)| keys::time_of_samples(&key).ok_or_else(corrupt)).transpose()
}

/// How an older version wrote them.
#[cfg(test)]
pub(crate) mod written {
    use super::*;
    use crate::codec::{put_int, put_uint};
    use crate::keys::VALUE_BYTES;

    /// Puts the samples, in as many frames as it takes.
    pub(crate) fn put(disk: &Disk, samples: &[Point]) -> Result<(), StoreError> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by_key(|point| (point.at.div_euclid(MINUTE), point.series, point.at));
        for minute in sorted.chunk_by(|a, b| a.at.div_euclid(MINUTE) == b.at.div_euclid(MINUTE)) {
            let mut rest = minute;
            while !rest.is_empty() {
                let (frame, base, taken) = encode(rest);
                put_frame(disk, base, frame)?;
                rest = rest.get(taken..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Behind those of the same time. The last one is looked up, not counted to: there may be very many of them.
    fn put_frame(disk: &Disk, base: i64, frame: Vec<u8>) -> Result<(), StoreError> {
        let range = keys::samples(base, 0)..=keys::samples(base, u32::MAX);
        let last = disk.tree.range(range).next_back().transpose().map_err(failure)?;
        let last = last.map(|(key, _)| keys::serial_of_samples(&key).ok_or_else(corrupt)).transpose()?;
        let serial = last.map_or(Some(0), |last| last.checked_add(1)).ok_or_else(corrupt)?;
        disk.put(keys::samples(base, serial), frame)
    }

    /// A frame of the first samples that fit into a value, the earliest time in it, and how many they are.
    ///
    /// The bits of a value are written in reverse: what people and machines measure mostly ends in zeros.
    fn encode(points: &[Point]) -> (Vec<u8>, i64, usize) {
        // Of all of them, so that it is no later than that of those that fit; still of the same minute.
        let base = points.iter().map(|point| point.at).min().unwrap_or(0);
        let mut bytes = Vec::with_capacity(VALUE_BYTES);
        bytes.push(VERSION);
        put_int(&mut bytes, base);
        let (mut series, mut taken) = (0, 0);
        for point in points {
            // The three numbers below take 5, 10 and 10 bytes at most.
            if bytes.len() + 25 > VALUE_BYTES {
                break;
            }
            put_int(&mut bytes, i64::from(point.series) - series);
            put_uint(&mut bytes, u64::try_from(point.at - base).unwrap_or(0));
            put_uint(&mut bytes, point.value.to_bits().reverse_bits());
            series = i64::from(point.series);
            taken += 1;
        }
        (bytes, base, taken)
    }

    #[test]
    fn a_frame_reads_back_what_was_written() {
        let values = [0.0, -0.0, 1.0, 99.9, f64::INFINITY, f64::MIN_POSITIVE, 1e300, -7.25];
        let points: Vec<Point> = (0..2_000u32)
            .map(|n| Point {
                series: n / 3,
                at: 1_700_000_000_000 + i64::from(n % 3) * 7,
                value: values[n as usize % 8],
            })
            .collect();
        let (mut read, mut rest) = (Vec::new(), points.as_slice());
        while !rest.is_empty() {
            let (frame, base, taken) = encode(rest);
            assert!(taken > 0 && frame.len() <= VALUE_BYTES && base <= rest[0].at);
            decode(&frame, |point| read.push(point)).unwrap();
            rest = &rest[taken..];
        }
        assert_eq!(read, points);
        assert!(decode(&[VERSION, 0x80], |_| {}).is_none());
    }
}
