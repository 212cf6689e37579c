//! Frames to the server as JSON text: the inverse of [`ClientFrame::parse`].

use posthouse_protocol::{
    content::{Ciphertext, Content, Payload},
    cursor::Cursor,
    frame::{Ack, AckTarget, Class, ClientFrame, PresenceUpdate, Submission},
    id::{AccountId, Address, MessageId},
    status::Seen,
    time::{Stamp, Timestamp},
};
use serde::Serialize;

/// The JSON text of a frame (docs/spec/client-socket.md).
pub fn encode(frame: &ClientFrame) -> String {
    match frame {
        ClientFrame::Message(submission) => encode_submission(submission),
        ClientFrame::Ack(ack) => encode_ack(ack),
        ClientFrame::Presence(update) => encode_presence(update),
        ClientFrame::Subscribe(users) => encode_users("subscribe", users),
        ClientFrame::Unsubscribe(users) => encode_users("unsubscribe", users),
        ClientFrame::Ping(reference) => {
            to_json(&PingWire { kind: "ping", reference: reference.as_deref() })
        }
    }
}

#[derive(Serialize)]
struct PingWire<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageWire<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: MessageId,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_list_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplement: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    content: ContentWire<'a>,
}

#[derive(Serialize)]
struct ContentWire<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertexts: Option<&'a [Ciphertext]>,
}

impl<'a> From<&'a Content> for ContentWire<'a> {
    fn from(content: &'a Content) -> Self {
        let (body, ciphertexts) = match &content.payload {
            Payload::Body(body) => (Some(body.as_str()), None),
            Payload::Ciphertexts(all) => (None, Some(all.as_slice())),
        };
        Self { kind: &content.kind, encrypted: content.encrypted, body, ciphertexts }
    }
}

/// A `message` frame; also the body of `POST /v1/messages`.
pub(crate) fn encode_submission(submission: &Submission) -> String {
    to_json(&MessageWire {
        kind: "message",
        id: submission.id,
        to: address(&submission.to),
        after: submission.after,
        prev: submission.prev,
        class: Some(submission.class).filter(|class| *class != Class::Message),
        collapse: submission.collapse.as_deref(),
        expires: submission.expires,
        device_list_version: submission.device_list_version,
        epoch: submission.epoch,
        supplement: Some(submission.supplement).filter(|yes| *yes),
        timestamp: submission.timestamp,
        content: (&submission.content).into(),
    })
}

#[derive(Serialize)]
struct AckWire<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_ids: Option<&'a [MessageId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<Cursor>,
    status: Seen,
}

/// An `ack` frame; also the body of `POST /v1/messages/ack`.
pub(crate) fn encode_ack(ack: &Ack) -> String {
    let mut wire = AckWire {
        kind: "ack",
        message_id: None,
        message_ids: None,
        from: None,
        through: None,
        status: ack.seen,
    };
    match &ack.target {
        AckTarget::Messages { ids, from } => {
            wire.from = from.as_ref();
            match ids.as_slice() {
                [only] => wire.message_id = Some(*only),
                several => wire.message_ids = Some(several),
            }
        }
        AckTarget::Through(cursor) => wire.through = Some(*cursor),
    }
    to_json(&wire)
}

#[derive(Serialize)]
struct PresenceWire {
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

fn encode_presence(update: &PresenceUpdate) -> String {
    let (status, to) = match update {
        PresenceUpdate::Online => ("online", None),
        PresenceUpdate::Away => ("away", None),
        PresenceUpdate::Typing { to, started: true } => ("typing", Some(address(to))),
        PresenceUpdate::Typing { to, started: false } => ("stopped_typing", Some(address(to))),
    };
    to_json(&PresenceWire { kind: "presence", status, to })
}

#[derive(Serialize)]
struct UsersWire {
    #[serde(rename = "type")]
    kind: &'static str,
    users: Vec<String>,
}

fn encode_users(kind: &'static str, users: &[Address]) -> String {
    to_json(&UsersWire { kind, users: users.iter().map(address).collect() })
}

/// The full text of an address.
pub(crate) fn address(address: &Address) -> String {
    match address {
        Address::Account(account) => account.to_string(),
        Address::Handle(handle) => handle.to_string(),
        Address::Group(group) => group.to_string(),
    }
}

fn to_json(frame: &impl Serialize) -> String {
    // Plain data with text keys: serialising to memory has no way to fail.
    serde_json::to_string(frame).unwrap_or_default()
}

#[cfg(test)]
mod tests;
