//! Typing notices to and from other regions: events that are sent at once or never.

use bytes::Bytes;
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        payload::Typing,
    },
    id::{AccountId, ConversationId},
};
use uuid::Uuid;

/// The notice that `sender` types to `recipient`, or has stopped.
pub(super) fn typing(
    sender: &AccountId,
    recipient: &AccountId,
    active: bool,
    id: Uuid,
) -> Ephemeral {
    let conversation = ConversationId::direct(sender, recipient);
    let event = Event {
        conversation: Some(conversation),
        recipients: vec![recipient.uuid],
        bodies: vec![EventBody::for_all(Typing { active }.encode())],
        ..Event::new(EventKind::Typing, EventClass::Ephemeral)
    };
    Ephemeral {
        key: EphemeralKey {
            kind: EventKind::Typing.number(),
            sender: sender.uuid,
            conversation: Some(conversation),
        },
        sender: sender.uuid,
        id,
        event: Bytes::from(event.encode()),
    }
}
