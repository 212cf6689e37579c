//! An event: one thing that a server tells another (docs/spec/federation-envelopes.md, "Events").

use uuid::Uuid;

use super::{
    cbor::{CborError, Fault, Fields, Reader, Writer},
    header::read_version,
    limits,
};
use crate::{
    id::{ConversationId, DeviceNumber, GroupId, RegistrationId},
    limits as client_limits,
    time::{Stamp, Timestamp},
};

/// The key of [`Event::encrypted`]: a reader that does not know it may skip it.
const ENCRYPTED: u64 = 128;

/// The key of [`Event::part`].
const PART: u64 = 129;

/// An event without its id and sender, which stand in its record.
///
/// Accounts are UUIDs alone: the sender's server is the envelope's origin and the recipients'
/// server its destination, so an event of or for somebody else's users cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// The version of its fields and bodies, kept from when it was queued.
    pub payload_version: u8,
    /// How it is treated on the way.
    pub class: EventClass,
    /// The conversation.
    pub conversation: Option<ConversationId>,
    /// The sending device.
    pub sender_device: Option<DeviceNumber>,
    /// Accounts at the destination, at most [`limits::MAX_RECIPIENTS`].
    pub recipients: Vec<Uuid>,
    /// The place in the conversation, given by the origin and never altered.
    pub stamp: Option<Stamp>,
    /// Dense per conversation among what the origin accepted; the first is 1.
    pub origin_number: Option<u64>,
    /// The sending client's clock.
    pub client_timestamp: Option<Timestamp>,
    /// When the origin accepted it.
    pub accepted_at: Option<Timestamp>,
    /// The group epoch that the sender knew.
    pub epoch: Option<u64>,
    /// The version of the recipient's device list that the sender knew.
    pub device_list_version: Option<u64>,
    /// A later event of the same sender, conversation and key replaces one that still waits; at
    /// most 64 bytes.
    pub collapse: Option<String>,
    /// After this it must not be delivered. The destination enforces it.
    pub expires: Option<Timestamp>,
    /// The outer type of a message's content, 1 to 64 bytes.
    pub content_type: Option<String>,
    /// The group, for a group's events.
    pub group: Option<GroupId>,
    /// What it carries, opaque here.
    pub bodies: Vec<EventBody>,
    /// Whether the sending client says that a message's content is ciphertext; see
    /// [`super::message`].
    pub encrypted: Option<bool>,
    /// Of a supplement: its number, from 1 to [`limits::MAX_PART`]. It is for devices that the message
    /// with its id did not serve.
    pub part: Option<u8>,
}

/// A body: for everybody, or for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBody {
    /// The bytes.
    pub data: Vec<u8>,
    /// For whom; `None` for all recipients' devices.
    pub device: Option<BodyDevice>,
}

/// The device that a body was encrypted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDevice {
    /// Whose: an index into the event's recipients.
    pub recipient: u16,
    /// Its number.
    pub device: DeviceNumber,
    /// Its installation.
    pub registration: RegistrationId,
    /// The ciphertext's type, as the end-to-end protocol numbers it.
    pub kind: u8,
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EventKind {
    /// A message between accounts.
    Message,
    /// How far a reader has got; [`super::payload::Watermark`].
    Watermark,
    /// An account came or went; [`super::payload::Presence`].
    Presence,
    /// Somebody types; [`super::payload::Typing`].
    Typing,
    /// A reader has acknowledged messages just now; [`super::payload::Acknowledged`].
    Acknowledged,
    /// The sender's devices, or their identity key, have changed just now; without a body.
    KeysChanged,
    /// An account asks to be told of the recipient's presence; [`super::payload::Watch`].
    Watch,
    /// Devices of the sender were not served by a message of the recipient;
    /// [`super::payload::Unserved`].
    Unserved,
    /// The sender was deleted, for good; without a body.
    Gone,
    /// Something that this version does not know: rejected by itself.
    Other(u16),
}

impl EventKind {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Message => 1,
            Self::Watermark => 2,
            Self::Presence => 3,
            Self::Typing => 4,
            Self::Acknowledged => 5,
            Self::KeysChanged => 6,
            Self::Watch => 7,
            Self::Unserved => 8,
            Self::Gone => 9,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Message,
            2 => Self::Watermark,
            3 => Self::Presence,
            4 => Self::Typing,
            5 => Self::Acknowledged,
            6 => Self::KeysChanged,
            7 => Self::Watch,
            8 => Self::Unserved,
            9 => Self::Gone,
            other => Self::Other(other),
        }
    }
}

/// How an event is treated on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventClass {
    /// Shown to a person.
    Message,
    /// A receipt: newer ones replace older ones.
    Receipt,
    /// Key distribution.
    Key,
    /// Group state.
    Group,
    /// Between clients or servers.
    Control,
    /// Droppable.
    Ephemeral,
}

