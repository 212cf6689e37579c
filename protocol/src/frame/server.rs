//! Frames to a client. Each serialises to the JSON text of one frame.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Class;
use crate::{
    cursor::Cursor,
    id::{AccountId, ConversationId, DeviceNumber, MessageId, ServerName},
    problem::{Rejection, StaleDevices},
    rest::groups::GroupHead,
    status::Status,
    time::{Stamp, Timestamp},
};

/// A frame to a client.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerFrame<'a> {
    /// The backlog is drained; from here on traffic is live.
    CaughtUp {
        /// The end of the backlog.
        cursor: Cursor,
    },
    /// Something of the account has changed, by another of its devices or by somebody else. A hint
    /// for devices that are connected.
    Changed {
        /// What.
        what: Changed,
        /// Whom it is about, if it is about one user.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a AccountId>,
    },
    /// Something that the client sent was refused.
    Error {
        /// A stable code.
        #[cfg_attr(feature = "schema", schemars(with = "crate::problem::Code"))]
        code: &'a str,
        /// What is wrong.
        message: &'a str,
        /// The refused frame's `id` or `ref`.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// Seconds to wait before another attempt.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
        /// For `stale_devices`.
        #[serde(flatten)]
        stale_devices: Option<&'a StaleDevices>,
        /// For `stale_epoch`.
        #[serde(flatten)]
        head: Option<&'a GroupHead>,
    },
    /// The answer to `ping`.
    Pong {
        /// The ping's reference.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
}

/// What of an account has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// Its contacts.
    Contacts,
    /// Whom it has blocked.
    Blocks,
    /// Its message requests.
    Requests,
    /// Its privacy settings.
    Privacy,
    /// Its profile.
    Profile,
    /// Who asks to join a group of which it is an admin.
    GroupRequests,
}

impl<'a> ServerFrame<'a> {
    /// The frame that tells a refusal.
    pub fn error(rejection: &'a Rejection, reference: Option<&'a str>) -> Self {
        Self::Error {
            code: rejection.code.as_str(),
            message: &rejection.detail,
            reference,
            retry_after: rejection.retry_after,
            stale_devices: rejection.stale_devices.as_deref(),
            head: rejection.head.as_deref(),
        }
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// A message for a device: on the socket, and as an element of a sync page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "MessageFrame", transform = crate::schema::tagged("message"))
)]
#[serde(tag = "type", rename = "message")]
pub struct MessageFrame<'a> {
    /// The sender's id for it.
    pub id: MessageId,
    /// The sender.
    pub from: Cow<'a, AccountId>,
    /// The sender's device, by its number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_device: Option<DeviceNumber>,
    /// The recipient as the sender addressed it; only on copies for the sender's other devices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The content.
    #[serde(borrow)]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeliveredContent"))]
    pub content: &'a RawValue,
    /// The sender's clock; the server's if the sender gave none.
    pub timestamp: Timestamp,
    /// When the sender's homeserver accepted it.
    pub server_timestamp: Timestamp,
    /// Its place in the conversation; absent if ephemeral.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stamp: Option<Stamp>,
    /// Its place in this account's inbox; absent if ephemeral.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<Cursor>,
    /// Its number among what its origin region accepted in the conversation; absent if ephemeral.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_number: Option<u64>,
    /// Its class, if it is not `message`.
    #[serde(skip_serializing_if = "is_message", default)]
    pub class: Class,
    /// Its collapse key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub collapse: Option<String>,
    /// When it ceases to be worth delivering.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// The group epoch that the sender knew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_message(class: &Class) -> bool {
    *class == Class::Message
}

impl MessageFrame<'_> {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// The status of a single message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "StatusFrame", transform = crate::schema::tagged("status"))
)]
#[serde(tag = "type", rename = "status")]
pub struct StatusFrame {
    /// The message.
    pub message_id: MessageId,
    /// What became of it.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// Whose device has it, or who read it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<AccountId>,
    /// The conversation; on `sent`, so that watermarks can be matched.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conversation_id: Option<ConversationId>,
    /// The message's stamp; on `sent`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stamp: Option<Stamp>,
    /// The message's number; on `sent`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_number: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::status::FailReason>"))]
    pub reason: Option<String>,
    /// Its place in the inbox, if it is an entry of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<Cursor>,
}

