//! Message bodies: opaque bytes by id.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::time::Timestamp;

use crate::error::StoreError;

/// A body's id: 48 bits of time in milliseconds, then 80 random bits, so that ids of about one time
/// lie together and can be trimmed as a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub [u8; 16]);

impl BodyId {
    /// A new id.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let mut id = [0; 16];
        let (time, rest) = id.split_at_mut(6);
        time.copy_from_slice(now.0.to_be_bytes().split_at(2).1);
        rest.copy_from_slice(&random);
        Self(id)
    }

    /// The lowest id of a time.
    pub fn floor(at: Timestamp) -> Self {
        Self::new(at, [0; 10])
    }
}

/// Bodies. Each is written once and never changed.
#[async_trait]
pub trait Bodies: Send + Sync {
    /// Stores bodies durably; a body that is there already is left as it is.
    async fn put(&self, bodies: &[(BodyId, Bytes)]) -> Result<(), StoreError>;

    /// The bodies of `ids`, in their order; `None` for those that are not there.
    async fn get(&self, ids: &[BodyId]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Deletes these bodies; missing ones are no error.
    async fn delete(&self, ids: &[BodyId]) -> Result<(), StoreError>;

    /// Deletes bodies with an id below `end`, the oldest first, at most `limit`; returns how many.
    /// This collects orphans too: bodies whose ledger commit never happened.
    async fn delete_before(&self, end: BodyId, limit: u32) -> Result<u64, StoreError>;
}
