//! The port `Receptions`: what one envelope of another region brings, in one transaction.
//!
//! Like a commit: read and lock what it names, the stream first (`read`); decide without a database
//! (`commit::plan::receive`, and the merging of watermarks in `receipts`); write (`write`). On SQLite
//! that is one hop to the connection's thread and back.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use foldhash::HashMap;
use posthouse_protocol::{
    federation::{
        receipt::RejectionReason,
        record::{Void, VoidReason},
        stream::Lane,
    },
    id::ServerName,
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    ledger::Arrival,
    receipts::Risen,
    reception::{
        InboundStream, Received, ReceivedWatermark, Reception, Receptions, Rejected, Taken,
    },
};
use uuid::Uuid;

use crate::{
    columns,
    commit::plan::{self, Receipt},
    db::{Script, Tx, Working},
    failure::{Failure, Tries},
    fanouts,
    receipts::{Key, State},
    statement::{Statement, statements},
    store::SqlStore,
};

mod read;
mod standing;
mod write;

use write::Effects;

#[cfg(test)]
pub(crate) use {read::ALL as READ_ALL, write::ALL as WRITE_ALL};

statements! {
    INBOUND = Statement::new("SELECT standing, since FROM inbound_streams WHERE origin = ?");
    VOIDS = Statement::new(
        "SELECT lane, first, last, reason, at FROM voids
        WHERE origin = ? ORDER BY number DESC LIMIT 0 + ?",
    );
}

#[async_trait]
impl Receptions for SqlStore {
    async fn inbound(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        let Some(number) = self.inner.servers.find(self.db(), origin).await? else {
            return Ok(InboundStream::default());
        };
        let rows = self.db().rows(&INBOUND, |args| {
            args.integer(number);
        });
        Ok(rows.await?.first().map(standing::read).transpose()?.unwrap_or_default())
    }

    async fn take(&self, reception: &Reception<'_>) -> Result<Taken, StoreError> {
        let reception = Arc::new(Owned::new(reception));
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_take(&reception).await {
                Ok(taken) => return Ok(taken),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        events: &[(Option<Uuid>, Uuid)],
    ) -> Result<Vec<(usize, RejectionReason)>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let Some(number) = self.inner.servers.find(self.db(), origin).await? else {
            return Ok(Vec::new());
        };
        let mut script = Script::new(self.db().dialect());
        let named = events.iter().map(|(sender, id)| (*id, sender.unwrap_or_default()));
        let slot = read::ask_rejected(&mut script, number, &named.collect::<Vec<_>>());
        let mut reasons = HashMap::default();
        for row in self.db().read(script).await?.take(slot) {
            let (event, reason) = read::read_rejected(&row)?;
            reasons.insert(event, reason);
        }
        let reason = |(sender, id): &(Option<Uuid>, Uuid)| {
            reasons.get(&(*id, sender.unwrap_or_default())).copied()
        };
        let found = events.iter().enumerate();
        Ok(found.filter_map(|(at, event)| Some((at, reason(event)?))).collect())
    }

    async fn voids(
        &self,
        origin: &ServerName,
        limit: usize,
    ) -> Result<Vec<(Lane, Void, Timestamp)>, StoreError> {
        let Some(number) = self.inner.servers.find(self.db(), origin).await? else {
            return Ok(Vec::new());
        };
        let rows = self.db().rows(&VOIDS, |args| {
            args.integer(number).limit(limit);
        });
        let mut voids = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("voids");
            let lane = fields.integer("lane")?;
            let lane = columns::lane(lane).ok_or_else(|| fields.corrupt("lane", "no lane"))?;
            let (from, to) = (fields.number("first")?, fields.number("last")?);
            let reason = fields.integer("reason")?;
            let reason = fields.parse("reason", reason, u8::try_from)?;
            let void = Void { from, to, reason: VoidReason::from_number(reason) };
            voids.push((lane, void, fields.time("at")?));
        }
        Ok(voids)
    }
}

/// A reception that belongs to its transaction.
struct Owned {
    origin: ServerName,
    expected: InboundStream,
    next: InboundStream,
    lane: Lane,
    messages: Vec<Received>,
    bodies: Vec<(BodyId, Bytes)>,
    watermarks: Vec<ReceivedWatermark>,
    rejected: Vec<Rejected>,
    voids: Vec<Void>,
    now: Timestamp,
}

impl Owned {
    fn new(reception: &Reception<'_>) -> Self {
        Self {
            origin: reception.origin.clone(),
            expected: *reception.expected,
            next: *reception.next,
            lane: reception.lane,
            messages: reception.messages.to_vec(),
            bodies: reception.bodies.to_vec(),
            watermarks: reception.watermarks.to_vec(),
            rejected: reception.rejected.to_vec(),
            voids: reception.voids.to_vec(),
            now: reception.now,
        }
    }