impl StatusFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// The status of many messages: all numbers of `origin` in the conversation up to `through`, except
/// those listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "WatermarkFrame", transform = crate::schema::tagged("status"))
)]
#[serde(tag = "type", rename = "status")]
pub struct WatermarkFrame {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The region whose numbers are meant.
    pub origin: ServerName,
    /// The highest number.
    pub through: u64,
    /// Numbers below that are not covered.
    #[serde(default)]
    pub except: Vec<u64>,
    /// What became of them.
    pub status: Status,
    /// Whose device has them, or who read them.
    pub user: AccountId,
    /// When the watermark last rose.
    pub at: Timestamp,
    /// Its place in this account's inbox.
    pub cursor: Cursor,
}

impl WatermarkFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// What is told of a person's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// A device is connected and in use.
    Online,
    /// A device is connected, the person is elsewhere.
    Away,
    /// No device is connected.
    Offline,
    /// The person writes to the one who is told.
    Typing,
    /// The person stopped.
    StoppedTyping,
}

/// A person's presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "PresenceFrame", transform = crate::schema::tagged("presence"))
)]
#[serde(tag = "type", rename = "presence")]
pub struct PresenceFrame {
    /// Who.
    pub user_id: AccountId,
    /// What.
    pub status: Presence,
    /// When they were last there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen: Option<Timestamp>,
    /// For how many seconds a typing notice holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_in: Option<u64>,
}

impl PresenceFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

fn to_json(frame: &impl Serialize) -> String {
    // Plain data with text keys: serialising to memory has no way to fail.
    serde_json::to_string(frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seed's `message` and `status` frames (§5.1) are there, field by field, among the others.
    #[test]
    fn the_seeds_frames_are_produced() {
        let from = AccountId::parse("01890a5d-0000-774b-bcce-b302099a8057@eu.example").unwrap();
        let id = MessageId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let content: &RawValue =
            serde_json::from_str(r#"{"type":"text","encrypted":true,"body":"Hello!"}"#).unwrap();
        let frame = MessageFrame {
            id,
            from: Cow::Borrowed(&from),
            from_device: None,
            to: None,
            conversation_id: ConversationId([0xab; 16]),
            content,
            timestamp: Timestamp(1_705_234_567_890),
            server_timestamp: Timestamp(1_705_234_567_900),
            stamp: Some(Stamp(111_749_828_741_529_600)),
            cursor: Some(Cursor(7)),
            origin_number: Some(3),
            class: Class::Message,
            collapse: None,
            expires: None,
            epoch: None,
        };
        let expected = concat!(
            r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057","#,
            r#""from":"01890a5d-0000-774b-bcce-b302099a8057@eu.example","#,
            r#""conversation_id":"abababababababababababababababab","#,
            r#""content":{"type":"text","encrypted":true,"body":"Hello!"},"#,
            r#""timestamp":1705234567890,"server_timestamp":1705234567900,"#,
            r#""stamp":"111749828741529600","cursor":"c7","origin_number":3}"#
        );
        assert_eq!(frame.to_json(), expected);
        let status = StatusFrame {
            message_id: id,
            status: Status::Sent,
            at: Timestamp(1),
            user: None,
            conversation_id: None,
            stamp: None,
            origin_number: None,
            reason: None,
            cursor: None,
        };
        let expected = r#"{"type":"status","message_id":"01890a5d-ac96-774b-bcce-b302099a8057","status":"sent","at":1}"#;
        assert_eq!(status.to_json(), expected);
        let presence = PresenceFrame {
            user_id: from,
            status: Presence::Online,
            last_seen: Some(Timestamp(2)),
            expires_in: None,
        };
        let expected = r#"{"type":"presence","user_id":"01890a5d-0000-774b-bcce-b302099a8057@eu.example","status":"online","last_seen":2}"#;
        assert_eq!(presence.to_json(), expected);
    }
}
