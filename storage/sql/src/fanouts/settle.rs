//! Writes entries that waited, on the writing connection's thread, within its transaction.

use std::sync::Arc;

use posthouse_protocol::cursor::Cursor;
use rusqlite::Connection;
use uuid::Uuid;

use super::{Fanouts, NewFanout};
use crate::{
    commit::load::Load,
    db::Script,
    failure::{Failure, unavailable},
    statement::{Dialect, Statement, statements},
};

statements! {
    PUT = Statement::rows(
        "iiib",
        "INSERT{whole} INTO fanouts (message, arrived_at, size, entries) {new}",
    );
    ENTRY = Statement::new(
        "INSERT OR ROLLBACK INTO inbox (account, arrival, message, arrived_at, size)
        VALUES (?, ?, ?, ?, ?)",
    );
    HEAD = Statement::new(
        "UPDATE inboxes SET head = ?, entries = entries + ?, bytes = bytes + ? WHERE account = ?",
    );
    DONE = Statement::new("DELETE FROM fanouts WHERE message = ?");
}

/// Bytes of an account in `fanouts.entries`, before the 8 of the arrival number.
pub(super) const ACCOUNT: usize = 16;

/// Bytes of an entry there.
pub(super) const ENTRY_SIZE: usize = ACCOUNT + 8;

/// Adds the rows that make entries durable. On the writing connection's thread: they wait once its
/// transaction is committed.
pub(crate) fn put(fanouts: Option<&Arc<Fanouts>>, script: &mut Script, new: Vec<NewFanout>) {
    let Some(fanouts) = fanouts.filter(|_| !new.is_empty()) else { return };
    script.rows(&PUT, &new, |args, fanout| {
        let mut entries = Vec::with_capacity(fanout.entries.len() * ENTRY_SIZE);
        for (account, Cursor(arrival)) in &fanout.entries {
            entries.extend_from_slice(account.as_bytes());
            entries.extend_from_slice(&arrival.to_be_bytes());
        }
        args.integer(fanout.message)
            .number(fanout.arrived_at.0)
            .number(fanout.size)
            .bytes(&entries);
    });
    fanouts.stage(new);
}

/// What is to be written of an inbox.
struct Rows {
    account: Uuid,
    head: u64,
    added: Load,
    /// Arrival, message, time, size.
    entries: Vec<(u64, i64, u64, u64)>,
}

impl Fanouts {
    /// Writes what waits in these inboxes; how many rows that changed. They are known here afterwards
    /// if `stays_known`: nothing else changes them in this transaction.
    pub(crate) fn settle(
        &self,
        connection: &Connection,
        accounts: &[Uuid],
        stays_known: bool,
    ) -> Result<u64, Failure> {
        let (inboxes, done) = self.begin_settling(accounts, stays_known)?;
        if inboxes.is_empty() {
            return Ok(0);
        }
        let text = |statement: &Statement| statement.text(Dialect::Sqlite, 1);
        let mut entry = connection.prepare_cached(text(&ENTRY).as_str())?;
        let mut head = connection.prepare_cached(text(&HEAD).as_str())?;
        let mut changed = 0;
        for inbox in &inboxes {
            let account = inbox.account.as_bytes().as_slice();
            for (arrival, message, arrived_at, size) in &inbox.entries {
                let [arrival, at, size] = [*arrival, *arrived_at, *size].map(u64::cast_signed);
                changed += entry.execute((account, arrival, message, at, size))?;
            }
            let numbers = [inbox.head, inbox.added.entries, inbox.added.bytes];
            let [last, entries, bytes] = numbers.map(u64::cast_signed);
            changed += head.execute((last, entries, bytes, account))?;
        }
        let mut forget = connection.prepare_cached(text(&DONE).as_str())?;
        for message in done {
            changed += forget.execute((message,))?;
        }
        Ok(changed as u64)
    }

    /// What to write, and the messages of which nothing waits any more then.
    fn begin_settling(
        &self,
        accounts: &[Uuid],
        stays_known: bool,
    ) -> Result<(Vec<Rows>, Vec<i64>), Failure> {
        let index = &mut *self.index();
        let (mut inboxes, mut done) = (Vec::new(), Vec::new());
        if index.tails.is_empty() {
            return Ok((inboxes, done));
        }
        for account in accounts {
            let Some(tail) = index.tails.get(account) else { continue };
            if let Some(known) = index.staged.settled.get_mut(account) {
                *known &= stays_known;
                continue;
            }
            index.staged.settled.insert(*account, stays_known);
            if tail.waiting.is_empty() {
                continue;
            }
            let mut rows = Rows {
                account: *account,
                head: tail.end(),
                added: Load::default(),
                entries: Vec::with_capacity(tail.waiting.len()),
            };
            for (message, arrival) in tail.waiting.iter().zip(tail.head + 1..) {
                let fanout = index.messages.get(message).ok_or_else(unknown)?;
                rows.entries.push((arrival, *message, fanout.arrived_at.0, fanout.size));
                rows.added.entries += 1;
                rows.added.bytes += fanout.size;
                let written = index.staged.written.entry(*message).or_default();
                *written += 1;
                if *written == fanout.left {
                    done.push(*message);
                }
            }
            inboxes.push(rows);
        }
        Ok((inboxes, done))
    }
}

fn unknown() -> Failure {
    Failure::Store(unavailable("an entry waits whose message is not known"))
}