impl EventClass {
    const ALL: [Self; 6] =
        [Self::Message, Self::Receipt, Self::Key, Self::Group, Self::Control, Self::Ephemeral];

    fn number(self) -> u64 {
        match self {
            Self::Message => 1,
            Self::Receipt => 2,
            Self::Key => 3,
            Self::Group => 4,
            Self::Control => 5,
            Self::Ephemeral => 6,
        }
    }
}

impl Event {
    /// An event of a kind and class with nothing else in it.
    pub fn new(kind: EventKind, class: EventClass) -> Self {
        Self {
            kind,
            payload_version: super::version::PAYLOAD,
            class,
            conversation: None,
            sender_device: None,
            recipients: Vec::new(),
            stamp: None,
            origin_number: None,
            client_timestamp: None,
            accepted_at: None,
            epoch: None,
            device_list_version: None,
            collapse: None,
            expires: None,
            content_type: None,
            group: None,
            bodies: Vec::new(),
            encrypted: None,
            part: None,
        }
    }

    /// The bytes, as they stand in a record and in a queue.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(self.kind.number().into());
        fields.key(2).uint(self.payload_version.into());
        fields.key(3).uint(self.class.number());
        if let Some(conversation) = &self.conversation {
            fields.key(4).bytes(&conversation.0);
        }
        if let Some(device) = self.sender_device {
            fields.key(5).uint(device.get().into());
        }
        let recipients = fields.key(6).array(self.recipients.len());
        for recipient in &self.recipients {
            recipients.bytes(recipient.as_bytes());
        }
        let numbers = [
            (7, self.stamp.map(|stamp| stamp.0)),
            (8, self.origin_number),
            (9, self.client_timestamp.map(|at| at.0)),
            (10, self.accepted_at.map(|at| at.0)),
            (11, self.epoch),
            (12, self.device_list_version),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                fields.key(key).uint(value);
            }
        }
        if let Some(collapse) = &self.collapse {
            fields.key(13).text(collapse);
        }
        if let Some(expires) = self.expires {
            fields.key(14).uint(expires.0);
        }
        if let Some(content_type) = &self.content_type {
            fields.key(15).text(content_type);
        }
        if let Some(group) = &self.group {
            fields.key(16).text(&group.to_string());
        }
        let bodies = fields.key(17).array(self.bodies.len());
        for body in &self.bodies {
            body.write(bodies);
        }
        if let Some(encrypted) = self.encrypted {
            fields.key(ENCRYPTED).bool(encrypted);
        }
        if let Some(part) = self.part {
            fields.key(PART).uint(part.into());
        }
        fields.finish()
    }

    /// Parses an event of at most [`limits::MAX_EVENT`] bytes.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        if bytes.len() > limits::MAX_EVENT {
            return Err(reader.fault(Fault::TooLong));
        }
        let mut raw = Raw::default();
        reader.map(|reader, key| raw.field(reader, key))?;
        let event = raw.check(&reader)?;
        reader.finish()?;
        Ok(event)
    }
}

impl EventBody {
    /// A body for every device of every recipient.
    pub fn for_all(data: Vec<u8>) -> Self {
        Self { data, device: None }
    }

