//! What tests of this folder share: a small generator of its own, so that a failing case comes again.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(seed * 2 + 1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// Of many kinds: constant, counted, with decimals, noise, any bits at all; often with odd ones among them.
    pub(crate) fn values(&mut self, count: usize) -> Vec<f64> {
        let (kind, step, odd) = (self.below(6), self.below(10_000), self.below(3) == 0);
        let mut value = self.below(1 << 40) as f64;
        (0..count)
            .map(|_| {
                if odd && self.below(10) == 0 {
                    return f64::from_bits(0x7ff0_0000_0000_0002 | self.below(4));
                }
                match kind {
                    0 => {}
                    1 => value += step as f64,
                    2 => value += self.below(step + 1) as f64,
                    3 => value = (self.below(100_000) as f64 / 100.0) - 300.0,
                    4 => value = self.below(1 << 50) as f64 / 977.0,
                    _ => value = f64::from_bits(self.next()),
                }
                value
            })
            .collect()
    }

    /// Rising, mostly by one step.
    pub(crate) fn times(&mut self, from: i64, count: usize) -> Vec<i64> {
        let (step, jitter) = (1 + self.below(60_000) as i64, self.below(3) == 0);
        let mut at = from;
        (0..count)
            .map(|_| {
                at += if jitter { 1 + self.below(step as u64) as i64 } else { step };
                if self.below(50) == 0 {
                    at += self.below(1_000_000) as i64;
                }
                at
            })
            .collect()
    }
}

#[track_caller]
pub(crate) fn same_bits(found: &[f64], expected: &[f64]) {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(found), bits(expected));
}
