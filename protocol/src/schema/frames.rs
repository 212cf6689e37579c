//! The shapes of what is parsed by hand, so that their schemas can be derived: the frames from a
//! client, contents, and texts that name somebody. Nothing is ever made of these types; the parser
//! is [`ClientFrame::parse`](crate::frame::ClientFrame::parse), and a test compares the two.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::{named, tag, tagged};
use crate::{
    content::Ciphertext,
    cursor::Cursor,
    frame::{
        Class, DevicesChangedFrame, GroupFrame, KeysFrame, StatusFrame, TallyFrame, WatermarkFrame,
    },
    id::MessageId,
    limits,
    status::Seen,
    time::{Stamp, Timestamp},
};

/// What a client writes where a user or a recipient is expected.
#[derive(Debug)]
pub struct AddressText;

/// What a person calls a device.
#[derive(Debug)]
pub struct DeviceName;

/// Where a synchronisation starts.
#[derive(Debug)]
pub struct Since;

named! {
    AddressText => {
        "type": "string", "minLength": 1, "maxLength": 302,
        "description": "An account id or a handle, with `@` and the region, or without for the own \
            region; where a recipient is expected, also a group id. `posthouse:` and the full form \
            is taken as well.",
        "examples": ["bob", "bob@us.example", "01890a5d-0000-774b-bcce-b302099a8057@eu.example"],
    };
    DeviceName => {
        "type": "string", "minLength": 1, "maxLength": limits::MAX_DEVICE_NAME,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        "description": "What a person calls a device; at most 64 bytes of UTF-8, no control characters.",
        "examples": ["Alice's phone"],
    };
    Since => {
        "type": "string", "pattern": "^(c[0-9]{1,20}|[0-9]{1,20})$",
        "description": "A cursor, or milliseconds since 1970, which are digits only.",
        "examples": ["c17", "1705234567890"],
    };
}

impl JsonSchema for Seen {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Seen".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["delivered", "read"] })
    }
}

/// A message to be accepted. Answered with a `status` frame of the same `message_id`, or an `error`
/// frame with its id as `ref`.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientMessage", transform = tagged("message"))]
pub struct ClientMessage {
    /// Makes sending again harmless.
    pub id: MessageId,
    /// An account id, a handle, or a group id.
    #[schemars(with = "AddressText")]
    pub to: String,
    /// What the message carries.
    pub content: ClientContent,
    /// The highest stamp that the device has seen in the conversation.
    pub after: Option<Stamp>,
    /// The id of this device's last message in the conversation.
    pub prev: Option<MessageId>,
    /// What kind of traffic it is; `message` if absent.
    pub class: Option<Class>,
    /// A newer message of the same sender with the same key may replace an older one that waits.
    #[schemars(length(min = 1, max = limits::MAX_LABEL))]
    pub collapse: Option<String>,
    /// After this time the message need not be delivered; at most 30 days ahead.
    pub expires: Option<Timestamp>,
    /// The version of the recipient's device list that the client knows.
    pub device_list_version: Option<u64>,
    /// To a group, and needed there: the newest epoch that the client knows.
    pub epoch: Option<u64>,
    /// Only for devices that were not served yet.
    pub supplement: Option<bool>,
    /// The client's clock; shown to the recipient, used for nothing.
    pub timestamp: Option<Timestamp>,
}

/// What a message carries: one text for all devices, or a ciphertext for each. The server looks at
/// form and size only.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientContent", transform = body_or_ciphertexts)]
pub struct ClientContent {
    /// `encrypted`, or where the region allows it `text` and the like.
    #[schemars(rename = "type", length(min = 1, max = limits::MAX_LABEL))]
    pub kind: String,
    /// Whether it is ciphertext.
    pub encrypted: Option<bool>,
    /// One text for all devices.
    #[schemars(length(max = limits::MAX_BODY))]
    pub body: Option<String>,
    /// One for each device of the recipient and each other device of the sender, at most 16; of the
    /// class `key` to a group at most 100. 262,144 bytes together.
    #[schemars(length(min = 1, max = limits::MAX_KEY_CIPHERTEXTS))]
    pub ciphertexts: Option<Vec<Ciphertext>>,
}

/// What a message carries: `body` as it was sent, or `ciphertexts` with this device's one only.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "DeliveredContent", transform = body_or_ciphertexts)]
pub struct DeliveredContent {
    /// `encrypted`, or where the region allows it `text` and the like.
    #[schemars(rename = "type", length(min = 1, max = limits::MAX_LABEL))]
    pub kind: String,
    /// Whether it is ciphertext.
    pub encrypted: bool,
    /// One text for all devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_BODY))]
    pub body: Option<String>,
    /// This device's ciphertext.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1))]
    pub ciphertexts: Option<Vec<Ciphertext>>,
}

