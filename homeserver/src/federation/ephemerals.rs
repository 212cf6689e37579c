//! Typing notices and ephemeral messages of other regions: for devices that are connected now, of
//! people who have exchanged messages both ways. Never stored.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_federation::ports::EphemeralSink;
use posthouse_protocol::{
    federation::{
        event::{Event, EventClass, EventKind},
        payload::{Acknowledged, Typing},
        record::EventRecord,
    },
    frame::{Class, StatusFrame},
    id::{AccountId, MessageId, ServerName},
    time::{Clock, Stamp, Timestamp},
};
use posthouse_storage::{bodies::BodyId, inbox::StoredMessage};

use super::judge::Judge;
use crate::{
    delivery::{Connections, Recent},
    devices::ForeignKeys,
    presence::{Acquaintance, PresenceService},
};

/// Most questions about presence that one envelope may ask: each reads the store. They are asked
/// again.
const MAX_WATCHES: usize = 256;

/// Passes ephemerals on.
pub struct Ephemerals {
    /// This region.
    pub own: ServerName,
    /// Whether contents are taken that are not end-to-end encrypted.
    pub allow_unencrypted: bool,
    /// Who has exchanged messages.
    pub acquaintance: Arc<Acquaintance>,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// What went to other regions a moment ago.
    pub recent: Arc<Recent>,
    /// Keys of other regions' users.
    pub keys: Arc<ForeignKeys>,
    /// Typing.
    pub presence: Arc<PresenceService>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl EphemeralSink for Ephemerals {
    async fn pass(&self, origin: &ServerName, events: &[EventRecord]) {
        let now = self.clock.now();
        let judge =
            Judge { origin, own: &self.own, allow_unencrypted: self.allow_unencrypted, now };
        let mut watches = 0;
        for record in events {
            let Ok(event) = &record.event else { continue };
            if let (EventKind::KeysChanged, EventClass::Ephemeral, Some(uuid)) =
                (event.kind, event.class, record.sender)
            {
                self.keys.changed(&AccountId { uuid, server: origin.clone() });
                continue;
            }
            let Ok((sender, recipient, conversation)) = judge.ends(record, event) else { continue };
            if event.class == EventClass::Ephemeral
                && let [body] = event.bodies.as_slice()
            {
                match event.kind {
                    EventKind::Watch if watches < MAX_WATCHES => {
                        watches += 1;
                        self.presence.asked(&sender, &recipient, &body.data).await;
                        continue;
                    }
                    EventKind::Presence => {
                        self.presence.told(&sender, &recipient, &body.data);
                        continue;
                    }
                    _ => {}
                }
            }
            if event.class != EventClass::Ephemeral
                || !self.connections.is_connected(recipient.uuid)
            {
                continue;
            }
            if event.kind == EventKind::Acknowledged {
                self.acknowledged(event, &sender, &recipient, now);
                continue;
            }
            // Strangers are told nothing. If the store cannot say, neither.
            let known = self.acquaintance.all(&[conversation]).await;
            let heard = self.presence.hears(&recipient, &sender).await;
            if known.is_ok_and(|known| known.first() == Some(&true)) && heard == Ok(true) {
                self.hand_over(&judge, record, event, (sender, recipient));
            }
        }
    }
}

impl Ephemerals {
    fn hand_over(
        &self,
        judge: &Judge<'_>,
        record: &EventRecord,
        event: &Event,
        (sender, recipient): (AccountId, AccountId),
    ) {
        match event.kind {
            EventKind::Typing => {
                let [body] = event.bodies.as_slice() else { return };
                if let Ok(typing) = Typing::decode(&body.data) {
                    self.presence.show_typing(&sender, &recipient, typing.active);
                }
            }
            EventKind::Message => {
                let Ok(content) = judge.content(event, &recipient) else { return };
                if event.expires.is_some_and(|expires| expires <= judge.now) {
                    return;
                }
                let accepted_at = judge.accepted_at(event);
                let message = StoredMessage {
                    conversation: posthouse_protocol::id::ConversationId::direct(
                        &sender, &recipient,
                    ),
                    to: recipient.to_string(),
                    sender,
                    device: None,
                    device_number: event.sender_device,
                    device_list_version: None,
                    id: MessageId(record.id),
                    stamp: Stamp::default(),
                    origin_number: 0,
                    class: Class::Ephemeral,
                    collapse: event.collapse.clone(),
                    expires: event.expires,
                    epoch: event.epoch,
                    client_timestamp: event.client_timestamp.unwrap_or(accepted_at),
                    accepted_at,
                    body: BodyId::floor(judge.now),
                };
                self.connections.pass_on(recipient.uuid, &message, &content.to_stored());
            }
            _ => {}
        }
    }

    /// Tells `told` what `reader` has acknowledged, of what is known to have gone there.
    fn acknowledged(&self, event: &Event, reader: &AccountId, told: &AccountId, now: Timestamp) {
        let [body] = event.bodies.as_slice() else { return };
        let Ok(acknowledged) = Acknowledged::decode(&body.data) else { return };
        for id in &acknowledged.ids {
            let message_id = MessageId(*id);
            if !self.recent.knows(message_id, told.uuid, reader) {
                continue;
            }
            let frame = StatusFrame {
                message_id,
                status: acknowledged.seen.into(),
                at: now,
                user: Some(reader.clone()),
                conversation_id: None,
                stamp: None,
                origin_number: None,
                reason: None,
                cursor: None,
            };
            self.connections.push(told.uuid, &frame.to_json().into(), None);
        }
    }
}
