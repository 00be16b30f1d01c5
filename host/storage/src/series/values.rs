//! Values of a chunk, without their times, in bytes that are read at some nanoseconds each. Memory holds chunks this way, and so do
//! blocks where pco would not be smaller.
//!
//! What machines count is mostly whole, or has a few decimals: such values are the differences between whole numbers. Others are
//! the bits in which they differ from the one before. Every bit comes back, those of a NaN too.

use crate::codec::{Input, put_int, put_uint};

/// A float holds every whole number up to here.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Powers of ten by which values may become whole.
pub(crate) const SCALES: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

const SAME: u8 = 0;
const BITS: u8 = 1;
/// And the power of ten.
const DECIMAL: u8 = 2;

/// The whole number that is the value times the scale, if dividing it gives the value back, bit by bit.
pub(crate) fn whole(value: f64, scale: f64) -> Option<i64> {
    let number = (value * scale).round();
    let fits = number.abs() <= WHOLE && (number as i64 as f64 / scale).to_bits() == value.to_bits();
    fits.then_some(number as i64)
}

/// All values as whole numbers, and the power of ten that makes them so.
pub(crate) fn decimals(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut power = 0usize;
    for value in values {
        while whole(*value, *SCALES.get(power)?).is_none() {
            power += 1;
        }
    }
    let scale = *SCALES.get(power)?;
    let numbers: Option<Vec<i64>> = values.iter().map(|value| whole(*value, scale)).collect();
    Some((power as u8, numbers?))
}

pub(crate) fn encode(values: &[f64]) -> Vec<u8> {
    let first = values.first().copied().unwrap_or_default();
    let mut bytes = Vec::with_capacity(values.len() + 16);
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        bytes.push(SAME);
        put_uint(&mut bytes, first.to_bits().reverse_bits());
    } else if let Some((power, numbers)) = decimals(values) {
        bytes.push(DECIMAL + power);
        let mut before = 0;
        for number in numbers {
            put_int(&mut bytes, number - before);
            before = number;
        }
    } else {
        bytes.push(BITS);
        let mut before = 0u64;
        for value in values {
            put_bits(&mut bytes, value.to_bits() ^ before);
            before = value.to_bits();
        }
    }
    bytes
}

/// How many bytes there are behind leading and before trailing zeros, and these bytes.
fn put_bits(bytes: &mut Vec<u8>, bits: u64) {
    let trailing = if bits == 0 { 0 } else { bits.trailing_zeros() / 8 };
    let length = 8 - (bits >> (trailing * 8)).leading_zeros() / 8;
    bytes.push((trailing << 4 | length) as u8);
    bytes.extend((bits >> (trailing * 8)).to_le_bytes().iter().take(length as usize));
}

fn take_bits(input: &mut Input<'_>) -> Option<u64> {
    let token = input.byte()?;
    let (trailing, length) = (u32::from(token >> 4), usize::from(token & 15));
    if length > 8 || trailing > 7 {
        return None;
    }
    let mut whole = [0; 8];
    for byte in whole.iter_mut().take(length) {
        *byte = input.byte()?;
    }
    Some(u64::from_le_bytes(whole) << (trailing * 8))
}

/// Adds `count` values. `None`: the bytes are not what they should be; some may have been added.
pub(crate) fn decode(bytes: &[u8], count: usize, values: &mut Vec<f64>) -> Option<()> {
    let mut input = Input::new(bytes);
    match input.byte()? {
        SAME => {
            let value = f64::from_bits(input.uint()?.reverse_bits());
            values.extend(std::iter::repeat_n(value, count));
        }
        BITS => {
            let mut bits = 0;
            for _ in 0..count {
                bits ^= take_bits(&mut input)?;
                values.push(f64::from_bits(bits));
            }
        }
        tag => {
            let scale = *SCALES.get(usize::from(tag - DECIMAL))?;
            let mut number = 0i64;
            for _ in 0..count {
                number = number.wrapping_add(input.int()?);
                values.push(number as f64 / scale);
            }
        }
    }
    input.rest().is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::{Random, same_bits};
    use quarterdeck_model::series::query::STALE;

    fn check(values: &[f64]) -> usize {
        let bytes = encode(values);
        let mut read = Vec::new();
        decode(&bytes, values.len(), &mut read).unwrap();
        same_bits(&read, values);
        bytes.len()
    }

    #[test]
    fn every_bit_comes_back() {
        check(&[]);
        let nan = f64::from_bits(0x7ff8_0000_dead_beef);
        check(&[0.0, -0.0, 1.0, f64::NAN, nan, f64::from_bits(STALE), f64::INFINITY, f64::MIN_POSITIVE, 1e300, -7.25]);
        check(&[WHOLE, -WHOLE, WHOLE - 1.0, 0.0]);
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let count = 1 + random.below(40) as usize;
            check(&random.values(count));
        }
    }

    #[test]
    fn what_is_counted_takes_a_byte_or_two() {
        let counter: Vec<f64> = (0..100).map(|n| 1e9 + f64::from(n * 17)).collect();
        assert!(check(&counter) < 110, "{}", check(&counter));
        let seconds: Vec<f64> = (0..100).map(|n| f64::from(123_456 + n * 15) / 100.0).collect();
        assert!(check(&seconds) < 110);
        assert!(check(&[0.1 + 0.2; 100]) < 15);
    }

    #[test]
    fn broken_bytes_are_noticed() {
        let bytes = encode(&[1.5, 2.25, f64::NAN]);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], 3, &mut Vec::new()).is_none(), "{end}");
        }
        assert!(decode(&[200], 1, &mut Vec::new()).is_none());
        assert!(decode(&[BITS, 0xff, 0, 0], 1, &mut Vec::new()).is_none());
    }
}
