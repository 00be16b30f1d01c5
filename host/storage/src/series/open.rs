//! The newest samples of one series, each some bytes behind the one before, written as they come.
//!
//! A token tells what follows: the change of the step, if the step changed, and the value: the same, one that differs by so
//! many ones or thousandths, or the bits that differ.

use super::arena::{Arena, Chain};
use super::values::whole;
use crate::codec::Input;

const ONES: f64 = 1.0;
const THOUSANDTHS: f64 = 1_000.0;
/// The step is another one.
const STEP: u8 = 1;
const KIND: u8 = 0b110;
const SAME: u8 = 0;
const WHOLE: u8 = 0b010;
const NEAR: u8 = 0b100;
const BITS: u8 = 0b110;

#[derive(Default)]
pub(crate) struct Open {
    bytes: Chain,
    count: u32,
    first: i64,
    last: i64,
    step: i64,
    bits: u64,
}

impl Open {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    pub(crate) fn newest(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// Forgets all, and gives the memory back.
    pub(crate) fn clear(&mut self, arena: &mut Arena) {
        arena.free(&mut self.bytes);
        self.count = 0;
    }

    /// `at` is later than all before.
    pub(crate) fn push(&mut self, at: i64, value: f64, arena: &mut Arena) {
        let bits = value.to_bits();
        if self.count == 0 {
            self.first = at;
            self.step = 0;
            arena.append(&mut self.bytes, &bits.to_le_bytes());
        } else {
            let mut bytes = Sample::default();
            self.put(at, bits, &mut bytes);
            arena.append(&mut self.bytes, bytes.get());
        }
        self.last = at;
        self.bits = bits;
        self.count += 1;
    }

    fn put(&mut self, at: i64, bits: u64, bytes: &mut Sample) {
        let step = at.wrapping_sub(self.last);
        let change = step.wrapping_sub(self.step);
        let changed = if change == 0 { 0 } else { STEP };
        let differ = bits ^ self.bits;
        let length = (8 - differ.leading_zeros() / 8) as usize;
        let (token, near) = if differ == 0 {
            (SAME, None)
        } else if let Some(near) = difference(self.bits, bits, ONES) {
            (WHOLE, Some(near))
        } else if let Some(near) = difference(self.bits, bits, THOUSANDTHS) {
            (NEAR, Some(near))
        } else {
            (BITS | ((length - 1) as u8) << 3, None)
        };
        bytes.put(&[token | changed]);
        if change != 0 {
            bytes.put_int(change);
            self.step = step;
        }
        match near {
            Some(near) => bytes.put_int(near),
            None => bytes.put(differ.to_le_bytes().get(..length).unwrap_or_default()),
        }
    }

    /// Adds all of it to the columns.
    pub(crate) fn read(&self, arena: &Arena, at: &mut Vec<i64>, values: &mut Vec<f64>) {
        let bytes = arena.read(&self.bytes);
        let mut input = Input::new(&bytes);
        let mut last = (self.first, 0i64, 0u64);
        for n in 0..self.count {
            // These bytes never left memory: they are what `push` wrote.
            let next = if n == 0 { first(&mut input, self.first) } else { next(&mut input, last) };
            let Some(next) = next else { return };
            last = next;
            at.push(last.0);
            values.push(f64::from_bits(last.2));
        }
    }
}

/// The bytes of one: a token, ten of the step, ten of the value at most.
#[derive(Default)]
struct Sample {
    bytes: [u8; 21],
    length: usize,
}

impl Sample {
    fn put(&mut self, more: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..self.length + more.len()) {
            room.copy_from_slice(more);
            self.length += more.len();
        }
    }

    /// As `codec::put_int` does.
    fn put_int(&mut self, value: i64) {
        let mut left = ((value << 1) ^ (value >> 63)) as u64;
        while left >= 0x80 {
            self.put(&[(left & 0x7f) as u8 | 0x80]);
            left >>= 7;
        }
        self.put(&[left as u8]);
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// By how many parts the second differs, if both are whole numbers of them.
fn difference(before: u64, now: u64, parts: f64) -> Option<i64> {
    let before = whole(f64::from_bits(before), parts)?;
    Some(whole(f64::from_bits(now), parts)? - before)
}

fn first(input: &mut Input<'_>, at: i64) -> Option<(i64, i64, u64)> {
    Some((at, 0, u64::from_le_bytes(input.fixed::<8>()?)))
}

fn next(input: &mut Input<'_>, (at, mut step, mut bits): (i64, i64, u64)) -> Option<(i64, i64, u64)> {
    let token = input.byte()?;
    if token & STEP != 0 {
        step = step.wrapping_add(input.int()?);
    }
    match token & KIND {
        kind @ (WHOLE | NEAR) => {
            let parts = if kind == WHOLE { ONES } else { THOUSANDTHS };
            let before = (f64::from_bits(bits) * parts).round() as i64;
            bits = ((before + input.int()?) as f64 / parts).to_bits();
        }
        BITS => {
            let mut differ = [0; 8];
            for byte in differ.iter_mut().take(usize::from(token >> 3) + 1) {
                *byte = input.byte()?;
            }
            bits ^= u64::from_le_bytes(differ);
        }
        _ => {}
    }
    Some((at.wrapping_add(step), step, bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::{Random, same_bits};

    #[test]
    fn what_is_pushed_is_read_bit_by_bit() {
        let mut random = Random::new(3);
        let (mut open, mut arena) = (Open::default(), Arena::default());
        for length in 1..1_500usize {
            let length = length % 200 + 1;
            let (at, values) = (random.times(1_700_000_000_000, length), random.values(length));
            open.clear(&mut arena);
            at.iter().zip(&values).for_each(|(at, value)| open.push(*at, *value, &mut arena));
            let (mut read_at, mut read_values) = (Vec::new(), Vec::new());
            open.read(&arena, &mut read_at, &mut read_values);
            assert_eq!(read_at, at);
            same_bits(&read_values, &values);
            assert_eq!((open.first(), open.last()), (at[0], at[length - 1]));
        }
    }

    #[test]
    fn a_steady_counter_takes_two_bytes_a_sample_and_a_constant_one() {
        let mut arena = Arena::default();
        for (slope, bytes) in [(0.0, 1), (1.0, 2), (0.25, 3)] {
            let mut open = Open::default();
            (0..120).for_each(|n| open.push(1_700_000_000_000 + n * 15_000, 1e6 + n as f64 * slope, &mut arena));
            let taken = arena.read(&open.bytes).len();
            assert!(taken <= 8 + 8 + bytes * 120, "{slope}: {taken}");
        }
    }
}
