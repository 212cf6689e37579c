//! How often a password or code may be guessed wrong, by account rather than by address.
//!
//! A try is counted as wrong before it is compared, so that many at once gain nothing. The counts are
//! this process's own and in memory: strangers make no writes. Names that nobody has are counted like
//! others, so that a wait does not tell who exists.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use posthouse_protocol::{
    id::DeviceId,
    problem::{Code, Rejection},
};
use posthouse_storage::backoff::Backoff;
use tokio::time::Instant;
use uuid::Uuid;

/// Ten wrong ones are free, then a wait of 1 s doubles up to 15 minutes.
const BACKOFF: Backoff = Backoff { free: 9, first_ms: 1_000, most_ms: 15 * 60_000 };

/// After this time without a try its failures are forgotten.
const MEMORY: Duration = Duration::from_hours(1);

/// Most that are remembered, in two generations; beyond it the older one is forgotten early.
const MAX_REMEMBERED: usize = 131_072;

/// Whose failures are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// Log-ins to an account, from wherever.
    Account(Uuid),
    /// Log-ins of a device that the account knows: no stranger can have its id.
    Device(DeviceId),
    /// Log-ins to a name that nobody has, by its hash.
    Nobody(u64),
    /// What a session of the account confirms with its password.
    Session(Uuid),
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    failures: u32,
    free_at: Duration,
    last: Duration,
}

#[derive(Default)]
struct Counts {
    since: Duration,
    young: HashMap<Target, Count>,
    old: HashMap<Target, Count>,
}

/// Counts wrong guesses.
pub struct Guesses {
    start: Instant,
    counts: Mutex<Counts>,
    hasher: RandomState,
}

impl Guesses {
    /// Nobody has guessed yet.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now(), counts: Mutex::default(), hasher: RandomState::new() }
    }

    /// The target of a name that nobody has.
    pub(super) fn nobody(&self, name: &str) -> Target {
        Target::Nobody(self.hasher.hash_one(name))
    }

    /// Counts a try, which is wrong until [`Self::was_right`].
    ///
    /// # Errors
    /// [`Code::RateLimited`] while one has to wait; that costs nothing.
    pub(super) fn count(&self, target: Target) -> Result<(), Rejection> {
        let now = self.start.elapsed();
        self.counts().count(target, now).map_err(|wait| {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let detail = "the password or code was wrong too often; wait and try again";
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            Rejection::new(Code::RateLimited, detail).retry_after(seconds)
        })
    }

    /// The last try was right: counts afresh.
    pub(super) fn was_right(&self, target: Target) {
        let mut counts = self.counts();
        counts.young.remove(&target);
        counts.old.remove(&target);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn count(&mut self, target: Target, now: Duration) -> Result<(), Duration> {
        if now.saturating_sub(self.since) > MEMORY || self.young.len() >= MAX_REMEMBERED / 2 {
            self.old = core::mem::take(&mut self.young);
            self.since = now;
        }
        let known = self.old.remove(&target);
        let count = self.young.entry(target).or_insert_with(|| known.unwrap_or_default());
        if let Some(wait) = count.free_at.checked_sub(now).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if now.saturating_sub(count.last) > MEMORY {
            *count = Count::default();
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        count.free_at = now + Duration::from_millis(BACKOFF.delay_ms(count.failures));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Target = Target::Account(Uuid::from_u128(1));

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_are_free_then_waits_double() {
        let mut counts = Counts::default();
        for _ in 0..10 {
            assert_eq!(counts.count(ADA, seconds(10)), Ok(()));
        }
        assert_eq!(counts.count(ADA, seconds(10)), Err(seconds(1)));
        assert_eq!(counts.count(ADA, seconds(11)), Ok(()));
        assert_eq!(counts.count(ADA, seconds(11)), Err(seconds(2)));
        assert_eq!(counts.count(Target::Device(DeviceId(Uuid::nil())), seconds(11)), Ok(()));
    }

    /// Whoever guesses without end gets about a hundred tries a day.
    #[test]
    fn a_day_of_guessing_is_worth_little() {
        let mut counts = Counts::default();
        let tries = (0..86_400).filter(|now| counts.count(ADA, seconds(*now)).is_ok()).count();
        assert!((90..130).contains(&tries), "{tries}");
    }

    #[test]
    fn failures_are_forgotten_and_the_memory_is_bounded() {
        let mut counts = Counts::default();
        for now in 0..11 {
            assert!(counts.count(ADA, seconds(now)).is_ok());
        }
        for _ in 0..10 {
            assert!(counts.count(ADA, seconds(11) + MEMORY + seconds(1)).is_ok());
        }
        for name in 0..300_000 {
            assert!(counts.count(Target::Nobody(name), seconds(9_999)).is_ok());
        }
        assert!(counts.young.len() + counts.old.len() <= MAX_REMEMBERED);
    }

    #[test]
    fn a_right_one_counts_afresh() {
        let guesses = Guesses::new();
        for _ in 0..100 {
            guesses.count(ADA).unwrap();
            guesses.was_right(ADA);
        }
        for _ in 0..10 {
            guesses.count(ADA).unwrap();
        }
        let refused = guesses.count(ADA).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::RateLimited, Some(1)));
    }
}
