//! `Ledger::record`: positions of devices and watermarks, in one transaction.

use foldhash::{HashMap, HashSet};
use posthouse_protocol::{
    cursor::Cursor,
    id::{AccountId, ConversationId, GroupId},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    ledger::Arrival,
    receipts::{PositionAdvance, Risen, Watermark, WatermarkRise},
};
use uuid::Uuid;

use crate::{
    columns,
    commit::{plan::Head, write},
    db::{Fields, Row, Script, Slot, Tx},
    entries,
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

mod coverage;
mod failed;
mod forward;
mod key;
mod tally;

pub(crate) use coverage::Coverage;
pub(crate) use failed::FailedSlot;
#[cfg(test)]
pub(crate) use forward::ALL as FORWARD_ALL;
pub(crate) use key::{Key, slots_of};
#[cfg(test)]
pub(crate) use tally::ALL as TALLY_ALL;
pub(crate) use tally::TallyKey;

statements! {
    POSITIONS = Statement::rows(
        "bii",
        "WITH v(device, position, active_at) AS ({rows})
        UPDATE devices SET
            position = CASE WHEN v.position > devices.position
                THEN v.position ELSE devices.position END,
            active_at = CASE WHEN v.active_at > devices.active_at
                THEN v.active_at ELSE devices.active_at END
        FROM v
        WHERE devices.id = v.device
            AND (devices.position < v.position OR devices.active_at < v.active_at)",
    );
    WATERMARKS = Statement::rows(
        "bbiii",
        "WITH v(conversation, reader, reader_server, origin, seen) AS ({rows})
        SELECT w.conversation, w.reader, w.reader_server, w.origin, w.seen,
            w.through, w.excepts, w.at, w.told
        FROM v CROSS JOIN watermarks w
        WHERE w.conversation = v.conversation AND w.reader = v.reader
            AND w.reader_server = v.reader_server AND w.origin = v.origin AND w.seen = v.seen",
    );
    LOCK_WATERMARKS = Statement::rows(
        "bbiii",
        "WITH v(conversation, reader, reader_server, origin, seen) AS ({rows})
        SELECT w.conversation, w.reader, w.reader_server, w.origin, w.seen,
            w.through, w.excepts, w.at, w.told
        FROM v CROSS JOIN watermarks w
        WHERE w.conversation = v.conversation AND w.reader = v.reader
            AND w.reader_server = v.reader_server AND w.origin = v.origin AND w.seen = v.seen
        /*pg:ORDER BY w.conversation, w.reader, w.reader_server, w.origin, w.seen
        FOR UPDATE OF w*/",
    );
    LOCK_INBOXES = Statement::rows(
        "b",
        "WITH v(account) AS ({rows})
        SELECT i.account, i.head FROM v CROSS JOIN inboxes i WHERE i.account = v.account
        /*pg:ORDER BY i.account FOR UPDATE OF i*/",
    );
    /// A new watermark is inserted plainly: it could not be locked, and another process that was
    /// quicker is a conflict.
    NEW_WATERMARKS = Statement::rows(
        "bbiiiibii",
        "INSERT INTO watermarks
            (conversation, reader, reader_server, origin, seen, through, excepts, at, told)
        {new}",
    );
    RAISE_WATERMARKS = Statement::rows(
        "bbiiiibii",
        "INSERT INTO watermarks
            (conversation, reader, reader_server, origin, seen, through, excepts, at, told)
        {new}
        ON CONFLICT (conversation, reader, reader_server, origin, seen) DO UPDATE
        SET through = excluded.through, excepts = excluded.excepts, at = excluded.at,
            told = excluded.told",
    );
    ENTRIES = Statement::rows(
        "bibi",
        "INSERT{whole} INTO inbox (account, arrival, slot, arrived_at) {new}",
    );
}

/// A watermark as the database holds it.
#[derive(Debug, Clone)]
struct Stored {
    coverage: Coverage,
    at: Timestamp,
    /// The newest outbox entry that tells the origin of it; 0 for none.
    told: u64,
    /// Whether the row existed before this transaction.
    is_old: bool,
}

impl SqlStore {
    pub(crate) async fn record_receipts(
        &self,
        positions: &[PositionAdvance],
        rises: &[WatermarkRise],
    ) -> Result<Vec<Risen>, StoreError> {
        if positions.is_empty() && rises.is_empty() {
            return Ok(Vec::new());
        }
        let positions = highest(positions);
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_record(&positions, rises).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn try_record(
        &self,
        positions: &[PositionAdvance],
        rises: &[WatermarkRise],
    ) -> Result<Vec<Risen>, Failure> {
        let names =
            rises.iter().flat_map(|rise| [&rise.watermark.reader.server, &rise.watermark.origin]);
        let missing = self.inner.servers.missing(names);
        self.inner.servers.intern(self.db(), &missing).await?;
        let keys: Vec<Key> = rises.iter().map(|rise| Key::of(self, &rise.watermark)).collect();
        let groups = self.groups_among(keys.iter().map(|key| key.conversation)).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.rows(&POSITIONS, positions, |args, advance| {
            args.uuid(advance.device.0).number(advance.position.0).number(advance.active_at.0);
        });
        if rises.is_empty() {
            tx.finish(script).await?;
            return Ok(Vec::new());
        }
        let mut state = State::read(&mut tx, script, rises, &keys, &[]).await?;
        state.set_groups(groups);
        let (mut answer, mut forwarding) = (Vec::new(), Vec::new());
        for (rise, key) in rises.iter().zip(&keys) {
            if let Some(risen) = state.raise(rise, *key) {
                answer.push(risen);
                forwarding.extend(forward::forwarding(rise, *key));
            }
        }
        let forwarded = state.forward(&mut tx, &forwarding).await?;
        let mut script = tx.script();
        state.write(self, &mut script);
        forwarded.write(self, &mut script);
        tx.finish(script).await?;
        self.count_tallies(&state, &mut answer).await?;
        Ok(answer)
    }

    /// The watermarks of `keys`, as they are now.
    pub(crate) async fn read_watermarks(
        &self,
        keys: &[Key],
    ) -> Result<HashMap<Key, Watermark>, Failure> {
        let mut found = HashMap::default();
        if keys.is_empty() {
            return Ok(found);
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&WATERMARKS, keys, |args, key| key.bind(args));
        for row in self.db().read(script).await?.take(slot) {
            let (key, stored) = read_watermark(&row)?;
            let reader = self.inner.servers.name(self.db(), key.reader_server).await?;
            let watermark = Watermark {
                conversation: ConversationId(key.conversation),
                reader: AccountId { uuid: key.reader, server: reader },
                origin: self.inner.servers.name(self.db(), key.origin).await?,
                reached: key.reached,
                through: stored.coverage.through(),
                except: stored.coverage.except().to_vec(),
                at: stored.at,
            };
            found.insert(key, watermark);
        }
        Ok(found)
    }
}

/// What the rises change, decided in memory and written at once.
#[derive(Default)]
pub(crate) struct State {
    watermarks: HashMap<Key, Stored>,
    heads: HashMap<Uuid, Head>,
    risen: HashSet<Key>,
    /// The newest entry of each inbox for each watermark.
    entries: HashMap<(Uuid, Key), (Cursor, Timestamp)>,
    /// Which conversations are groups', by name.
    groups: HashMap<[u8; 16], String>,
    /// The newest entry of each inbox for each tally.
    tallies: HashMap<(Uuid, TallyKey), Tallied>,
    /// Entries that tell failures.
    failed: Vec<(Uuid, Vec<u8>, Cursor, Timestamp)>,
}

impl State {
    /// Runs what `script` has, then reads and locks what the rises name, and the inboxes of
    /// `people`.
    pub(crate) async fn read(
        tx: &mut Tx<'_>,
        mut script: Script,
        rises: &[WatermarkRise],
        keys: &[Key],
        people: &[Uuid],
    ) -> Result<Self, Failure> {
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let watermarks = Self::ask(&mut script, &sorted);
        let mut accounts: Vec<Uuid> =
            rises.iter().flat_map(|rise| rise.tell.clone()).chain(people.iter().copied()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        script.settle(&accounts);
        let inboxes = script.rows(&LOCK_INBOXES, &accounts, |args, account| {
            args.uuid(*account);
        });
        let mut answers = tx.run(script).await?;
        let mut heads = HashMap::default();
        for row in answers.take(inboxes) {
            let mut fields = row.fields("inboxes");
            let account = fields.uuid("account")?;
            heads.insert(account, Head { last: fields.number("head")?, stored: true });
        }
        Self::of(&answers.take(watermarks), heads)
    }

    /// Asks for watermarks, sorted and each once, and locks them.
    pub(crate) fn ask(script: &mut Script, keys: &[Key]) -> Slot {
        script.rows(&LOCK_WATERMARKS, keys, |args, key| key.bind(args))
    }

    /// From what [`Self::ask`] gave, and the heads of the locked inboxes as they are now.
    pub(crate) fn of(watermarks: &[Row], heads: HashMap<Uuid, Head>) -> Result<Self, Failure> {
        let watermarks: Result<_, StoreError> = watermarks.iter().map(read_watermark).collect();
        Ok(Self { watermarks: watermarks?, heads, ..Self::default() })
    }

    /// A new entry of the account's inbox that tells a failure.
    pub(crate) fn fail(&mut self, account: Uuid, slot: Vec<u8>, at: Timestamp) -> Arrival {
        let head = self.heads.entry(account).or_default();
        let previous = Cursor(head.last);
        head.last += 1;
        let cursor = Cursor(head.last);
        self.failed.push((account, slot, cursor, at));
        Arrival { account, previous, cursor }
    }

    pub(crate) fn raise(&mut self, rise: &WatermarkRise, key: Key) -> Option<Risen> {
        let new = Coverage::new(rise.watermark.through, &rise.watermark.except);
        let at = rise.watermark.at;
        let known = self.watermarks.entry(key).or_insert_with(|| Stored {
            coverage: Coverage::default(),
            at,
            told: 0,
            is_old: false,
        });
        let merged = known.coverage.merged(&new);
        if merged == known.coverage {
            return None;
        }
        known.coverage = merged;
        known.at = at.max(known.at);
        let watermark = Watermark {
            through: known.coverage.through(),
            except: known.coverage.except().to_vec(),
            at: known.at,
            ..rise.watermark.clone()
        };
        self.risen.insert(key);
        let mut arrivals = Vec::with_capacity(rise.tell.len());
        for &account in &rise.tell {
            if self.groups.contains_key(&key.conversation) {
                self.tell_tally(account, key, &watermark);
                continue;
            }
            let head = self.heads.entry(account).or_default();
            let previous = Cursor(head.last);
            head.last += 1;
            let cursor = Cursor(head.last);
            self.entries.insert((account, key), (cursor, at));
            arrivals.push(Arrival { account, previous, cursor });
        }
        Some(Risen { watermark, arrivals, tally: None })
    }

    /// Which of the conversations are groups', by name.
    pub(crate) fn set_groups(&mut self, groups: HashMap<[u8; 16], String>) {
        self.groups = groups;
    }

    /// One entry tells an account of all readers of a group.
    fn tell_tally(&mut self, account: Uuid, key: Key, watermark: &Watermark) {
        let Key { conversation, origin, reached, .. } = key;
        let place = (account, TallyKey { conversation, origin, reached });
        if self.tallies.contains_key(&place) {
            return;
        }
        let head = self.heads.entry(account).or_default();
        let previous = Cursor(head.last);
        head.last += 1;
        let cursor = Cursor(head.last);
        let arrival = Arrival { account, previous, cursor };
        self.tallies.insert(place, Tallied { arrival, watermark: watermark.clone() });
    }

    pub(crate) fn write(&self, store: &SqlStore, script: &mut Script) {
        let heads = self.write_rows(script);
        write::put_inboxes(store, script, &heads);
        wakes::tell_inboxes(store, script, heads.iter().map(|(account, _)| *account));
    }

    /// Writes watermarks and entries; gives the new heads of the inboxes that got some, by account.
    pub(crate) fn write_rows(&self, script: &mut Script) -> Vec<(Uuid, Head)> {
        let mut risen: Vec<(&Key, &Stored)> =
            self.watermarks.iter().filter(|(key, _)| self.risen.contains(key)).collect();
        risen.sort_unstable_by_key(|(key, _)| **key);
        let (old, new): (Vec<_>, Vec<_>) = risen.into_iter().partition(|(_, mark)| mark.is_old);
        for (statement, rows) in [(&RAISE_WATERMARKS, old), (&NEW_WATERMARKS, new)] {
            script.rows(statement, &rows, |args, (key, mark)| {
                key.bind(args);
                args.number(mark.coverage.through())
                    .bytes(&mark.coverage.except_bytes())
                    .number(mark.at.0)
                    .number(mark.told);
            });
        }
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|((account, key), (cursor, at))| (*account, key.slot(), *cursor, *at))
            .chain(self.failed.iter().cloned())
            .collect();
        entries.sort_unstable_by_key(|(account, _, cursor, _)| (*account, *cursor));
        let slots: Vec<(Uuid, &[u8])> =
            entries.iter().map(|(account, slot, ..)| (*account, slot.as_slice())).collect();
        write::clear_slots(script, &slots);
        script.rows(&ENTRIES, &entries, |args, (account, slot, cursor, at)| {
            args.uuid(*account).number(cursor.0).bytes(slot).number(at.0);
        });
        self.write_tallies(script);
        let told: HashSet<Uuid> = entries
            .iter()
            .map(|(account, ..)| *account)
            .chain(self.tallies.keys().map(|(account, _)| *account))
            .collect();
        let mut heads: Vec<(Uuid, Head)> = self
            .heads
            .iter()
            .filter(|(account, _)| told.contains(account))
            .map(|(account, head)| (*account, *head))
            .collect();
        heads.sort_unstable_by_key(|(account, _)| *account);
        heads
    }
}

/// An entry that tells a tally, and a watermark that rose for it.
struct Tallied {
    arrival: Arrival,
    watermark: Watermark,
}

impl State {
    fn write_tallies(&self, script: &mut Script) {
        let mut rows: Vec<(&Tallied, Vec<u8>, &str)> = self
            .tallies
            .iter()
            .filter_map(|((_, key), told)| {
                let group = self.groups.get(&key.conversation)?;
                Some((told, key.slot(), group.as_str()))
            })
            .collect();
        rows.sort_unstable_by_key(|(told, ..)| (told.arrival.account, told.arrival.cursor));
        let slots: Vec<(Uuid, &[u8])> =
            rows.iter().map(|(told, slot, _)| (told.arrival.account, slot.as_slice())).collect();
        write::clear_slots(script, &slots);
        script.rows(&entries::ENTRIES, &rows, |args, (told, slot, group)| {
            args.uuid(told.arrival.account)
                .number(told.arrival.cursor.0)
                .bytes(slot)
                .number(told.watermark.at.0)
                .bytes(group.as_bytes());
        });
    }
}

impl SqlStore {
    /// Adds what the entries about groups tell. Readers are read once for each group.
    pub(crate) async fn count_tallies(
        &self,
        state: &State,
        answer: &mut Vec<Risen>,
    ) -> Result<(), Failure> {
        let mut told: Vec<(&TallyKey, &Tallied)> =
            state.tallies.iter().map(|((_, key), told)| (key, told)).collect();
        told.sort_unstable_by_key(|(key, told)| (**key, told.arrival.account));
        for of_one in told.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((key, _)) = of_one.first() else { continue };
            let (readers, origin) = self.read_readers(key).await?;
            for (key, told) in of_one {
                let name = state.groups.get(&key.conversation);
                let Some(group) = name.and_then(|name| GroupId::parse(name).ok()) else { continue };
                let tally = readers.tally(key, (group, origin.clone()), told.arrival.account);
                let (watermark, arrivals) = (told.watermark.clone(), vec![told.arrival]);
                answer.push(Risen { watermark, arrivals, tally: Some(tally) });
            }
        }
        Ok(())
    }
}

/// The highest position and last activity of each device, sorted by device: each row is updated once, and everyone
/// locks in the same order.
fn highest(positions: &[PositionAdvance]) -> Vec<PositionAdvance> {
    let mut positions = positions.to_vec();
    positions.sort_unstable_by_key(|advance| advance.device);
    positions.dedup_by(|next, kept| {
        let same = next.device == kept.device;
        if same {
            kept.position = kept.position.max(next.position);
            kept.active_at = kept.active_at.max(next.active_at);
        }
        same
    });
    positions
}

fn read_watermark(row: &Row) -> Result<(Key, Stored), StoreError> {
    let mut fields = row.fields("watermarks");
    let key = read_key(&mut fields)?;
    let through = fields.number("through")?;
    let excepts = fields.bytes("excepts")?;
    let coverage = Coverage::from_columns(through, excepts)
        .ok_or_else(|| fields.corrupt("excepts", "not ascending numbers below through"))?;
    let (at, told) = (fields.time("at")?, fields.number("told")?);
    Ok((key, Stored { coverage, at, told, is_old: true }))
}

fn read_key(fields: &mut Fields<'_>) -> Result<Key, StoreError> {
    Ok(Key {
        conversation: fields.array("conversation")?,
        reader: fields.uuid("reader")?,
        reader_server: fields.integer("reader_server")?,
        origin: fields.integer("origin")?,
        reached: columns::reached(fields)?,
    })
}
