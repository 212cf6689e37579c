//! Events of lane 0, one of each kind, as they are sent.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{hex, message, recipient, sender};
use crate::{
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        payload::{Acknowledged, Presence, Typing, Unserved, Watch},
    },
    id::{ConversationId, DeviceNumber},
    status::Seen,
    time::{Stamp, Timestamp},
};

/// What one person's region tells another's: in their conversation, with one body for everybody.
fn between(kind: EventKind, payload: Vec<u8>) -> Event {
    Event {
        conversation: Some(ConversationId::direct(&sender(), &recipient())),
        recipients: vec![recipient().uuid],
        bodies: vec![EventBody::for_all(payload)],
        ..Event::new(kind, EventClass::Ephemeral)
    }
}

/// Somebody types.
pub(super) fn typing() -> Event {
    between(EventKind::Typing, Typing { active: true }.encode())
}

/// A message that is shown now or never: its stamp and its origin number are 0.
pub(super) fn whisper() -> Event {
    Event {
        class: EventClass::Ephemeral,
        stamp: Some(Stamp::default()),
        origin_number: Some(0),
        device_list_version: None,
        expires: None,
        bodies: vec![EventBody::for_all(b"ciphertext".to_vec())],
        ..message()
    }
}

/// Each kind by its name.
pub(super) fn all() -> Value {
    let id = Uuid::from_u128(0x44);
    let last_seen = Some(Timestamp(1_700_000_000_000));
    let presence = Presence { online: false, away: false, last_seen };
    let acknowledged = Acknowledged { seen: Seen::Delivered, ids: vec![id] };
    let unserved = Unserved { message: id, devices: vec![DeviceNumber::FIRST], version: 4 };
    let events = [
        ("message", whisper()),
        ("presence", between(EventKind::Presence, presence.encode())),
        ("typing", typing()),
        ("acknowledged", between(EventKind::Acknowledged, acknowledged.encode())),
        ("keys_changed", Event::new(EventKind::KeysChanged, EventClass::Ephemeral)),
        ("watch", between(EventKind::Watch, Watch { seconds: 300 }.encode())),
        ("unserved", between(EventKind::Unserved, unserved.encode())),
    ];
    let mut named = serde_json::Map::new();
    for (name, event) in events {
        let bytes = event.encode();
        assert_eq!(Event::decode(&bytes).as_ref(), Ok(&event), "{name}");
        named.insert(name.to_owned(), json!(hex(&bytes)));
    }
    Value::Object(named)
}
