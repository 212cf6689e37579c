//! Messages to many inboxes at once, on SQLite.
//!
//! A row in each of a thousand inboxes is a thousand pages of the log, whatever the message. So a
//! message to many is one row of `fanouts`, which names its entries: whose inbox, and which arrival
//! number. That row is what makes them durable. They become rows of `inbox` later, many of an inbox
//! together; until then they *wait*, and this index in memory knows them.
//!
//! The rules, of which each follows from those before:
//!
//! * Entries wait only at the end of an inbox: whatever changes an inbox or its head lets what waits
//!   there be written first, in its own transaction ([`crate::db::Script::settle`]).
//! * So `inboxes.head` is the last entry that has a row, and an entry of `fanouts` waits if and only if
//!   its number is above that, and its account was not erased: nothing else has to be remembered, and
//!   a start reads the index anew.
//! * What is known of an inbox here is true as long as nothing else changes it. Only the writing
//!   connection's thread changes the index, together with the database: a transaction that is rolled
//!   back leaves it as it was.
//! * Readers take what waits before they read the database, and leave out what is at or below the head
//!   that they find there. What is written in between they find as rows.
//!
//! SQLite's file has one writing process (`SqlStore::open`). On PostgreSQL other processes write
//! heads, and every entry is a row at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use posthouse_protocol::{cursor::Cursor, time::Timestamp};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::commit::load::Load;

mod choose;
mod recover;
mod settle;
mod spread;

pub(crate) use choose::{Deferral, choose};
pub(crate) use settle::put;
pub(crate) use spread::keep_spreading;
#[cfg(test)]
pub(crate) use {recover::ALL as RECOVER_ALL, settle::ALL as SETTLE_ALL};

/// A message to fewer inboxes gets its rows at once: they cost less than their detour.
pub(crate) const FEWEST: usize = 16;

/// How many entries wait at most, in all inboxes; 8 bytes each.
const MOST_WAITING: usize = 1 << 18;

/// How many wait before they are written without delay.
const MANY_WAITING: usize = MOST_WAITING / 2;

/// How many wait in one inbox at most: who reads it looks at all of them.
const MOST_IN_AN_INBOX: usize = 1_024;

/// How many inboxes are known in which nothing waits.
const MOST_KNOWN: usize = 1 << 16;

/// What waits, and what is known of the inboxes where something does or lately did.
pub(crate) struct Fanouts {
    fewest: usize,
    index: Mutex<Index>,
    /// Something waits that did not.
    waits: Notify,
    /// Many entries wait, or the store is closed.
    urgent: Notify,
}

#[derive(Default)]
struct Index {
    tails: HashMap<Uuid, Tail>,
    /// By number.
    messages: HashMap<i64, Fanout>,
    /// Entries in all tails.
    waiting: usize,
    /// What the transaction that is open changes.
    staged: Staged,
    closed: bool,
}

/// The end of an inbox.
struct Tail {
    /// The last entry that has a row.
    head: u64,
    /// How much the inbox holds, with what waits.
    load: Load,
    /// The messages of the entries after it, by number.
    waiting: Vec<i64>,
}

impl Tail {
    fn end(&self) -> u64 {
        self.head + self.waiting.len() as u64
    }
}

/// What the entries of a message have in common.
struct Fanout {
    arrived_at: Timestamp,
    size: u64,
    /// How many wait.
    left: usize,
}

/// What becomes true when a transaction is committed.
#[derive(Default)]
struct Staged {
    /// Inboxes without anything that waits; whether they are known still.
    settled: HashMap<Uuid, bool>,
    /// How many entries of each message were written.
    written: HashMap<i64, usize>,
    /// What waits from then on.
    new: Vec<NewFanout>,
}

/// An entry that waits, as readers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) cursor: Cursor,
    pub(crate) arrived_at: Timestamp,
    /// The message's number.
    pub(crate) message: i64,
}

