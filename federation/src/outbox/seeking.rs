//! First contact for the sake of a question. Ephemerals do not make two regions acquainted, since
//! they may be dropped; but somebody here may wait for what the other region would answer, as who
//! watches a contact's presence does. So the keys of a region that was never reached are sought for
//! as long as somebody wants them, with the back-off of streams.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rand_core::CryptoRng;
use tokio::{
    sync::{Notify, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;

use super::WorkerParts;
use crate::engine::backoff::Backoff;

/// Most regions that are sought at a time. A further one is not sought before one of them is found
/// or wanted no longer.
const MAX_SOUGHT: usize = 1_024;
/// For how long a region is sought after somebody wanted it last, in milliseconds (3 min): who
/// watches asks again sooner.
const WANTED_MS: u64 = 180_000;
/// Most regions that are asked at a time.
const ASKING: usize = 16;

/// The regions that are sought.
pub(super) struct Seeking {
    sought: Mutex<HashMap<ServerName, Arc<Wanted>>>,
    asking: Semaphore,
}

/// A region that somebody wants to be acquainted with.
#[derive(Default)]
struct Wanted {
    until: AtomicU64,
    heard: Notify,
}

/// The search for one region. It is given up even if its task breaks.
pub(super) struct Search {
    seeking: Arc<Seeking>,
    destination: ServerName,
    wanted: Arc<Wanted>,
}

impl Drop for Search {
    fn drop(&mut self) {
        self.seeking.sought().remove(&self.destination);
    }
}

impl Seeking {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { sought: Mutex::default(), asking: Semaphore::new(ASKING) })
    }

    /// Somebody wants `destination`; gives the search that is to be made, unless one is under way or
    /// too many are.
    pub(super) fn want(
        self: &Arc<Self>,
        destination: &ServerName,
        now: Timestamp,
    ) -> Option<Search> {
        let until = now.plus_millis(WANTED_MS).0;
        let mut sought = self.sought();
        if let Some(wanted) = sought.get(destination) {
            wanted.until.store(until, Ordering::Relaxed);
            return None;
        }
        if sought.len() >= MAX_SOUGHT {
            return None;
        }
        let wanted = Arc::new(Wanted { until: AtomicU64::new(until), heard: Notify::new() });
        sought.insert(destination.clone(), Arc::clone(&wanted));
        let (seeking, destination) = (Arc::clone(self), destination.clone());
        Some(Search { seeking, destination, wanted })
    }

    /// The peer made authenticated contact: if it is sought, it is asked at once.
    pub(super) fn heard(&self, peer: &ServerName) {
        if let Some(wanted) = self.sought().get(peer) {
            wanted.heard.notify_one();
        }
    }

    fn sought(&self) -> MutexGuard<'_, HashMap<ServerName, Arc<Wanted>>> {
        // Each change is whole or has not begun.
        self.sought.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Search {
    /// Asks until the region's keys are known, nobody wants them any more, or `stop`. The observer is
    /// told if they were not known before.
    pub(super) async fn run(
        self,
        parts: &WorkerParts,
        mut rng: impl CryptoRng + Send,
        stop: &CancellationToken,
    ) {
        let destination = self.destination.clone();
        // If the store cannot say, it cannot keep keys either: later again.
        if !matches!(parts.keys.is_known(&destination).await, Ok(false)) {
            return;
        }
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                found = self.ask(parts) => if found { break },
            }
            let now = parts.clock.now();
            if self.wanted.until.load(Ordering::Relaxed) <= now.0 {
                return;
            }
            backoff.failed(now, None, &mut rng);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.pause(parts, &mut backoff) => {}
            }
        }
        tracing::info!(peer = %destination, "the region is known now: somebody asked for it");
        drop(self);
        parts.observer.met(&destination);
    }

    /// Whether the region's keys are known now.
    async fn ask(&self, parts: &WorkerParts) -> bool {
        // It is never closed.
        let Ok(_permit) = self.seeking.asking.acquire().await else { return false };
        match parts.keys.keys(&self.destination, false).await {
            Ok(_) => true,
            Err(err) => {
                tracing::debug!(peer = %self.destination, error = %err, "a region is not found");
                false
            }
        }
    }

    /// Waits for the next attempt.
    async fn pause(&self, parts: &WorkerParts, backoff: &mut Backoff) {
        loop {
            let now = parts.clock.now();
            backoff.heed_clock(now);
            let Some(at) = backoff.retry_at().filter(|at| *at > now) else { return };
            tokio::select! {
                () = self.wanted.heard.notified() => {
                    backoff.sign_of_life(parts.clock.now());
                }
                () = time::sleep(Duration::from_millis(at.0 - now.0)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::testing::name;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn one_search_for_a_region_and_a_bounded_number_of_them() {
        let seeking = Seeking::new();
        let numbered = |n: usize| name(&format!("r{n}.test"));
        let mut searches: Vec<Search> =
            (0..MAX_SOUGHT).map(|n| seeking.want(&numbered(n), NOW).unwrap()).collect();
        assert!(seeking.want(&numbered(0), NOW).is_none(), "it is sought already");
        assert!(seeking.want(&numbered(MAX_SOUGHT), NOW).is_none(), "too many");
        searches.pop();
        assert!(seeking.want(&numbered(MAX_SOUGHT), NOW).is_some());
        drop(searches);
        assert!(seeking.sought().is_empty());
    }
}
