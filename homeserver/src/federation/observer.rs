//! What becomes of queues to other regions, as senders and operators are told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use posthouse_federation::{
    engine::sender::Alarm,
    ports::{self, Setback},
};
use posthouse_protocol::{id::ServerName, time::Timestamp};
use posthouse_storage::{
    inbox::{Entry, EntryKind},
    outbox::{Outbox, Settled},
};

use crate::delivery::{Connections, announce, queued_frame};

/// Most regions that are noted as unreachable; of further ones `queued` is not told.
const MAX_UNREACHABLE: usize = 10_000;
/// Most waiting messages whose senders are told `queued` when a region becomes unreachable.
const MAX_TOLD: usize = 1_000;

/// What happened since the start.
#[derive(Debug, Default)]
pub struct ObserverCounters {
    /// Times that a region became unreachable.
    pub unreachable: AtomicU64,
    /// Alarms.
    pub alarms: AtomicU64,
    /// Messages that failed.
    pub failed: AtomicU64,
}

/// A region that nothing is delivered to.
#[derive(Debug, Clone)]
pub struct Unreachable {
    /// Since when.
    pub since: Timestamp,
    /// What the last attempt came to.
    pub why: Setback,
}

/// Who hears of a region that can be asked again, or for the first time.
pub(crate) type Answers = Box<dyn Fn(&ServerName) + Send + Sync>;

/// Tells senders and operators.
pub struct Observer {
    connections: Arc<Connections>,
    outbox: Arc<dyn Outbox>,
    unreachable: Mutex<HashMap<ServerName, Unreachable>>,
    answers: OnceLock<Answers>,
    counters: ObserverCounters,
}

impl Observer {
    /// Tells those of `connections`.
    pub fn new(connections: Arc<Connections>, outbox: Arc<dyn Outbox>) -> Self {
        let (unreachable, counters) = (Mutex::default(), ObserverCounters::default());
        Self { connections, outbox, unreachable, answers: OnceLock::new(), counters }
    }

    /// Who hears of regions that answer; the first one stays.
    pub fn set_answers(&self, answers: Answers) {
        _ = self.answers.set(answers);
    }

    /// Since when nothing is delivered to a region, and why.
    pub fn unreachable(&self, destination: &ServerName) -> Option<Unreachable> {
        self.map().get(destination).cloned()
    }

    /// How many regions do not answer.
    pub fn unreachable_regions(&self) -> usize {
        self.map().len()
    }

    /// What happened.
    pub fn counters(&self) -> &ObserverCounters {
        &self.counters
    }

    fn map(&self) -> MutexGuard<'_, HashMap<ServerName, Unreachable>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ports::Observer for Observer {
    fn unreachable(&self, destination: &ServerName, since: Timestamp, why: &Setback) {
        {
            let mut map = self.map();
            if map.len() < MAX_UNREACHABLE || map.contains_key(destination) {
                map.insert(destination.clone(), Unreachable { since, why: why.clone() });
            }
        }
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%destination, reason = %why, "nothing is delivered to the region; what is for it waits");
        let (outbox, connections) = (Arc::clone(&self.outbox), Arc::clone(&self.connections));
        let destination = destination.clone();
        tokio::spawn(async move {
            match outbox.unreceipted(&destination, MAX_TOLD).await {
                Ok(waiting) => {
                    for one in waiting {
                        if connections.is_connected(one.sender) {
                            let frame = queued_frame(one.id, since).to_json();
                            connections.push(one.sender, &frame.into(), None);
                        }
                    }
                }
                Err(err) => tracing::warn!(error = %err, "senders cannot be told that they wait"),
            }
        });
    }

    fn failed_again(&self, destination: &ServerName, why: &Setback) {
        tracing::debug!(%destination, reason = %why, "an attempt to deliver came to nothing");
        let changed = self.map().get_mut(destination).is_some_and(|known| {
            let changed = core::mem::discriminant(&known.why) != core::mem::discriminant(why);
            known.why = why.clone();
            changed
        });
        if changed {
            tracing::warn!(%destination, reason = %why, "still nothing is delivered to the region");
        }
    }

    fn at_rest(&self, destination: &ServerName) {
        self.map().remove(destination);
    }

    fn reachable(&self, destination: &ServerName) {
        if self.map().remove(destination).is_some() {
            tracing::info!(%destination, "the region takes what is for it again");
            tracing::info!(%destination, "the region takes what is for it again");
            self.met(destination);
        }
    }

    fn met(&self, destination: &ServerName) {
        if let Some(answers) = self.answers.get() {
            answers(destination);
        }
    }

    fn alarm(&self, destination: &ServerName, alarm: Alarm) {
        self.counters.alarms.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%destination, ?alarm, "the stream to the region needs the operator's eye");
    }

    fn settled(&self, _destination: &ServerName, settled: Settled) {
        announce(settled.risen, &self.connections);
        let failed = u64::try_from(settled.failed.len()).unwrap_or(u64::MAX);
        self.counters.failed.fetch_add(failed, Ordering::Relaxed);
        for (arrival, failed) in settled.failed {
            let at = failed.at;
            let entry =
                |cursor| Entry { cursor, arrived_at: at, kind: EntryKind::Failed(failed.clone()) };
            self.connections.hand_over(&[arrival], entry, None);
        }
    }
}
