//! Intents to other regions: written by the commit that accepts the message, taken up by the one
//! worker that holds the destination's lease.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{id::ServerName, time::Timestamp};

use crate::{error::StoreError, inbox::StoredMessage, leases::Fence};

/// A lane of a stream: each is a gap-free sequence of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Keys, devices, group state.
    Control,
    /// Messages.
    Messages,
    /// Receipts.
    Receipts,
    /// Everything large or late.
    Bulk,
}

/// Something to be sent to a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its number among the destination's intents; rising, visible in order.
    pub number: u64,
    /// Its sequence in the lane, once assigned; the first is 1.
    pub sequence: Option<u64>,
    /// Who gets it there, as the federation encodes it.
    pub recipients: Bytes,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// The message.
    pub message: StoredMessage,
}

/// The outbox.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Regions that something waits for, at most `limit`, in the order of their names after
    /// `after`.
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// Gives the next sequences of the lane to intents that have none, in the order of their
    /// numbers, at most `limit`, durably; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if `fence` is not the newest of its lease: nothing was written.
    async fn assign(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// Intents of the lane with a sequence above `after`, in order, at most `limit`.
    async fn sequenced(
        &self,
        destination: &ServerName,
        lane: Lane,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError>;

    /// Removes the lane's intents up to sequence `through`: the destination has signed for them.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if `fence` is not the newest of its lease: nothing was written.
    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        through: u64,
    ) -> Result<(), StoreError>;
}
