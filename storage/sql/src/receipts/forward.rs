//! Watermarks over another region's numbers, on their way to that region: entries of the outbox.

use posthouse_protocol::{
    federation::{stream::Lane, version},
    id::ServerName,
};
use posthouse_storage::receipts::{Forward, WatermarkRise};
use uuid::Uuid;

use super::{Key, State};
use crate::{
    columns::{self, OUTBOX_QUEUED},
    db::{Script, Tx},
    failure::Failure,
    outbox::{OFFERED, read_recipients},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    HEAD = Statement::new(
        "SELECT head FROM outbox_heads WHERE destination = ? AND lane = ? /*pg:FOR UPDATE*/",
    );
    /// A row that does not exist yet cannot be locked: a conflict, if another process was quicker.
    NEW_HEAD = Statement::new("INSERT INTO outbox_heads (destination, lane, head) VALUES (?, ?, 0)");
    PUT_HEAD = Statement::new(
        "UPDATE outbox_heads SET head = ? WHERE destination = ? AND lane = ?",
    );
    RECIPIENTS = Statement::new(
        "SELECT recipients FROM outbox WHERE destination = ? AND lane = ? AND idx = ?",
    );
    ENTRIES = Statement::rows(
        "iiiibbbbii",
        "INSERT INTO outbox (destination, lane, idx, state, id, sender, watermark, recipients,
            payload_version, size)
        {new}",
    );
}

/// Bytes that a watermark's event takes at most, as loads count them.
const SIZE: i64 = 640;

/// New entries of the outbox.
#[derive(Default)]
pub(super) struct Forwarded {
    entries: Vec<Entry>,
    /// The last index of each destination.
    heads: Vec<(i64, u64)>,
}

struct Entry {
    destination: i64,
    index: u64,
    id: Uuid,
    reader: Uuid,
    slot: Vec<u8>,
    recipients: Vec<u8>,
}

impl SqlStore {
    /// Works out the entries of risen watermarks that go to other regions.
    pub(super) async fn forward(
        &self,
        tx: &mut Tx<'_>,
        state: &mut State,
        rises: &[WatermarkRise],
        keys: &[Key],
    ) -> Result<Forwarded, Failure> {
        let mut forwarded = Forwarded::default();
        let mut origins: Vec<&ServerName> = rises
            .iter()
            .zip(keys)
            .filter(|(rise, key)| rise.forward.is_some() && state.risen.contains(key))
            .map(|(rise, _)| &rise.watermark.origin)
            .collect();
        origins.sort_unstable();
        origins.dedup();
        // In the order of their numbers, as commits lock them.
        let mut numbers: Vec<i64> =
            origins.iter().filter_map(|name| self.inner.servers.id(name)).collect();
        numbers.sort_unstable();
        for destination in numbers {
            let (mut head, offered) = self.queue_ends(tx, destination).await?;
            let before = head;
            for (rise, key) in rises.iter().zip(keys) {
                let Some(forward) = &rise.forward else { continue };
                if key.origin != destination || !state.risen.contains(key) {
                    continue;
                }
                if !self.is_told(tx, state, (*key, forward), offered).await? {
                    head += 1;
                    forwarded.entries.push(entry(*key, forward, head));
                    if let Some(stored) = state.watermarks.get_mut(key) {
                        stored.told = head;
                    }
                }
            }
            if head > before {
                forwarded.heads.push((destination, head));
            }
        }
        Ok(forwarded)
    }

    /// The head of a destination's queue of receipts, locked, and what of it may have been sent.
    async fn queue_ends(&self, tx: &mut Tx<'_>, destination: i64) -> Result<(u64, u64), Failure> {
        let lane = columns::lane_code(Lane::Receipts);
        let mut script = tx.script();
        let head = script.one(&HEAD, |args| {
            args.integer(destination).integer(lane);
        });
        let offered = script.one(&OFFERED, |args| {
            args.integer(destination).integer(lane);
        });
        let mut answers = tx.run(script).await?;
        let head = match answers.take(head).first() {
            Some(row) => row.fields("outbox_heads").number("head")?,
            None => {
                let mut script = tx.script();
                script.one(&NEW_HEAD, |args| {
                    args.integer(destination).integer(lane);
                });
                tx.run(script).await?;
                0
            }
        };
        let offered = match answers.take(offered).first() {
            Some(row) => row.fields("outbox_lanes").number("offered")?,
            None => 0,
        };
        Ok((head, offered))
    }

    /// Whether an entry that was not sent yet tells this watermark, to the same people.
    async fn is_told(
        &self,
        tx: &mut Tx<'_>,
        state: &State,
        (key, forward): (Key, &Forward),
        offered: u64,
    ) -> Result<bool, Failure> {
        let told = state.watermarks.get(&key).map_or(0, |stored| stored.told);
        if told <= offered {
            return Ok(false);
        }
        let rows = tx.rows(&RECIPIENTS, |args| {
            args.integer(key.origin).integer(columns::lane_code(Lane::Receipts)).number(told);
        });
        match rows.await?.first() {
            Some(row) => Ok(read_recipients(&mut row.fields("outbox"))? == forward.recipients),
            None => Ok(false),
        }
    }
}

fn entry(key: Key, forward: &Forward, index: u64) -> Entry {
    Entry {
        destination: key.origin,
        index,
        id: forward.id,
        reader: key.reader,
        slot: key.slot(),
        recipients: forward.recipients.iter().flat_map(Uuid::as_bytes).copied().collect(),
    }
}

impl Forwarded {
    /// Writes the entries and the heads.
    pub(super) fn write(&self, script: &mut Script) {
        let lane = columns::lane_code(Lane::Receipts);
        script.rows(&ENTRIES, &self.entries, |args, entry| {
            args.integer(entry.destination)
                .integer(lane)
                .number(entry.index)
                .integer(OUTBOX_QUEUED)
                .uuid(entry.id)
                .uuid(entry.reader)
                .bytes(&entry.slot)
                .bytes(&entry.recipients)
                .integer(i64::from(version::PAYLOAD))
                .integer(SIZE);
        });
        for (destination, head) in &self.heads {
            script.one(&PUT_HEAD, |args| {
                args.number(*head).integer(*destination).integer(lane);
            });
        }
    }
}
