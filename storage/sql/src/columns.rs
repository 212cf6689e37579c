//! How values of the domain are written into columns.

use posthouse_protocol::{
    federation::stream::Lane,
    frame::Class,
    id::{AccountId, ConversationId, DeviceId, DeviceNumber, MessageId},
    status::Reached,
    time::{Stamp, Timestamp},
};
use posthouse_storage::{bodies::BodyId, error::StoreError, inbox::StoredMessage};
use uuid::Uuid;

use crate::{db::Fields, failure::Failure, store::SqlStore};

/// `messages.class`.
pub(crate) fn class_code(class: Class) -> i64 {
    match class {
        Class::Message => 0,
        Class::Receipt => 1,
        Class::Key => 2,
        Class::Control => 3,
        Class::Ephemeral => 4,
    }
}

fn class(fields: &mut Fields<'_>) -> Result<Class, StoreError> {
    match fields.integer("class")? {
        0 => Ok(Class::Message),
        1 => Ok(Class::Receipt),
        2 => Ok(Class::Key),
        3 => Ok(Class::Control),
        code => Err(fields.corrupt("class", format_args!("{code} is no class"))),
    }
}

/// `outbox.lane`.
pub(crate) fn lane_code(lane: Lane) -> i64 {
    match lane {
        Lane::Control => 0,
        Lane::Messages => 1,
        Lane::Receipts => 2,
        Lane::Bulk => 3,
    }
}

/// Reads what [`lane_code`] wrote.
pub(crate) fn lane(code: i64) -> Option<Lane> {
    Lane::ALL.into_iter().find(|lane| lane_code(*lane) == code)
}

/// `outbox.state` of an entry that is as it was queued.
pub(crate) const OUTBOX_QUEUED: i64 = 0;

/// `outbox.state` of the notice that its sender was deleted.
pub(crate) const OUTBOX_GONE: i64 = 3;

/// `watermarks.seen`.
pub(crate) fn reached_code(reached: Reached) -> i64 {
    match reached {
        Reached::Delivered => 0,
        Reached::Read => 1,
        Reached::Accepted => 2,
    }
}

/// Reads what [`reached_code`] wrote.
pub(crate) fn reached(fields: &mut Fields<'_>) -> Result<Reached, StoreError> {
    match fields.integer("seen")? {
        0 => Ok(Reached::Delivered),
        1 => Ok(Reached::Read),
        2 => Ok(Reached::Accepted),
        code => Err(fields.corrupt("seen", format_args!("{code} is no kind of receipt"))),
    }
}

/// The columns of a message `m`, in the order in which [`MessageRow::read`] takes them.
macro_rules! message_columns {
    () => {
        "m.id, m.sender, m.server, m.device, m.addressed_to, m.conversation, m.stamp, \
         m.origin_number, m.class, m.collapse, m.expires, m.epoch, m.client_timestamp, m.accepted_at, m.body, \
         m.device_number, m.device_list_version, m.part"
    };
}
pub(crate) use message_columns;

/// A row of `messages`, whose region is still a number.
pub(crate) struct MessageRow {
    server: i64,
    sender: Uuid,
    device: Option<DeviceId>,
    id: MessageId,
    to: String,
    conversation: ConversationId,
    stamp: Stamp,
    origin_number: u64,
    class: Class,
    collapse: Option<String>,
    expires: Option<Timestamp>,
    epoch: Option<u64>,
    client_timestamp: Timestamp,
    accepted_at: Timestamp,
    body: BodyId,
    device_number: Option<DeviceNumber>,
    device_list_version: Option<u64>,
    part: u8,
}

impl MessageRow {
    /// Reads the columns of `message_columns!`; `None` if they are NULL, as an outer join gives
    /// them for a message that is not there.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Option<Self>, StoreError> {
        let fields = fields.of("messages");
        let Some(id) = fields.maybe_bytes("id")? else { return Ok(None) };
        let id = fields.parse("id", id, Uuid::from_slice)?;
        Ok(Some(Self {
            id: MessageId(id),
            sender: fields.uuid("sender")?,
            server: fields.integer("server")?,
            device: fields.maybe_uuid("device")?.map(DeviceId),
            to: fields.text("addressed_to")?.to_owned(),
            conversation: ConversationId(fields.array("conversation")?),
            stamp: Stamp(fields.number("stamp")?),
            origin_number: fields.number("origin_number")?,
            class: class(fields)?,
            collapse: fields.maybe_text("collapse")?.map(str::to_owned),
            expires: fields.bits("expires")?.map(Timestamp),
            epoch: fields.bits("epoch")?,
            client_timestamp: Timestamp(fields.bits("client_timestamp")?.unwrap_or_default()),
            accepted_at: fields.time("accepted_at")?,
            body: BodyId(fields.array("body")?),
            device_number: match fields.maybe_integer("device_number")? {
                Some(number) => {
                    let known =
                        u8::try_from(number).ok().and_then(|n| DeviceNumber::try_from(n).ok());
                    let wrong = || fields.corrupt("device_number", "no number of a device");
                    Some(known.ok_or_else(wrong)?)
                }
                None => None,
            },
            device_list_version: fields.bits("device_list_version")?,
            part: {
                let part = fields.integer("part")?;
                fields.parse("part", part, u8::try_from)?
            },
        }))
    }

    /// The message, with the name of its region.
    pub(crate) async fn resolve(self, store: &SqlStore) -> Result<StoredMessage, Failure> {
        let server = store.inner.servers.name(store.db(), self.server).await?;
        Ok(StoredMessage {
            part: self.part,
            sender: AccountId { uuid: self.sender, server },
            device: self.device,
            id: self.id,
            to: self.to,
            conversation: self.conversation,
            stamp: self.stamp,
            origin_number: self.origin_number,
            class: self.class,
            collapse: self.collapse,
            expires: self.expires,
            epoch: self.epoch,
            client_timestamp: self.client_timestamp,
            accepted_at: self.accepted_at,
            body: self.body,
            device_number: self.device_number,
            device_list_version: self.device_list_version,
        })
    }
}
