//! Queues to other regions. The commit that accepts a message puts an entry into the *log* of its
//! destination and lane; the one worker that holds the destination's lease sends from it.
//!
//! ```text
//! index   1 … floor   floor+1 … receipted    receipted+1 … offered    offered+1 … head
//!         gone        kept for the grace     may have been sent       never sent
//! ```
//! Watermarks that were never sent still rise, so their lane keeps `offered`; in the other lanes it is
//! the head.
//!
//! Indices are given by the commit, without a hole, and become visible in order. What an index means
//! on the wire (incarnations, sequences) is the federation's business, and its state is opaque here.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Lane, PerLane, RunningHash},
    id::{MessageId, ServerName},
    status::FailReason,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    error::StoreError,
    inbox::{Failed, StoredMessage},
    leases::Fence,
    ledger::Arrival,
    receipts::{Risen, Watermark},
};

/// The lane that carries a class: keys go first, receipts do not hold up messages.
pub fn lane_of(class: posthouse_protocol::frame::Class) -> Lane {
    use posthouse_protocol::frame::Class;
    match class {
        Class::Key => Lane::Control,
        Class::Receipt => Lane::Receipts,
        Class::Message | Class::Control | Class::Ephemeral => Lane::Messages,
    }
}

/// A place in a lane's log with the running hash there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The index.
    pub index: u64,
    /// The running hash after it.
    pub hash: RunningHash,
}

/// What is kept of the stream to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxStream {
    /// The federation's own state: at most 64 KiB.
    pub state: Bytes,
    /// The lanes.
    pub lanes: PerLane<OutboxLane>,
}

/// What is kept of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxLane {
    /// Entries up to here are gone.
    pub floor: Mark,
    /// The destination has signed for everything up to here.
    pub receipted: Mark,
    /// Entries up to here may have been sent: of watermarks what was read, of the rest all.
    pub offered: u64,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its index.
    pub index: u64,
    /// Names it, with `sender`, at the destination: a message's id, or one made for it.
    pub id: Uuid,
    /// The account here that it is of; `None` for the server itself.
    pub sender: Option<Uuid>,
    /// What it is.
    pub item: OutboxItem,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxItem {
    /// A message.
    Message {
        /// The message.
        message: Box<StoredMessage>,
        /// Accounts at the destination.
        recipients: Vec<Uuid>,
        /// The stored content.
        body: Bytes,
        /// The payload version that was current when it was queued.
        payload_version: u8,
    },
    /// How far a reader here has got with what the destination sent, as it is now: a later rise that
    /// found the entry still unsent is part of it.
    Watermark {
        /// The watermark.
        watermark: Box<Watermark>,
        /// The senders there that are told.
        recipients: Vec<Uuid>,
        /// The payload version that was current when it was queued.
        payload_version: u8,
    },
    /// The sender, an account of this region, was deleted.
    Gone {
        /// The payload version that was current when it was queued.
        payload_version: u8,
    },
    /// It failed (expired, rejected) and its sender was told: id, sender and place stay, the content
    /// is gone.
    Failed,
    /// The destination refused it whenever it came: nothing of it is sent any more.
    Refused,
}

/// Entries of a lane's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The entries, in order and without a hole.
    pub entries: Vec<OutboxEntry>,
    /// The last index that may have been sent from now on; entries beyond wait unseen.
    pub offered: u64,
}

/// What to read of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRange {
    /// After this index.
    pub after: u64,
    /// At most so many entries.
    pub limit: usize,
    /// At most so many bytes of contents and recipients, but at least one entry.
    pub max_bytes: usize,
}

/// What a receipt settles in a lane.
#[derive(Debug, Clone, Copy)]
pub struct Settlement<'a> {
    /// The new receipted mark.
    pub to: Mark,
    /// Indices up to it that the destination will never take, and why.
    pub rejected: &'a [(u64, FailReason)],
    /// When.
    pub now: Timestamp,
}

/// What settling told people, for those who are connected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Watermarks of `accepted` that rose, with the senders' new inbox entries.
    pub risen: Vec<Risen>,
    /// Messages that failed, with the senders' new inbox entries.
    pub failed: Vec<(Arrival, Failed)>,
}

