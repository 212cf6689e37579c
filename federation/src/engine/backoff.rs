//! When a peer that does not answer is tried again.
//!
//! Full jitter: the delay is drawn evenly between zero and a ceiling, so that many servers that lost
//! one peer do not return to it in step. The ceiling is an eighth of the time for which the peer has
//! been away, from 1 s to 5 min: so the number of attempts grows with the logarithm of that time,
//! and an outage is never prolonged by more than an eighth of its own length, whatever the luck of
//! the draw (decision 0015). A sign of life from the peer sets the ceiling back at once, but only so
//! often: a peer that greets and does not accept is not worth a hot loop.

use posthouse_protocol::time::Timestamp;
use rand_core::Rng;

/// Which part of the time that the peer has been away the ceiling is.
const PART: u64 = 8;
/// The lowest ceiling, in milliseconds (1 s).
pub const FIRST_MS: u64 = 1_000;
/// The highest ceiling, in milliseconds (5 min).
pub const LAST_MS: u64 = 300_000;
/// The longest wait that a peer may ask for with `Retry-After`, in milliseconds (1 h).
pub const MAX_RETRY_AFTER_MS: u64 = 3_600_000;
/// The shortest time between two resets by signs of life, in milliseconds (10 s).
pub const RESET_EVERY_MS: u64 = 10_000;

/// The state of one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    /// The last attempt failed, and no sign of life came since.
    failing: bool,
    /// No attempt before this.
    retry_at: Option<Timestamp>,
    /// How long that wait was when it began, in milliseconds.
    wait_ms: u64,
    /// Failing since.
    since: Option<Timestamp>,
    /// The last reset by a sign of life.
    reset_at: Option<Timestamp>,
}

impl Backoff {
    /// Whether an attempt may be made at `now`.
    pub fn allows(&self, now: Timestamp) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// When the next attempt may be made, if that is not at once.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }

