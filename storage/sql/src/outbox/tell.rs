//! What senders are told: how far the destination has accepted, and what failed.

use std::collections::BTreeMap;

use posthouse_protocol::{
    id::{AccountId, ConversationId, MessageId, ServerName},
    status::{FailReason, Reached},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    inbox::Failed,
    outbox::Settled,
    receipts::{Watermark, WatermarkRise},
};
use uuid::Uuid;

use super::entries::read_recipients;
use crate::{
    columns::{OUTBOX_GONE, OUTBOX_QUEUED},
    db::{Row, Script, Tx},
    failure::Failure,
    receipts::{FailedSlot, Key, State},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// The message's number stays: it tells which one an acceptance passes over.
    GIVE_UP = Statement::rows(
        "iiii",
        "WITH v(destination, lane, idx, state) AS ({rows})
        UPDATE outbox SET state = v.state, size = 0 FROM v
        WHERE outbox.destination = v.destination AND outbox.lane = v.lane AND outbox.idx = v.idx",
    );
    RELEASE = Statement::rows(
        "ii",
        "WITH v(ref, n) AS ({rows})
        UPDATE messages SET pointers = pointers - v.n FROM v WHERE messages.ref = v.ref",
    );
}

/// An entry as giving it up needs it.
pub(super) struct Entry {
    pub(super) lane: i64,
    pub(super) index: u64,
    state: i64,
    id: Uuid,
    sender: Option<Uuid>,
    recipients: Vec<Uuid>,
    /// Its message's number, which it holds as long as it is queued.
    message: Option<i64>,
    /// Whether it is a supplement: that it fails is no failure of the message.
    is_supplement: bool,
}

impl Entry {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let mut fields = row.fields("outbox");
        Ok(Self {
            lane: fields.integer("lane")?,
            index: fields.number("idx")?,
            state: fields.integer("state")?,
            id: fields.uuid("id")?,
            sender: fields.maybe_uuid("sender")?,
            recipients: read_recipients(&mut fields)?,
            message: fields.maybe_integer("message")?,
            is_supplement: fields.maybe_integer("part")?.is_some_and(|part| part > 0),
        })
    }

    /// Whether it has not failed.
    pub(super) fn is_queued(&self) -> bool {
        matches!(self.state, OUTBOX_QUEUED | OUTBOX_GONE)
    }

    /// The message that it gives up when it fails; `None` if it failed before.
    fn held_message(&self) -> Option<i64> {
        self.message.filter(|_| self.state == OUTBOX_QUEUED)
    }
}

/// An entry that fails, and its new state.
pub(super) struct GivenUp<'a> {
    pub(super) entry: &'a Entry,
    pub(super) reason: FailReason,
    pub(super) state: i64,
}

/// What of a conversation a receipt newly covers, for one recipient.
#[derive(Default)]
pub(super) struct Accepted {
    /// Who is told: the senders of what was accepted.
    pub(super) senders: Vec<Uuid>,
    /// The number of the region that gave the numbers.
    pub(super) server: i64,
    pub(super) through: u64,
    /// What failed among them.
    pub(super) except: Vec<u64>,
}

/// Who is told what.
pub(super) struct Telling<'a> {
    pub(super) destination: &'a ServerName,
    pub(super) given_up: &'a [GivenUp<'a>],
    pub(super) accepted: BTreeMap<(ConversationId, Uuid), Accepted>,
    pub(super) now: Timestamp,
}

impl SqlStore {
    /// Raises watermarks, puts failures into inboxes and releases what they held. The script is to
    /// be finished by the caller.
    pub(super) async fn tell(
        &self,
        tx: &mut Tx<'_>,
        destination: i64,
        told: Telling<'_>,
    ) -> Result<(Script, Settled), Failure> {
        let mut settled = Settled::default();
        // A message to a group names no recipient: that one region does not take it is no failure of
        // the message. Its members there never count.
        let fresh = |one: &&GivenUp<'_>| {
            let entry = one.entry;
            entry.held_message().is_some() && !entry.recipients.is_empty() && !entry.is_supplement
        };
        let people: Vec<Uuid> =
            told.given_up.iter().filter(fresh).filter_map(|one| one.entry.sender).collect();
        if people.is_empty() && told.accepted.is_empty() {
            let mut script = tx.script();
            release(&mut script, told.given_up);
            return Ok((script, settled));
        }
        let (mut rises, mut keys) = (Vec::new(), Vec::new());
        for ((conversation, recipient), accepted) in told.accepted {
            let reader = AccountId { uuid: recipient, server: told.destination.clone() };
            let watermark = Watermark {
                conversation,
                reader,
                origin: self.inner.servers.name(self.db(), accepted.server).await?,
                reached: Reached::Accepted,
                through: accepted.through,
                except: accepted.except,
                at: told.now,
            };
            keys.push(Key::with_servers(&watermark, destination, accepted.server));
            rises.push(WatermarkRise { watermark, tell: accepted.senders, forward: None });
        }
        let script = tx.script();
        let mut state = State::read(tx, script, &rises, &keys, &people).await?;
        for (rise, key) in rises.iter().zip(&keys) {
            // If nothing was accepted, what failed is only noted: the failures are told themselves.
            let raised = state.raise(rise, *key);
            settled.risen.extend(raised.filter(|risen| !risen.arrivals.is_empty()));
        }
        for one in told.given_up.iter().filter(fresh) {
            let Some(account) = one.entry.sender else { continue };
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
        release(&mut script, told.given_up);
        Ok((script, settled))
    }
}

/// Changes the state of entries.
pub(super) fn give_up(script: &mut Script, destination: i64, given_up: &[GivenUp<'_>]) {
    script.rows(&GIVE_UP, given_up, |args, one| {
        args.integer(destination)
            .integer(one.entry.lane)
            .number(one.entry.index)
            .integer(one.state);
    });
}

fn release(script: &mut Script, given_up: &[GivenUp<'_>]) {
    let mut released: BTreeMap<i64, i64> = BTreeMap::new();
    for message in given_up.iter().filter_map(|one| one.entry.held_message()) {
        *released.entry(message).or_default() += 1;
    }
    let released: Vec<(i64, i64)> = released.into_iter().collect();
    script.rows(&RELEASE, &released, |args, (number, n)| {
        args.integer(*number).integer(*n);
    });
}
