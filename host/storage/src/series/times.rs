//! Times of a chunk. What one source sends at once has one time, so its series share these: each column of times exists once.

use super::arena::Arena;
use crate::codec::{Input, put_int, put_uint};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that the pool remembers, at most. It forgets all at once: those that come again are made once more.
const POOL: usize = 4_096;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Times {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) count: u32,
    bytes: Box<[u8]>,
}

impl Times {
    pub(crate) fn new(at: &[i64]) -> Self {
        let (first, last) = (at.first().copied().unwrap_or(0), at.last().copied().unwrap_or(0));
        Times { first, last, count: at.len() as u32, bytes: Box::from(encode(at).as_slice()) }
    }

    /// Adds all of them. `None`: the bytes are not what they should be.
    pub(crate) fn read(&self, at: &mut Vec<i64>) -> Option<()> {
        decode(&self.bytes, self.first, self.count as usize, at)
    }
}

/// What the steps between times change by, behind the first time: a regular series is one step and a run.
pub(crate) fn encode(at: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut step, mut regular) = (0i64, 0u64);
    let run = |bytes: &mut Vec<u8>, regular: &mut u64| {
        if *regular > 0 {
            put_uint(bytes, *regular << 1);
            *regular = 0;
        }
    };
    for pair in at.windows(2) {
        let &[before, now] = pair else { continue };
        let change = now.wrapping_sub(before).wrapping_sub(step);
        step = step.wrapping_add(change);
        if change == 0 {
            regular += 1;
            continue;
        }
        run(&mut bytes, &mut regular);
        // The lowest bit tells a change from a run, so the largest ones don't fit beside it.
        if change.unsigned_abs() < 1 << 61 {
            put_uint(&mut bytes, (((change << 1) ^ (change >> 63)) as u64) << 1 | 1);
        } else {
            put_uint(&mut bytes, 0);
            put_int(&mut bytes, change);
        }
    }
    run(&mut bytes, &mut regular);
    bytes
}

/// Adds `count` times.
pub(crate) fn decode(bytes: &[u8], first: i64, count: usize, at: &mut Vec<i64>) -> Option<()> {
    if count == 0 {
        return bytes.is_empty().then_some(());
    }
    let (mut input, mut last, mut step, mut left) = (Input::new(bytes), first, 0i64, count - 1);
    at.push(first);
    while left > 0 {
        let token = input.uint()?;
        let mut run = 1;
        if token == 0 {
            step = step.wrapping_add(input.int()?);
        } else if token & 1 == 0 {
            run = usize::try_from(token >> 1).ok()?;
        } else {
            let change = token >> 1;
            step = step.wrapping_add((change >> 1) as i64 ^ -((change & 1) as i64));
        }
        left = left.checked_sub(run)?;
        for _ in 0..run {
            last = last.wrapping_add(step);
            at.push(last);
        }
    }
    input.rest().is_empty().then_some(())
}

/// What series in memory share: the columns that were made lately, and where the newest samples are.
#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) arena: Arena,
    known: HashMap<Arc<Times>, ()>,
}

impl Pool {
    /// The one that is the same, if there is one.
    pub(crate) fn share(&mut self, times: Times) -> Arc<Times> {
        if let Some((known, ())) = self.known.get_key_value(&times) {
            return Arc::clone(known);
        }
        if self.known.len() >= POOL {
            self.forget();
        }
        let times = Arc::new(times);
        self.known.insert(Arc::clone(&times), ());
        times
    }

    pub(crate) fn forget(&mut self) {
        self.known = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::Random;

    #[test]
    fn times_come_back() {
        let mut random = Random::new(2);
        for length in 0..1_000usize {
            let at = random.times(1_700_000_000_000, length % 150);
            let times = Times::new(&at);
            let mut read = vec![7];
            times.read(&mut read).unwrap();
            assert_eq!(read[1..], at);
        }
        let far = [i64::MIN, -1, 0, i64::MAX];
        let mut read = Vec::new();
        decode(&encode(&far), far[0], 4, &mut read).unwrap();
        assert_eq!(read, far);
    }

    #[test]
    fn a_regular_series_takes_some_bytes_and_broken_ones_are_noticed() {
        let at: Vec<i64> = (0..120).map(|n| 1_700_000_000_123 + n * 15_000).collect();
        let bytes = encode(&at);
        assert!(bytes.len() <= 5, "{}", bytes.len());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], at[0], at.len(), &mut Vec::new()).is_none(), "{end}");
        }
        assert!(decode(&bytes, at[0], 119, &mut Vec::new()).is_none());
    }

    #[test]
    fn equal_columns_are_one() {
        let mut pool = Pool::default();
        let [a, b] = [1, 1].map(|first| pool.share(Times::new(&[first, 2, 3])));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &pool.share(Times::new(&[0, 2, 3]))));
        for first in 0..10_000 {
            pool.share(Times::new(&[first]));
        }
        assert!(pool.known.len() <= POOL);
    }
}
