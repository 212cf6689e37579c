//! Frames from a client, parsed once and completely.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    content::{Content, RawContent},
    cursor::Cursor,
    id::{AccountId, Address, MessageId, ServerName},
    json, limits,
    problem::{Code, Rejection},
    status::Seen,
    time::{Stamp, Timestamp},
};

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// A message to be accepted.
    Message(Box<Submission>),
    /// Messages that the device has, or that its person has read.
    Ack(Ack),
    /// The device's presence, or typing.
    Presence(PresenceUpdate),
    /// Watch the presence of these users.
    Subscribe(Vec<Address>),
    /// Stop watching them.
    Unsubscribe(Vec<Address>),
    /// Answered with `pong`; the reference, if any, is given back.
    Ping(Option<String>),
}

/// A message as a client submits it, by socket or by REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The id that the client chose; sending it again is harmless.
    pub id: MessageId,
    /// The recipient.
    pub to: Address,
    /// The highest stamp that the device had seen in the conversation.
    pub after: Option<Stamp>,
    /// The device's own last message in the conversation; an absent one always passes.
    pub prev: Option<MessageId>,
    /// What kind of traffic it is.
    pub class: Class,
    /// A newer message of the same sender with the same key replaces an older one that waits.
    pub collapse: Option<String>,
    /// After this time the message need not be delivered any more.
    pub expires: Option<Timestamp>,
    /// The recipient's device-list version that the client knows.
    pub device_list_version: Option<u64>,
    /// The group epoch that the client knows.
    pub epoch: Option<u64>,
    /// Only devices that were not served yet.
    pub supplement: bool,
    /// The client's clock; shown to the recipient, used for nothing.
    pub timestamp: Option<Timestamp>,
    /// What the message carries.
    pub content: Content,
}

/// What kind of traffic a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Shown to a person.
    #[default]
    Message,
    /// An encrypted receipt.
    Receipt,
    /// Key distribution.
    Key,
    /// Between clients: resend requests and the like.
    Control,
    /// Droppable; never stored, only for devices that are connected now.
    Ephemeral,
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which messages.
    pub target: AckTarget,
    /// Held by the device, or read by its person.
    pub seen: Seen,
}

/// What an acknowledgement covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckTarget {
    /// These messages; `from` tells whose, where a message id alone is ambiguous.
    Messages {
        /// At most [`limits::MAX_ACK_IDS`].
        ids: Vec<MessageId>,
        /// Their sender.
        from: Option<AccountId>,
    },
    /// Every entry of the inbox up to this cursor.
    Through(Cursor),
}

/// A change of a device's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceUpdate {
    /// The person is there.
    Online,
    /// The device is connected, the person is elsewhere.
    Away,
    /// Typing began or stopped, in the conversation with `to`.
    Typing {
        /// Whom the person writes to.
        to: Address,
        /// Whether it began.
        started: bool,
    },
}

/// A frame that was refused, with what the client calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Why.
    pub rejection: Rejection,
    /// The frame's `id` or `ref`, where it could be read.
    pub reference: Option<String>,
}

/// Every field that any frame has; the type decides which are read. One flat shape is parsed in
/// one pass, and a doubled key is an error.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(rename = "ref", borrow, default)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<RawContent<'a>>,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default)]
    after: Option<Stamp>,
    #[serde(borrow, default)]
    prev: Option<Cow<'a, str>>,
    #[serde(default)]
    class: Option<Class>,
    #[serde(borrow, default)]
    collapse: Option<Cow<'a, str>>,
    #[serde(default)]
    expires: Option<Timestamp>,
    #[serde(default)]
    device_list_version: Option<u64>,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    supplement: Option<bool>,
    #[serde(borrow, default)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    message_ids: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    from: Option<Cow<'a, str>>,
    #[serde(default)]
    through: Option<Cursor>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    users: Option<Vec<Cow<'a, str>>>,
}

