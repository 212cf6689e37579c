//! When to try again: doubling delays with jitter.

use std::time::Duration;

use rand::RngExt;

/// The delays between attempts to reach a server. The first retry is quick; each further one waits
/// up to twice as long, never longer than the limit. Half of each delay is random, so that clients
/// that lost the same server do not come back in one wave.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays that start at `first` and stop growing at `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit: limit.max(first), attempt: 0 }
    }

    /// How long to wait before the next attempt: between half of it and all of
    /// `min(first * 2^attempts, limit)`.
    pub fn delay(&mut self, rng: &mut impl rand::Rng) -> Duration {
        let factor = 2_u32.saturating_pow(self.attempt.min(31));
        self.attempt = self.attempt.saturating_add(1);
        let whole = self.first.saturating_mul(factor).min(self.limit);
        whole.mul_f64(rng.random_range(0.5..=1.0))
    }

    /// The server was reached: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    proptest! {
        #[test]
        fn delays_grow_and_stay_bounded(seed: u64, first in 1_u64..1_000, limit in 1_u64..100_000) {
            let (first, limit) = (Duration::from_millis(first), Duration::from_millis(limit));
            let mut backoff = Backoff::new(first, limit);
            let mut rng = StdRng::seed_from_u64(seed);
            let limit = limit.max(first);
            let mut whole = first;
            for _ in 0..40 {
                let delay = backoff.delay(&mut rng);
                prop_assert!(delay <= whole && delay >= whole / 2, "{delay:?} of {whole:?}");
                whole = (whole * 2).min(limit);
            }
            backoff.reset();
            prop_assert!(backoff.delay(&mut rng) <= first);
        }
    }
}
