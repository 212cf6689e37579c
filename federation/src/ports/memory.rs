//! The reference of the ports: plain values whose copies are backups.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        receipt::{Rejection, RejectionReason},
        record::{EventRecord, Record, Void},
        stream::{Incarnation, Lane, PerLane},
    },
    id::ServerName,
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, leases::Fence, outbox::Settled};
use uuid::Uuid;

use super::{
    InboundStore, LoadRange, Loaded, OutboundStore, Overdue, Refused, Settlement, TakeError, Taking,
};
use crate::engine::{
    outbound::{LogEntry, LogItem, Mark, OutboundStream},
    receiver::InboundStream,
};

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It waits for a receipt.
    Waiting,
    /// The destination signed for it.
    Accepted,
    /// It will not arrive.
    Failed,
}

/// The stream to one destination with its logs.
#[derive(Debug, Clone)]
pub struct MemoryOutbound {
    /// The state.
    pub stream: OutboundStream,
    lanes: PerLane<MemoryLane>,
    /// What became of everything that ever had a place; ids as in the entries.
    pub fates: HashMap<Uuid, Fate>,
    /// The lane and index of everything that ever had a place.
    pub places: HashMap<Uuid, (Lane, u64)>,
}

#[derive(Debug, Clone, Default)]
struct MemoryLane {
    waiting: VecDeque<LogItem>,
    log: VecDeque<(LogEntry, Option<Timestamp>)>,
}

impl MemoryOutbound {
    /// A stream that has carried nothing.
    pub fn new(stream: OutboundStream) -> Self {
        Self {
            stream,
            lanes: PerLane::from_fn(|_| MemoryLane::default()),
            fates: HashMap::new(),
            places: HashMap::new(),
        }
    }

    /// An event is accepted for the destination.
    pub fn enqueue(&mut self, lane: Lane, id: Uuid, sender: Option<Uuid>, event: Bytes) {
        self.fates.insert(id, Fate::Waiting);
        self.lanes.of_mut(lane).waiting.push_back(LogItem::Event { id, sender, event });
    }

    /// Whether something is not receipted.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|(lane, own)| {
            let state = self.stream.lanes.of(lane);
            !own.waiting.is_empty() || state.end > state.receipted.index
        })
    }

    /// See [`super::OutboundStore::load`].
    pub fn load(&mut self, lane: Lane, range: LoadRange) -> Loaded {
        let own = self.lanes.of_mut(lane);
        let state = self.stream.lanes.of_mut(lane);
        while let Some(item) = own.waiting.pop_front() {
            state.end += 1;
            if let LogItem::Event { id, .. } = &item {
                self.places.insert(*id, (lane, state.end));
            }
            own.log.push_back((LogEntry { index: state.end, item }, None));
        }
        let mut bytes = 0_usize;
        let mut entries = Vec::new();
        let after = own.log.partition_point(|(entry, _)| entry.index <= range.after);
        for (entry, _) in own.log.range(after..).take(range.limit) {
            if let LogItem::Event { event, .. } = &entry.item {
                bytes = bytes.saturating_add(event.len());
            }
            if bytes > range.max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Loaded { entries, end: state.end }
    }

    /// See [`super::OutboundStore::settle`].
    pub fn settle(&mut self, lane: Lane, to: Mark, rejected: &[(u64, Rejection)], now: Timestamp) {
        let state = self.stream.lanes.of_mut(lane);
        let from = state.receipted.index;
        state.receipted = to;
        for (entry, receipted) in &mut self.lanes.of_mut(lane).log {
            if entry.index <= from || entry.index > to.index {
                continue;
            }
            receipted.get_or_insert(now);
            let LogItem::Event { id, event, .. } = &mut entry.item else { continue };
            let fate = self.fates.entry(*id).or_insert(Fate::Waiting);
            if rejected.iter().any(|(index, one)| *index == entry.index && one.id == *id) {
                *event = Bytes::new();
                *fate = Fate::Failed;
            } else if *fate == Fate::Waiting {
                *fate = Fate::Accepted;
            }
        }
    }

    /// See [`super::OutboundStore::rewind`].
    pub fn rewind(&mut self, lane: Lane, to: Mark) {
        self.stream.lanes.of_mut(lane).receipted = to;
    }

    /// See [`super::OutboundStore::refuse`].
    pub fn refuse(&mut self, lane: Lane, index: u64) {
        for (entry, _) in &mut self.lanes.of_mut(lane).log {
            if entry.index == index
                && let LogItem::Event { id, .. } =
                    core::mem::replace(&mut entry.item, LogItem::Refused)
            {
                self.fates.insert(id, Fate::Failed);
            }
        }
    }

    /// See [`super::OutboundStore::fail_all`].
    pub fn fail_all(&mut self) {
        for (lane, own) in Lane::ALL.map(|lane| (lane, self.lanes.of_mut(lane).clone())) {
            let receipted = self.stream.lanes.of(lane).receipted.index;
            let given = own.log.iter().filter(|(entry, _)| entry.index > receipted);
            let items = given.map(|(entry, _)| &entry.item).chain(&own.waiting);
            for item in items {
                if let LogItem::Event { id, .. } = item {
                    self.fates.insert(*id, Fate::Failed);
                }
            }
            let forget = |item: &mut LogItem| {
                if let LogItem::Event { event, .. } = item {
                    *event = Bytes::new();
                }
            };
            let lane = self.lanes.of_mut(lane);
            lane.waiting.iter_mut().for_each(forget);
            let given = lane.log.iter_mut().filter(|(entry, _)| entry.index > receipted);
            given.for_each(|(entry, _)| forget(&mut entry.item));
        }
    }

    /// See [`super::OutboundStore::open`].
    pub fn open(&mut self, next: &OutboundStream) {
        let ends = PerLane::from_fn(|lane| self.stream.lanes.of(lane).end);
        self.stream = next.clone();
        for lane in Lane::ALL {
            let end = &mut self.stream.lanes.of_mut(lane).end;
            *end = (*end).max(*ends.of(lane));
        }
    }

    /// See [`super::OutboundStore::overdue`].
    pub fn overdue(&self, lane: Lane, before: Timestamp, limit: usize) -> Vec<LogEntry> {
        let receipted = self.stream.lanes.of(lane).receipted.index;
        let old =
            self.lanes.of(lane).log.iter().take_while(|(entry, at)| {
                at.is_some_and(|at| at < before) && entry.index <= receipted
            });
        old.take(limit).map(|(entry, _)| entry.clone()).collect()
    }

    /// See [`super::OutboundStore::forget`].
    pub fn forget(&mut self, lane: Lane, floor: Mark) {
        self.stream.lanes.of_mut(lane).floor = floor;
        self.lanes.of_mut(lane).log.retain(|(entry, _)| entry.index > floor.index);
    }
}

