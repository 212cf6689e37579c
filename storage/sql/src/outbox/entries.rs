//! Reading logs.

use bytes::Bytes;
use foldhash::HashMap;
use posthouse_protocol::{federation::stream::Lane, id::ServerName, time::Timestamp};
use posthouse_storage::{
    error::StoreError,
    leases::Fence,
    outbox::{LoadRange, Loaded, OutboxEntry, OutboxItem},
};
use uuid::Uuid;

use super::{FAILED, Queue, REFUSED, marks::OFFERED};
use crate::{
    columns::{MessageRow, OUTBOX_GONE, OUTBOX_QUEUED, message_columns},
    db::{Fields, Script},
    failure::Failure,
    leases,
    receipts::Key,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Recipients count too: a group's message may have a thousand.
    SIZES = Statement::new(
        "SELECT idx, size + LENGTH(recipients) FROM outbox
        WHERE destination = ? AND lane = ? AND idx > ? ORDER BY idx LIMIT 0 + ?",
    );
    ENTRIES = Statement::new(concat!(
        "SELECT o.idx, o.state, o.id, o.sender, o.recipients, o.payload_version, o.watermark, ",
        message_columns!(), ", b.data
        FROM outbox o
        LEFT JOIN messages m ON m.ref = o.message AND o.state = 0
        LEFT JOIN bodies b ON b.id = m.body
        WHERE o.destination = ? AND o.lane = ? AND o.idx > ? AND o.idx <= ? ORDER BY o.idx",
    ));
    /// Up to the last old receipt below the first young one: a clock that was set back makes
    /// times fall. Receipts that lie above the mark do not hold any more.
    OVERDUE = Statement::new(
        "SELECT o.idx, o.state, o.id, o.sender FROM outbox o
        WHERE o.destination = ? AND o.lane = ? AND o.idx <= (
            SELECT r.through FROM outbox_receipts r
            WHERE r.destination = ? AND r.lane = ?
                AND r.through <= (
                    SELECT l.receipted FROM outbox_lanes l
                    WHERE l.destination = ? AND l.lane = ?)
                AND r.through < COALESCE((
                    SELECT y.through FROM outbox_receipts y
                    WHERE y.destination = ? AND y.lane = ? AND y.at >= ?
                    ORDER BY y.through LIMIT 1), 9223372036854775807)
            ORDER BY r.through DESC LIMIT 1)
        ORDER BY o.idx LIMIT 0 + ?",
    );
}

/// An entry whose watermark is still a key.
struct RawEntry {
    index: u64,
    id: Uuid,
    sender: Option<Uuid>,
    item: RawItem,
}

enum RawItem {
    Message { message: MessageRow, recipients: Vec<Uuid>, body: Bytes, payload_version: u8 },
    Watermark { key: Key, recipients: Vec<Uuid>, payload_version: u8 },
    Gone { payload_version: u8 },
    Failed,
    Refused,
}

/// Entries that are read together with the sizes: a stream with few of them is loaded in one round
/// trip.
const FEW: u64 = 4;

/// How far a load goes, and what was read on the way.
struct Reach {
    /// The last index.
    through: u64,
    /// The lane's offered mark.
    offered: u64,
    /// The first entries.
    entries: Vec<RawEntry>,
    /// Entries up to here were looked at.
    read: u64,
}

