//! Typing notices to and from other regions: events that are sent at once or never.

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        payload::Typing,
    },
    id::{AccountId, ConversationId},
};
use uuid::Uuid;

use crate::regions::Whisper;

/// The notice that `sender` types to `recipient`, or has stopped.
pub(super) fn typing(sender: &AccountId, recipient: &AccountId, active: bool, id: Uuid) -> Whisper {
    let conversation = ConversationId::direct(sender, recipient);
    let event = Event {
        conversation: Some(conversation),
        recipients: vec![recipient.uuid],
        bodies: vec![EventBody::for_all(Typing { active }.encode())],
        ..Event::new(EventKind::Typing, EventClass::Ephemeral)
    };
    Whisper {
        kind: EventKind::Typing.number(),
        sender: sender.uuid,
        conversation,
        id,
        event: Bytes::from(event.encode()),
    }
}