/// What names an event for ever: origin is implied, the sender and the id.
type EventName = (Option<Uuid>, Uuid);

/// The stream from one origin with its effects.
#[derive(Debug, Clone, Default)]
pub struct MemoryInbound {
    /// The state.
    pub stream: InboundStream,
    /// Every event that was decided, and how.
    pub decided: HashMap<EventName, Option<RejectionReason>>,
    /// Events in the order in which they took effect.
    pub effects: Vec<EventRecord>,
    /// Voids with their incarnation and lane.
    pub voids: Vec<(Incarnation, Lane, Void)>,
}

impl MemoryInbound {
    /// See [`super::InboundStore::take`]; gives `false` if the stream is not `expected`. `judge`
    /// rejects events.
    pub fn take(
        &mut self,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        mut judge: impl FnMut(&EventRecord) -> Option<RejectionReason>,
    ) -> bool {
        if self.stream != *expected {
            return false;
        }
        self.stream = *next;
        for record in taking.records {
            match record {
                Record::Event(event) => self.decide(event, &mut judge),
                Record::Void(void) => {
                    let at = next.standing.map(|at| (at.incarnation, taking.lane, *void));
                    self.voids.extend(at);
                }
            }
        }
        true
    }

    /// See [`super::InboundStore::rejections`].
    pub fn rejections(&self, taking: Taking<'_>) -> Vec<Rejection> {
        let mut sequence = taking.first;
        let mut rejections = Vec::new();
        for record in taking.records {
            if let Record::Event(event) = record
                && let Some(Some(reason)) = self.decided.get(&(event.sender, event.id))
            {
                rejections.push(Rejection { sequence, id: event.id, reason: *reason });
            }
            sequence += record.covers();
        }
        rejections
    }

    fn decide(
        &mut self,
        event: &EventRecord,
        judge: &mut impl FnMut(&EventRecord) -> Option<RejectionReason>,
    ) {
        let name = (event.sender, event.id);
        if self.decided.contains_key(&name) {
            return;
        }
        let verdict = judge(event);
        self.decided.insert(name, verdict);
        if verdict.is_none() {
            self.effects.push(event.clone());
        }
    }
}

/// The reference of [`super::InboundStore`]: every origin's stream behind one lock.
pub struct MemoryInboundStore {
    streams: Mutex<HashMap<ServerName, MemoryInbound>>,
    judge: fn(&EventRecord) -> Option<RejectionReason>,
}