impl ClientFrame {
    /// Parses a text frame of at most [`limits::MAX_FRAME`] bytes. `own` is the region that bare
    /// ids and handles belong to.
    ///
    /// # Errors
    /// [`Malformed`], to be answered with an `error` frame; the connection goes on.
    pub fn parse(text: &str, own: &ServerName) -> Result<Self, Malformed> {
        let raw = read(text)?;
        let reference = raw.id.as_deref().or(raw.reference.as_deref()).map(clip);
        let kind = raw.kind.clone();
        let parsed = match kind.as_deref() {
            Some("message") => raw.submission(own).map(|s| Self::Message(Box::new(s))),
            Some("ack") => raw.ack(own).map(Self::Ack),
            Some("presence") => raw.presence(own).map(Self::Presence),
            Some("subscribe") => raw.users(own).map(Self::Subscribe),
            Some("unsubscribe") => raw.users(own).map(Self::Unsubscribe),
            Some("ping") => return Ok(Self::Ping(reference)),
            Some(other) => {
                let detail = format!("no frame has the type {:?}", clip(other));
                Err(Rejection::new(Code::UnknownType, detail))
            }
            None => Err(missing("type")),
        };
        parsed.map_err(|rejection| Malformed { rejection, reference })
    }
}

impl Submission {
    /// Parses the body of `POST /v1/messages`: a `message` frame, whose `type` may be absent.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str, own: &ServerName) -> Result<Self, Malformed> {
        let raw = read(text)?;
        let reference = raw.id.as_deref().map(clip);
        let parsed = match raw.kind.as_deref() {
            None | Some("message") => raw.submission(own),
            Some(_) => Err(Rejection::new(Code::UnknownType, "a `message` is expected here")),
        };
        parsed.map_err(|rejection| Malformed { rejection, reference })
    }
}

impl Ack {
    /// Parses the body of `POST /v1/messages/ack`: an `ack` frame, whose `type` may be absent.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str, own: &ServerName) -> Result<Self, Malformed> {
        let raw = read(text)?;
        let parsed = match raw.kind.as_deref() {
            None | Some("ack") => raw.ack(own),
            Some(_) => Err(Rejection::new(Code::UnknownType, "an `ack` is expected here")),
        };
        parsed.map_err(|rejection| Malformed { rejection, reference: None })
    }
}

impl Raw<'_> {
    fn submission(self, own: &ServerName) -> Result<Submission, Rejection> {
        let id = MessageId::parse(&self.id.ok_or_else(|| missing("id"))?)?;
        let to = Address::parse(&self.to.ok_or_else(|| missing("to"))?, own)?;
        let class = self.class.unwrap_or_default();
        let to_group = matches!(to, Address::Group(_));
        // The key distribution of a group serves many devices with one submission.
        let most = if to_group && class == Class::Key {
            limits::MAX_KEY_CIPHERTEXTS
        } else {
            limits::MAX_CIPHERTEXTS
        };
        let collapse = self.collapse.map(|key| label("collapse", &key)).transpose()?;
        Ok(Submission {
            id,
            to,
            after: self.after,
            prev: self.prev.as_deref().map(MessageId::parse).transpose()?,
            class,
            collapse,
            expires: self.expires,
            device_list_version: self.device_list_version,
            epoch: self.epoch,
            supplement: self.supplement.unwrap_or(false),
            timestamp: self.timestamp,
            content: self.content.ok_or_else(|| missing("content"))?.check(most)?,
        })
    }

    fn ack(self, own: &ServerName) -> Result<Ack, Rejection> {
        let seen = match self.status.as_deref() {
            None => return Err(missing("status")),
            Some("delivered") => Seen::Delivered,
            Some("read") => Seen::Read,
            Some(_) => return Err(bad("`status` of an ack is `delivered` or `read`")),
        };
        let from = match self.from.as_deref().map(|from| Address::parse(from, own)).transpose()? {
            None => None,
            Some(Address::Account(id)) => Some(id),
            Some(_) => return Err(bad("`from` of an ack is an account id")),
        };
        let target = match (self.message_id, self.message_ids, self.through) {
            (Some(id), None, None) => {
                AckTarget::Messages { ids: vec![MessageId::parse(&id)?], from }
            }
            (None, Some(ids), None) if ids.len() > limits::MAX_ACK_IDS => {
                let detail = format!("an ack names at most {} messages", limits::MAX_ACK_IDS);
                return Err(Rejection::new(Code::TooLarge, detail));
            }
            (None, Some(ids), None) => {
                let ids = ids.iter().map(|id| MessageId::parse(id)).collect::<Result<_, _>>()?;
                AckTarget::Messages { ids, from }
            }
            (None, None, Some(cursor)) => AckTarget::Through(cursor),
            _ => return Err(bad("an ack has one of `message_id`, `message_ids`, `through`")),
        };
        Ok(Ack { target, seen })
    }

    fn presence(self, own: &ServerName) -> Result<PresenceUpdate, Rejection> {
        let started = match self.status.as_deref() {
            None => return Err(missing("status")),
            Some("online") => return Ok(PresenceUpdate::Online),
            Some("away") => return Ok(PresenceUpdate::Away),
            Some("typing") => true,
            Some("stopped_typing") => false,
            Some(_) => {
                return Err(bad("`status` is `online`, `away`, `typing` or `stopped_typing`"));
            }
        };
        let to = Address::parse(&self.to.ok_or_else(|| missing("to"))?, own)?;
        Ok(PresenceUpdate::Typing { to, started })
    }

    fn users(self, own: &ServerName) -> Result<Vec<Address>, Rejection> {
        let users = self.users.ok_or_else(|| missing("users"))?;
        if users.len() > limits::MAX_SUBSCRIPTIONS {
            let detail = format!("at most {} users are watched", limits::MAX_SUBSCRIPTIONS);
            return Err(Rejection::new(Code::TooLarge, detail));
        }
        users.iter().map(|user| Address::parse(user, own).map_err(Rejection::from)).collect()
    }
}

