//! Values and times of a chunk on the disk: by pco, or as memory has them where that is smaller.
//!
//! Odd values - markers of staleness, other NaN, infinities - stand apart, so that the others are still whole numbers.

use crate::codec::{Input, put_uint};
use crate::series::times;
use crate::series::values::{self, SCALES};
use pco::ChunkConfig;
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};

/// How much time is spent on making chunks small. Reading takes the same for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For what is written again soon: half the time, some percent larger.
    Quick,
    Thorough,
}
/// Chunks that are shorter are not worth a try.
const SHORT: usize = 16;
/// Larger ones are none.
const LONG: usize = 1 << 20;

const PLAIN: u8 = 0;
const FLOATS: u8 = 1;
/// And the power of ten that makes them whole.
const NUMBERS: u8 = 2;
const ODD: u8 = 0x80;

pub(crate) fn encode_values(all: &[f64], effort: Effort) -> Vec<u8> {
    let plain = values::encode(all);
    // Two bytes, and what a constant has.
    if all.len() < SHORT || plain.len() <= 12 {
        return [&[PLAIN], &*plain].concat();
    }
    let mut bytes = vec![0];
    let odd = all.iter().filter(|value| !value.is_finite()).count();
    let (tag, packed) = if odd > 0 && odd < all.len() {
        let regular = put_odd(&mut bytes, all, odd);
        let (tag, packed) = pack(&regular, effort);
        (tag | ODD, packed)
    } else {
        pack(all, effort)
    };
    match packed {
        Some(packed) if bytes.len() + packed.len() <= plain.len() => {
            if let Some(first) = bytes.first_mut() {
                *first = tag;
            }
            bytes.extend(packed);
            bytes
        }
        _ => [&[PLAIN], &*plain].concat(),
    }
}

/// Writes the odd ones, and returns all with the last regular one in their place.
fn put_odd(bytes: &mut Vec<u8>, all: &[f64], odd: usize) -> Vec<f64> {
    put_uint(bytes, odd as u64);
    let mut last = all.iter().copied().find(|value| value.is_finite()).unwrap_or_default();
    let (mut regular, mut before) = (Vec::with_capacity(all.len()), 0);
    for (place, value) in all.iter().enumerate() {
        if value.is_finite() {
            last = *value;
        } else {
            put_uint(bytes, (place - before) as u64);
            put_uint(bytes, value.to_bits());
            before = place;
        }
        regular.push(last);
    }
    regular
}

fn pack(values: &[f64], effort: Effort) -> (u8, Option<Vec<u8>>) {
    match values::decimals(values) {
        Some((power, numbers)) => (NUMBERS + power, compress(&numbers, effort)),
        None => (FLOATS, compress(values, effort)),
    }
}