impl MemoryInboundStore {
    /// An empty store; `judge` rejects events.
    pub fn new(judge: fn(&EventRecord) -> Option<RejectionReason>) -> Self {
        Self { streams: Mutex::new(HashMap::new()), judge }
    }

    /// A copy of what came from `origin`.
    pub fn from(&self, origin: &ServerName) -> MemoryInbound {
        self.with(origin, |stream| stream.clone())
    }

    fn with<T>(&self, origin: &ServerName, act: impl FnOnce(&mut MemoryInbound) -> T) -> T {
        // Each act is whole or has not begun: a poisoned lock hides nothing half done.
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        act(streams.entry(origin.clone()).or_default())
    }
}

#[async_trait]
impl InboundStore for MemoryInboundStore {
    async fn stream(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        Ok(self.with(origin, |stream| stream.stream))
    }

    async fn take(
        &self,
        origin: &ServerName,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        _now: Timestamp,
    ) -> Result<Vec<Rejection>, TakeError> {
        self.with(origin, |stream| {
            let taken = stream.take(expected, next, taking, self.judge);
            if taken { Ok(stream.rejections(taking)) } else { Err(TakeError::Moved) }
        })
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, StoreError> {
        Ok(self.with(origin, |stream| stream.rejections(taking)))
    }
}

/// The reference of [`super::OutboundStore`]: every destination's stream behind one lock. It takes
/// every fence, since one process holds it.
#[derive(Default)]
pub struct MemoryOutboundStore {
    streams: Mutex<HashMap<ServerName, MemoryOutbound>>,
}

impl MemoryOutboundStore {
    /// Acts on the stream to a destination; nothing happens if there is none.
    pub fn with<T>(
        &self,
        destination: &ServerName,
        act: impl FnOnce(&mut MemoryOutbound) -> T,
    ) -> Option<T> {
        // Each act is whole or has not begun: a poisoned lock hides nothing half done.
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.get_mut(destination).map(act)
    }

    /// Makes the stream to a destination, if there is none.
    pub fn create(&self, destination: &ServerName, fresh: &OutboundStream) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || MemoryOutbound::new(fresh.clone());
        streams.entry(destination.clone()).or_insert_with(make);
    }
}

impl MemoryOutboundStore {
    fn names(
        &self,
        after: Option<&ServerName>,
        limit: usize,
        wanted: impl Fn(&MemoryOutbound) -> bool,
    ) -> Vec<ServerName> {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let found = streams.iter().filter(|(name, own)| Some(*name) > after && wanted(own));
        let mut names: Vec<_> = found.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.truncate(limit);
        names
    }
}

#[async_trait]
impl OutboundStore for MemoryOutboundStore {
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.names(after, limit, MemoryOutbound::is_waiting))
    }

    async fn streams(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.names(after, limit, |_| true))
    }

    async fn stream(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        fresh: &OutboundStream,
    ) -> Result<OutboundStream, StoreError> {
        self.create(destination, fresh);
        let stream = self.with(destination, |own| own.stream.clone());
        Ok(stream.unwrap_or_else(|| fresh.clone()))
    }

    async fn load(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError> {
        let loaded = self.with(destination, |own| own.load(lane, range));
        Ok(loaded.unwrap_or(Loaded { entries: Vec::new(), end: 0 }))
    }

    async fn settle(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, StoreError> {
        let Settlement { to, rejected, now } = settlement;
        self.with(destination, |own| own.settle(lane, to, rejected, now));
        Ok(Settled::default())
    }

    async fn rewind(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), StoreError> {
        self.with(destination, |own| own.rewind(lane, to));
        Ok(())
    }

    async fn refuse(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        refused: Refused,
    ) -> Result<Settled, StoreError> {
        self.with(destination, |own| own.refuse(lane, refused.index));
        Ok(Settled::default())
    }

    async fn expire(
        &self,
        _fence: &Fence,
        _destination: &ServerName,
        _now: Timestamp,
    ) -> Result<Settled, StoreError> {
        // Nothing here has an expiry.
        Ok(Settled::default())
    }

    async fn fail_all(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        _now: Timestamp,
    ) -> Result<Settled, StoreError> {
        self.with(destination, MemoryOutbound::fail_all);
        Ok(Settled::default())
    }

    async fn overdue(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: Overdue,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let old = self.with(destination, |own| own.overdue(lane, range.before, range.limit));
        Ok(old.unwrap_or_default())
    }

    async fn forget(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), StoreError> {
        self.with(destination, |own| own.forget(lane, floor));
        Ok(())
    }

    async fn open(
        &self,
        _fence: &Fence,
        destination: &ServerName,
        next: &OutboundStream,
    ) -> Result<(), StoreError> {
        self.with(destination, |own| own.open(next));
        Ok(())
    }
}
