//! What receipts settle: entries are accepted or fail, and their senders are told, in one
//! transaction.

use std::collections::BTreeMap;

use posthouse_protocol::{
    federation::stream::Lane,
    id::{ConversationId, ServerName},
    status::FailReason,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    leases::Fence,
    outbox::{Settled, Settlement},
};
use uuid::Uuid;

use super::{
    FAILED, Opening, Queue, REFUSED,
    marks::{RECEIPT, put_receipted},
    tell::{Accepted, Entry, GivenUp, Telling, give_up},
};
use crate::{
    db::{Answers, Args, Row, Script, Slot},
    failure::Failure,
    leases,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    RECEIPTED = Statement::new(
        "SELECT lane, receipted FROM outbox_lanes WHERE destination = ? ORDER BY lane",
    );
    /// Writers under another fence's eyes do not come here; the lock is for a destination without a
    /// stream, where nothing else makes them take turns.
    CHOSEN = Statement::rows(
        "iii",
        "WITH v(destination, lane, idx) AS ({rows})
        SELECT o.lane, o.idx, o.state, o.id, o.sender, o.recipients, o.message,
            (SELECT m.part FROM messages m
                WHERE m.ref = o.message AND m.id = o.id AND m.sender = o.sender) AS part
        FROM v CROSS JOIN outbox o
        WHERE o.destination = v.destination AND o.lane = v.lane AND o.idx = v.idx
        /*pg:ORDER BY o.lane, o.idx FOR UPDATE OF o*/",
    );
    /// What a receipt newly covers: of each conversation of two and each sender the highest number.
    ACCEPTED = Statement::new(
        "SELECT m.conversation, o.recipients, o.sender, MIN(m.server), MAX(m.origin_number)
        FROM outbox o JOIN messages m ON m.ref = o.message
        WHERE o.destination = ? AND o.lane = ? AND o.idx > (
                SELECT l.receipted FROM outbox_lanes l WHERE l.destination = ? AND l.lane = ?)
            AND o.idx <= ? AND o.state = 0 AND LENGTH(o.recipients) = 16 AND o.sender IS NOT NULL
        GROUP BY m.conversation, o.recipients, o.sender",
    );
    /// What of that failed. Such an entry no longer holds its message, whose number may belong to
    /// another message by now.
    PASSED_OVER = Statement::new(
        "SELECT m.conversation, o.recipients, m.server, m.origin_number
        FROM outbox o JOIN messages m ON m.ref = o.message AND m.id = o.id AND m.sender = o.sender
        WHERE o.destination = ? AND o.lane = ? AND o.idx > (
                SELECT l.receipted FROM outbox_lanes l WHERE l.destination = ? AND l.lane = ?)
            AND o.idx <= ? AND o.state <> 0 AND LENGTH(o.recipients) = 16 AND m.part = 0",
    );
    /// Messages and notices of deleted accounts that are not receipted, that have not failed, and that
    /// expire before a time.
    WAITING_BEFORE = Statement::new(
        "SELECT o.lane, o.idx FROM outbox_heads h
        LEFT JOIN outbox_lanes l ON l.destination = h.destination AND l.lane = h.lane
        CROSS JOIN outbox o
        WHERE h.destination = ? AND o.destination = h.destination AND o.lane = h.lane
            AND o.idx > COALESCE(l.receipted, 0)
            AND (o.state = 0 AND o.message IS NOT NULL OR o.state = 3) AND o.expires < ?
        ORDER BY h.lane, o.idx LIMIT 0 + ?",
    );
}