fn read(text: &str) -> Result<Raw<'_>, Malformed> {
    // Checked here too, so that no transport can forget it.
    if text.len() > limits::MAX_FRAME {
        let detail = format!("a frame has at most {} bytes", limits::MAX_FRAME);
        let rejection = Rejection::new(Code::TooLarge, detail);
        return Err(Malformed { rejection, reference: None });
    }
    // Else an array would pass for an object with its fields in order.
    if !text.trim_start().starts_with('{') {
        let rejection = Rejection::new(Code::BadJson, "a JSON object is expected");
        return Err(Malformed { rejection, reference: None });
    }
    json::from_str(text).map_err(|err| Malformed {
        rejection: Rejection::new(Code::BadJson, explain(&err)),
        reference: named(text),
    })
}

/// What the client calls a frame whose members are not what they should be: it waits for an answer
/// under that name. A text that is no JSON to its end, or says it twice, has none.
fn named(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Names {
        #[serde(default)]
        id: Option<Value>,
        #[serde(rename = "ref", default)]
        reference: Option<Value>,
    }
    let Names { id, reference } = json::from_str(text).ok()?;
    [id, reference].iter().flatten().find_map(Value::as_str).map(clip)
}

/// The parser's message, without any of the text that it read.
fn explain(err: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let place = format!("line {} column {}", err.line(), err.column());
    match err.classify() {
        Category::Data => format!("{place}: {}", clip(&err.to_string())),
        Category::Eof => format!("{place}: the text ends too early"),
        Category::Syntax | Category::Io => format!("{place}: no JSON"),
    }
}

fn label(field: &str, text: &str) -> Result<String, Rejection> {
    if text.is_empty() || text.len() > limits::MAX_LABEL {
        let detail = format!("`{field}` has 1 to {} bytes", limits::MAX_LABEL);
        return Err(Rejection::new(Code::BadRequest, detail));
    }
    Ok(text.into())
}

/// At most 128 characters of a text that a stranger wrote.
fn clip(text: &str) -> String {
    text.chars().take(128).collect()
}

fn missing(field: &str) -> Rejection {
    Rejection::new(Code::BadRequest, format!("`{field}` is missing"))
}

fn bad(detail: &'static str) -> Rejection {
    Rejection::new(Code::BadRequest, detail)
}

#[cfg(test)]
mod tests;
