//! What the next envelope of a lane will carry, read from the store while the one before is on its
//! way: a long queue drains as fast as the slower of the two ends, not as slowly as both together.
//!
//! It is a guess. What was read is used if the machine asks for exactly that, and if nothing but the
//! end of the log has changed since.

use std::sync::Arc;

use posthouse_protocol::{
    federation::stream::{Lane, PerLane},
    id::ServerName,
};
use posthouse_storage::{error::StoreError, leases::Fence};
use tokio::task::JoinSet;

use crate::ports::{LoadRange, Loaded, OutboundStore};

/// Where a lane's entries come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) store: Arc<dyn OutboundStore>,
    pub(super) fence: Fence,
    pub(super) destination: ServerName,
}

/// What is being read ahead; dropped, it is no longer read.
pub(super) struct Ahead(PerLane<Option<Reading>>);

struct Reading {
    range: LoadRange,
    /// The one task.
    task: JoinSet<Result<Loaded, StoreError>>,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Self(PerLane::from_fn(|_| None))
    }

    /// Entries of a lane, read ahead or now. If they are as many as were wanted, more are likely to
    /// wait behind them, and are read ahead; in a thin stream nothing is, since few could become more
    /// until they are wanted.
    pub(super) async fn load(
        &mut self,
        source: &Source,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError> {
        let loaded = match self.take(lane, range).await {
            Some(loaded) => loaded?,
            None => source.load(lane, range).await?,
        };
        if let Some(last) = loaded.entries.last()
            && loaded.entries.len() >= range.limit
        {
            let (source, range) = (source.clone(), LoadRange { after: last.index, ..range });
            let mut task = JoinSet::new();
            task.spawn(async move { source.load(lane, range).await });
            *self.0.of_mut(lane) = Some(Reading { range, task });
        }
        Ok(loaded)
    }

    async fn take(&mut self, lane: Lane, range: LoadRange) -> Option<Result<Loaded, StoreError>> {
        let mut reading = self.0.of_mut(lane).take().filter(|reading| reading.range == range)?;
        // A task that was broken off has read nothing.
        reading.task.join_next().await?.ok()
    }

    /// What was read may not be what is there any more.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }
}

impl Source {
    async fn load(&self, lane: Lane, range: LoadRange) -> Result<Loaded, StoreError> {
        self.store.load(&self.fence, &self.destination, lane, range).await
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::time::Timestamp;
    use tokio::task;

    use super::*;
    use crate::{
        engine::outbound::{LogItem, OutboundStream},
        outbox::testing::{Bench, name},
    };

    const LANE: Lane = Lane::Messages;

    async fn bench() -> (Bench, Source) {
        let (bench, fence) = (Bench::new(), Bench::fence("south.test"));
        let (store, destination) = (Arc::clone(&bench.parts.store), name("south.test"));
        let fresh = OutboundStream::new(&bench.parts.own, &destination, [1; 16], Timestamp(1));
        store.stream(&fence, &destination, &fresh).await.unwrap();
        (bench, Source { store, fence, destination })
    }

    fn range(after: u64) -> LoadRange {
        LoadRange { after, limit: 3, max_bytes: 1_000_000 }
    }

    fn ids(loaded: &Loaded) -> Vec<u128> {
        let id = |item: &LogItem| match item {
            LogItem::Event { id, .. } => id.as_u128(),
            LogItem::Refused => panic!("nothing is refused here"),
        };
        loaded.entries.iter().map(|entry| id(&entry.item)).collect()
    }

    #[tokio::test]
    async fn a_full_load_is_followed_by_a_guess_which_serves_once() {
        let (bench, source) = bench().await;
        (1..=4).for_each(|n| bench.enqueue(n));
        let mut ahead = Ahead::new();
        let first = ahead.load(&source, LANE, range(0)).await.unwrap();
        assert_eq!(ids(&first), [1, 2, 3]);
        assert!(ahead.0.of(LANE).is_some(), "the next are being read");
        // The one thread of this test runs the task now, before the event comes.
        task::yield_now().await;
        bench.enqueue(5);
        let second = ahead.load(&source, LANE, range(3)).await.unwrap();
        assert_eq!(ids(&second), [4], "what came after the guess was made waits for the next load");
        assert!(ahead.0.of(LANE).is_none(), "nothing is guessed after a load that was not full");
        let third = ahead.load(&source, LANE, range(4)).await.unwrap();
        assert_eq!(ids(&third), [5]);
    }

    #[tokio::test]
    async fn what_is_not_asked_for_is_read_anew() {
        let (bench, source) = bench().await;
        (1..=6).for_each(|n| bench.enqueue(n));
        let mut ahead = Ahead::new();
        for _ in 0..2 {
            // The envelope failed: the same is wanted again, and not what follows.
            let loaded = ahead.load(&source, LANE, range(0)).await.unwrap();
            assert_eq!(ids(&loaded), [1, 2, 3]);
        }
        let halved = LoadRange { limit: 1, ..range(3) };
        assert_eq!(ids(&ahead.load(&source, LANE, halved).await.unwrap()), [4]);
        ahead.load(&source, LANE, range(0)).await.unwrap();
        ahead.forget();
        assert!(ahead.0.of(LANE).is_none());
        assert_eq!(ids(&ahead.load(&source, LANE, range(3)).await.unwrap()), [4, 5, 6]);
        assert_eq!(bench.fates(), (0, 0, 6));
    }
}