    fn write(&self, writer: &mut Writer) {
        let mut fields = Fields::default();
        fields.key(1).bytes(&self.data);
        if let Some(device) = &self.device {
            fields.key(2).uint(device.recipient.into());
            fields.key(3).uint(device.device.get().into());
            fields.key(4).uint(device.registration.get().into());
            fields.key(5).uint(device.kind.into());
        }
        writer.map(&fields);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let (mut data, mut recipient, mut device) = (None, None, None);
        let (mut registration, mut kind) = (None, None);
        reader.map(|reader, key| {
            match key {
                1 => data = Some(reader.bytes(limits::MAX_EVENT)?.to_vec()),
                2 => recipient = Some(reader.uint_up_to(u16::MAX.into())?),
                3 => device = Some(read_device(reader)?),
                4 => registration = Some(read_registration(reader)?),
                5 => kind = Some(reader.uint_up_to(u8::MAX.into())?),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let device = match (recipient, device, registration, kind) {
            (None, None, None, None) => None,
            (Some(recipient), Some(device), Some(registration), Some(kind)) => Some(BodyDevice {
                recipient: u16::try_from(recipient).unwrap_or(u16::MAX),
                device,
                registration,
                kind: u8::try_from(kind).unwrap_or(u8::MAX),
            }),
            _ => return Err(reader.invalid("a body names its device whole or not at all")),
        };
        Ok(Self { data: reader.require(data, "data")?, device })
    }
}

#[derive(Default)]
struct Raw {
    kind: Option<u16>,
    payload_version: Option<u8>,
    class: Option<EventClass>,
    conversation: Option<ConversationId>,
    sender_device: Option<DeviceNumber>,
    recipients: Option<Vec<Uuid>>,
    stamp: Option<Stamp>,
    origin_number: Option<u64>,
    client_timestamp: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    epoch: Option<u64>,
    device_list_version: Option<u64>,
    collapse: Option<String>,
    expires: Option<Timestamp>,
    content_type: Option<String>,
    group: Option<GroupId>,
    bodies: Option<Vec<EventBody>>,
    encrypted: Option<bool>,
    part: Option<u8>,
}

impl Raw {
    fn field(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CborError> {
        match key {
            1 => {
                let number = reader.uint_up_to(u16::MAX.into())?;
                self.kind = u16::try_from(number).ok();
            }
            2 => self.payload_version = Some(read_version(reader)?),
            3 => {
                let number = reader.uint()?;
                let class = EventClass::ALL.into_iter().find(|class| class.number() == number);
                self.class = Some(class.ok_or_else(|| reader.invalid("an unknown class"))?);
            }
            4 => self.conversation = Some(ConversationId(reader.fixed()?)),
            5 => self.sender_device = Some(read_device(reader)?),
            6 => {
                let read = |reader: &mut Reader<'_>| reader.fixed().map(Uuid::from_bytes);
                self.recipients = Some(reader.list(limits::MAX_RECIPIENTS, read)?);
            }
            7 => self.stamp = Some(Stamp(reader.uint()?)),
            8 => self.origin_number = Some(reader.uint()?),
            9 => self.client_timestamp = Some(Timestamp(reader.uint()?)),
            10 => self.accepted_at = Some(Timestamp(reader.uint()?)),
            11 => self.epoch = Some(reader.uint()?),
            12 => self.device_list_version = Some(reader.uint()?),
            13 => self.collapse = Some(read_label(reader)?),
            14 => self.expires = Some(Timestamp(reader.uint()?)),
            15 => self.content_type = Some(read_label(reader)?),
            16 => {
                let text = reader.text(300)?;
                let group = GroupId::parse(text).map_err(|err| reader.invalid(err.why))?;
                self.group = Some(group);
            }
            17 => self.bodies = Some(reader.list(limits::MAX_BODIES, EventBody::read)?),
            ENCRYPTED => self.encrypted = Some(reader.bool()?),
            PART => self.part = Some(read_part(reader)?),
            other => reader.unknown(other)?,
        }
        Ok(())
    }

    fn check(self, reader: &Reader<'_>) -> Result<Event, CborError> {
        let recipients = reader.require(self.recipients, "recipients")?;
        let bodies = reader.require(self.bodies, "bodies")?;
        let known = |body: &EventBody| {
            body.device.is_none_or(|device| usize::from(device.recipient) < recipients.len())
        };
        if !bodies.iter().all(known) {
            return Err(reader.invalid("a body names a recipient that is not there"));
        }
        let kind = EventKind::from_number(reader.require(self.kind, "kind")?);
        if kind == EventKind::Message {
            reader.require(self.conversation, "conversation")?;
            reader.require(self.stamp, "stamp")?;
            reader.require(self.origin_number, "origin number")?;
            // A group's members are for each region to know.
            if self.group.is_none() {
                reader.require(recipients.first(), "recipients")?;
            }
        }
        Ok(Event {
            kind,
            payload_version: reader.require(self.payload_version, "payload version")?,
            class: reader.require(self.class, "class")?,
            conversation: self.conversation,
            sender_device: self.sender_device,
            recipients,
            stamp: self.stamp,
            origin_number: self.origin_number,
            client_timestamp: self.client_timestamp,
            accepted_at: self.accepted_at,
            epoch: self.epoch,
            device_list_version: self.device_list_version,
            collapse: self.collapse,
            expires: self.expires,
            content_type: self.content_type,
            group: self.group,
            bodies,
            encrypted: self.encrypted,
            part: self.part,
        })
    }
}

fn read_part(reader: &mut Reader<'_>) -> Result<u8, CborError> {
    let part = reader.uint_up_to(limits::MAX_PART.into())?;
    let part = u8::try_from(part).ok().filter(|part| *part > 0);
    part.ok_or_else(|| reader.invalid("supplements are counted from 1"))
}

pub(super) fn read_device(reader: &mut Reader<'_>) -> Result<DeviceNumber, CborError> {
    let number = u8::try_from(reader.uint()?).unwrap_or(0);
    DeviceNumber::try_from(number).map_err(|err| reader.invalid(err.why))
}

fn read_registration(reader: &mut Reader<'_>) -> Result<RegistrationId, CborError> {
    let number = u32::try_from(reader.uint()?).unwrap_or(u32::MAX);
    RegistrationId::try_from(number).map_err(|err| reader.invalid(err.why))
}

fn read_label(reader: &mut Reader<'_>) -> Result<String, CborError> {
    let label = reader.text(client_limits::MAX_LABEL)?;
    if label.is_empty() {
        Err(reader.invalid("a label is not empty"))
    } else {
        Ok(label.to_owned())
    }
}
