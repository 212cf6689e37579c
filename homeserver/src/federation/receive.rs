//! Steps 9 and 10: an envelope's events take effect in one transaction; then connected devices are
//! handed what is new.

use std::{collections::HashSet, mem, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_federation::{
    engine::receiver::InboundStream,
    ports::{InboundStore, TakeError, Taking},
};
use posthouse_protocol::{
    federation::{
        receipt::{Rejection, RejectionReason},
        record::{EventRecord, Record},
    },
    id::ServerName,
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    inbox::{Entry, EntryKind},
    message_store::MessageStore,
    reception::{self, Receptions, Rejected, Taken},
};
use uuid::Uuid;

use super::judge::{Judge, Verdict};
use crate::{
    accounts::Directory,
    delivery::{Connections, announce},
    random::Random,
};

/// What receiving needs.
pub struct ReceptionParts {
    /// Streams and effects.
    pub receptions: Arc<dyn Receptions>,
    /// Where contents are kept.
    pub messages: MessageStore,
    /// Accounts.
    pub directory: Arc<Directory>,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Random numbers.
    pub random: Arc<Random>,
    /// Whether contents are taken that are not end-to-end encrypted.
    pub allow_unencrypted: bool,
}

/// Takes the events of other regions.
pub struct Reception(ReceptionParts);

/// What an envelope brings, sorted.
#[derive(Default)]
struct Sorted {
    messages: Vec<reception::Received>,
    /// For each message its sequence.
    sequences: Vec<u64>,
    bodies: Vec<(BodyId, Bytes)>,
    watermarks: Vec<posthouse_storage::receipts::WatermarkRise>,
    rejected: Vec<Rejected>,
    told: Vec<Rejection>,
    voids: Vec<posthouse_protocol::federation::record::Void>,
}

impl Reception {
    /// Takes events with `parts`.
    pub fn new(parts: ReceptionParts) -> Self {
        Self(parts)
    }

    async fn sort(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Sorted, StoreError> {
        let parts = &self.0;
        let known = self.recipients(taking.records).await?;
        let own = parts.directory.server();
        let judge = Judge { origin, own, allow_unencrypted: parts.allow_unencrypted, now };
        let mut sorted = Sorted::default();
        let mut sequence = taking.first;
        for record in taking.records {
            match record {
                Record::Void(void) => sorted.voids.push(*void),
                Record::Event(event) => {
                    let body = BodyId::new(now, parts.random.bytes());
                    match judge.judge(event, |account| known.contains(&account), body) {
                        Verdict::Message(received, content) => {
                            sorted.messages.push(*received);
                            sorted.sequences.push(sequence);
                            sorted.bodies.push((body, content));
                        }
                        Verdict::Watermark(rise) => sorted.watermarks.push(*rise),
                        Verdict::Rejected(reason) => sorted.reject(event, sequence, reason),
                    }
                }
            }
            sequence = sequence.saturating_add(record.covers());
        }
        Ok(sorted)
    }

    /// Those of the accounts that the records are for which exist here.
    async fn recipients(&self, records: &[Record]) -> Result<HashSet<Uuid>, StoreError> {
        let events = records.iter().filter_map(|record| match record {
            Record::Event(event) => event.event.as_ref().ok(),
            Record::Void(_) => None,
        });
        let named: HashSet<Uuid> =
            events.flat_map(|event| event.recipients.iter().copied()).collect();
        let named: Vec<Uuid> = named.into_iter().collect();
        let exist = self.0.directory.existing(&named).await?;
        Ok(named.into_iter().zip(exist).filter(|(_, yes)| *yes).map(|(id, _)| id).collect())
    }

    fn tell(
        &self,
        sorted: Sorted,
        arrivals: Vec<Vec<posthouse_storage::ledger::Arrival>>,
        now: Timestamp,
    ) {
        let contents = sorted.bodies.into_iter().map(|(_, content)| content);
        for ((received, content), arrivals) in
            sorted.messages.into_iter().zip(contents).zip(arrivals)
        {
            let message = Box::new(received.message);
            let kind = || EntryKind::Message(message.clone());
            let entry = |cursor| Entry { cursor, arrived_at: now, kind: kind() };
            self.0.connections.hand_over(&arrivals, entry, Some(&content));
        }
    }
}

impl Sorted {
    /// What the origin is told: what was rejected, and messages that the store refused.
    fn refuse(&mut self, refused: &[(usize, RejectionReason)]) -> Vec<Rejection> {
        let mut told = mem::take(&mut self.told);
        told.extend(refused.iter().filter_map(|(place, reason)| {
            let (message, sequence) = (self.messages.get(*place)?, self.sequences.get(*place)?);
            Some(Rejection { sequence: *sequence, id: message.message.id.0, reason: *reason })
        }));
        told.sort_unstable_by_key(|one| one.sequence);
        told
    }

    fn reject(&mut self, event: &EventRecord, sequence: u64, reason: RejectionReason) {
        self.rejected.push(Rejected { sender: event.sender, id: event.id, reason });
        self.told.push(Rejection { sequence, id: event.id, reason });
    }
}

#[async_trait]
impl InboundStore for Reception {
    async fn stream(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        let known = self.0.receptions.inbound(origin).await?;
        Ok(InboundStream { standing: known.standing, since: known.since })
    }

    async fn take(
        &self,
        origin: &ServerName,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Vec<Rejection>, TakeError> {
        let mut sorted = self.sort(origin, taking, now).await?;
        let kept = |stream: &InboundStream| reception::InboundStream {
            standing: stream.standing,
            since: stream.since,
        };
        let reception = reception::Reception {
            origin,
            expected: &kept(expected),
            next: &kept(next),
            lane: taking.lane,
            messages: &sorted.messages,
            bodies: &sorted.bodies,
            watermarks: &sorted.watermarks,
            rejected: &sorted.rejected,
            voids: &sorted.voids,
            now,
        };
        match self.0.messages.receive(self.0.receptions.as_ref(), reception).await? {
            Taken::Moved => Err(TakeError::Moved),
            Taken::Done { arrivals, refused, risen } => {
                let told = sorted.refuse(&refused);
                self.tell(sorted, arrivals, now);
                announce(risen, &self.0.connections);
                Ok(told)
            }
        }
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, StoreError> {
        let mut sequence = taking.first;
        let mut events = Vec::new();
        let mut sequences = Vec::new();
        for record in taking.records {
            if let Record::Event(event) = record {
                events.push((event.sender, event.id));
                sequences.push((sequence, event.id));
            }
            sequence = sequence.saturating_add(record.covers());
        }
        let found = self.0.receptions.rejections(origin, &events).await?;
        let named = found.into_iter().filter_map(|(at, reason)| {
            sequences.get(at).map(|(sequence, id)| Rejection {
                sequence: *sequence,
                id: *id,
                reason,
            })
        });
        Ok(named.collect())
    }
}
