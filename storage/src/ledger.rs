//! The ledger of messages: acceptance, the one commit point.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    cursor::Cursor,
    frame::Class,
    id::{AccountId, ConversationId, DeviceId, DeviceNumber, MessageId, ServerName},
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use crate::{
    bodies::BodyId,
    error::StoreError,
    inbox::{Page, StoredMessage},
    receipts::{PositionAdvance, Risen, WatermarkRise},
    retention::{Cutoffs, Trimmed},
};

/// A message of a local sender to be accepted.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The sender; its region is this one.
    pub sender: AccountId,
    /// The sending device.
    pub device: DeviceId,
    /// Its number, by which recipients know it.
    pub device_number: DeviceNumber,
    /// The client's id.
    pub id: MessageId,
    /// 0 for a message; else the number of a supplement of the message with this id, one more than
    /// the highest before, at most [`MAX_PART`]. It takes stamp, number and time of the message, and
    /// replaces nothing in an inbox. `prev`, `after`, `side` and `now` are not looked at.
    pub part: u8,
    /// The conversation.
    pub conversation: ConversationId,
    /// In a direct conversation the bit (1 or 2) of the sender's side, the lower id's first; 0 in a
    /// group. It tells who has spoken yet. In a group, recipients whose inbox is full or gone are
    /// passed over: one of them must not keep the others from hearing.
    pub side: u8,
    /// The device's own last message in the conversation, if the client says.
    pub prev: Option<MessageId>,
    /// The highest stamp that the client had seen, if it says.
    pub after: Option<Stamp>,
    /// Local accounts whose inbox gets a pointer, each at most once. The sender's own account is
    /// among them if other devices of it need a copy.
    pub recipients: Vec<Uuid>,
    /// Whether the recipients do not hear the sender: the entries of all accounts but the sender's own
    /// are [`crate::inbox::EntryKind::Discarded`], and the sender's side has not spoken by it.
    pub discard: bool,
    /// Other regions that get one intent each.
    pub destinations: Vec<Destination>,
    /// The address that the client wrote, for copies to the sender's own devices.
    pub to: String,
    /// The class; never [`Class::Ephemeral`], which is not stored.
    pub class: Class,
    /// The collapse key.
    pub collapse: Option<String>,
    /// When it need not be delivered any more.
    pub expires: Option<Timestamp>,
    /// The group epoch that the client knew.
    pub epoch: Option<u64>,
    /// The device-list version that the client knew.
    pub device_list_version: Option<u64>,
    /// The client's clock.
    pub client_timestamp: Timestamp,
    /// The time of acceptance.
    pub now: Timestamp,
    /// Where the body is.
    pub body: BodyId,
    /// How many bytes it has.
    pub size: u64,
}

/// The most supplements of a message.
pub const MAX_PART: u8 = posthouse_protocol::federation::limits::MAX_PART;

/// A region that a message goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The region.
    pub server: ServerName,
    /// Accounts there that get it.
    pub recipients: Vec<Uuid>,
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable. Repeating the submission gives [`Outcome::Repeated`] with the same facts.
    Accepted(Accepted),
    /// The id had been accepted before; the first acceptance stands, nothing was written.
    Repeated(Accepted),
    /// Nothing was written, nothing is reserved.
    Refused(Refusal),
}

/// The facts of an acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The conversation.
    pub conversation: ConversationId,
    /// The place in the conversation.
    pub stamp: Stamp,
    /// Dense per conversation among what this region accepted; the first is 1.
    pub origin_number: u64,
    /// When.
    pub at: Timestamp,
    /// The new inbox entries; empty for a repetition.
    pub arrivals: Vec<Arrival>,
}

/// A new entry of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Whose inbox.
    pub account: Uuid,
    /// The inbox's head before: who is there has missed nothing in between.
    pub previous: Cursor,
    /// The entry, now the head.
    pub cursor: Cursor,
}

/// Why a submission was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `after` lies above the highest stamp that is known in the conversation.
    AfterUnknown,
    /// A supplement of a message that is not known in this conversation.
    NothingToSupplement,
    /// A supplement whose number is not the next one: another came first.
    Overtaken,
    /// `prev` is not the device's last accepted message in the conversation.
    OutOfOrder,
    /// The inbox of one of the recipients would hold more than [`MAX_INBOX_ENTRIES`]
    /// messages, or [`MAX_INBOX_BYTES`] bytes of them.
    ///
    /// [`MAX_INBOX_ENTRIES`]: posthouse_protocol::limits::MAX_INBOX_ENTRIES
    /// [`MAX_INBOX_BYTES`]: posthouse_protocol::limits::MAX_INBOX_BYTES
    QueueFull,
}

/// The ledger of messages.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Accepts many submissions in one transaction, in order: a later one sees the effects of an
    /// earlier one. `bodies` are written in the same transaction, but only those that an accepted
    /// submission names; a caller whose bodies live elsewhere passes none and has put them before.
    ///
    /// For each: a known (sender, id) is a repetition; else `prev` and `after` are checked; else
    /// the stamp is [`Stamp::next`], the origin number the conversation's next, and every
    /// recipient's inbox gains an entry. Arrival numbers rise and become visible in order, also
    /// with several committers on one database: a reader that has read up to n never finds a new
    /// entry at or below n. An inbox that is full refuses the submission for all recipients, except in a group. An entry with the same sender, conversation and collapse key that waits
    /// in an inbox is replaced.
    ///
    /// With the first message of a side of a direct conversation that is not discarded, the
    /// conversation is put on the lists of the local accounts in it ([`crate::conversations`]); with a
    /// discarded one, on the sender's alone.
    async fn commit(
        &self,
        batch: &[Accept],
        bodies: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, StoreError>;

    /// Up to `limit` entries of an inbox after `after`, in order.
    async fn page(&self, account: Uuid, after: Cursor, limit: usize) -> Result<Page, StoreError>;

    /// The cursor before the first entry that arrived at or after `at`.
    async fn cursor_at(&self, account: Uuid, at: Timestamp) -> Result<Cursor, StoreError>;

    /// The message of `sender` with this id and its supplements, in the order of their numbers, as far
    /// as they are remembered.
    async fn parts(
        &self,
        sender: &AccountId,
        id: MessageId,
    ) -> Result<Vec<StoredMessage>, StoreError>;

    /// All messages with these ids that are remembered, of whatever sender, in no order and without
    /// supplements; of one id at most 16.
    async fn messages(&self, ids: &[MessageId]) -> Result<Vec<StoredMessage>, StoreError>;

    /// Records positions and watermarks in one transaction. Both only ever rise; what is lower than
    /// what is known is left out of the answer. Each risen watermark puts one collapsed entry into
    /// the inboxes named by it; in a group one for all its readers, which tells a [`Tally`].
    ///
    /// [`Tally`]: crate::receipts::Tally
    /// Durable, but callers may delay it: a device whose position is lost
    /// acknowledges again.
    async fn record(
        &self,
        positions: &[PositionAdvance],
        rises: &[WatermarkRise],
    ) -> Result<Vec<Risen>, StoreError>;

    /// For each direct conversation: whether both sides have spoken.
    async fn mutual(&self, conversations: &[ConversationId]) -> Result<Vec<bool>, StoreError>;

    /// Trims what `cutoffs` allow, at most `limit` entries of each kind; for the background, in
    /// small pieces.
    async fn trim(&self, cutoffs: &Cutoffs, limit: u32) -> Result<Trimmed, StoreError>;
}
