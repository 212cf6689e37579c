//! What a device keeps: a port. The SDK puts everything into it that must outlive the process.
//!
//! A store is an ordered map of records, in a few tables, with atomic batches; what is in the
//! records is the SDK's business. That is little enough for SQLite natively and for IndexedDB in
//! a browser. [`MemoryStore`] is the reference; the one to use is `SqliteStore`, and in a browser
//! `IndexedDbStore`.
//!
//! Records hold private keys and the plaintext of conversations. A store keeps them where only
//! their owner can read them; it does not encrypt them itself.

#[cfg(target_family = "wasm")]
mod indexed;
mod memory;
#[cfg(not(target_family = "wasm"))]
mod sqlite;
mod tx;

#[cfg(target_family = "wasm")]
pub use indexed::IndexedDbStore;
pub use memory::MemoryStore;
#[cfg(not(target_family = "wasm"))]
pub use sqlite::SqliteStore;
pub(crate) use tx::{Tx, decode, encode};

use std::collections::BTreeMap;

use async_trait::async_trait;
use zeroize::Zeroizing;

/// A record's bytes: zeroized when dropped, since many are secret.
pub type Value = Zeroizing<Vec<u8>>;

/// Where a record belongs. The numbers are part of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Table {
    /// The account, its keys and tokens, and the position in the inbox.
    Own = 1,
    /// What is known of people's keys and devices.
    People = 2,
    /// Sessions with devices.
    Sessions = 3,
    /// What waits to be taken by the homeserver.
    Queue = 4,
    /// The contents of what was sent lately, for those who cannot read it.
    Sent = 5,
    /// Messages, in the order of their conversations.
    Timeline = 6,
    /// Where a message is in the timeline, by sender and id.
    Index = 7,
    /// What was said about messages: edits, deletions, reactions, receipts.
    Marks = 8,
    /// Conversations.
    Conversations = 9,
    /// Own messages that are still on their way, by their origin number.
    Open = 10,
    /// What the application has not taken yet.
    Updates = 11,
    /// Messages that wait for keys.
    Held = 12,
    /// Messages that disappear, by the time when.
    Expiry = 13,
    /// Groups, as their verified chains say.
    Groups = 14,
    /// Hashes of verified epochs.
    Epochs = 15,
    /// Sender keys of groups: the own ones, and those of others.
    Keys = 16,
    /// Messages to groups that wait for a key or a chain.
    Waiting = 17,
    /// The own profile, and those of others with their keys.
    Profiles = 18,
    /// The handles by which accounts of other regions were found.
    Handles = 19,
}

/// Changes that are made together or not at all: `None` deletes.
#[derive(Debug, Default)]
pub struct Batch(pub(crate) BTreeMap<(Table, Vec<u8>), Option<Value>>);

impl Batch {
    /// The changes: table, key, and the new value or `None`.
    pub fn changes(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.0.iter().map(|((table, key), value)| {
            (*table, key.as_slice(), value.as_ref().map(|v| v.as_slice()))
        })
    }

    /// Puts a record.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert((table, key), Some(Zeroizing::new(value)));
    }

    /// Deletes a record, if it is there.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.0.insert((table, key), None);
    }
}

/// Which records to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Of this table.
    pub table: Table,
    /// From this key on.
    pub from: Vec<u8>,
    /// Up to this key, without it; to the table's end if it is empty.
    pub to: Vec<u8>,
    /// At most so many.
    pub limit: usize,
    /// From the end backwards.
    pub backwards: bool,
}

impl Scan {
    /// All records whose keys start with `prefix`, at most `limit`.
    pub fn prefix(table: Table, prefix: &[u8], limit: usize) -> Self {
        Self { table, from: prefix.to_vec(), to: after_prefix(prefix), limit, backwards: false }
    }

    /// The same records from the end backwards.
    #[must_use]
    pub fn backwards(self) -> Self {
        Self { backwards: true, ..self }
    }
}

/// The first key behind all that start with `prefix`; empty if there is none.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Keeps a device's records. One [`Client`](crate::Client) uses it at a time.
#[async_trait]
pub trait Store: Send + Sync {
    /// A record; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError>;

    /// Records in the order of their keys, bytewise.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError>;

    /// Makes all changes or none, and returns when they will survive a crash of the machine. A
    /// future that is dropped may have made them.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing has changed.
    async fn commit(&self, batch: Batch) -> Result<(), StoreError>;
}

/// Why a store does not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A record is not what the SDK writes.
    #[error("a record of the table {0:?} cannot be read")]
    Corrupt(Table),
    /// Another process has the store open: two of them would use keys twice.
    #[error("the store is in use by another process")]
    InUse,
    /// Written by a later version of the SDK.
    #[error("the store has version {0}, which is unknown here")]
    Version(i64),
    /// What keeps the records failed.
    #[error("the store failed: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests;
