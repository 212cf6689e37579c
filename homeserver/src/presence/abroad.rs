//! Typing notices and presence to and from other regions: events that are sent at once or never.

use bytes::Bytes;
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        payload::{Presence as Told, Typing, Watch},
    },
    frame::{Presence, PresenceFrame},
    id::{AccountId, ConversationId},
};
use uuid::Uuid;

/// The notice that `sender` types to `recipient`, or has stopped.
pub(super) fn typing(
    (sender, recipient): (&AccountId, &AccountId),
    active: bool,
    id: Uuid,
) -> Ephemeral {
    between((sender, recipient), EventKind::Typing, Typing { active }.encode(), id)
}

/// `watcher` asks to be told of the presence of `target`, of another region, for so many seconds.
pub(super) fn watch(
    (watcher, target): (&AccountId, &AccountId),
    seconds: u64,
    id: Uuid,
) -> Ephemeral {
    between((watcher, target), EventKind::Watch, Watch { seconds }.encode(), id)
}

/// `watcher`, of another region, is told how `frame`'s user is.
pub(super) fn presence(frame: &PresenceFrame, watcher: &AccountId, id: Uuid) -> Ephemeral {
    let told = Told {
        online: matches!(frame.status, Presence::Online | Presence::Away),
        away: frame.status == Presence::Away,
        last_seen: frame.last_seen,
    };
    between((&frame.user_id, watcher), EventKind::Presence, told.encode(), id)
}

/// What devices are shown of what another region told.
pub(super) fn shown(user_id: AccountId, told: &Told) -> PresenceFrame {
    let status = match told {
        Told { online: false, .. } => Presence::Offline,
        Told { away: true, .. } => Presence::Away,
        Told { .. } => Presence::Online,
    };
    PresenceFrame { user_id, status, last_seen: told.last_seen, expires_in: None }
}

/// An event of one person for another. A newer one of its kind replaces one that waits.
fn between(
    (sender, recipient): (&AccountId, &AccountId),
    kind: EventKind,
    body: Vec<u8>,
    id: Uuid,
) -> Ephemeral {
    let conversation = Some(ConversationId::direct(sender, recipient));
    let event = Event {
        conversation,
        recipients: vec![recipient.uuid],
        bodies: vec![EventBody::for_all(body)],
        ..Event::new(kind, EventClass::Ephemeral)
    };
    Ephemeral {
        key: EphemeralKey { kind: kind.number(), sender: sender.uuid, conversation },
        sender: sender.uuid,
        id,
        event: Bytes::from(event.encode()),
    }
}
