//! A token bucket per producer.

use crate::Error;
use crate::bus::Options;
use quarterdeck_model::{Span, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};

/// Producers that are remembered; above it the full buckets are forgotten, which changes nothing for them.
const REMEMBERED: usize = 1_024;

pub(crate) struct Limiter {
    options: RwLock<Options>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// Tokens are counted in thousandths, so that a rate per second fills in whole numbers per millisecond.
#[derive(Clone, Copy)]
struct Bucket {
    millitokens: u64,
    at: Timestamp,
}

impl Limiter {
    pub(crate) fn new(options: Options) -> Self {
        Limiter { options: RwLock::new(options), buckets: Mutex::new(HashMap::new()) }
    }

    /// What a producer has saved up stays its own, within the new burst.
    pub(crate) fn set(&self, options: Options) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// Takes `count` tokens or none. A batch over the burst passes once the bucket is full, and leaves it empty.
    pub(crate) fn take(&self, producer: &str, count: usize, now: Timestamp) -> Result<(), Error> {
        let options = *self.options.read().unwrap_or_else(PoisonError::into_inner);
        let rate = u64::from(options.producer_rate);
        if rate == 0 || count == 0 {
            return Ok(());
        }
        let capacity = u64::from(options.producer_burst.max(1)) * 1_000;
        let wanted = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(1_000).min(capacity);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(producer) {
            buckets.retain(|_, bucket| bucket.filled(now, rate, capacity).millitokens < capacity);
        }
        let bucket = buckets.entry(producer.to_owned()).or_insert(Bucket { millitokens: capacity, at: now });
        *bucket = bucket.filled(now, rate, capacity);
        match bucket.millitokens.checked_sub(wanted) {
            Some(left) => {
                bucket.millitokens = left;
                Ok(())
            }
            None => {
                let missing = wanted - bucket.millitokens;
                Err(Error::TooFast { retry_after: Span::from_millis(missing.div_ceil(rate)) })
            }
        }
    }
}

impl Bucket {
    /// A clock that went back fills nothing and costs nothing.
    fn filled(self, now: Timestamp, rate: u64, capacity: u64) -> Bucket {
        let gained = now.since(self.at).as_millis().saturating_mul(rate);
        Bucket { millitokens: self.millitokens.saturating_add(gained).min(capacity), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn limits_that_are_changed_hold_from_the_next_event_on() {
        let limiter = Limiter::new(Options { producer_rate: 10, producer_burst: 5 });
        limiter.take("a", 5, at(0)).unwrap();
        assert!(limiter.take("a", 1, at(0)).is_err());
        limiter.set(Options { producer_rate: 1_000, producer_burst: 5 });
        limiter.take("a", 5, at(5)).unwrap();
        limiter.set(Options { producer_rate: 0, producer_burst: 5 });
        limiter.take("a", 50, at(5)).unwrap();
    }

    #[test]
    fn a_producer_over_its_rate_is_told_when_to_come_back() {
        let limiter = Limiter::new(Options { producer_rate: 10, producer_burst: 5 });
        for _ in 0..5 {
            limiter.take("a", 1, at(0)).unwrap();
        }
        let Err(Error::TooFast { retry_after }) = limiter.take("a", 2, at(0)) else { panic!("not refused") };
        assert_eq!(retry_after, Span::from_millis(200));
        limiter.take("b", 1, at(0)).unwrap();
        limiter.take("a", 2, at(200)).unwrap();
        assert!(limiter.take("a", 1, at(200)).is_err());
    }

    #[test]
    fn a_batch_over_the_burst_passes_when_the_bucket_is_full() {
        let limiter = Limiter::new(Options { producer_rate: 10, producer_burst: 5 });
        limiter.take("a", 100, at(0)).unwrap();
        assert!(limiter.take("a", 1, at(0)).is_err());
        limiter.take("a", 100, at(500)).unwrap();
    }

    #[test]
    fn buckets_of_silent_producers_are_forgotten() {
        let limiter = Limiter::new(Options { producer_rate: 10, producer_burst: 5 });
        for index in 0..REMEMBERED {
            limiter.take(&format!("p{index}"), 1, at(0)).unwrap();
        }
        limiter.take("late", 1, at(1_000)).unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
