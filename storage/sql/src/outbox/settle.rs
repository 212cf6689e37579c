//! What receipts settle: entries are accepted or fail, and their senders are told, in one
//! transaction.

use std::collections::{BTreeMap, BTreeSet};

use posthouse_protocol::{
    federation::stream::Lane,
    id::{AccountId, ConversationId, MessageId, ServerName},
    status::{FailReason, Reached},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    inbox::Failed,
    leases::Fence,
    outbox::{Settled, Settlement},
    receipts::{Watermark, WatermarkRise},
};
use uuid::Uuid;

use super::{
    FAILED, REFUSED,
    entries::read_recipients,
    marks::{RECEIPT, put_receipted},
};
use crate::{
    columns::OUTBOX_QUEUED,
    db::{Row, Script, Tx},
    failure::Failure,
    leases,
    receipts::{FailedSlot, Key, State},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    MARK = Statement::new(
        "SELECT receipted FROM outbox_lanes WHERE destination = ? AND lane = ? /*pg:FOR UPDATE*/",
    );
    BETWEEN = Statement::new(
        "SELECT o.lane, o.idx, o.state, o.id, o.sender, o.recipients, o.message, m.server,
            m.conversation, m.origin_number
        FROM outbox o LEFT JOIN messages m ON m.ref = o.message
        WHERE o.destination = ? AND o.lane = ? AND o.idx > ? AND o.idx <= ? ORDER BY o.idx",
    );
    /// Messages that are not receipted, that have not failed, and that expire before a time.
    WAITING_BEFORE = Statement::new(
        "SELECT o.lane, o.idx, o.state, o.id, o.sender, o.recipients, o.message, m.server,
            m.conversation, m.origin_number
        FROM outbox o
        LEFT JOIN outbox_lanes l ON l.destination = o.destination AND l.lane = o.lane
        JOIN messages m ON m.ref = o.message
        WHERE o.destination = ? AND o.idx > COALESCE(l.receipted, 0) AND o.state = 0
            AND o.expires < ?
        ORDER BY o.lane, o.idx LIMIT 0 + ?",
    );
    GIVE_UP = Statement::rows(
        "iiii",
        "WITH v(destination, lane, idx, state) AS ({rows})
        UPDATE outbox SET state = v.state, message = NULL, size = 0 FROM v
        WHERE outbox.destination = v.destination AND outbox.lane = v.lane AND outbox.idx = v.idx",
    );
    RELEASE = Statement::rows(
        "ii",
        "WITH v(ref, n) AS ({rows})
        UPDATE messages SET pointers = pointers - v.n FROM v WHERE messages.ref = v.ref",
    );
}

/// An entry as settling needs it.
struct Entry {
    lane: i64,
    index: u64,
    state: i64,
    id: Uuid,
    sender: Option<Uuid>,
    recipients: Vec<Uuid>,
    message: Option<Facts>,
}

/// Of a message.
struct Facts {
    number: i64,
    conversation: ConversationId,
    origin_number: u64,
    server: i64,
}

/// An entry that fails, and its new state.
struct GivenUp<'a> {
    entry: &'a Entry,
    reason: FailReason,
    state: i64,
}

impl SqlStore {
    pub(super) async fn try_settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, Failure> {
        let queue = self.queue(destination, lane).await?;
        let mut tx = self.db().begin().await?;
        leases::check(&mut tx, fence).await?;
        let rows = tx.rows(&MARK, |args| {
            args.integer(queue.destination).integer(queue.lane);
        });
        let before = match rows.await?.first() {
            Some(row) => row.fields("outbox_lanes").number("receipted")?,
            None => 0,
        };
        let rows = tx.rows(&BETWEEN, |args| {
            args.integer(queue.destination)
                .integer(queue.lane)
                .number(before)
                .number(settlement.to.index);
        });
        let entries = read_rows(&rows.await?)?;
        let rejected: BTreeMap<u64, FailReason> = settlement.rejected.iter().copied().collect();
        let given_up: Vec<GivenUp<'_>> = entries
            .iter()
            .filter(|entry| entry.state == OUTBOX_QUEUED)
            .filter_map(|entry| {
                let reason = *rejected.get(&entry.index)?;
                Some(GivenUp { entry, reason, state: FAILED })
            })
            .collect();
        let rises = self.accepted(destination, &entries, &rejected, settlement.now).await?;
        let told = Telling { destination, given_up: &given_up, rises: &rises, now: settlement.now };
        let (mut script, settled) = self.tell(&mut tx, queue.destination, told).await?;
        put_receipted(&mut script, queue, settlement.to);
        script.one(&RECEIPT, |args| {
            args.integer(queue.destination)
                .integer(queue.lane)
                .number(settlement.to.index)
                .number(settlement.now.0);
        });
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
        leases::check(&mut tx, fence).await?;
        let rows = tx.rows(&BETWEEN, |args| {
            args.integer(queue.destination)
                .integer(queue.lane)
                .number(index.saturating_sub(1))
                .number(index);
        });
        let entries = read_rows(&rows.await?)?;
        let given_up: Vec<GivenUp<'_>> =
            entries.iter().map(|entry| GivenUp { entry, reason, state: REFUSED }).collect();
        let told = Telling { destination, given_up: &given_up, rises: &[], now };
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
        // A look outside a transaction first: there is nothing most of the time.
        let rows = self.db().rows(&WAITING_BEFORE, |args| {
            args.integer(number).number(before).limit(1);
        });
        if rows.await?.is_empty() {
            return Ok(Settled::default());
        }
        let mut tx = self.db().begin().await?;
        leases::check(&mut tx, fence).await?;
        let rows = tx.rows(&WAITING_BEFORE, |args| {
            args.integer(number).number(before).limit(limit);
        });
        let entries = read_rows(&rows.await?)?;
        let given_up: Vec<GivenUp<'_>> =
            entries.iter().map(|entry| GivenUp { entry, reason, state: FAILED }).collect();
        let told = Telling { destination, given_up: &given_up, rises: &[], now };
        let (script, settled) = self.tell(&mut tx, number, told).await?;
        tx.finish(script).await?;
        Ok(settled)
    }

