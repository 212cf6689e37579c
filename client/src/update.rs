//! What an application is told.

use posthouse_crypto::e2ee::content::{Body, Content};
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId, MessageId},
    rest::groups::Standing,
    status::Status,
    time::{Stamp, Timestamp},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Mention, Message, records::With};

/// Something that the application should know.
///
/// Most are *durable*: they are written down with what they tell of, and handed out until they are
/// taken ([`Updates::next`](crate::Updates::next)). Typing, presence and the state of the connection
/// hold for the moment only and may be passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Update {
    /// A message to show, at its place in the conversation: also one that another device of the
    /// own account has sent.
    Message(Box<Entry>),
    /// What became of a message that this account sent.
    Status {
        /// The message.
        id: MessageId,
        /// Whom it is for; the own account for what was said in a group.
        with: AccountId,
        /// How far it has come. It only ever advances.
        status: Status,
        /// Why it failed.
        reason: Option<String>,
    },
    /// Something was said about a message: it was edited, deleted, reacted to or read. The
    /// timeline has the message as it is now.
    Changed {
        /// The message.
        id: MessageId,
        /// Who wrote it, as far as it is known here.
        from: Option<AccountId>,
        /// In the conversation with this person; in a group, who said it.
        with: AccountId,
        /// What was said, and by whom.
        by: AccountId,
        /// How.
        change: Change,
    },
    /// A message waits: its recipient has not uploaded keys yet.
    WaitingForKeys {
        /// The message.
        id: MessageId,
        /// Whom it is for.
        with: AccountId,
    },
    /// Somebody has another identity key than before: they set their account up anew, or somebody
    /// reads along. Nothing is sent to them or believed from them until
    /// [`Client::accept_key`](crate::Client::accept_key).
    KeyChanged {
        /// Whose.
        user: AccountId,
        /// Whether the safety number had been compared.
        was_verified: bool,
    },
    /// Somebody's devices have changed, as they say themselves.
    DevicesChanged {
        /// Whose.
        user: AccountId,
        /// The numbers of all their devices now.
        devices: Vec<u8>,
    },
    /// A server told something about somebody's devices that they did not sign. It was not
    /// believed, and nothing was encrypted for it.
    Refused {
        /// Whose devices.
        user: AccountId,
        /// What is wrong.
        reason: Misbehaviour,
    },
    /// A group has changed, as its verified chain says: members, roles, title, or what the account
    /// is in it. [`Client::group`](crate::Client::group) has it as it is now.
    Group {
        /// Which.
        group: GroupId,
        /// What this account is in it: invited, a member, or nothing any more.
        standing: Option<Standing>,
        /// The newest verified epoch.
        epoch: u64,
    },
    /// More members of a group have got a message that this account sent there. Once all have, its
    /// status is `delivered`.
    Delivered {
        /// The message.
        id: MessageId,
        /// In which group.
        group: GroupId,
        /// How many members have it.
        delivered: u64,
        /// Of how many.
        audience: u64,
    },
    /// A server showed something as a group's chain that nobody entitled has signed, or another
    /// chain than before. It was not believed: the group stays as it was.
    GroupRefused {
        /// Which group.
        group: GroupId,
        /// What is wrong, and who is meant.
        fault: ChainFault,
    },
    /// Somebody's profile is known, or says something else than before; or the own one was
    /// published, or changed by another own device. [`Client::profile`](crate::Client::profile)
    /// has it.
    Profile {
        /// Whose.
        user: AccountId,
    },
    /// Of a device that was linked: more of the account's history has come from the device that
    /// let it in. Timelines have it; there is no [`Update::Message`] for it.
    History {
        /// Messages up to now.
        messages: u64,
        /// Of about how many.
        of: u64,
        /// Whether all of it is here.
        done: bool,
    },
    /// Of a device that let another one in: more of the history is on its way there.
    HistorySent {
        /// The number of the other device.
        device: u8,
        /// Messages up to now.
        messages: u64,
        /// Of about how many.
        of: u64,
        /// Whether that was the last of it.
        done: bool,
    },
    /// A message came that cannot be read; its sender is asked to send it again.
    Undecryptable {
        /// The message.
        id: MessageId,
        /// Its sender.
        from: AccountId,
        /// Why.
        reason: String,
    },
    /// Somebody types, or stopped. That they type holds for 10 seconds unless it is said again, and ends
    /// with what they send: that it has ended is told, too. Not durable.
    Typing {
        /// Who.
        user: AccountId,
        /// Began or stopped.
        typing: bool,
    },
    /// Somebody types in a group, or stopped, as with [`Update::Typing`]. Not durable.
    TypingInGroup {
        /// Where.
        group: GroupId,
        /// Who.
        user: AccountId,
        /// Began or stopped.
        typing: bool,
    },
    /// Somebody's presence. Not durable.
    Presence {
        /// Who.
        user: AccountId,
        /// Whether they are there.
        availability: Availability,
        /// When they were last there, if they are not and let it be known.
        last_seen: Option<Timestamp>,
    },
    /// The homeserver was reached, and what waited is there. Not durable.
    Connected,
    /// The connection was lost; it is tried again. Not durable.
    Disconnected,
    /// An attempt to reach the homeserver failed; it is tried again. Not durable.
    Unreached {
        /// Why, in words.
        reason: String,
    },
    /// Another process runs this device: this one stops. Not durable.
    Replaced,
    /// The session was ended: log in again. Not durable.
    SessionEnded,
}

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// A device is connected.
    Online,
    /// Devices are connected, and all of them say that the person is elsewhere
    /// ([`Client::set_away`](crate::Client::set_away)).
    Away,
    /// No device is connected.
    Offline,
}