/// A message that waits for a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its sender, an account here.
    pub sender: Uuid,
    /// Its id.
    pub id: MessageId,
}

/// The outbox. Every method with a fence fails with [`StoreError::Fenced`] if the fence is not the
/// newest of its lease, and then has written nothing. Destinations without a stream are empty.
/// Entries are made by [`Ledger::commit`](crate::ledger::Ledger::commit) and
/// [`Ledger::record`](crate::ledger::Ledger::record).
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Regions with entries that are not receipted, at most `limit`, in the order of their names
    /// after `after`.
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// Regions for which a stream exists, at most `limit`, in the order of their names after
    /// `after`.
    async fn streams(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// The stream to `destination`; `fresh` is stored and given back if there is none.
    async fn stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        fresh: &OutboxStream,
    ) -> Result<OutboxStream, StoreError>;

    /// The stream to `destination` as it is stored; `None` if there is none.
    async fn marks(&self, destination: &ServerName) -> Result<Option<OutboxStream>, StoreError>;

    /// Reads entries after `range.after`; those beyond the lane's `offered` that are read become
    /// offered, durably, before they are given back.
    async fn load(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError>;

    /// In one transaction: the receipted mark moves to `to`; of the entries between the old mark and
    /// the new one, those that are rejected become [`OutboxItem::Failed`] and put an
    /// [`EntryKind::Failed`](crate::inbox::EntryKind::Failed) into their sender's inbox, unless
    /// they had failed before; the other messages of [`Lane::Messages`] raise the watermark `accepted`
    /// of (conversation, recipient, own region), one for each recipient of a direct message, told to
    /// the sender. What failed, now or earlier, is in its `except`; a receipt that covers nothing but
    /// failures raises it without telling anybody. Keys and receipts have faster lanes: what those
    /// carry says nothing of the messages with lower numbers. The entries stay until
    /// [`Outbox::forget`].
    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, StoreError>;

    /// The receipted mark goes back to `to`; no status changes. The grace of what lies above begins
    /// anew with its next receipt.
    async fn rewind(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), StoreError>;

    /// The entry becomes [`OutboxItem::Refused`]; its sender is told `reason` as in
    /// [`Outbox::settle`].
    async fn refuse(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        index: u64,
        (reason, now): (FailReason, Timestamp),
    ) -> Result<Settled, StoreError>;

    /// Messages, and notices that accounts are gone, that are not receipted and whose `expires` (or, without one, the end of retention
    /// after acceptance) lies before `before` fail with [`FailReason::Expired`], at most `limit`, in
    /// the order of their lanes and indices. They become [`OutboxItem::Failed`]. A destination
    /// without a stream is no exception.
    async fn expire(
        &self,
        fence: &Fence,
        destination: &ServerName,
        (before, now): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Settled, StoreError>;

    /// All of those that are not receipted fail with `reason`, at most `limit`, as in
    /// [`Outbox::expire`]; for a destination that does not exist.
    async fn fail_all(
        &self,
        fence: &Fence,
        destination: &ServerName,
        (reason, now): (FailReason, Timestamp),
        limit: usize,
    ) -> Result<Settled, StoreError>;

    /// The lane's oldest entries, without their contents, that were receipted before `before` and
    /// still are, up to the first that was not; at most `limit`. Items are given as [`OutboxItem::Failed`] or
    /// [`OutboxItem::Refused`].
    async fn overdue(
        &self,
        destination: &ServerName,
        lane: Lane,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError>;

    /// In one transaction: removes the entries up to `floor`, and stores it as the lane's floor.
    async fn forget(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), StoreError>;

    /// Replaces the stream's state and its lanes' marks, as [`Outbox::rewind`] where a receipted mark
    /// goes back. `offered` never goes back.
    async fn open(
        &self,
        fence: &Fence,
        destination: &ServerName,
        next: &OutboxStream,
    ) -> Result<(), StoreError>;

    /// Messages for the destination that are not receipted and have not failed, the oldest first,
    /// at most `limit`.
    async fn unreceipted(
        &self,
        destination: &ServerName,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError>;
}