    /// Since when every attempt has failed; `None` while the peer answers.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// An attempt failed; the peer may have said how long to wait.
    pub fn failed(&mut self, now: Timestamp, retry_after_ms: Option<u64>, rng: &mut impl Rng) {
        self.failing = true;
        let since = *self.since.get_or_insert(now);
        let away = now.0.saturating_sub(self.reset_at.map_or(since, |at| at.max(since)).0);
        let ceiling = (away / PART).clamp(FIRST_MS, LAST_MS);
        let jitter = rng.next_u64() % (ceiling + 1);
        let asked = retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER_MS);
        self.wait_ms = jitter.max(asked);
        self.retry_at = Some(now.plus_millis(self.wait_ms));
    }

    /// An attempt succeeded.
    pub fn succeeded(&mut self) {
        *self = Self { reset_at: self.reset_at, ..Self::default() };
    }

    /// The peer showed itself: authenticated contact, a new address, or the operator's word. Gives
    /// whether an attempt may be made at once.
    pub fn sign_of_life(&mut self, now: Timestamp) -> bool {
        let recently = self.reset_at.is_some_and(|at| {
            now.0.checked_sub(at.0).is_some_and(|passed| passed < RESET_EVERY_MS)
        });
        if recently || !self.failing {
            return false;
        }
        self.failing = false;
        self.retry_at = None;
        self.reset_at = Some(now);
        true
    }

    /// Waits without counting a failure: the peer asked for it.
    pub fn hold(&mut self, now: Timestamp, for_ms: u64) {
        self.wait_ms = self.wait_ms.max(for_ms);
        let until = now.plus_millis(for_ms);
        self.retry_at = Some(self.retry_at.map_or(until, |at| at.max(until)));
    }

    /// The clock may have been set back: no wait is longer than it was when it began.
    pub fn heed_clock(&mut self, now: Timestamp) {
        let latest = now.plus_millis(self.wait_ms);
        self.retry_at = self.retry_at.map(|at| at.min(latest));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn wait(backoff: &Backoff) -> u64 {
        backoff.retry_at().map_or(0, |at| at.0 - NOW.0)
    }

    proptest! {
        /// A peer that comes back after `away` is found at most an eighth of that later, or a second.
        #[test]
        fn an_outage_is_prolonged_by_an_eighth_at_most(away in 0_u64..40 * 24 * 3_600_000, seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut backoff, mut now, mut attempts) = (Backoff::default(), NOW, 0_u64);
            while now.0 - NOW.0 <= away {
                backoff.failed(now, None, &mut rng);
                let ceiling = ((now.0 - NOW.0) / PART).max(FIRST_MS);
                let next = backoff.retry_at().unwrap();
                prop_assert!(next.0 - now.0 <= ceiling.min(LAST_MS));
                (now, attempts) = (next, attempts + 1);
            }
            let late = now.0 - NOW.0 - away;
            prop_assert!(late <= (away / PART).clamp(FIRST_MS, LAST_MS), "{late} ms late");
            // Twice what is expected: 2 a second at first, then 16 for each factor of e, at last
            // one in 2.5 minutes; and a few, since short outages see the luck of the draw.
            let doublings = u64::from((away / 8_000).clamp(1, 300).ilog2() + 1);
            let most = 2 * (2 * away.min(8_000) / 1_000 + 12 * doublings + away / 150_000) + 40;
            prop_assert!(attempts <= most, "{attempts} attempts in {away} ms, at most {most}");
            prop_assert_eq!(backoff.failing_since(), Some(NOW));
        }
    }

    #[test]
    fn jitter_uses_the_whole_range() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut waits: Vec<u64> = Vec::new();
        for _ in 0..1_000 {
            let long_ago = NOW.minus_millis(24 * 3_600_000);
            let mut backoff = Backoff { since: Some(long_ago), ..Backoff::default() };
            backoff.failed(NOW, None, &mut rng);
            waits.push(wait(&backoff));
        }
        let below = |limit| waits.iter().filter(|wait| **wait < limit).count();
        assert!((150..350).contains(&below(LAST_MS / 4)), "{}", below(LAST_MS / 4));
        assert!((650..850).contains(&below(LAST_MS * 3 / 4)));
    }

    #[test]
    fn after_a_sign_of_life_waits_are_short_again() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut backoff =
            Backoff { since: Some(NOW.minus_millis(86_400_000)), ..Backoff::default() };
        backoff.failed(NOW, None, &mut rng);
        assert!(backoff.sign_of_life(NOW));
        backoff.failed(NOW.plus_millis(10), None, &mut rng);
        assert!(wait(&backoff) <= 10 + FIRST_MS, "{}", wait(&backoff));
    }

    #[test]
    fn the_peers_own_wish_is_honoured_within_bounds() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut backoff = Backoff::default();
        backoff.failed(NOW, Some(60_000), &mut rng);
        assert_eq!(wait(&backoff), 60_000);
        backoff.failed(NOW, Some(u64::MAX), &mut rng);
        assert_eq!(wait(&backoff), MAX_RETRY_AFTER_MS);
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_nothing() {
        let mut rng = StdRng::seed_from_u64(4);
        let mut backoff = Backoff::default();
        backoff.failed(NOW, Some(60_000), &mut rng);
        let earlier = NOW.minus_millis(3_600_000);
        backoff.heed_clock(earlier);
        assert_eq!(backoff.retry_at(), Some(earlier.plus_millis(60_000)));
    }

    #[test]
    fn signs_of_life_reset_at_a_bounded_rate() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = Backoff::default();
        assert!(!backoff.sign_of_life(NOW), "nothing to reset");
        backoff.failed(NOW, Some(50_000), &mut rng);
        assert!(backoff.sign_of_life(NOW));
        assert!(backoff.allows(NOW));
        backoff.failed(NOW, Some(50_000), &mut rng);
        assert!(!backoff.sign_of_life(NOW.plus_millis(RESET_EVERY_MS - 1)));
        assert!(backoff.sign_of_life(NOW.plus_millis(RESET_EVERY_MS)));
        assert_eq!(backoff.failing_since(), Some(NOW), "only an answer ends the failure");
        backoff.succeeded();
        assert_eq!(backoff.failing_since(), None);
    }
}
