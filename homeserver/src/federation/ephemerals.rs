//! Typing notices and ephemeral messages of other regions: for devices that are connected now, of
//! people who have exchanged messages both ways. Never stored.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_federation::ports::EphemeralSink;
use posthouse_protocol::{
    content::Payload,
    federation::{
        event::{Event, EventClass, EventKind},
        message,
        payload::{Acknowledged, Typing},
        record::EventRecord,
    },
    frame::{Class, StatusFrame},
    id::{AccountId, ConversationId, GroupId, MessageId, ServerName},
    time::{Clock, Stamp, Timestamp},
};
use posthouse_storage::{bodies::BodyId, inbox::StoredMessage};

use super::{
    advice::Advice,
    judge::{Judge, PAYLOADS},
};
use crate::{
    delivery::{Connections, Recent},
    devices::ForeignKeys,
    groups::GroupBook,
    presence::{Acquaintance, PresenceService},
};

/// Most questions about presence that one envelope may ask: each reads the store. They are asked
/// again.
const MAX_WATCHES: usize = 256;

/// Most messages to groups that one envelope may bring: each reads the store.
const MAX_TO_GROUPS: usize = 256;

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
    /// What senders here are told of devices elsewhere.
    pub advice: Arc<Advice>,
    /// Groups.
    pub book: Arc<GroupBook>,
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
        let (mut watches, mut to_groups) = (0, 0);
        for record in events {
            let Ok(event) = &record.event else { continue };
            if !PAYLOADS.contains(&event.payload_version) {
                continue;
            }
            if let (EventKind::KeysChanged, EventClass::Ephemeral, Some(uuid)) =
                (event.kind, event.class, record.sender)
            {
                self.keys.changed(&AccountId { uuid, server: origin.clone() });
                continue;
            }
            if let Some(group) = &event.group {
                if to_groups < MAX_TO_GROUPS {
                    to_groups += 1;
                    self.to_group(&judge, record, (event, group)).await;
                }
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
                    EventKind::Unserved => {
                        self.advice.take(&sender, &recipient, &body.data, now).await;
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
    /// A message to a group: for members here who are connected, if a member sends it.
    async fn to_group(
        &self,
        judge: &Judge<'_>,
        record: &EventRecord,
        (event, group): (&Event, &GroupId),
    ) {
        let is_message = event.kind == EventKind::Message && event.class == EventClass::Ephemeral;
        let is_over = event.expires.is_some_and(|expires| expires <= judge.now);
        let (true, false, Some(uuid)) = (is_message, is_over, record.sender) else { return };
        let conversation = ConversationId::group(group);
        if event.conversation != Some(conversation) || !event.recipients.is_empty() {
            return;
        }
        let sender = AccountId { uuid, server: judge.origin.clone() };
        // If the store cannot say, nobody is told.
        let Ok(Some(known)) = self.book.current(group).await else { return };
        if !known.state.members().contains_key(&sender.to_string()) {
            return;
        }
        let Ok(content) = message::group_content(event, &self.own) else { return };
        let is_whole = matches!(content.payload, Payload::Body(_));
        if !is_whole || !(content.is_encrypted() || self.allow_unencrypted) {
            return;
        }
        let accepted_at = judge.accepted_at(event);
        let message = StoredMessage {
            part: 0,
            conversation,
            to: group.to_string(),
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
        let body = content.to_stored();
        for (_, one) in known.hearers() {
            self.connections.pass_on(one.account.uuid, &message, &body);
        }
    }

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
                    part: 0,
                    conversation: ConversationId::direct(&sender, &recipient),
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
