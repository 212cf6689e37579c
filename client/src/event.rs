//! What the server tells on the socket, as owned and typed events.

use posthouse_protocol::{
    content::{Ciphertext, Content, Payload},
    cursor::Cursor,
    frame::{
        Class, DevicesChangedFrame, GroupFrame, KeysFrame, MessageFrame, PresenceFrame,
        StatusFrame, TallyFrame, WatermarkFrame,
    },
    id::{AccountId, ConversationId, DeviceNumber, MessageId},
    problem::StaleDevices,
    rest::groups::GroupHead,
    time::{Stamp, Timestamp},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::Error;

/// A frame from the server. Frames of later versions come as [`Event::Unknown`], to be ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message.
    Message(Box<Message>),
    /// What became of one message that this account sent.
    Status(Box<StatusFrame>),
    /// What became of many messages that this account sent.
    Watermark(Box<WatermarkFrame>),
    /// Something about somebody's keys or devices.
    Keys(Box<KeysFrame>),
    /// A message that this account sent did not reach all of its recipient's devices.
    DevicesChanged(Box<DevicesChangedFrame>),
    /// Somebody's presence, or typing.
    Presence(Box<PresenceFrame>),
    /// The backlog is drained; from here on traffic is live.
    CaughtUp {
        /// The end of the backlog.
        cursor: Cursor,
    },
    /// A group has changed, or what the account is in it.
    Group(Box<GroupFrame>),
    /// How many members of a group have got what this account sent there.
    GroupStatus(Box<TallyFrame>),
    /// Something of the account was changed by another of its devices: `profile` or `blocks`, for
    /// instance (docs/spec/client-socket.md §4.9).
    Changed {
        /// What.
        what: String,
    },
    /// Something that this client sent was refused.
    Refused(Box<Refusal>),
    /// The answer to a ping, with the ping's reference.
    Pong(Option<String>),
    /// A frame of a type, or with a status, that this version does not know.
    Unknown {
        /// The frame's type.
        kind: String,
    },
}

/// A message as a device gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's id for it: the same id from the same sender is the same message.
    pub id: MessageId,
    /// The sender.
    pub from: AccountId,
    /// The sender's device, by its number.
    pub from_device: Option<DeviceNumber>,
    /// The recipient; only on copies of what another device of this account sent.
    pub to: Option<String>,
    /// The conversation.
    pub conversation: ConversationId,
    /// What it carries.
    pub content: Content,
    /// The sender's clock.
    pub timestamp: Timestamp,
    /// When the sender's homeserver accepted it.
    pub server_timestamp: Timestamp,
    /// Where it stands; absent on ephemeral messages, which are kept nowhere.
    pub place: Option<Place>,
    /// Its class.
    pub class: Class,
    /// Its collapse key.
    pub collapse: Option<String>,
    /// When it ceases to be worth showing.
    pub expires: Option<Timestamp>,
    /// The group epoch that the sender knew.
    pub epoch: Option<u64>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In the conversation, in the order stamp, sender, id.
    pub stamp: Stamp,
    /// In this account's inbox, to be acknowledged.
    pub cursor: Cursor,
    /// Among what its origin region accepted in the conversation.
    pub origin_number: u64,
}

/// An `error` frame.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// A stable code (docs/spec/errors.md).
    pub code: String,
    /// What is wrong, for a client's developer.
    pub message: String,
    /// The refused frame's `id` or `ref`.
    #[serde(rename = "ref", default)]
    pub reference: Option<String>,
    /// Seconds to wait before another attempt.
    #[serde(default)]
    pub retry_after: Option<u32>,
    /// How the ciphertexts differ from the recipient's devices, for `stale_devices`.
    #[serde(flatten)]
    pub stale_devices: Option<StaleDevices>,
    /// What the group's newest epoch is, for `stale_epoch`.
    #[serde(flatten)]
    pub head: Option<GroupHead>,
}

/// What tells one frame from another.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    through: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct CaughtUp {
    cursor: Cursor,
}