    fn lend(&self) -> Reception<'_> {
        Reception {
            origin: &self.origin,
            expected: &self.expected,
            next: &self.next,
            lane: self.lane,
            messages: &self.messages,
            bodies: &self.bodies,
            watermarks: &self.watermarks,
            rejected: &self.rejected,
            voids: &self.voids,
            now: self.now,
        }
    }
}

/// What a reception came to, but for what tallies say.
struct Done {
    arrivals: Vec<Vec<Arrival>>,
    standing: Vec<Rejected>,
    watermarks: State,
    raised: Vec<Risen>,
}

impl SqlStore {
    async fn try_take(&self, reception: &Arc<Owned>) -> Result<Taken, Failure> {
        let origin = self.intern_names(&reception.lend()).await?;
        let reported = &reception.watermarks;
        let keys: Vec<Key> =
            reported.iter().map(|one| Key::of(self, &one.rise.watermark)).collect();
        let groups = self.groups_among(keys.iter().map(Key::conversation)).await?;
        let (store, reception) = (self.clone(), Arc::clone(reception));
        let work = move |tx| -> Working<Option<Done>> {
            Box::pin(
                async move { store.take_in(tx, origin, &reception.lend(), (&keys, groups)).await },
            )
        };
        let Some(done) = self.db().transact(work).await? else { return Ok(Taken::Moved) };
        let Done { arrivals, standing, watermarks, mut raised } = done;
        self.count_tallies(&watermarks, &mut raised).await?;
        Ok(Taken::Done { arrivals, risen: raised, rejected: standing })
    }

    /// Decides and writes; `None` if the stream has moved.
    async fn take_in(
        &self,
        mut tx: Tx<'_>,
        origin: i64,
        reception: &Reception<'_>,
        (keys, groups): (&[Key], HashMap<[u8; 16], String>),
    ) -> Result<Option<Done>, Failure> {
        let bodies: HashMap<BodyId, &Bytes> =
            reception.bodies.iter().map(|(id, body)| (*id, body)).collect();
        let reported = reception.watermarks;
        let messages = reception.messages.iter().map(|one| {
            let message = &one.message;
            let is_plain = message.part == 0 && message.collapse.is_none() && !one.discard;
            (one.recipients.as_slice(), is_plain)
        });
        let told = reported.iter().flat_map(|one| one.rise.tell.iter().copied());
        let mut deferral = fanouts::choose(self.db().fanouts(), messages, told);
        let found = read::find(self, &mut tx, origin, reception, keys, &mut deferral).await?;
        let Some(found) = found else {
            tx.cancel().await?;
            return Ok(None);
        };
        let mut heads =
            if reported.is_empty() { HashMap::default() } else { found.known.inboxes.clone() };
        let mut receipt =
            plan::receive(found.known, &found.rejected, reception.messages, reception.rejected);
        let waiting = deferral.take(&mut receipt.plan, |_, entry| {
            Some((found.refs.get(entry.message), reception.now))
        });
        heads.extend(receipt.plan.inboxes.iter().copied());
        let mut watermarks = State::of(&found.watermarks, heads)?;
        watermarks.set_groups(groups);
        let standing = reported.iter().zip(keys);
        let standing =
            standing.filter(|(one, _)| !found.rejected.contains_key(&read::event_of(one)));
        let raised = standing.filter_map(|(one, key)| {
            watermarks.raise(&read::within(&one.rise, &found.last_numbers)?, *key)
        });
        let raised: Vec<_> = raised.collect();

        let mut script = tx.script();
        write::put_stream(&mut script, origin, reception.next, found.is_stored);
        let effects = Effects {
            origin,
            reception,
            bodies: &bodies,
            receipt: &receipt,
            watermarks: &watermarks,
            refs: &found.refs,
        };
        effects.put(self, &mut script);
        fanouts::put(self.db().fanouts(), &mut script, waiting);
        tx.finish(script).await?;
        let Receipt { arrivals, standing, .. } = receipt;
        Ok(Some(Done { arrivals, standing, watermarks, raised }))
    }

    /// Gives numbers to all names; returns the origin's.
    async fn intern_names(&self, reception: &Reception<'_>) -> Result<i64, Failure> {
        let named = reception
            .watermarks
            .iter()
            .map(|one| &one.rise.watermark)
            .flat_map(|watermark| [&watermark.reader.server, &watermark.origin]);
        let missing = self.inner.servers.missing(named);
        self.inner.servers.intern(self.db(), &missing).await?;
        self.inner.servers.number(self.db(), reception.origin).await
    }
}
