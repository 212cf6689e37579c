//! What an inbox holds.

use std::sync::Arc;

use posthouse_protocol::{
    cursor::Cursor,
    frame::Class,
    id::{AccountId, ConversationId, DeviceId, DeviceNumber, MessageId},
    status::FailReason,
    time::{Stamp, Timestamp},
};

use crate::{
    bodies::BodyId,
    groups::GroupNotice,
    keys::KeyNotice,
    receipts::{Tally, Watermark},
};

/// A piece of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order of their cursors.
    pub entries: Vec<Entry>,
    /// Up to where the page tells everything that there is; `head`, if nothing lies beyond it.
    pub through: Cursor,
    /// The inbox's end when the page was read. A cursor beyond it is of another inbox, or of one
    /// that was restored from a backup.
    pub head: Cursor,
}

/// An entry of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its arrival number.
    pub cursor: Cursor,
    /// When it arrived.
    pub arrived_at: Timestamp,
    /// What it is.
    pub kind: EntryKind,
}

/// The kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A message.
    Message(Arc<StoredMessage>),
    /// What became of messages that this account sent; newer ones replace older ones.
    Status(Box<Watermark>),
    /// How many of a group have got what this account sent there; newer ones replace older ones.
    Tally(Box<Tally>),
    /// A message that this account sent will not arrive.
    Failed(Failed),
    /// A message of somebody whom this account does not hear: shown to no device, and never counted
    /// as seen.
    Discarded(Arc<StoredMessage>),
    /// Keys of this account, or of people it knows.
    Keys(Box<KeyNotice>),
    /// A group of this account; newer ones replace older ones.
    Group(Box<GroupNotice>),
}

/// A message that will not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The message.
    pub id: MessageId,
    /// The recipient's account, if it failed for one recipient.
    pub user: Option<AccountId>,
    /// Why.
    pub reason: FailReason,
    /// When.
    pub at: Timestamp,
}

/// A message without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The sender.
    pub sender: AccountId,
    /// The sending device; `None` if the sender belongs to another region. A device is not sent
    /// its own messages.
    pub device: Option<DeviceId>,
    /// The sending device's number, by which recipients know it.
    pub device_number: Option<DeviceNumber>,
    /// The version of the recipient's device list that the sender knew.
    pub device_list_version: Option<u64>,
    /// 0 for the message itself, else the number of one of its supplements.
    pub part: u8,
    /// The sender's id for it.
    pub id: MessageId,
    /// The address that the sender wrote.
    pub to: String,
    /// The conversation.
    pub conversation: ConversationId,
    /// Its place there.
    pub stamp: Stamp,
    /// Its number there, among those of its origin region.
    pub origin_number: u64,
    /// Its class.
    pub class: Class,
    /// Its collapse key.
    pub collapse: Option<String>,
    /// When it need not be delivered any more.
    pub expires: Option<Timestamp>,
    /// The group epoch that the sender knew.
    pub epoch: Option<u64>,
    /// The sender's clock.
    pub client_timestamp: Timestamp,
    /// When its origin region accepted it.
    pub accepted_at: Timestamp,
    /// Where its body is.
    pub body: BodyId,
}
