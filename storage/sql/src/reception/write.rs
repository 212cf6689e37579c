//! Writes what a reception came to.

use bytes::Bytes;
use foldhash::HashMap;
use posthouse_protocol::federation::{limits, receipt::RejectionReason};
use posthouse_storage::{
    bodies::BodyId,
    reception::{InboundStream, MAX_VOIDS, Received, Reception, Rejected},
};
use uuid::Uuid;

use super::standing;
use crate::{
    bodies, columns,
    commit::{
        plan::{NewEntry, Receipt},
        read::Refs,
        write,
    },
    conversations,
    db::Script,
    receipts::State,
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    /// A row that did not exist could not be locked: another process's is a conflict.
    NEW_INBOUND = Statement::new(
        "INSERT INTO inbound_streams (standing, since, origin) VALUES (?, ?, ?)",
    );
    PUT_INBOUND = Statement::new(
        "UPDATE inbound_streams SET standing = ?, since = ? WHERE origin = ?",
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
    /// Those beyond the newest of an origin.
    DROP_VOIDS = Statement::new(
        "DELETE FROM voids WHERE number IN (
            SELECT number FROM voids WHERE origin = ?
            ORDER BY number DESC LIMIT 0 + ? OFFSET 0 + ?)",
    );
}

/// What is written, and where it comes from.
pub(super) struct Effects<'a> {
    pub(super) origin: i64,
    pub(super) reception: &'a Reception<'a>,
    pub(super) bodies: &'a HashMap<BodyId, &'a Bytes>,
    pub(super) receipt: &'a Receipt,
    pub(super) watermarks: &'a State,
    pub(super) refs: &'a Refs,
}

/// The stream's new state.
pub(super) fn put_stream(script: &mut Script, origin: i64, next: &InboundStream, is_stored: bool) {
    let statement = if is_stored { &PUT_INBOUND } else { &NEW_INBOUND };
    let standing = next.standing.as_ref().map(standing::encode);
    script.one(statement, |args| {
        args.maybe_bytes(standing.as_deref()).bits(next.since.map(|since| since.0)).integer(origin);
    });
}

impl Effects<'_> {
    /// Adds everything that the reception changes, but for the stream.
    pub(super) fn put(&self, store: &SqlStore, script: &mut Script) {
        let plan = &self.receipt.plan;
        self.put_messages(script);
        self.put_entries(script);
        write::put_conversations(store, script, &plan.conversations);
        conversations::put_listed(script, &plan.listed);
        // The watermarks' entries come after the messages' in every inbox.
        let mut heads = self.watermarks.write_rows(script);
        let told = heads.len();
        for (account, head) in &plan.inboxes {
            let known = heads.get(..told).unwrap_or_default();
            if known.binary_search_by_key(account, |(account, _)| *account).is_err() {
                heads.push((*account, *head));
            }
        }
        heads.sort_unstable_by_key(|(account, _)| *account);
        write::put_loaded_inboxes(store, script, &heads, &write::loads(&plan.entries));
        wakes::tell_inboxes(store, script, heads.iter().map(|(account, _)| *account));
        self.put_acquaintances(script);
        self.put_verdicts(script);
        self.put_voids(script);
    }

    /// Notes who has exchanged messages both ways with a sender there.
    fn put_acquaintances(&self, script: &mut Script) {
        let new = self.receipt.plan.acquainted.iter().filter_map(|place| self.received(*place));
        let rows: Vec<(Uuid, i64, Uuid)> = new
            .filter_map(|one| {
                let &[recipient] = one.recipients.as_slice() else { return None };
                Some((one.message.sender.uuid, self.origin, recipient))
            })
            .collect();
        write::put_acquainted(script, &rows);
    }

    fn received(&self, place: usize) -> Option<&Received> {
        self.reception.messages.get(place)
    }

    fn put_messages(&self, script: &mut Script) {
        let new = self.receipt.plan.messages.iter().enumerate();
        let rows: Vec<(i64, i64, &Received)> = new
            .filter_map(|(n, new)| {
                Some((self.refs.get(n), new.pointers, self.received(new.submission)?))
            })
            .collect();
        let body = |one: &Received| {
            let id = one.message.body;
            self.bodies.get(&id).map(|body| (id, *body))
        };
        let bodies: Vec<(BodyId, &Bytes)> = rows.iter().filter_map(|row| body(row.2)).collect();
        bodies::put(script, &bodies);
        script.rows(&write::MESSAGES, &rows, |args, (number, pointers, received)| {
            let message = &received.message;
            args.integer(*number)
                .uuid(message.id.0)
                .uuid(message.sender.uuid)
                .integer(self.origin)
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
                .integer(*pointers)
                .integer(i64::from(message.part));
        });
    }

    fn put_entries(&self, script: &mut Script) {
        let plan = &self.receipt.plan;
        let slot = |entry: &NewEntry| {
            let slot = entry.slot.as_ref();
            slot.map(|slot| write::slot(write::Origin::Region(self.origin), slot))
        };
        let now = self.reception.now.0;
        let rows: Vec<_> = plan.entries.iter().map(|entry| (entry, now, slot(entry))).collect();
        write::put_rows(script, &rows, self.refs);
    }

    fn put_verdicts(&self, script: &mut Script) {
        let rejected = self.receipt.rejected.iter();
        let rejected = rejected.filter_map(|place| self.reception.rejected.get(*place)).copied();
        let full = self.receipt.full.iter().filter_map(|place| self.received(*place));
        let full = full.map(|one| Rejected {
            sender: Some(one.message.sender.uuid),
            id: one.message.id.0,
            reason: RejectionReason::QueueFull,
        });
        let rejected: Vec<Rejected> = rejected.chain(full).collect();
        script.rows(&REJECT, &rejected, |args, one| {
            args.uuid(one.id)
                .uuid(one.sender.unwrap_or_default())
                .integer(self.origin)
                .integer(i64::from(one.reason.number()))
                .number(self.reception.now.0);
        });
    }

    fn put_voids(&self, script: &mut Script) {
        let voids = self.reception.voids;
        if voids.is_empty() {
            return;
        }
        script.rows(&NEW_VOIDS, voids, |args, void| {
            args.integer(self.origin)
                .integer(columns::lane_code(self.reception.lane))
                .number(void.from)
                .number(void.to)
                .integer(i64::from(void.reason.number()))
                .number(self.reception.now.0);
        });
        script.one(&DROP_VOIDS, |args| {
            args.integer(self.origin).limit(limits::MAX_RECORDS).limit(MAX_VOIDS);
        });
    }
}
