//! What a worker does now and then: entries whose grace is over are given up, messages that have
//! expired fail, and so do those for a region that does not exist.

use posthouse_protocol::{federation::stream::Lane, time::Timestamp};
use rand_core::CryptoRng;

use super::{Worker, WorkerError};
use crate::{
    engine::sender::Input,
    ports::{FAIL_AT_ONCE, Overdue},
};

/// Entries that are forgotten at a time.
const FORGET_AT_ONCE: usize = 1_000;
/// How often entries are given up, in milliseconds (15 min).
const FORGET_EVERY_MS: u64 = 15 * 60_000;
/// How often it is looked for messages that have expired, in milliseconds (30 s).
const EXPIRE_EVERY_MS: u64 = 30_000;
/// How long the name of a region that was never reached must be missing until what waits for it has
/// failed, in milliseconds (24 h).
pub(super) const NAMELESS_MS: u64 = 24 * 3_600_000;

/// When what is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chores {
    forget_at: Timestamp,
    expire_at: Timestamp,
}

impl Chores {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { forget_at: now, expire_at: now }
    }

    /// When the next is due.
    pub(super) fn next(&self, waiting: bool) -> Timestamp {
        if waiting { self.forget_at.min(self.expire_at) } else { self.forget_at }
    }
}

/// Whether something is due; if so, it is due again after `every`. The clock may be set back.
fn is_due(at: &mut Timestamp, every: u64, now: Timestamp) -> bool {
    let due = now >= *at || at.0 - now.0 > every;
    if due {
        *at = now.plus_millis(every);
    }
    due
}

impl<R: CryptoRng + Send + Sync> Worker<R> {
    /// Does what is due.
    pub(super) async fn do_chores(&mut self) -> Result<(), WorkerError> {
        let now = self.parts.clock.now();
        if is_due(&mut self.chores.forget_at, FORGET_EVERY_MS, now) {
            self.forget(now).await?;
        }
        if !self.is_idle() && is_due(&mut self.chores.expire_at, EXPIRE_EVERY_MS, now) {
            let nameless = self.nameless_since.is_some_and(|since| {
                now.0.checked_sub(since.0).is_some_and(|passed| passed >= NAMELESS_MS)
            });
            self.fail(nameless, now).await?;
        }
        Ok(())
    }

    /// Messages that have expired fail; all of them, if the region does not exist.
    async fn fail(&mut self, all: bool, now: Timestamp) -> Result<(), WorkerError> {
        self.ahead.forget();
        // What the destination has signed for does not fail.
        self.settle_all().await?;
        let (store, fence, to) = (&self.parts.store, &self.fence, &self.destination);
        loop {
            let settled = if all {
                store.fail_all(fence, to, now).await?
            } else {
                store.expire(fence, to, now).await?
            };
            let more = settled.failed.len() >= FAIL_AT_ONCE;
            self.tell(settled);
            if !more {
                return Ok(());
            }
        }
    }

    /// Gives up receipted entries whose grace is over.
    async fn forget(&mut self, now: Timestamp) -> Result<(), WorkerError> {
        let range = Overdue { before: now.minus_millis(self.parts.keep_ms), limit: FORGET_AT_ONCE };
        for lane in Lane::ALL {
            loop {
                let (store, fence) = (&self.parts.store, &self.fence);
                let entries = store.overdue(fence, &self.destination, lane, range).await?;
                let floor = self.sender.stream().lanes.of(lane).floor;
                if !entries.is_empty() {
                    self.feed(Input::Overdue { lane, entries }).await?;
                }
                // None is left, or they may not go now.
                if self.sender.stream().lanes.of(lane).floor == floor {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chore_is_due_in_its_time_and_after_the_clock_was_set_back() {
        let mut at = Timestamp(1_000_000);
        assert!(!is_due(&mut at, 30_000, Timestamp(999_999)));
        assert!(is_due(&mut at, 30_000, Timestamp(1_000_000)));
        assert_eq!(at, Timestamp(1_030_000));
        assert!(is_due(&mut at, 30_000, Timestamp(5)));
        assert_eq!(at, Timestamp(30_005));
    }
}
