//! One destination, as its worker sees it.

use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Lane, PerLane, RunningHash},
    id::{MessageId, ServerName},
    status::FailReason,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    contract::{
        Store,
        world::{Person, START, World, name},
    },
    inbox::{EntryKind, Failed},
    leases::Fence,
    outbox::{LoadRange, Loaded, Mark, OutboxLane, OutboxStream, Settled, Settlement},
};

/// The destination.
pub(crate) const REGION: &str = "us.example";

/// More bytes than any log has here.
pub(crate) const ALL: usize = 1 << 30;

/// A store, and the lease of one destination that has a stream.
pub(crate) struct Abroad<S> {
    pub(crate) world: World<S>,
    pub(crate) fence: Fence,
    pub(crate) region: ServerName,
}

/// The destination's lease, for some holder, at some time.
pub(crate) async fn lease<S: Store>(world: &World<S>, holder: u128, ms: u64) -> Fence {
    let (at, holder) = (START.plus_millis(ms), Uuid::from_u128(holder));
    world.store.acquire("outbox us.example", holder, at, 1_000).await.unwrap().unwrap()
}

/// A mark with a hash of its own.
pub(crate) fn mark(index: u64) -> Mark {
    let mut hash = [9; 32];
    hash[..8].copy_from_slice(&index.to_be_bytes());
    Mark { index, hash: RunningHash(hash) }
}

/// The indices of what was loaded.
pub(crate) fn number(loaded: &Loaded) -> Vec<u64> {
    loaded.entries.iter().map(|entry| entry.index).collect()
}

impl<S: Store> Abroad<S> {
    pub(crate) async fn new(world: World<S>) -> Self {
        let (fence, region) = (lease(&world, 1, 0).await, name(REGION));
        let lane = OutboxLane { floor: mark(0), receipted: mark(0), offered: 0 };
        let lanes = PerLane::from_fn(|_| lane);
        let fresh = OutboxStream { state: Bytes::from_static(b"fresh"), lanes };
        assert_eq!(world.store.stream(&fence, &region, &fresh).await.unwrap(), fresh);
        Self { world, fence, region }
    }

    /// Commits messages to the destination, one by one.
    pub(crate) async fn send(&self, from: &Person, count: usize) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let accept = self.world.message_abroad(from, &self.region, START);
            self.world.accept(&accept).await;
            ids.push(accept.id);
        }
        ids
    }

    pub(crate) async fn stream(&self) -> OutboxStream {
        self.world.store.marks(&self.region).await.unwrap().unwrap()
    }

    pub(crate) async fn lane(&self, lane: Lane) -> OutboxLane {
        *self.stream().await.lanes.of(lane)
    }

    pub(crate) async fn load(&self, lane: Lane, after: u64) -> Loaded {
        self.load_some(lane, (after, 10_000)).await
    }

    pub(crate) async fn load_some(&self, lane: Lane, (after, limit): (u64, usize)) -> Loaded {
        let range = LoadRange { after, limit, max_bytes: ALL };
        self.world.store.load(&self.fence, &self.region, lane, range).await.unwrap()
    }

    pub(crate) async fn settle(&self, to: u64, rejected: &[(u64, FailReason)]) -> Settled {
        self.settle_in(Lane::Messages, to, rejected).await
    }

    pub(crate) async fn settle_in(
        &self,
        lane: Lane,
        to: u64,
        rejected: &[(u64, FailReason)],
    ) -> Settled {
        let settlement = Settlement { to: mark(to), rejected, now: START };
        self.world.store.settle(&self.fence, &self.region, lane, settlement).await.unwrap()
    }

    pub(crate) async fn settle_at(&self, to: u64, ms: u64) -> Settled {
        let now = START.plus_millis(ms);
        let settlement = Settlement { to: mark(to), rejected: &[], now };
        let lane = Lane::Messages;
        self.world.store.settle(&self.fence, &self.region, lane, settlement).await.unwrap()
    }

    pub(crate) async fn rewind(&self, to: u64) {
        let lane = Lane::Messages;
        self.world.store.rewind(&self.fence, &self.region, lane, mark(to)).await.unwrap();
    }

    pub(crate) async fn refuse(&self, index: u64) -> Settled {
        let (lane, failure) = (Lane::Messages, (FailReason::Refused, START));
        self.world.store.refuse(&self.fence, &self.region, lane, index, failure).await.unwrap()
    }

    pub(crate) async fn expire(&self, before_ms: u64) -> Settled {
        let times = (START.plus_millis(before_ms), START);
        self.world.store.expire(&self.fence, &self.region, times, 100).await.unwrap()
    }

    pub(crate) async fn fail_all(&self, limit: usize) -> Settled {
        let failure = (FailReason::NoSuchRegion, START);
        self.world.store.fail_all(&self.fence, &self.region, failure, limit).await.unwrap()
    }

    /// The indices of what is overdue before a time after the start.
    pub(crate) async fn overdue(&self, before_ms: u64) -> Vec<u64> {
        let before = Timestamp(START.0.saturating_add(before_ms));
        let entries = self.world.store.overdue(&self.region, Lane::Messages, before, 10_000).await;
        entries.unwrap().iter().map(|entry| entry.index).collect()
    }

    pub(crate) async fn forget(&self, floor: u64) {
        let lane = Lane::Messages;
        self.world.store.forget(&self.fence, &self.region, lane, mark(floor)).await.unwrap();
    }

    pub(crate) async fn open(&self, next: &OutboxStream) {
        self.world.store.open(&self.fence, &self.region, next).await.unwrap();
    }

    /// The watermarks that somebody's inbox tells: through and except.
    pub(crate) async fn statuses(&self, person: &Person) -> Vec<(u64, Vec<u64>)> {
        let entries = self.world.inbox(person).await;
        let status = |kind| match kind {
            EntryKind::Status(mark) => Some((mark.through, mark.except)),
            EntryKind::Message(_)
            | EntryKind::Failed(_)
            | EntryKind::Discarded(_)
            | EntryKind::Keys(_)
            | EntryKind::Group(_)
            | EntryKind::Tally(_) => None,
        };
        entries.into_iter().filter_map(|entry| status(entry.kind)).collect()
    }

    /// The failures that somebody's inbox tells.
    pub(crate) async fn failures(&self, person: &Person) -> Vec<Failed> {
        let entries = self.world.inbox(person).await;
        let failed = |kind| match kind {
            EntryKind::Failed(failed) => Some(failed),
            EntryKind::Message(_)
            | EntryKind::Status(_)
            | EntryKind::Discarded(_)
            | EntryKind::Keys(_)
            | EntryKind::Group(_)
            | EntryKind::Tally(_) => None,
        };
        entries.into_iter().filter_map(|entry| failed(entry.kind)).collect()
    }
}