/// Adds `count` values. `None`: the bytes are not what they should be.
pub(crate) fn decode_values(bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Option<()> {
    let mut input = Input::new(bytes);
    let tag = input.byte()?;
    if tag == PLAIN {
        return values::decode(input.rest(), count, values);
    }
    let mut odd = Vec::new();
    if tag & ODD != 0 {
        let mut place = 0usize;
        for _ in 0..input.uint()? {
            place = place.checked_add(usize::try_from(input.uint()?).ok()?).filter(|place| *place < count)?;
            odd.push((place, f64::from_bits(input.uint()?)));
        }
    }
    let start = values.len();
    match tag & !ODD {
        FLOATS => values.extend(decompress::<f64>(input.rest(), count)?),
        tag => {
            let scale = *SCALES.get(usize::from(tag.checked_sub(NUMBERS)?))?;
            values.extend(decompress::<i64>(input.rest(), count)?.into_iter().map(|number| number as f64 / scale));
        }
    }
    for (place, value) in odd {
        *values.get_mut(start + place)? = value;
    }
    Some(())
}

/// Times behind the first one.
pub(crate) fn encode_times(at: &[i64]) -> Vec<u8> {
    let plain = times::encode(at);
    if plain.len() > 32 {
        let steps: Vec<i64> =
            at.windows(2).map(|pair| pair.iter().rev().copied().reduce(i64::wrapping_sub).unwrap_or(0)).collect();
        if let Some(packed) = compress(&steps, Effort::Thorough).filter(|packed| packed.len() < plain.len()) {
            return [&[NUMBERS], &*packed].concat();
        }
    }
    [&[PLAIN], &*plain].concat()
}

pub(crate) fn decode_times(bytes: &[u8], first: i64, count: usize, at: &mut Vec<i64>) -> Option<()> {
    let (tag, rest) = bytes.split_first()?;
    if *tag == PLAIN {
        return times::decode(rest, first, count, at);
    }
    let mut last = first;
    at.push(first);
    for step in decompress::<i64>(rest, count.checked_sub(1)?)? {
        last = last.wrapping_add(step);
        at.push(last);
    }
    Some(())
}

fn compress<T: Number>(numbers: &[T], effort: Effort) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(numbers.len() * 2 + 64);
    let file = FileCompressor::default();
    let level = if effort == Effort::Quick { 4 } else { 8 };
    let config = ChunkConfig::default().with_compression_level(level);
    file.write_header(&mut bytes).ok()?;
    let mut chunk = file.chunk_compressor(numbers, &config).ok()?;
    chunk.write_meta(&mut bytes).ok()?;
    chunk.write_page(0, &mut bytes).ok()?;
    Some(bytes)
}

fn decompress<T: Number + Default>(bytes: &[u8], count: usize) -> Option<Vec<T>> {
    if count > LONG {
        return None;
    }
    let (file, rest) = FileDecompressor::new(bytes).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut numbers = vec![T::default(); count];
    let progress = chunk.page_decompressor(rest, count).ok()?.read(&mut numbers).ok()?;
    (progress.n_processed == count).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::{Random, same_bits};
    use quarterdeck_model::series::query::STALE;

    fn check(values: &[f64]) -> usize {
        let all = [Effort::Quick, Effort::Thorough].map(|effort| {
            let bytes = encode_values(values, effort);
            let mut read = vec![1.0];
            decode_values(&bytes, values.len(), &mut read).unwrap();
            same_bits(&read[1..], values);
            bytes.len()
        });
        all[1]
    }

    #[test]
    fn every_bit_comes_back() {
        check(&[]);
        check(&[f64::NAN; 40]);
        let mut random = Random::new(6);
        for _ in 0..600 {
            let count = 1 + random.below(600) as usize;
            check(&random.values(count));
        }
    }

    #[test]
    fn markers_among_whole_numbers_cost_little() {
        let counter = |n: u64| 1e6 + (n * 15) as f64 + (n % 7) as f64;
        let plain: Vec<f64> = (0..480).map(counter).collect();
        let mut marked = plain.clone();
        (0..5).for_each(|n| marked[n * 90 + 3] = f64::from_bits(STALE));
        let (plain, marked) = (check(&plain), check(&marked));
        assert!(plain < 480, "{plain}");
        assert!(marked < plain + 5 * 12 + 80, "{marked} {plain}");
    }

    #[test]
    fn times_come_back() {
        let mut random = Random::new(7);
        for length in 1..400usize {
            let at = random.times(1_700_000_000_000, length);
            let bytes = encode_times(&at);
            let mut read = vec![3];
            decode_times(&bytes, at[0], length, &mut read).unwrap();
            assert_eq!(read[1..], at);
        }
    }

    #[test]
    fn broken_bytes_are_noticed_or_give_other_numbers_but_never_more() {
        let mut random = Random::new(8);
        let values = random.values(300);
        let whole = encode_values(&values, Effort::Thorough);
        for end in 0..whole.len() {
            let mut read = Vec::new();
            let _ = decode_values(&whole[..end], values.len(), &mut read);
            assert!(read.len() <= values.len());
        }
    }
}
