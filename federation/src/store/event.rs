//! What is queued, as events.

use bytes::Bytes;
use posthouse_protocol::{
    content::Content,
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        message, payload,
    },
    frame::Class,
    id::ServerName,
    limits,
    status::{Reached, Seen},
};
use posthouse_storage::{inbox::StoredMessage, receipts::Watermark};
use uuid::Uuid;

/// A message for `recipients` at `destination`; `None` if nothing of its content is for them.
pub(super) fn message(
    message: &StoredMessage,
    recipients: Vec<Uuid>,
    body: &[u8],
    payload_version: u8,
    destination: &ServerName,
) -> Option<Bytes> {
    let class = match message.class {
        Class::Message => EventClass::Message,
        Class::Receipt => EventClass::Receipt,
        Class::Key => EventClass::Key,
        Class::Control => EventClass::Control,
        Class::Ephemeral => EventClass::Ephemeral,
    };
    // What waits longest is given up at the same time at both ends.
    let latest = message.accepted_at.plus_millis(limits::RETENTION_MS);
    let mut event = Event {
        payload_version,
        conversation: Some(message.conversation),
        sender_device: message.device_number,
        recipients,
        stamp: Some(message.stamp),
        origin_number: Some(message.origin_number),
        client_timestamp: Some(message.client_timestamp),
        accepted_at: Some(message.accepted_at),
        epoch: message.epoch,
        device_list_version: message.device_list_version,
        collapse: message.collapse.clone(),
        expires: Some(message.expires.unwrap_or(latest)),
        ..Event::new(EventKind::Message, class)
    };
    let content = Content::from_stored(body)?;
    message::put(&mut event, &content, destination).ok()?;
    Some(Bytes::from(event.encode()))
}

/// A watermark that goes to the region whose messages it is about.
pub(super) fn watermark(
    mark: &Watermark,
    recipients: Vec<Uuid>,
    payload_version: u8,
) -> Option<Bytes> {
    let seen = match mark.reached {
        Reached::Delivered => Seen::Delivered,
        Reached::Read => Seen::Read,
        // That is said by the receipt itself.
        Reached::Accepted => return None,
    };
    let payload = payload::Watermark { seen, through: mark.through, except: mark.except.clone() };
    let event = Event {
        payload_version,
        conversation: Some(mark.conversation),
        recipients,
        bodies: vec![EventBody::for_all(payload.encode())],
        ..Event::new(EventKind::Watermark, EventClass::Receipt)
    };
    Some(Bytes::from(event.encode()))
}
