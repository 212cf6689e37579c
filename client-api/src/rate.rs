//! Token buckets: how often a peer may do something.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Most buckets that one [`Limiter`] holds, in two generations of half of this. Beyond it the older
/// generation is forgotten early: its peers start afresh.
pub const MAX_BUCKETS: usize = 131_072;

/// How often something is allowed: `burst` at once, and one more every `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once, after a rest.
    pub burst: u32,
    /// Until one more is allowed.
    pub interval: Duration,
}

impl Rate {
    /// Allows everything.
    pub const UNLIMITED: Self = Self { burst: u32::MAX, interval: Duration::ZERO };
}

/// Too often: try again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften(pub Duration);

impl TooOften {
    /// The time in whole seconds, rounded up, as Retry-After tells it.
    pub fn seconds(self) -> u32 {
        let whole = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        u32::try_from(whole).unwrap_or(u32::MAX).max(1)
    }
}

/// One bucket. It keeps a single number (the generic cell rate algorithm): the time, counted from
/// the owner's start, at which the bucket is full again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket(Duration);

impl Bucket {
    /// Takes one token at `now`, or says how long to wait for one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), TooOften> {
        // Two callers can come in another order than they read the clock. Without a rate there is
        // no room for that, nor a need to count.
        if rate.interval.is_zero() {
            return Ok(());
        }
        let full_at = self.0.max(now) + rate.interval;
        let room = rate.interval.saturating_mul(rate.burst);
        match full_at.saturating_sub(now).checked_sub(room) {
            None | Some(Duration::ZERO) => {
                self.0 = full_at;
                Ok(())
            }
            Some(wait) => Err(TooOften(wait)),
        }
    }
}

/// A bucket for each peer, bounded by [`MAX_BUCKETS`].
pub struct Limiter<K> {
    rate: Rate,
    generations: Mutex<Generations<K>>,
}

struct Generations<K> {
    since: Duration,
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
}

impl<K: Hash + Eq> Limiter<K> {
    /// Full buckets.
    pub fn new(rate: Rate) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        let generations = Mutex::new(Generations { since: Duration::ZERO, young, old });
        Self { rate, generations }
    }

    /// Takes one of `key`'s tokens at `now`, counted from any start, or says how long to wait for
    /// one.
    ///
    /// # Errors
    /// [`TooOften`].
    pub fn take(&self, key: K, now: Duration) -> Result<(), TooOften> {
        let mut map = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        // A bucket that was not touched for the time it takes to fill is full, so a generation
        // that old can be forgotten without anyone noticing.
        let lifetime = self.rate.interval.saturating_mul(self.rate.burst);
        if now.saturating_sub(map.since) > lifetime || map.young.len() >= MAX_BUCKETS / 2 {
            map.old = core::mem::take(&mut map.young);
            map.since = now;
        }
        let known = map.old.remove(&key);
        let bucket = map.young.entry(key).or_insert_with(|| known.unwrap_or_default());
        bucket.take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 3, interval: Duration::from_secs(2) };

    #[test]
    fn a_burst_then_one_per_interval() {
        let mut bucket = Bucket::default();
        let at = |secs: u64| Duration::from_secs(100 + secs);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(RATE, at(0)), Err(TooOften(Duration::from_secs(2))));
        assert_eq!(bucket.take(RATE, at(2)), Ok(()));
        assert_eq!(bucket.take(RATE, at(3)).unwrap_err().seconds(), 1);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, at(60)), Ok(()));
        }
        assert!(bucket.take(RATE, at(60)).is_err());
    }

    #[test]
    fn peers_do_not_share_and_the_map_stays_bounded() {
        let start = Duration::from_secs(1_000);
        let limiter = Limiter::new(Rate { burst: 1, interval: Duration::from_secs(9) });
        for key in 0..MAX_BUCKETS * 2 {
            assert!(limiter.take(key, start).is_ok());
        }
        let map = limiter.generations.lock().unwrap();
        assert!(map.young.len() + map.old.len() <= MAX_BUCKETS);
        drop(map);
        assert!(limiter.take(MAX_BUCKETS * 2 - 1, start).is_err());
        assert!(limiter.take(MAX_BUCKETS * 2 - 1, start + Duration::from_secs(9)).is_ok());
    }

    #[test]
    fn unlimited_is_unlimited() {
        let mut bucket = Bucket::default();
        assert!((0..100_000).all(|_| bucket.take(Rate::UNLIMITED, Duration::ZERO).is_ok()));
        assert_eq!(bucket.take(Rate::UNLIMITED, Duration::from_secs(2)), Ok(()));
        assert_eq!(bucket.take(Rate::UNLIMITED, Duration::from_secs(1)), Ok(()), "a race");
    }

    proptest! {
        /// In any span, no more is taken than the burst and what grew back in the span.
        #[test]
        fn never_more_than_the_rate(steps in prop::collection::vec(0u64..3_000, 1..200)) {
            let mut bucket = Bucket::default();
            let mut now = Duration::ZERO;
            let mut taken: u64 = 0;
            for step in steps {
                now += Duration::from_millis(step);
                taken += u64::from(bucket.take(RATE, now).is_ok());
                prop_assert!(taken <= 3 + now.as_secs() / 2);
            }
        }
    }
}