#[derive(Deserialize)]
struct Changed {
    what: String,
}

#[derive(Deserialize)]
struct Pong {
    #[serde(rename = "ref", default)]
    reference: Option<String>,
}

/// A status that this version may not know.
#[derive(Deserialize)]
struct AnyStatus<'a> {
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
}

impl Event {
    /// Parses a frame's text. Also for the elements of a sync page.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the text is no frame, or a known frame with an impossible field.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Kind { kind, through } = read(text)?;
        Ok(match kind.as_ref() {
            "message" => Self::Message(Box::new(Message::parse(text)?)),
            "status" if !is_known(read::<AnyStatus<'_>>(text)?.status.as_ref()) => {
                Self::Unknown { kind: kind.into_owned() }
            }
            "status" if through.is_some() => Self::Watermark(Box::new(read(text)?)),
            "status" => Self::Status(Box::new(read(text)?)),
            "presence" => match serde_json::from_str(text) {
                Ok(frame) => Self::Presence(Box::new(frame)),
                // Presence is a courtesy: a kind of it that is not known costs nothing.
                Err(_) => Self::Unknown { kind: kind.into_owned() },
            },
            "keys" => match serde_json::from_str(text) {
                Ok(frame) => Self::Keys(Box::new(frame)),
                // A notice of a later version.
                Err(_) => Self::Unknown { kind: kind.into_owned() },
            },
            "devices_changed" => match serde_json::from_str(text) {
                Ok(frame) => Self::DevicesChanged(Box::new(frame)),
                // As for notices about keys.
                Err(_) => Self::Unknown { kind: kind.into_owned() },
            },
            "caught_up" => Self::CaughtUp { cursor: read::<CaughtUp>(text)?.cursor },
            "group_status" => Self::GroupStatus(Box::new(read(text)?)),
            "group" => Self::Group(Box::new(read(text)?)),
            "changed" => Self::Changed { what: read::<Changed>(text)?.what },
            "error" => Self::Refused(Box::new(read(text)?)),
            "pong" => Self::Pong(read::<Pong>(text)?.reference),
            _ => Self::Unknown { kind: kind.into_owned() },
        })
    }
}

impl Message {
    /// Parses a `message` frame. Also for the elements of a sync page.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if the text is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let frame: MessageFrame<'_> = read(text)?;
        let place = match (frame.stamp, frame.cursor, frame.origin_number) {
            (Some(stamp), Some(cursor), Some(origin_number)) => {
                Some(Place { stamp, cursor, origin_number })
            }
            _ => None,
        };
        Ok(Self {
            id: frame.id,
            from: frame.from.into_owned(),
            from_device: frame.from_device,
            to: frame.to,
            conversation: frame.conversation_id,
            content: content(frame.content.get())?,
            timestamp: frame.timestamp,
            server_timestamp: frame.server_timestamp,
            place,
            class: frame.class,
            collapse: frame.collapse,
            expires: frame.expires,
            epoch: frame.epoch,
        })
    }
}

#[derive(Deserialize)]
struct ContentWire {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    ciphertexts: Option<Vec<Ciphertext>>,
}

fn content(text: &str) -> Result<Content, Error> {
    let wire: ContentWire = read(text)?;
    let payload = match (wire.body, wire.ciphertexts) {
        (Some(body), None) => Payload::Body(body),
        (None, Some(ciphertexts)) => Payload::Ciphertexts(ciphertexts),
        _ => return Err(Error::Unexpected("a content without one payload".into())),
    };
    Ok(Content { kind: wire.kind, encrypted: wire.encrypted, payload })
}

fn is_known(status: &str) -> bool {
    matches!(status, "sent" | "queued" | "relayed" | "accepted" | "delivered" | "read" | "failed")
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    // The parser's own message could repeat what a stranger wrote, so only its place is told.
    serde_json::from_str(text).map_err(|err| {
        Error::Unexpected(format!("a frame, at line {} column {}", err.line(), err.column()))
    })
}

#[cfg(test)]
mod tests;