impl SqlStore {
    pub(super) async fn try_load(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, Failure> {
        let queue = self.queue(destination, lane).await?;
        // What a receipt tells may rise until it is offered, and is read after that.
        let few = if lane == Lane::Receipts { 0 } else { FEW };
        let Some(reach) = self.reach(fence, queue, range, few).await? else {
            return Ok(Loaded::default());
        };
        let Reach { through, offered, mut entries, read } = reach;
        if through > offered && lane == Lane::Receipts {
            // Before anything is read that could be sent: from now on it does not rise.
            self.offer(fence, queue, through).await?;
        }
        if through > read {
            let rows = self.db().rows(&ENTRIES, |args| {
                args.integer(queue.destination).integer(queue.lane).number(read).number(through);
            });
            for row in rows.await? {
                entries.push(read_entry(&mut row.fields("outbox"))?);
            }
        }
        let offered = offered.max(through);
        Ok(Loaded { entries: self.resolve_entries(entries).await?, offered })
    }

    /// How far `range` reaches, with at most `few` of the first entries; `None` without a stream.
    async fn reach(
        &self,
        fence: &Fence,
        queue: Queue,
        range: LoadRange,
        few: u64,
    ) -> Result<Option<Reach>, Failure> {
        let mut script = Script::new(self.db().dialect());
        let held = leases::look(&mut script, fence);
        let offered = script.one(&OFFERED, |args| {
            args.integer(queue.destination).integer(queue.lane);
        });
        let sizes = script.one(&SIZES, |args| {
            args.integer(queue.destination)
                .integer(queue.lane)
                .number(range.after)
                .limit(range.limit);
        });
        let read = range.after.saturating_add(few);
        // After the sizes: entries come and do not go, so that none of those is missing.
        let first = (few > 0).then(|| {
            script.one(&ENTRIES, |args| {
                let (destination, lane) = (queue.destination, queue.lane);
                args.integer(destination).integer(lane).number(range.after).number(read);
            })
        });
        let mut answers = self.db().read(script).await?;
        leases::compare(&answers.take(held), fence)?;
        let offered = match answers.take(offered).first() {
            Some(row) => row.fields("outbox_lanes").number("offered")?,
            None => return Ok(None),
        };
        let (mut through, mut bytes) = (range.after, 0_u64);
        for row in answers.take(sizes) {
            let mut fields = row.fields("outbox");
            let index = fields.number("idx")?;
            bytes = bytes.saturating_add(fields.number("size")?);
            let first = through == range.after;
            if !first && bytes > range.max_bytes as u64 {
                break;
            }
            through = index;
        }
        let mut entries = Vec::new();
        for row in first.map(|slot| answers.take(slot)).unwrap_or_default() {
            let entry = read_entry(&mut row.fields("outbox"))?;
            if entry.index <= through {
                entries.push(entry);
            }
        }
        Ok(Some(Reach { through, offered, entries, read }))
    }

    async fn resolve_entries(&self, raw: Vec<RawEntry>) -> Result<Vec<OutboxEntry>, Failure> {
        let keys: Vec<Key> = raw
            .iter()
            .filter_map(|entry| match &entry.item {
                RawItem::Watermark { key, .. } => Some(*key),
                _ => None,
            })
            .collect();
        let watermarks =
            if keys.is_empty() { HashMap::default() } else { self.read_watermarks(&keys).await? };
        let mut entries = Vec::with_capacity(raw.len());
        for RawEntry { index, id, sender, item } in raw {
            let item = match item {
                RawItem::Message { message, recipients, body, payload_version } => {
                    let message = Box::new(message.resolve(self).await?);
                    OutboxItem::Message { message, recipients, body, payload_version }
                }
                RawItem::Watermark { key, recipients, payload_version } => {
                    match watermarks.get(&key) {
                        Some(watermark) => OutboxItem::Watermark {
                            watermark: Box::new(watermark.clone()),
                            recipients,
                            payload_version,
                        },
                        None => OutboxItem::Failed,
                    }
                }
                RawItem::Gone { payload_version } => OutboxItem::Gone { payload_version },
                RawItem::Failed => OutboxItem::Failed,
                RawItem::Refused => OutboxItem::Refused,
            };
            entries.push(OutboxEntry { index, id, sender, item });
        }
        Ok(entries)
    }

    pub(super) async fn read_overdue(
        &self,
        destination: &ServerName,
        lane: Lane,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, Failure> {
        let queue = self.queue(destination, lane).await?;
        let rows = self.db().rows(&OVERDUE, |args| {
            for _ in 0..4 {
                args.integer(queue.destination).integer(queue.lane);
            }
            args.number(before.0).limit(limit);
        });
        let mut entries = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("outbox");
            let index = fields.number("idx")?;
            let state = fields.integer("state")?;
            let (id, sender) = (fields.uuid("id")?, fields.maybe_uuid("sender")?);
            let item = if state == REFUSED { OutboxItem::Refused } else { OutboxItem::Failed };
            entries.push(OutboxEntry { index, id, sender, item });
        }
        Ok(entries)
    }
}

fn read_entry(fields: &mut Fields<'_>) -> Result<RawEntry, StoreError> {
    let index = fields.number("idx")?;
    let state = fields.integer("state")?;
    let id = fields.uuid("id")?;
    let sender = fields.maybe_uuid("sender")?;
    let recipients = read_recipients(fields)?;
    let payload_version = fields.integer("payload_version")?;
    let payload_version = fields.parse("payload_version", payload_version, u8::try_from)?;
    let watermark = fields.maybe_bytes("watermark")?;
    let item = match state {
        OUTBOX_QUEUED => match watermark {
            Some(slot) => {
                let key = Key::parse(fields, slot)?;
                RawItem::Watermark { key, recipients, payload_version }
            }
            None => match MessageRow::read(fields)? {
                // Without its body there is nothing to be sent any more.
                Some(message) => match fields.of("bodies").maybe_bytes("data")? {
                    Some(data) => RawItem::Message {
                        message,
                        recipients,
                        body: Bytes::copy_from_slice(data),
                        payload_version,
                    },
                    None => RawItem::Failed,
                },
                None => RawItem::Failed,
            },
        },
        OUTBOX_GONE => RawItem::Gone { payload_version },
        FAILED => RawItem::Failed,
        REFUSED => RawItem::Refused,
        code => return Err(fields.corrupt("state", format_args!("{code} is no state"))),
    };
    Ok(RawEntry { index, id, sender, item })
}

/// Accounts, 16 bytes each.
pub(crate) fn read_recipients(fields: &mut Fields<'_>) -> Result<Vec<Uuid>, StoreError> {
    let bytes = fields.bytes("recipients")?;
    let ids: Result<Vec<Uuid>, _> = bytes.chunks(16).map(Uuid::from_slice).collect();
    fields.parse("recipients", ids, |ids| ids)
}
