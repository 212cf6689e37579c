//! The port `Receptions`: what one envelope of another region brings, in one transaction.
//!
//! Like a commit: read and lock what it names (the stream first), decide without a database, write.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        cbor::{Reader, Writer},
        receipt::RejectionReason,
        record::{Void, VoidReason},
        stream::{Incarnation, Lane, PerLane, Position, Standing},
    },
    id::{MessageId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    receipts::{Risen, WatermarkRise},
    reception::{InboundStream, Received, Reception, Receptions, Taken},
};
use uuid::Uuid;

use crate::{
    bodies, columns,
    commit::{
        plan::{self, Known, Plan},
        read::{self, Refs},
        write,
    },
    db::{Row, Script, Tx},
    failure::{Failure, Tries},
    receipts::{Key, State},
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    INBOUND = Statement::new("SELECT standing, since FROM inbound_streams WHERE origin = ?");
    LOCK_INBOUND = Statement::new(
        "SELECT standing, since FROM inbound_streams WHERE origin = ? /*pg:FOR UPDATE*/",
    );
    NEW_INBOUND = Statement::new(
        "INSERT INTO inbound_streams (standing, since, origin) VALUES (?, ?, ?)",
    );
    PUT_INBOUND = Statement::new(
        "UPDATE inbound_streams SET standing = ?, since = ? WHERE origin = ?",
    );
    REJECTED = Statement::rows(
        "bbi",
        "WITH v(id, sender, origin) AS ({rows})
        SELECT r.id, r.sender, r.reason FROM v CROSS JOIN rejected_events r
        WHERE r.id = v.id AND r.sender = v.sender AND r.origin = v.origin",
    );
    REJECT = Statement::rows(
        "bbiii",
        "INSERT INTO rejected_events (id, sender, origin, reason, at) {new}
        ON CONFLICT (id, sender, origin) DO NOTHING",
    );
    NEW_VOIDS = Statement::rows(
        "iiiiii",
        "INSERT INTO voids (origin, lane, first, last, reason, at) {new}",
    );
    VOIDS = Statement::new(
        "SELECT lane, first, last, reason, at FROM voids
        WHERE origin = ? ORDER BY number DESC LIMIT 0 + ?",
    );
    /// The watermarks' numbers are those that this region gave.
    LAST_NUMBERS = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT c.id, c.last_number FROM v CROSS JOIN conversations c WHERE c.id = v.id",
    );
}

/// What the database knows of what an envelope names.
struct Found {
    known: Known,
    rejected: HashSet<(Uuid, Uuid)>,
    refs: Refs,
    /// Whether the stream's row exists.
    is_stored: bool,
}

#[async_trait]
impl Receptions for SqlStore {
    async fn inbound(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        let number = self.inner.servers.number(self.db(), origin).await?;
        let rows = self.db().rows(&INBOUND, |args| {
            args.integer(number);
        });
        Ok(match rows.await?.first() {
            Some(row) => read_stream(row)?,
            None => InboundStream::default(),
        })
    }

