//! Watermarks over another region's numbers, on their way to that region: entries of the outbox.

use std::collections::BTreeMap;

use foldhash::HashMap;
use posthouse_protocol::{
    federation::{stream::Lane, version},
    id::ServerName,
};
use posthouse_storage::receipts::{Forward, WatermarkRise};
use uuid::Uuid;

use super::{Key, State};
use crate::{
    columns::{self, OUTBOX_QUEUED},
    commit::{plan::Head, read::LOCK_OUTBOXES, write},
    db::{Args, Script, Tx},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    /// Whoever loads waits for this transaction before it makes more of the lane offered, and then
    /// reads the risen watermark; a later one of these waits for that load, and makes a new entry.
    LOCK_OFFERED = Statement::rows(
        "ii",
        "WITH v(destination, lane) AS ({rows})
        SELECT l.destination, l.offered FROM v CROSS JOIN outbox_lanes l
        WHERE l.destination = v.destination AND l.lane = v.lane
        /*pg:ORDER BY l.destination, l.lane FOR SHARE OF l*/",
    );
    TOLD = Statement::rows(
        "iii",
        "WITH v(destination, lane, idx) AS ({rows})
        SELECT o.destination, o.idx, o.recipients FROM v CROSS JOIN outbox o
        WHERE o.destination = v.destination AND o.lane = v.lane AND o.idx = v.idx
            AND o.state = 0",
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
pub(super) struct Forwarded<'a> {
    entries: Vec<Entry>,
    /// The heads of the queues that have new entries.
    heads: BTreeMap<i64, Head>,
    names: Vec<&'a ServerName>,
}

struct Entry {
    destination: i64,
    index: u64,
    id: Uuid,
    reader: Uuid,
    slot: Vec<u8>,
    recipients: Vec<u8>,
}

/// A watermark that did rise and tells its origin.
pub(super) type Forwarding<'a> = (Key, &'a ServerName, &'a Forward);

/// What rises ask for if they take place.
pub(super) fn forwarding(rise: &WatermarkRise, key: Key) -> Option<Forwarding<'_>> {
    rise.forward.as_ref().map(|forward| (key, &rise.watermark.origin, forward))
}

/// What of the queues' state matters here.
#[derive(Default)]
struct Queues {
    heads: HashMap<i64, Head>,
    offered: HashMap<i64, u64>,
    /// The recipients of entries, by destination and index.
    told: HashMap<(i64, u64), Vec<u8>>,
}

impl State {
    /// Works out the entries of risen watermarks that go to other regions, and locks their queues.
    pub(super) async fn forward<'a>(
        &mut self,
        tx: &mut Tx<'_>,
        risen: &[Forwarding<'a>],
    ) -> Result<Forwarded<'a>, Failure> {
        let mut forwarded = Forwarded::default();
        if risen.is_empty() {
            return Ok(forwarded);
        }
        let mut queues = self.read_queues(tx, risen).await?;
        for (key, name, forward) in risen {
            let destination = key.origin;
            let Some(stored) = self.watermarks.get_mut(key) else { continue };
            let recipients: Vec<u8> =
                forward.recipients.iter().flat_map(Uuid::as_bytes).copied().collect();
            let offered = queues.offered.get(&destination).copied().unwrap_or_default();
            let is_told = stored.told > offered
                && queues.told.get(&(destination, stored.told)) == Some(&recipients);
            if is_told {
                continue;
            }
            let head = queues.heads.entry(destination).or_default();
            head.last += 1;
            stored.told = head.last;
            forwarded.heads.insert(destination, *head);
            forwarded.names.push(name);
            queues.told.insert((destination, head.last), recipients.clone());
            forwarded.entries.push(Entry {
                destination,
                index: head.last,
                id: forward.id,
                reader: key.reader,
                slot: key.slot(),
                recipients,
            });
        }
        Ok(forwarded)
    }

    async fn read_queues(
        &self,
        tx: &mut Tx<'_>,
        risen: &[Forwarding<'_>],
    ) -> Result<Queues, Failure> {
        let lane = columns::lane_code(Lane::Receipts);
        let mut destinations: Vec<i64> = risen.iter().map(|(key, ..)| key.origin).collect();
        destinations.sort_unstable();
        destinations.dedup();
        let told = |(key, ..): &Forwarding<'_>| {
            let told = self.watermarks.get(key).map_or(0, |stored| stored.told);
            (told > 0).then_some((key.origin, told))
        };
        let mut told: Vec<(i64, u64)> = risen.iter().filter_map(told).collect();
        told.sort_unstable();
        told.dedup();
        let mut script = tx.script();
        let queue = |args: &mut Args, destination: &i64| {
            args.integer(*destination).integer(lane);
        };
        let heads = script.rows(&LOCK_OUTBOXES, &destinations, queue);
        let offered = script.rows(&LOCK_OFFERED, &destinations, queue);
        let told = script.rows(&TOLD, &told, |args, (destination, index)| {
            args.integer(*destination).integer(lane).number(*index);
        });
        let mut answers = tx.run(script).await?;
        let mut queues = Queues::default();
        for row in answers.take(heads) {
            let mut fields = row.fields("outbox_heads");
            let destination = fields.integer("destination")?;
            fields.integer("lane")?;
            let head = Head { last: fields.number("head")?, stored: true };
            queues.heads.insert(destination, head);
        }
        for row in answers.take(offered) {
            let mut fields = row.fields("outbox_lanes");
            queues.offered.insert(fields.integer("destination")?, fields.number("offered")?);
        }
        for row in answers.take(told) {
            let mut fields = row.fields("outbox");
            let place = (fields.integer("destination")?, fields.number("idx")?);
            queues.told.insert(place, fields.bytes("recipients")?.to_vec());
        }
        Ok(queues)
    }
}

impl Forwarded<'_> {
    /// Writes the entries and the heads, and tells other processes.
    pub(super) fn write(&self, store: &SqlStore, script: &mut Script) {
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
        let heads: Vec<(i64, i64, Head)> =
            self.heads.iter().map(|(destination, head)| (*destination, lane, *head)).collect();
        write::put_outboxes(store, script, &heads);
        wakes::tell_outboxes(store, script, self.names.iter().copied());
    }
}