impl SqlStore {
    pub(super) async fn try_settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, Failure> {
        let Settlement { to, rejected, now } = settlement;
        let queue = self.queue(destination, lane).await?;
        let rejected: BTreeMap<u64, FailReason> = rejected.iter().copied().collect();
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, queue.destination);
        let receipted = add_receipted(&mut script, queue.destination);
        let chosen = add_chosen(&mut script, queue, rejected.keys().map(|at| (queue.lane, *at)));
        let mut covered = rejected.is_empty().then(|| Covered::add(&mut script, queue, to.index));
        let mut answers = tx.run(script).await?;
        let exists = opening.read(&mut answers, fence)?;
        let receipted = read_receipted(&answers.take(receipted))?;
        let (true, Some(&before)) = (exists, receipted.get(&queue.lane)) else {
            tx.cancel().await?;
            return Ok(Settled::default());
        };
        let entries = read_entries(&answers.take(chosen))?;
        let fresh =
            |entry: &&Entry| entry.is_queued() && entry.index > before && entry.index <= to.index;
        let given_up: Vec<GivenUp<'_>> = entries
            .iter()
            .filter(fresh)
            .filter_map(|entry| {
                let reason = *rejected.get(&entry.index)?;
                Some(GivenUp { entry, reason, state: FAILED })
            })
            .collect();
        if covered.is_none() {
            // What is rejected now is passed over, not accepted.
            let mut script = tx.script();
            give_up(&mut script, queue.destination, &given_up);
            covered = Some(Covered::add(&mut script, queue, to.index));
            answers = tx.run(script).await?;
        }
        let accepted = match covered.filter(|_| lane == Lane::Messages) {
            Some(covered) => covered.read(&mut answers)?,
            None => BTreeMap::new(),
        };
        let told = Telling { destination, given_up: &given_up, accepted, now };
        let (mut script, settled) = self.tell(&mut tx, queue.destination, told).await?;
        put_receipted(&mut script, queue, to);
        if to.index > before {
            script.one(&RECEIPT, |args| {
                args.integer(queue.destination).integer(queue.lane).number(to.index).number(now.0);
            });
        }
        tx.finish(script).await?;
        Ok(settled)
    }

    pub(super) async fn try_refuse(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        index: u64,
        (reason, now): (FailReason, Timestamp),
    ) -> Result<Settled, Failure> {
        let queue = self.queue(destination, lane).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, queue.destination);
        let chosen = add_chosen(&mut script, queue, core::iter::once((queue.lane, index)));
        let mut answers = tx.run(script).await?;
        opening.read(&mut answers, fence)?;
        let entries = read_entries(&answers.take(chosen))?;
        let given_up: Vec<GivenUp<'_>> =
            entries.iter().map(|entry| GivenUp { entry, reason, state: REFUSED }).collect();
        let mut script = tx.script();
        give_up(&mut script, queue.destination, &given_up);
        tx.run(script).await?;
        let told = Telling { destination, given_up: &given_up, accepted: BTreeMap::new(), now };
        let (script, settled) = self.tell(&mut tx, queue.destination, told).await?;
        tx.finish(script).await?;
        Ok(settled)
    }

    /// Gives up messages that wait: those that expire before a time, or all.
    pub(super) async fn try_fail(
        &self,
        fence: &Fence,
        destination: &ServerName,
        before: Option<Timestamp>,
        (reason, now): (FailReason, Timestamp),
        limit: usize,
    ) -> Result<Settled, Failure> {
        let number = self.inner.servers.number(self.db(), destination).await?;
        let before = before.map_or(u64::MAX, |before| before.0);
        // Looked up outside the transaction: a long queue must not hold up those who commit.
        let mut script = Script::new(self.db().dialect());
        let held = leases::look(&mut script, fence);
        let found = script.one(&WAITING_BEFORE, |args| {
            args.integer(number).number(before).limit(limit);
        });
        let mut answers = self.db().read(script).await?;
        leases::compare(&answers.take(held), fence)?;
        let mut places = Vec::new();
        for row in answers.take(found) {
            let mut fields = row.fields("outbox");
            places.push((fields.integer("lane")?, fields.number("idx")?));
        }
        if places.is_empty() {
            return Ok(Settled::default());
        }
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, number);
        let receipted = add_receipted(&mut script, number);
        let queue = Queue { destination: number, lane: 0 };
        let chosen = add_chosen(&mut script, queue, places.into_iter());
        let mut answers = tx.run(script).await?;
        opening.read(&mut answers, fence)?;
        let receipted = read_receipted(&answers.take(receipted))?;
        let entries = read_entries(&answers.take(chosen))?;
        let given_up: Vec<GivenUp<'_>> = entries
            .iter()
            .filter(|entry| {
                let before = receipted.get(&entry.lane).copied().unwrap_or_default();
                entry.is_queued() && entry.index > before
            })
            .map(|entry| GivenUp { entry, reason, state: FAILED })
            .collect();
        let mut script = tx.script();
        give_up(&mut script, number, &given_up);
        tx.run(script).await?;
        let told = Telling { destination, given_up: &given_up, accepted: BTreeMap::new(), now };
        let (script, settled) = self.tell(&mut tx, number, told).await?;
        tx.finish(script).await?;
        Ok(settled)
    }
}

fn add_receipted(script: &mut Script, destination: i64) -> Slot {
    script.one(&RECEIPTED, |args| {
        args.integer(destination);
    })
}

/// The receipted mark of each lane.
fn read_receipted(rows: &[Row]) -> Result<BTreeMap<i64, u64>, StoreError> {
    let mut marks = BTreeMap::new();
    for row in rows {
        let mut fields = row.fields("outbox_lanes");
        marks.insert(fields.integer("lane")?, fields.number("receipted")?);
    }
    Ok(marks)
}

/// Reads and locks entries, which are named by lane and index.
fn add_chosen(script: &mut Script, queue: Queue, places: impl Iterator<Item = (i64, u64)>) -> Slot {
    let places: Vec<(i64, u64)> = places.collect();
    script.rows(&CHOSEN, &places, |args, (lane, index)| {
        args.integer(queue.destination).integer(*lane).number(*index);
    })
}

fn read_entries(rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    rows.iter().map(Entry::read).collect()
}

/// The reads of what a receipt newly covers.
struct Covered {
    accepted: Slot,
    passed_over: Slot,
}

impl Covered {
    fn add(script: &mut Script, queue: Queue, through: u64) -> Self {
        let bind = |args: &mut Args| {
            args.integer(queue.destination).integer(queue.lane);
            args.integer(queue.destination).integer(queue.lane).number(through);
        };
        let accepted = script.one(&ACCEPTED, bind);
        let passed_over = script.one(&PASSED_OVER, bind);
        Self { accepted, passed_over }
    }

    fn read(
        self,
        answers: &mut Answers,
    ) -> Result<BTreeMap<(ConversationId, Uuid), Accepted>, StoreError> {
        let mut found: BTreeMap<_, Accepted> = BTreeMap::new();
        for row in answers.take(self.accepted) {
            let mut fields = row.fields("messages");
            let key = (ConversationId(fields.array("conversation")?), fields.uuid("recipients")?);
            let own = found.entry(key).or_default();
            own.senders.push(fields.uuid("sender")?);
            own.server = fields.integer("server")?;
            own.through = own.through.max(fields.number("origin_number")?);
        }
        for row in answers.take(self.passed_over) {
            let mut fields = row.fields("messages");
            let key = (ConversationId(fields.array("conversation")?), fields.uuid("recipients")?);
            let own = found.entry(key).or_default();
            own.server = fields.integer("server")?;
            let number = fields.number("origin_number")?;
            own.through = own.through.max(number);
            own.except.push(number);
        }
        Ok(found)
    }
}