/// Acknowledges what the device holds durably, or what its person has read. Exactly one of `through`,
/// `message_id` and `message_ids` says what.
#[derive(JsonSchema, Debug)]
#[schemars(
    rename = "ClientAck",
    transform = one_target,
    transform = tagged("ack")
)]
pub struct ClientAck {
    /// `delivered`: the device holds it. `read`: only clients without encrypted receipts say so.
    pub status: Seen,
    /// Every entry of the inbox up to this cursor.
    pub through: Option<Cursor>,
    /// One message.
    pub message_id: Option<MessageId>,
    /// Several messages.
    #[schemars(length(max = limits::MAX_ACK_IDS))]
    pub message_ids: Option<Vec<MessageId>>,
    /// Whose messages are meant, where an id alone is ambiguous: an account id.
    #[schemars(with = "Option<AddressText>")]
    pub from: Option<String>,
}

/// The device's presence, or typing, which holds for 10 seconds. Not answered.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientPresence", transform = typing_names_somebody, transform = tagged("presence"))]
pub struct ClientPresence {
    /// What is so from now on.
    pub status: PresenceKind,
    /// To whom the person writes: needed for `typing` and `stopped_typing`.
    #[schemars(with = "Option<AddressText>")]
    pub to: Option<String>,
}

/// What a device says of its person.
#[derive(JsonSchema, Debug)]
#[schemars(inline, rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum PresenceKind {
    Online,
    Away,
    Typing,
    StoppedTyping,
}

/// From now on the socket is told of these users' presence: at once how it is, then each change.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientSubscribe", transform = tagged("subscribe"))]
pub struct ClientSubscribe {
    /// Who.
    #[schemars(with = "Vec<AddressText>", length(max = limits::MAX_SUBSCRIPTIONS))]
    pub users: Vec<String>,
}

/// No longer of these users.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientUnsubscribe", transform = tagged("unsubscribe"))]
pub struct ClientUnsubscribe {
    /// Who.
    #[schemars(with = "Vec<AddressText>", length(max = limits::MAX_SUBSCRIPTIONS))]
    pub users: Vec<String>,
}

/// Answered with `pong`. For clients that cannot send WebSocket pings.
#[derive(JsonSchema, Debug)]
#[schemars(rename = "ClientPing", transform = tagged("ping"))]
pub struct ClientPing {
    /// Given back in `pong`, cut to 128 characters.
    #[schemars(rename = "ref")]
    pub reference: Option<String>,
}

/// The body of `POST /v1/messages`: a `message` frame, whose `type` may be absent.
#[derive(Debug)]
pub struct Submission;

/// The body of `POST /v1/messages/ack`: an `ack` frame, whose `type` may be absent.
#[derive(Debug)]
pub struct Acknowledgement;

macro_rules! untagged {
    ($($type:ident of $frame:ident $kind:literal;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut schema = $frame::json_schema(generator);
                if let Some(serde_json::Value::Array(names)) = schema.get_mut("required") {
                    names.retain(|name| name != "type");
                }
                tag(&mut schema, $kind, false);
                schema
            }
        }
    )*};
}
untagged! {
    Submission of ClientMessage "message";
    Acknowledgement of ClientAck "ack";
}

/// An entry of the inbox that is no message.
#[derive(JsonSchema, Debug)]
#[schemars(untagged)]
#[expect(missing_docs, reason = "each is the frame of that name")]
pub enum InboxEvent {
    Status(StatusFrame),
    Watermark(WatermarkFrame),
    Keys(KeysFrame),
    Group(GroupFrame),
    DevicesChanged(DevicesChangedFrame),
    Tally(TallyFrame),
}

fn body_or_ciphertexts(schema: &mut Schema) {
    one_of(schema, &["body", "ciphertexts"]);
}

fn one_target(schema: &mut Schema) {
    one_of(schema, &["through", "message_id", "message_ids"]);
}

/// Exactly one of these members is there.
fn one_of(schema: &mut Schema, members: &[&str]) {
    let choices: Vec<_> = members.iter().map(|name| json!({ "required": [name] })).collect();
    schema.insert("oneOf".into(), json!(choices));
}

fn typing_names_somebody(schema: &mut Schema) {
    let alone = json!({ "properties": { "status": { "enum": ["online", "away"] } } });
    schema.insert("anyOf".into(), json!([alone, { "required": ["to"] }]));
}