    /// The watermarks of what the destination has signed for: one for each conversation of two.
    async fn accepted(
        &self,
        destination: &ServerName,
        entries: &[Entry],
        rejected: &BTreeMap<u64, FailReason>,
        now: Timestamp,
    ) -> Result<Vec<WatermarkRise>, Failure> {
        let mut rises: BTreeMap<(ConversationId, Uuid), WatermarkRise> = BTreeMap::new();
        let mut failed: BTreeMap<ConversationId, BTreeSet<u64>> = BTreeMap::new();
        for entry in entries {
            let (Some(facts), Some(sender)) = (&entry.message, entry.sender) else { continue };
            let [recipient] = entry.recipients.as_slice() else { continue };
            if rejected.contains_key(&entry.index) || entry.state != OUTBOX_QUEUED {
                failed.entry(facts.conversation).or_default().insert(facts.origin_number);
                continue;
            }
            let key = (facts.conversation, *recipient);
            if let Some(rise) = rises.get_mut(&key) {
                rise.watermark.through = rise.watermark.through.max(facts.origin_number);
                continue;
            }
            let reader = AccountId { uuid: *recipient, server: destination.clone() };
            let watermark = Watermark {
                conversation: facts.conversation,
                reader,
                origin: self.inner.servers.name(self.db(), facts.server).await?,
                reached: Reached::Accepted,
                through: facts.origin_number,
                except: Vec::new(),
                at: now,
            };
            rises.insert(key, WatermarkRise { watermark, tell: vec![sender], forward: None });
        }
        for ((conversation, _), rise) in &mut rises {
            let through = rise.watermark.through;
            let below = failed.get(conversation).into_iter().flatten().copied();
            rise.watermark.except = below.filter(|number| *number < through).collect();
        }
        Ok(rises.into_values().collect())
    }

    /// Raises watermarks, puts failures into inboxes, and gives entries up; the script is to be
    /// finished by the caller.
    async fn tell(
        &self,
        tx: &mut Tx<'_>,
        destination: i64,
        told: Telling<'_>,
    ) -> Result<(Script, Settled), Failure> {
        let names = told.rises.iter().map(|rise| &rise.watermark.origin);
        let missing = self.inner.servers.missing(names.chain([told.destination]));
        self.inner.servers.intern(self.db(), &missing).await?;
        let keys: Vec<Key> = told.rises.iter().map(|rise| Key::of(self, &rise.watermark)).collect();
        let people: Vec<Uuid> = told.given_up.iter().filter_map(|one| one.entry.sender).collect();
        let mut state = State::read(tx, told.rises, &keys, &people).await?;
        let mut settled = Settled::default();
        for (rise, key) in told.rises.iter().zip(&keys) {
            settled.risen.extend(state.raise(rise, *key));
        }
        for one in told.given_up {
            let (Some(account), Some(_)) = (one.entry.sender, &one.entry.message) else { continue };
            let user = match one.entry.recipients.as_slice() {
                [one] => Some(AccountId { uuid: *one, server: told.destination.clone() }),
                _ => None,
            };
            let id = MessageId(one.entry.id);
            let failed = Failed { id, user, reason: one.reason, at: told.now };
            let slot = FailedSlot::of(&failed, destination).encode();
            settled.failed.push((state.fail(account, slot, told.now), failed));
        }
        let mut script = tx.script();
        state.write(self, &mut script);
        give_up(&mut script, destination, told.given_up);
        Ok((script, settled))
    }
}

/// Who is told what.
struct Telling<'a> {
    destination: &'a ServerName,
    given_up: &'a [GivenUp<'a>],
    rises: &'a [WatermarkRise],
    now: Timestamp,
}

fn give_up(script: &mut Script, destination: i64, given_up: &[GivenUp<'_>]) {
    script.rows(&GIVE_UP, given_up, |args, one| {
        args.integer(destination)
            .integer(one.entry.lane)
            .number(one.entry.index)
            .integer(one.state);
    });
    let mut released: BTreeMap<i64, i64> = BTreeMap::new();
    for facts in given_up.iter().filter_map(|one| one.entry.message.as_ref()) {
        *released.entry(facts.number).or_default() += 1;
    }
    let released: Vec<(i64, i64)> = released.into_iter().collect();
    script.rows(&RELEASE, &released, |args, (number, n)| {
        args.integer(*number).integer(*n);
    });
}

fn read_rows(rows: &[Row]) -> Result<Vec<Entry>, StoreError> {
    rows.iter().map(read_row).collect()
}

fn read_row(row: &Row) -> Result<Entry, StoreError> {
    let mut fields = row.fields("outbox");
    let lane = fields.integer("lane")?;
    let index = fields.number("idx")?;
    let state = fields.integer("state")?;
    let (id, sender) = (fields.uuid("id")?, fields.maybe_uuid("sender")?);
    let recipients = read_recipients(&mut fields)?;
    let number = fields.maybe_integer("message")?;
    let fields = fields.of("messages");
    let server = fields.maybe_integer("server")?;
    let message = match (number, server) {
        (Some(number), Some(server)) => Some(Facts {
            number,
            server,
            conversation: ConversationId(fields.array("conversation")?),
            origin_number: fields.number("origin_number")?,
        }),
        _ => None,
    };
    Ok(Entry { lane, index, state, id, sender, recipients, message })
}
