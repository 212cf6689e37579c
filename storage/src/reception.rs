//! What comes from other regions: streams and their effects, in one transaction.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        receipt::RejectionReason,
        record::Void,
        stream::{Lane, Standing},
    },
    id::ServerName,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    bodies::BodyId,
    error::StoreError,
    inbox::StoredMessage,
    ledger::Arrival,
    receipts::{Risen, WatermarkRise},
};

/// Most voids of one origin that are kept: the newest.
pub const MAX_VOIDS: usize = 10_000;

/// What is kept of the stream from one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboundStream {
    /// How far everything was taken; `None` before the first.
    pub standing: Option<Standing>,
    /// When the present incarnation was first taken.
    pub since: Option<Timestamp>,
}

/// A message of another region's user for users of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message; its `device` is `None`, its `sender.server` the origin.
    pub message: StoredMessage,
    /// In a direct conversation the bit of the sender's side; see [`crate::ledger::Accept::side`].
    pub side: u8,
    /// Accounts here whose inbox gets a pointer, each at most once.
    pub recipients: Vec<Uuid>,
    /// How many bytes its body has.
    pub size: u64,
}

/// Another region's watermark over what this one sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedWatermark {
    /// The id of the event that told it; its sender is the reader.
    pub id: Uuid,
    /// The watermark; `forward` is `None`.
    pub rise: WatermarkRise,
}

/// An event that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Its sender at the origin.
    pub sender: Option<Uuid>,
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub reason: RejectionReason,
}

/// Everything that one envelope brings.
#[derive(Debug, Clone)]
pub struct Reception<'a> {
    /// From where.
    pub origin: &'a ServerName,
    /// The stream as the decision was made on.
    pub expected: &'a InboundStream,
    /// The stream afterwards.
    pub next: &'a InboundStream,
    /// The lane that it came in.
    pub lane: Lane,
    /// Messages, in order.
    pub messages: &'a [Received],
    /// Their bodies, written in the same transaction; empty if bodies live elsewhere and were put
    /// before.
    pub bodies: &'a [(BodyId, Bytes)],
    /// Readers there who have got further with what this region sent.
    pub watermarks: &'a [ReceivedWatermark],
    /// Events that are not taken.
    pub rejected: &'a [Rejected],
    /// Sequences of the lane that carry nothing.
    pub voids: &'a [Void],
    /// Now.
    pub now: Timestamp,
}

/// What a reception came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The stream was not as expected: nothing was written.
    Moved,
    /// It is durable.
    Done {
        /// For each message its new inbox entries; empty if it was known before.
        arrivals: Vec<Vec<Arrival>>,
        /// Watermarks that rose.
        risen: Vec<Risen>,
        /// Those of all events of the reception that stand rejected now, whichever envelope rejected
        /// them first, with the first reason; each once, in no order. An event that was taken
        /// before is not among them, even if the reception rejects it. A message for which no
        /// inbox had room is.
        rejected: Vec<Rejected>,
    },
}

/// Receives.
#[async_trait]
pub trait Receptions: Send + Sync {
    /// The stream from `origin`.
    async fn inbound(&self, origin: &ServerName) -> Result<InboundStream, StoreError>;

    /// In one transaction, if the stream is still `expected`: it becomes `next`, and everything
    /// takes effect. A message whose (id, sender, origin) was taken or rejected before has none: the
    /// earlier verdict stands. Otherwise the message is stored with the stamp and number that it
    /// has; the conversation's highest stamp rises to it at least, its side has spoken, and every
    /// recipient's inbox that has room gains an entry, as in [`crate::ledger::Ledger::commit`]
    /// (collapse keys included). A message for which none of its recipients' inboxes has room is
    /// rejected as [`RejectionReason::QueueFull`]. Rejections are remembered as long as ids; a
    /// rejection of an event that was taken before, or that is a message of this reception, is
    /// dropped. Watermarks rise as in [`crate::ledger::Ledger::record`], but no higher than the
    /// numbers that this region has given in the conversation; one whose event was rejected before
    /// does not rise. Of the origin's voids the newest [`MAX_VOIDS`] are kept, and no longer than
    /// ids.
    async fn take(&self, reception: &Reception<'_>) -> Result<Taken, StoreError>;

    /// Those of the events (sender, id) of `origin` that were rejected, with their places in
    /// `events`.
    async fn rejections(
        &self,
        origin: &ServerName,
        events: &[(Option<Uuid>, Uuid)],
    ) -> Result<Vec<(usize, RejectionReason)>, StoreError>;

    /// What `origin` said is void, the newest first, at most `limit`: lane, void, when.
    async fn voids(
        &self,
        origin: &ServerName,
        limit: usize,
    ) -> Result<Vec<(Lane, Void, Timestamp)>, StoreError>;
}
