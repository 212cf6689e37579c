//! Positions and watermarks on their way to the store. They are collected and written a few times a
//! second, or once if they are many, for everyone at once: a device whose position is lost
//! acknowledges again, so nothing waits for this.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::HashMap;
use posthouse_protocol::{
    cursor::Cursor,
    federation::stream::Lane,
    id::{AccountId, ConversationId, DeviceId, ServerName},
    status::Reached,
};
use posthouse_storage::{
    inbox::{Entry, EntryKind},
    message_store::MessageStore,
    receipts::{MAX_EXCEPT, PositionAdvance, Risen, WatermarkRise},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Connections;
use crate::regions::Regions;

/// How long progress is collected before it is written.
const INTERVAL: Duration = Duration::from_millis(250);

/// How much longer it is collected if it is much: each message to a large group moves all members'
/// positions and watermarks, and what the next message moves again needs no writing.
const LONGER: Duration = Duration::from_millis(750);

/// Watermarks from which on it is much.
const MUCH: usize = 64;

/// Most positions and most watermarks that wait. A further one is dropped, which is harmless: the
/// device acknowledges again. It takes a store that fails for long to get there.
const MAX_PENDING: usize = 100_000;

/// Most of each that go into one transaction.
const MAX_BATCH: usize = 1_000;

/// Collects progress, and writes it.
#[derive(Default)]
pub struct Progress {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    collected: Batch,
    /// What is being written just now: still the truth for a device that reconnects meanwhile.
    writing: HashMap<DeviceId, PositionAdvance>,
}

#[derive(Default)]
struct Batch {
    positions: HashMap<DeviceId, PositionAdvance>,
    rises: HashMap<Key, WatermarkRise>,
}

type Key = (ConversationId, AccountId, ServerName, Reached);

impl Progress {
    /// Nothing collected.
    pub fn new() -> Self {
        Self::default()
    }

    /// The device has acknowledged its inbox up to a position, or was seen.
    pub(super) fn advance(&self, advance: PositionAdvance) {
        let mut state = self.state();
        let positions = &mut state.collected.positions;
        if positions.len() < MAX_PENDING || positions.contains_key(&advance.device) {
            let known = positions.entry(advance.device).or_insert(advance);
            known.position = known.position.max(advance.position);
            known.active_at = known.active_at.max(advance.active_at);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A watermark may have risen.
    pub(super) fn rise(&self, rise: WatermarkRise) {
        let mark = &rise.watermark;
        let key = (mark.conversation, mark.reader.clone(), mark.origin.clone(), mark.reached);
        let mut state = self.state();
        let rises = &mut state.collected.rises;
        if let Some(known) = rises.get_mut(&key) {
            merge(known, rise);
        } else if rises.len() < MAX_PENDING {
            rises.insert(key, rise);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The position that the device has reached, if it is not in the store yet.
    pub(super) fn reached(&self, device: DeviceId) -> Option<Cursor> {
        let state = self.state();
        let collected = state.collected.positions.get(&device);
        let positions = collected.into_iter().chain(state.writing.get(&device));
        positions.map(|advance| advance.position).max()
    }

    /// Writes what is collected, again and again, until `shutdown`; then once more.
    pub async fn run(
        self: Arc<Self>,
        store: MessageStore,
        (connections, regions): (Arc<Connections>, Arc<dyn Regions>),
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.changed.notified() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.collect() => {}
            }
            self.write(&store, &connections, regions.as_ref()).await;
        }
        self.write(&store, &connections, regions.as_ref()).await;
    }

    /// Waits while progress is collected.
    async fn collect(&self) {
        tokio::time::sleep(INTERVAL).await;
        let is_much = self.state().collected.rises.len() >= MUCH;
        if is_much {
            tokio::time::sleep(LONGER).await;
        }
    }

    async fn write(&self, store: &MessageStore, connections: &Connections, regions: &dyn Regions) {
        while let Some((positions, rises)) = self.next_batch() {
            let risen = store.ledger().record(&positions, &rises).await;
            self.state().writing.clear();
            match risen {
                Ok(risen) => {
                    wake(&rises, regions);
                    announce(risen, connections);
                }
                Err(err) => {
                    tracing::warn!(error = %err, "progress could not be written; it is kept");
                    for one in positions {
                        self.advance(one);
                    }
                    for rise in rises {
                        // It may be durable all the same, and would then not rise again.
                        for account in &rise.tell {
                            connections.inbox_grew(*account);
                        }
                        if rise.forward.is_some() {
                            regions.wake(&rise.watermark.origin, Lane::Receipts);
                        }
                        self.rise(rise);
                    }
                    return;
                }
            }
        }
    }

    fn next_batch(&self) -> Option<(Vec<PositionAdvance>, Vec<WatermarkRise>)> {
        let mut state = self.state();
        let collected = &mut state.collected;
        if collected.positions.is_empty() && collected.rises.is_empty() {
            return None;
        }
        let devices: Vec<_> = collected.positions.keys().take(MAX_BATCH).copied().collect();
        let keys: Vec<_> = collected.rises.keys().take(MAX_BATCH).cloned().collect();
        let mut rises: Vec<_> = keys.iter().filter_map(|key| collected.rises.remove(key)).collect();
        // Delivered is told before read.
        rises.sort_by_key(|rise| rise.watermark.reached);
        let positions: Vec<_> =
            devices.into_iter().filter_map(|device| collected.positions.remove(&device)).collect();
        state.writing = positions.iter().map(|one| (one.device, *one)).collect();
        Some((positions, rises))
    }

    /// What waits to be written.
    #[cfg(test)]
    pub(super) fn waiting_rises(&self) -> Vec<WatermarkRise> {
        self.state().collected.rises.values().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers that were passed over stay so: they have expired, for every device.
fn merge(known: &mut WatermarkRise, new: WatermarkRise) {
    let (mark, newer) = (&mut known.watermark, new.watermark);
    mark.through = mark.through.max(newer.through);
    mark.at = mark.at.max(newer.at);
    mark.except.extend(newer.except);
    mark.except.sort_unstable();
    mark.except.dedup();
    let excess = mark.except.len().saturating_sub(MAX_EXCEPT);
    mark.except.drain(..excess);
    for account in new.tell {
        if !known.tell.contains(&account) {
            known.tell.push(account);
        }
    }
    match (&mut known.forward, new.forward) {
        (Some(known), Some(new)) => {
            for account in new.recipients {
                if !known.recipients.contains(&account) {
                    known.recipients.push(account);
                }
            }
        }
        (forward @ None, new) => *forward = new,
        (Some(_), None) => {}
    }
}

/// Wakes the queues of receipts to other regions, each once.
fn wake(rises: &[WatermarkRise], regions: &dyn Regions) {
    let abroad = rises.iter().filter(|rise| rise.forward.is_some());
    let origins: HashSet<&ServerName> = abroad.map(|rise| &rise.watermark.origin).collect();
    for origin in origins {
        regions.wake(origin, Lane::Receipts);
    }
}

/// Hands watermarks that rose to connected devices.
pub(crate) fn announce(risen: Vec<Risen>, connections: &Connections) {
    for one in risen {
        let entry = |cursor| {
            let arrived_at = one.watermark.at;
            let kind = match &one.tally {
                Some(tally) => EntryKind::Tally(Box::new(tally.clone())),
                None => EntryKind::Status(Box::new(one.watermark.clone())),
            };
            Entry { cursor, arrived_at, kind }
        };
        connections.hand_over(&one.arrivals, entry, None);
    }
}
