//! Token buckets: how often someone may do something.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use posthouse_protocol::{
    problem::{Code, Rejection},
    time::Timestamp,
};

/// Most keys that are remembered. When there are more, full buckets are forgotten (they say nothing
/// that a new one would not), and if that is not enough, all of them.
const MAX_KEYS: usize = 100_000;

/// One bucket for each key.
pub struct Buckets<K> {
    per_second: u32,
    burst: u32,
    levels: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Thousandths of a token.
    millitokens: u64,
    at: Timestamp,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Buckets that hold `burst` tokens and gain `per_second`; both at least 1.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = (per_second.max(1), burst.max(1));
        Self { per_second, burst, levels: Mutex::default() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// [`Code::RateLimited`] with the time to wait, if there is none.
    pub fn take(&self, key: K, now: Timestamp) -> Result<(), Rejection> {
        let mut buckets = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < self.capacity());
            if buckets.len() >= MAX_KEYS {
                buckets.clear();
            }
        }
        let full = Bucket { millitokens: self.capacity(), at: now };
        let bucket = buckets.entry(key).or_insert(full);
        let held = self.refilled(*bucket, now);
        let left = held.checked_sub(1000);
        *bucket = Bucket { millitokens: left.unwrap_or(held), at: bucket.at.max(now) };
        if left.is_some() {
            return Ok(());
        }
        let wait_ms = (1000 - held).div_ceil(u64::from(self.per_second));
        let seconds = u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        Err(Rejection::new(Code::RateLimited, "too often; wait").retry_after(seconds))
    }

    fn refilled(&self, bucket: Bucket, now: Timestamp) -> u64 {
        let elapsed = now.0.saturating_sub(bucket.at.0);
        let gained = elapsed.saturating_mul(u64::from(self.per_second));
        bucket.millitokens.saturating_add(gained).min(self.capacity())
    }

    fn capacity(&self) -> u64 {
        u64::from(self.burst) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let buckets = Buckets::new(2, 3);
        let at = |ms: u64| Timestamp(1_000_000 + ms);
        for _ in 0..3 {
            buckets.take("a", at(0)).unwrap();
        }
        let refused = buckets.take("a", at(0)).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::RateLimited, Some(1)));
        buckets.take("b", at(0)).unwrap();
        buckets.take("a", at(500)).unwrap();
        buckets.take("a", at(500)).unwrap_err();
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let buckets = Buckets::new(1, 1);
        buckets.take("a", Timestamp(5_000)).unwrap();
        buckets.take("a", Timestamp(1_000)).unwrap_err();
        buckets.take("a", Timestamp(5_999)).unwrap_err();
        buckets.take("a", Timestamp(6_000)).unwrap();
    }

    #[test]
    fn strangers_cannot_grow_the_map_without_bound() {
        let buckets = Buckets::new(1, 2);
        for key in 0..MAX_KEYS + 10 {
            buckets.take(key, Timestamp(0)).unwrap();
        }
        assert!(buckets.levels.lock().unwrap().len() <= MAX_KEYS);
    }
}