/// A row of `fanouts` to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewFanout {
    pub(crate) message: i64,
    pub(crate) arrived_at: Timestamp,
    pub(crate) size: u64,
    pub(crate) entries: Vec<(Uuid, Cursor)>,
}

impl Fanouts {
    /// `fewest`: how many inboxes a message has to go to.
    pub(crate) fn new(fewest: usize) -> Self {
        let (waits, urgent) = (Notify::new(), Notify::new());
        Self { fewest, index: Mutex::default(), waits, urgent }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits in an inbox, in order; to be asked before the database.
    pub(crate) fn waiting_in(&self, account: Uuid) -> Vec<Waiting> {
        let index = self.index();
        let Some(tail) = index.tails.get(&account) else { return Vec::new() };
        let entries = tail.waiting.iter().zip(tail.head + 1..);
        let entry = |(message, arrival): (&i64, u64)| {
            let arrived_at = index.messages.get(message)?.arrived_at;
            Some(Waiting { cursor: Cursor(arrival), arrived_at, message: *message })
        };
        entries.filter_map(entry).collect()
    }

    /// How many entries wait.
    pub(crate) fn waiting(&self) -> usize {
        self.index().waiting
    }

    /// Whether something waits that arrived before `at`.
    pub(crate) fn has_older_than(&self, at: Timestamp) -> bool {
        self.index().messages.values().any(|fanout| fanout.arrived_at < at)
    }

    /// What waits once the transaction that is open is committed.
    pub(crate) fn stage(&self, new: Vec<NewFanout>) {
        self.index().staged.new.extend(new);
    }

    /// Nothing is written any more.
    pub(crate) fn close(&self) {
        self.index().closed = true;
        self.waits.notify_one();
        self.urgent.notify_one();
    }

    /// The transaction that was open is committed.
    pub(crate) fn committed(&self) {
        let mut index = self.index();
        let staged = core::mem::take(&mut index.staged);
        let before = index.waiting;
        index.settle(&staged);
        for fanout in &staged.new {
            index.add(fanout);
        }
        if before == 0 && index.waiting > 0 {
            self.waits.notify_one();
        }
        if before <= MANY_WAITING && index.waiting > MANY_WAITING {
            self.urgent.notify_one();
        }
    }

    /// The transaction that was open is rolled back.
    pub(crate) fn rolled_back(&self) {
        self.index().staged = Staged::default();
    }
}

impl Index {
    fn settle(&mut self, staged: &Staged) {
        for (account, is_known) in &staged.settled {
            let Some(tail) = self.tails.get_mut(account) else { continue };
            self.waiting -= tail.waiting.len();
            (tail.head, tail.waiting) = (tail.end(), Vec::new());
            if !is_known {
                self.tails.remove(account);
            }
        }
        for (message, written) in &staged.written {
            let Some(fanout) = self.messages.get_mut(message) else { continue };
            fanout.left = fanout.left.saturating_sub(*written);
            if fanout.left == 0 {
                self.messages.remove(message);
            }
        }
    }

    fn add(&mut self, fanout: &NewFanout) {
        let NewFanout { message, arrived_at, size, .. } = *fanout;
        let mut left = 0;
        for (account, cursor) in &fanout.entries {
            // Whoever decided that an entry waits knew the inbox from here. How much it holds would have
            // to be looked up: as if it were full, so that it is.
            let tail = self.tails.entry(*account).or_insert_with(|| {
                let head = cursor.0.saturating_sub(1);
                Tail { head, load: Load::FULL, waiting: Vec::new() }
            });
            debug_assert_eq!(tail.end() + 1, cursor.0, "entries wait without a gap");
            tail.waiting.push(message);
            tail.load = tail.load.with(size).unwrap_or(tail.load);
            left += 1;
        }
        self.waiting += left;
        if left > 0 {
            self.messages.insert(message, Fanout { arrived_at, size, left });
        }
    }
}

#[cfg(test)]
mod tests;