/// What was said about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// Its sender has another text for it.
    Edited,
    /// Its sender took it back.
    Deleted,
    /// Somebody reacted to it, or took a reaction back.
    Reacted,
    /// Its time was over.
    Expired,
    /// This account has read it, on another device.
    ReadElsewhere,
}

/// What a server said of devices, and their owner did not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Two lists of one version.
    #[error("there are two signed device lists of one version")]
    Fork,
    /// A device that the signed list does not name: a ghost.
    #[error("device {device} is not in the signed device list: it was not encrypted for")]
    Ghost {
        /// Its number.
        device: u8,
    },
    /// The document is none, or of somebody else.
    #[error("the device list is not one of this account")]
    Malformed,
    /// A number was given to another device too early.
    #[error("a device number was given to another device")]
    Reused,
    /// An older list than one that is known.
    #[error("the device list is older than version {known}, which is known")]
    Rollback {
        /// The newest known version.
        known: u64,
    },
    /// Not signed by the identity key.
    #[error("the device list, or a key of a device, is not signed by the account's identity key")]
    Signature,
}

/// What is wrong with what a server shows as a group's chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// Two epochs of one number: different people are shown different groups.
    #[error("there are two epochs with the number {epoch}")]
    Fork {
        /// The number.
        epoch: u64,
    },
    /// Somebody whom no admin has let in, or who has not accepted: a ghost member.
    #[error("{account} is no member: nobody entitled has signed epoch {epoch}")]
    Ghost {
        /// Who.
        account: AccountId,
        /// The epoch that claims it.
        epoch: u64,
    },
    /// Not an epoch of this group.
    #[error("epoch {epoch} is malformed")]
    Malformed {
        /// The number that it was expected to have, or 0.
        epoch: u64,
    },
    /// The actor may not make this change.
    #[error("the actor of epoch {epoch} may not make this change")]
    NotAllowed {
        /// The number.
        epoch: u64,
    },
    /// The chain knows somebody by another key than the one that is known here. Of the first
    /// owner, the chain is not believed; of others, nothing is encrypted for them.
    #[error("epoch {epoch} names another key for {account} than the one that is known")]
    OtherKey {
        /// Whose.
        account: AccountId,
        /// The number.
        epoch: u64,
    },
    /// The server's newest epoch is older than one that is known.
    #[error("the chain ends at {told}, but epoch {known} is known")]
    Rollback {
        /// The newest known epoch.
        known: u64,
        /// What the server says.
        told: u64,
    },
    /// Not signed by its actor.
    #[error("epoch {epoch} is not signed by its actor")]
    Signature {
        /// The number.
        epoch: u64,
    },
}

