//! Events and their payloads (federation-envelopes.md §Events, §Payloads).

use super::super::{
    cbor::{Fields, Malformed, Reading, Value},
    lanes::Uuid,
};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// 1 message, 2 watermark, 3 presence, 4 typing.
    pub kind: u64,
    /// 1 message, 2 receipt, 3 key, 4 group, 5 control, 6 ephemeral.
    pub class: u64,
    /// The conversation.
    pub conversation: Option<Uuid>,
    /// The sender's device.
    pub device: Option<u64>,
    /// Accounts of the destination.
    pub recipients: Vec<Uuid>,
    /// Its place in the conversation.
    pub stamp: Option<u64>,
    /// Its number among what the origin accepted in the conversation.
    pub origin_number: Option<u64>,
    /// The client's clock, in milliseconds.
    pub client_time: Option<u64>,
    /// When the origin accepted it.
    pub accepted_at: Option<u64>,
    /// The epoch of the group that its sender knew.
    pub epoch: Option<u64>,
    /// After this it must not be delivered.
    pub expires: Option<u64>,
    /// The content's type.
    pub content_type: Option<String>,
    /// The group that it is to.
    pub group: Option<String>,
    /// The bodies.
    pub bodies: Vec<Body>,
    /// Whether the sending client says that its content is ciphertext.
    pub encrypted: Option<bool>,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// The data.
    pub data: Vec<u8>,
    /// Recipient (an index), device, registration id and ciphertext type of a body for one device.
    pub device: Option<[u64; 4]>,
}

impl Body {
    /// For every device.
    pub fn for_all(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), device: None }
    }
}

impl Event {
    /// Its fields, to be encoded, or changed first.
    pub fn fields(&self) -> Vec<(u64, Value)> {
        let ids = |ids: &[Uuid]| Value::Array(ids.iter().map(Value::bytes).collect());
        let bodies = self.bodies.iter().map(|body| {
            let mut fields = vec![(1, Value::bytes(&body.data))];
            let numbers = body.device.into_iter().flatten().map(Value::Uint);
            fields.extend((2..).zip(numbers));
            Value::Map(fields)
        });
        let fields = [
            (1, Some(Value::Uint(self.kind))),
            (2, Some(Value::Uint(1))),
            (3, Some(Value::Uint(self.class))),
            (4, self.conversation.map(Value::bytes)),
            (5, self.device.map(Value::Uint)),
            (6, Some(ids(&self.recipients))),
            (7, self.stamp.map(Value::Uint)),
            (8, self.origin_number.map(Value::Uint)),
            (9, self.client_time.map(Value::Uint)),
            (10, self.accepted_at.map(Value::Uint)),
            (11, self.epoch.map(Value::Uint)),
            (14, self.expires.map(Value::Uint)),
            (15, self.content_type.as_deref().map(Value::text)),
            (16, self.group.as_deref().map(Value::text)),
            (17, Some(Value::Array(bodies.collect()))),
            (128, self.encrypted.map(Value::Bool)),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        Value::Map(self.fields()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        if bytes.len() > 512 * 1024 {
            return Err(Malformed("an event of more than 512 KiB"));
        }
        let mut fields = Fields::parse(bytes)?;
        let label = |value: Value| {
            let text = value.string()?;
            let short = (1..=64).contains(&text.len());
            if short { Ok(text) } else { Err(Malformed("a label that is too long, or empty")) }
        };
        fields.required(2, |version| within(version, 1, 255))?;
        fields.optional(12, Value::uint)?;
        fields.optional(13, label)?;
        let event = Self {
            kind: fields.required(1, |kind| within(kind, 0, 65535))?,
            class: fields.required(3, |class| within(class, 1, 6))?,
            conversation: fields.optional(4, Value::fixed)?,
            device: fields.optional(5, |device| within(device, 1, 127))?,
            recipients: fields.required(6, |list| list.each(Value::fixed))?,
            stamp: fields.optional(7, Value::uint)?,
            origin_number: fields.optional(8, Value::uint)?,
            client_time: fields.optional(9, Value::uint)?,
            accepted_at: fields.optional(10, Value::uint)?,
            epoch: fields.optional(11, Value::uint)?,
            expires: fields.optional(14, Value::uint)?,
            content_type: fields.optional(15, label)?,
            group: fields.optional(16, Value::string)?,
            bodies: fields.required(17, |list| list.each(Body::read))?,
            encrypted: fields.optional(128, Value::boolean)?,
        };
        fields.end()?;
        let recipients = u64::try_from(event.recipients.len()).unwrap_or(u64::MAX);
        let named = event
            .bodies
            .iter()
            .all(|body| body.device.is_none_or(|[recipient, ..]| recipient < recipients));
        let message = event.kind != 1
            || event.conversation.is_some()
                && event.stamp.is_some()
                && event.origin_number.is_some()
                && (recipients > 0 || event.group.is_some());
        if recipients > 1024 || event.bodies.len() > 1024 {
            Err(Malformed("too many recipients or bodies"))
        } else if !message {
            Err(Malformed("a message without what a message needs"))
        } else if !named {
            Err(Malformed("a body for a recipient that is not named"))
        } else {
            Ok(event)
        }
    }
}

impl Body {
    fn read(value: Value) -> Reading<Self> {
        let mut fields = Fields::of(value)?;
        let data = fields.required(1, Value::byte_string)?;
        let recipient = fields.optional(2, |value| within(value, 0, 65535))?;
        let device = fields.optional(3, |value| within(value, 1, 127))?;
        let registration = fields.optional(4, |value| within(value, 0, 16383))?;
        let kind = fields.optional(5, |value| within(value, 0, 255))?;
        fields.end()?;
        let device = match (recipient, device, registration, kind) {
            (None, None, None, None) => None,
            (Some(a), Some(b), Some(c), Some(d)) => Some([a, b, c, d]),
            _ => return Err(Malformed("a body that is addressed by half")),
        };
        Ok(Self { data, device })
    }
}

fn within(value: Value, least: u64, most: u64) -> Reading<u64> {
    let n = value.uint()?;
    if (least..=most).contains(&n) { Ok(n) } else { Err(Malformed("a number out of range")) }
}

/// A watermark's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// 1 delivered, 2 read.
    pub status: u64,
    /// All messages of the destination up to this origin number.
    pub through: u64,
    /// But for these.
    pub except: Vec<u64>,
}

impl Watermark {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let except = self.except.iter().copied().map(Value::Uint).collect();
        let fields = [Value::Uint(self.status), Value::Uint(self.through), Value::Array(except)];
        Value::Map((1..).zip(fields).collect()).encode()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(bytes: &[u8]) -> Reading<Self> {
        let mut fields = Fields::parse(bytes)?;
        let mark = Self {
            status: fields.required(1, |status| within(status, 1, 2))?,
            through: fields.required(2, Value::uint)?,
            except: fields.required(3, |list| list.each(Value::uint))?,
        };
        fields.end()?;
        let rising = mark.except.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let below = mark.except.last().is_none_or(|last| *last < mark.through);
        if rising && below && mark.except.len() <= 64 {
            Ok(mark)
        } else {
            Err(Malformed("exceptions that do not rise below the watermark"))
        }
    }
}

/// The payload of a typing notice.
pub fn typing(on: bool) -> Vec<u8> {
    Value::Map(vec![(1, Value::Bool(on))]).encode()
}