    async fn take(&self, reception: &Reception<'_>) -> Result<Taken, StoreError> {
        let bodies: HashMap<BodyId, &Bytes> =
            reception.bodies.iter().map(|(id, body)| (*id, body)).collect();
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_take(reception, &bodies).await {
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
        let number = self.inner.servers.number(self.db(), origin).await?;
        let mut script = Script::new(self.db().dialect());
        let slot = ask_rejected(&mut script, number, events);
        let mut reasons = HashMap::new();
        for row in self.db().read(script).await?.take(slot) {
            let (id, sender, reason) = read_rejected(&row)?;
            reasons.insert((id, sender), reason);
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
        let number = self.inner.servers.number(self.db(), origin).await?;
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

impl SqlStore {
    async fn try_take(
        &self,
        reception: &Reception<'_>,
        bodies: &HashMap<BodyId, &Bytes>,
    ) -> Result<Taken, Failure> {
        self.intern_names(reception).await?;
        let origin = self.inner.servers.number(self.db(), reception.origin).await?;
        let mut tx = self.db().begin().await?;
        let Some(found) = self.find(&mut tx, origin, reception).await? else {
            tx.cancel().await?;
            return Ok(Taken::Moved);
        };
        let is_rejected = |message: &Received| {
            found.rejected.contains(&(message.message.id.0, message.message.sender.uuid))
        };
        let (plan, arrivals) =
            plan::receive(found.known, reception.messages, reception.now, is_rejected);
        let (risen, watermarks) = self.raise(&mut tx, reception.watermarks, &plan).await?;
        let taken: HashSet<(Uuid, Uuid)> = plan.taken_before.iter().copied().collect();

        let mut script = tx.script().sized(reception.messages.len().max(1));
        put_messages(self, &mut script, &plan, reception.messages, (bodies, &found.refs));
        write::put_states(self, &mut script, &plan);
        wakes::tell_inboxes(self, &mut script, plan.inboxes.iter().map(|(account, _)| *account));
        if let Some(state) = &watermarks {
            state.write(self, &mut script);
        }
        put_verdicts(&mut script, origin, reception, &taken);
        put_stream(&mut script, origin, reception.next, found.is_stored);
        tx.finish(script).await?;
        Ok(Taken::Done { arrivals, risen })
    }

    async fn intern_names(&self, reception: &Reception<'_>) -> Result<(), Failure> {
        let named = reception
            .watermarks
            .iter()
            .flat_map(|rise| [&rise.watermark.reader.server, &rise.watermark.origin]);
        let missing = self.inner.servers.missing(named.chain([reception.origin]));
        self.inner.servers.intern(self.db(), &missing).await
    }

    /// Reads and locks what the envelope names; `None` if the stream is not as expected.
    async fn find(
        &self,
        tx: &mut Tx<'_>,
        origin: i64,
        reception: &Reception<'_>,
    ) -> Result<Option<Found>, Failure> {
        let mut script = tx.script().sized(reception.messages.len().max(1));
        let stream = script.one(&LOCK_INBOUND, |args| {
            args.integer(origin);
        });
        let messages = reception.messages;
        let asked = read::ask(
            &mut script,
            self,
            read::Named {
                conversations: messages.iter().map(|one| one.message.conversation).collect(),
                ids: messages
                    .iter()
                    .map(|one| (one.message.id, one.message.sender.uuid, origin))
                    .chain(
                        reception
                            .rejected
                            .iter()
                            .map(|one| (MessageId(one.id), one.sender.unwrap_or_default(), origin)),
                    )
                    .collect(),
                inboxes: messages.iter().flat_map(|one| one.recipients.iter().copied()).collect(),
                new: messages.len(),
            },
        );
        let events: Vec<(Option<Uuid>, Uuid)> =
            messages.iter().map(|one| (Some(one.message.sender.uuid), one.message.id.0)).collect();
        let rejected = ask_rejected(&mut script, origin, &events);
        let mut answers = tx.run(script).await?;
        let rows = answers.take(stream);
        let stored = rows.first().map(read_stream).transpose()?;
        let is_stored = stored.is_some();
        if stored.unwrap_or_default() != *reception.expected {
            return Ok(None);
        }
        let rows = answers.take(rejected);
        let rejected: Result<HashSet<(Uuid, Uuid)>, StoreError> =
            rows.iter().map(|row| read_rejected(row).map(|(id, sender, _)| (id, sender))).collect();
        let (known, refs) = asked.read(&mut answers)?;
        Ok(Some(Found { known, rejected: rejected?, refs, is_stored }))
    }

    /// Raises watermarks over numbers that this region has given, and no higher.
    async fn raise(
        &self,
        tx: &mut Tx<'_>,
        rises: &[WatermarkRise],
        plan: &Plan,
    ) -> Result<(Vec<Risen>, Option<State>), Failure> {
        if rises.is_empty() {
            return Ok((Vec::new(), None));
        }
        let mut named: Vec<_> = rises.iter().map(|rise| rise.watermark.conversation).collect();
        named.sort_unstable();
        named.dedup();
        let mut script = tx.script();
        let slot = script.rows(&LAST_NUMBERS, &named, |args, id| {
            args.bytes(&id.0);
        });
        let mut last = HashMap::new();
        for row in tx.run(script).await?.take(slot) {
            let mut fields = row.fields("conversations");
            last.insert(fields.array::<16>("id")?, fields.number("last_number")?);
        }
        let bounded = rises.iter().filter_map(|rise| {
            let most = last.get(&rise.watermark.conversation.0).copied().unwrap_or_default();
            let mut rise = rise.clone();
            rise.watermark.through = rise.watermark.through.min(most);
            let through = rise.watermark.through;
            rise.watermark.except.retain(|number| *number < through);
            (through > 0).then_some(rise)
        });
        let bounded: Vec<WatermarkRise> = bounded.collect();
        let keys: Vec<Key> = bounded.iter().map(|rise| Key::of(self, &rise.watermark)).collect();
        let mut state = State::read(tx, &bounded, &keys, &[]).await?;
        state.heads_are(&plan.inboxes);
        let risen =
            bounded.iter().zip(&keys).filter_map(|(rise, key)| state.raise(rise, *key)).collect();
        Ok((risen, Some(state)))
    }
}

fn put_messages(
    store: &SqlStore,
    script: &mut Script,
    plan: &Plan,
    batch: &[Received],
    (bodies, refs): (&HashMap<BodyId, &Bytes>, &Refs),
) {
    let taken: Vec<(i64, i64, &Received)> = plan
        .messages
        .iter()
        .enumerate()
        .filter_map(|(n, new)| Some((refs.get(n), new.pointers, batch.get(new.submission)?)))
        .collect();
    let named: Vec<(BodyId, &Bytes)> = taken
        .iter()
        .filter_map(|(.., one)| bodies.get(&one.message.body).map(|body| (one.message.body, *body)))
        .collect();
    bodies::put(script, &named);
    script.rows(&write::MESSAGES, &taken, |args, (number, pointers, received)| {
        let message = &received.message;
        args.integer(*number)
            .uuid(message.id.0)
            .uuid(message.sender.uuid)
            .integer(store.inner.servers.id(&message.sender.server).unwrap_or_default())
            .maybe_bytes(None)
            .maybe_integer(message.device_number.map(|number| i64::from(number.get())))
            .text(&message.to)
            .bytes(&message.conversation.0)
            .number(message.stamp.0)
            .number(message.origin_number)
            .integer(columns::class_code(message.class))
            .maybe_text(message.collapse.as_deref())
            .bits(message.expires.map(|expires| expires.0))
            .bits(message.epoch)
            .bits(message.device_list_version)
            .bits(Some(message.client_timestamp.0))
            .number(message.accepted_at.0)
            .bytes(&message.body.0)
            .integer(*pointers);
    });
    write::put_arrivals(script, plan, refs, |submission| {
        let message = &batch.get(submission)?.message;
        let server = store.inner.servers.id(&message.sender.server).unwrap_or_default();
        let slot = message.collapse.as_deref().map(|collapse| {
            let origin = write::Origin::Region(server);
            write::slot(origin, message.sender.uuid, message.conversation, collapse)
        });
        Some(slot)
    });
}

fn put_verdicts(
    script: &mut Script,
    origin: i64,
    reception: &Reception<'_>,
    taken: &HashSet<(Uuid, Uuid)>,
) {
    let now = reception.now.0;
    // What was taken before stays taken.
    let rejected: Vec<_> = reception
        .rejected
        .iter()
        .filter(|one| !taken.contains(&(one.id, one.sender.unwrap_or_default())))
        .collect();
    script.rows(&REJECT, &rejected, |args, one| {
        args.uuid(one.id)
            .uuid(one.sender.unwrap_or_default())
            .integer(origin)
            .integer(i64::from(one.reason.number()))
            .number(now);
    });
    script.rows(&NEW_VOIDS, reception.voids, |args, void| {
        args.integer(origin)
            .integer(columns::lane_code(reception.lane))
            .number(void.from)
            .number(void.to)
            .integer(i64::from(void.reason.number()))
            .number(now);
    });
}

fn put_stream(script: &mut Script, origin: i64, next: &InboundStream, is_stored: bool) {
    // A row that did not exist could not be locked: another process's is a conflict.
    let statement = if is_stored { &PUT_INBOUND } else { &NEW_INBOUND };
    let standing = next.standing.as_ref().map(encode_standing);
    script.one(statement, |args| {
        args.maybe_bytes(standing.as_deref()).bits(next.since.map(|since| since.0)).integer(origin);
    });
}

fn ask_rejected(
    script: &mut Script,
    origin: i64,
    events: &[(Option<Uuid>, Uuid)],
) -> crate::db::Slot {
    script.rows(&REJECTED, events, |args, (sender, id)| {
        args.uuid(*id).uuid(sender.unwrap_or_default()).integer(origin);
    })
}

fn read_rejected(row: &Row) -> Result<(Uuid, Uuid, RejectionReason), StoreError> {
    let mut fields = row.fields("rejected_events");
    let (id, sender) = (fields.uuid("id")?, fields.uuid("sender")?);
    let reason = fields.integer("reason")?;
    let reason = fields.parse("reason", reason, u8::try_from)?;
    Ok((id, sender, RejectionReason::from_number(reason)))
}

fn read_stream(row: &Row) -> Result<InboundStream, StoreError> {
    let mut fields = row.fields("inbound_streams");
    let standing = fields.maybe_bytes("standing")?;
    let standing =
        standing.map(|bytes| fields.parse("standing", bytes, decode_standing)).transpose()?;
    Ok(InboundStream { standing, since: fields.bits("since")?.map(Timestamp) })
}

/// `[incarnation, [position of each lane]]`.
fn encode_standing(standing: &Standing) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(1 + Lane::ALL.len());
    standing.incarnation.write(&mut writer);
    for (_, position) in standing.lanes.iter() {
        position.write(&mut writer);
    }
    writer.finish()
}

fn decode_standing(
    bytes: &[u8],
) -> Result<Standing, posthouse_protocol::federation::cbor::CborError> {
    let mut reader = Reader::new(bytes);
    reader.array_of(1 + Lane::ALL.len())?;
    let incarnation = Incarnation::read(&mut reader)?;
    let mut lanes = PerLane::default();
    for lane in Lane::ALL {
        *lanes.of_mut(lane) = Position::read(&mut reader)?;
    }
    reader.finish()?;
    Ok(Standing { incarnation, lanes })
}