/// A message in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The sender's id for it.
    pub id: MessageId,
    /// Its sender.
    pub from: AccountId,
    /// The other person of the conversation; in a group, its sender.
    pub with: AccountId,
    /// The group, if it was said in one.
    #[serde(default)]
    pub group: Option<GroupId>,
    /// The conversation.
    pub conversation: ConversationId,
    /// Its place; absent until the homeserver has taken it.
    pub stamp: Option<Stamp>,
    /// When it was written, by its sender's clock.
    pub sent_at: Timestamp,
    /// How far it has come, of messages of this account.
    pub status: Option<Status>,
    /// What it says.
    pub said: Said,
    /// Who is mentioned in its text, in the order of the text.
    #[serde(default)]
    pub mentions: Vec<Mention>,
    /// For how many seconds it is shown after it was read; absent for good.
    pub expires_after: Option<u32>,
    /// Its number among what its region took in the conversation.
    #[serde(default)]
    pub(crate) origin_number: Option<u64>,
    /// Its number in the queue, while it has no place.
    #[serde(default)]
    pub(crate) queued: u64,
    /// Whether this account has read it, of messages of others.
    pub read: bool,
    /// Whether its sender has changed the text since.
    #[serde(default)]
    pub edited: bool,
    /// Reactions: who, and what.
    #[serde(default)]
    pub reactions: Vec<(AccountId, String)>,
    /// Of own messages to a group: how many members have got it.
    #[serde(default)]
    pub delivered: u64,
    /// Of own messages to a group: of how many, once it was encrypted.
    #[serde(default)]
    pub audience: u64,
}

impl Entry {
    /// Whether it mentions this account.
    pub fn mentions(&self, account: &AccountId) -> bool {
        self.mentions.iter().any(|one| one.account == *account)
    }

    /// Whether it counts as an unread mention of this account.
    pub(crate) fn calls(&self, own: &AccountId) -> bool {
        !self.read && self.from != *own && self.mentions(own)
    }

    /// A message that came: from somebody else, or from another own device.
    pub(crate) fn received(
        message: &Message,
        content: &Content,
        (id, stamp): (MessageId, Stamp),
        with: &With,
        said: Said,
        own: &AccountId,
    ) -> Self {
        let mine = message.from == *own;
        let number = message.place.as_ref().map(|place| place.origin_number);
        Self {
            id,
            from: message.from.clone(),
            with: with.person().unwrap_or(&message.from).clone(),
            group: with.group().cloned(),
            conversation: with.conversation(own),
            stamp: Some(stamp),
            sent_at: Timestamp(content.sent_at.0),
            status: mine.then_some(Status::Sent),
            said,
            mentions: Mention::of(&content.mentions),
            expires_after: content.expires_after,
            origin_number: number.filter(|_| mine),
            queued: 0,
            read: mine,
            edited: false,
            reactions: Vec::new(),
            delivered: 0,
            audience: 0,
        }
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Said {
    /// A text.
    Text(String),
    /// An answer to a message of the conversation.
    Reply {
        /// The answer.
        text: String,
        /// What it answers.
        to: MessageId,
    },
    /// Its sender took it back, or its time is over.
    Gone,
    /// Something that this version cannot show; the number of its kind.
    Unknown(u64),
}

impl core::fmt::Debug for Said {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Nobody's words belong in a log.
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Reply { .. } => "Reply(..)",
            Self::Gone => "Gone",
            Self::Unknown(_) => "Unknown",
        })
    }
}

impl Said {
    /// What a content shows by itself; `None` if it is about another message, or not for people.
    pub(crate) fn of(content: &Content) -> Option<Self> {
        Some(match &content.body {
            Body::Text { text } => Self::Text(text.clone()),
            Body::Reply { text, target } => {
                Self::Reply { text: text.clone(), to: MessageId(Uuid::from_bytes(*target)) }
            }
            Body::Media { .. } => Self::Unknown(2),
            Body::Unknown { kind } => Self::Unknown(*kind),
            _ => return None,
        })
    }

    /// The text, if it has one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Reply { text, .. } => Some(text),
            Self::Gone | Self::Unknown(_) => None,
        }
    }
}
