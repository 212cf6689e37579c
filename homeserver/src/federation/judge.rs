//! What this region makes of an event of another one. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use posthouse_protocol::{
    content::Content,
    federation::{
        event::{Event, EventClass, EventKind},
        key_log::RETIRED_LIFE_MS,
        limits::FRESHNESS_MS,
        message, payload,
        receipt::RejectionReason,
        record::EventRecord,
        version,
    },
    frame::Class,
    id::{AccountId, ConversationId, MessageId, ServerName},
    time::{Stamp, Timestamp},
};
use posthouse_storage::{
    bodies::BodyId,
    inbox::StoredMessage,
    people::Relation,
    receipts::{Watermark, WatermarkRise},
    reception::Received,
};
use uuid::Uuid;

use crate::{groups::Known, people::Judgement};

mod groups;

/// Stamps further ahead of our clock are refused, in milliseconds (24 h): they would push the
/// conversation into the future for good.
pub(super) const MAX_AHEAD_MS: u64 = 24 * 3_600_000;

/// How far from our clock a time of acceptance may lie that clients are shown, in milliseconds: 5 min
/// ahead, and 37 days back, as long as an envelope can be on its way. What lies beyond is taken for
/// the bound, since a message is not to blame for its region's clock.
const SHOWN_MS: (u64, u64) = (RETIRED_LIFE_MS, FRESHNESS_MS);

/// Payload versions that are read here.
pub(super) const PAYLOADS: &[u8] = &[version::PAYLOAD];

/// The region that judges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    /// From where the event came.
    pub(super) origin: &'a ServerName,
    /// This region.
    pub(super) own: &'a ServerName,
    /// Whether contents are taken that are not end-to-end encrypted.
    pub(super) allow_unencrypted: bool,
    /// Now.
    pub(super) now: Timestamp,
}

/// What an event is to this region.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A message, with its stored content.
    Message(Box<Received>, Bytes),
    /// A message of somebody whom the recipient does not know, with its stored content.
    Request(Box<Received>, Bytes),
    /// A reader there has got further.
    Watermark(Box<WatermarkRise>),
    /// Its sender was deleted by its region.
    Gone(AccountId),
    /// It is not taken.
    Rejected(RejectionReason),
}

/// What this region knows of those whom an envelope's events are for.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    /// Those that exist.
    pub(super) existing: HashSet<Uuid>,
    /// What they think of the senders of messages.
    pub(super) relations: HashMap<(Uuid, AccountId), Relation>,
    /// Groups that they are about.
    pub(super) groups: HashMap<ConversationId, Arc<Known>>,
}

impl Recipients {
    fn exists(&self, account: Uuid) -> bool {
        self.existing.contains(&account)
    }

    fn relation(&self, account: Uuid, sender: &AccountId) -> Option<Relation> {
        self.relations.get(&(account, sender.clone())).copied()
    }
}

impl Judge<'_> {
    /// Judges an event of a sequenced lane. `recipients` tells accounts of this region; `body` names
    /// a message's content.
    pub(super) fn judge(
        &self,
        record: &EventRecord,
        recipients: &Recipients,
        body: BodyId,
    ) -> Verdict {
        let judged = match &record.event {
            Err(_) => Err(RejectionReason::Malformed),
            Ok(event) if !PAYLOADS.contains(&event.payload_version) => {
                Err(RejectionReason::Unsupported)
            }
            Ok(event) if event.class == EventClass::Ephemeral => Err(RejectionReason::Malformed),
            Ok(event) => match event.kind {
                EventKind::Message => self.message(record, event, recipients, body),
                EventKind::Watermark => self.watermark(record, event, recipients),
                EventKind::Gone => self.gone(record, event),
                _ => Err(RejectionReason::Unsupported),
            },
        };
        judged.unwrap_or_else(Verdict::Rejected)
    }

    fn message(
        &self,
        record: &EventRecord,
        event: &Event,
        recipients: &Recipients,
        body: BodyId,
    ) -> Result<Verdict, RejectionReason> {
        if let Some(group) = &event.group {
            return self.group_message(record, (event, group), recipients, body);
        }
        let (sender, recipient, conversation) = self.ends(record, event)?;
        if event.expires.is_some_and(|expires| expires <= self.now) {
            return Err(RejectionReason::Expired);
        }
        if !recipients.exists(recipient.uuid) {
            return Err(RejectionReason::UnknownRecipient);
        }
        let (Some(stamp), Some(origin_number)) = (event.stamp, event.origin_number) else {
            return Err(RejectionReason::Malformed);
        };
        if stamp > Stamp::next(self.now.plus_millis(MAX_AHEAD_MS), None, None) {
            return Err(RejectionReason::Refused);
        }
        let content = self.content(event, &recipient)?;
        let accepted_at = self.accepted_at(event);
        let side = side(&sender, &recipient);
        let message = StoredMessage {
            part: event.part.unwrap_or_default(),
            device: None,
            device_number: event.sender_device,
            device_list_version: event.device_list_version,
            id: MessageId(record.id),
            to: recipient.to_string(),
            conversation,
            stamp,
            origin_number,
            class: class(event.class),
            collapse: event.collapse.clone(),
            expires: event.expires,
            epoch: event.epoch,
            client_timestamp: event.client_timestamp.unwrap_or(accepted_at),
            accepted_at,
            body,
            sender,
        };
        let relation = recipients.relation(recipient.uuid, &message.sender);
        let judgement = relation.map_or(Judgement::Deliver, Judgement::of);
        let discard = judgement == Judgement::Discard;
        let content: Bytes = content.to_stored().into();
        let (recipients, bytes) = (vec![recipient.uuid], content.len() as u64);
        let received = Received { message, side, recipients, discard, size: bytes };
        let received = Box::new(received);
        Ok(match judgement {
            Judgement::Refuse => return Err(RejectionReason::Refused),
            // Nobody will read it.
            Judgement::Discard => Verdict::Message(received, Bytes::new()),
            Judgement::Deliver => Verdict::Message(received, content),
            Judgement::Ask => Verdict::Request(received, content),
        })
    }

    /// When the sender's region accepted the event, as clients are shown it.
    pub(super) fn accepted_at(&self, event: &Event) -> Timestamp {
        let (back, ahead) = (self.now.minus_millis(SHOWN_MS.0), self.now.plus_millis(SHOWN_MS.1));
        event.accepted_at.unwrap_or(self.now).clamp(back, ahead)
    }

    /// The content, in the form that this region would have taken from a client of its own.
    pub(super) fn content(
        &self,
        event: &Event,
        recipient: &AccountId,
    ) -> Result<Content, RejectionReason> {
        let content = message::content(event, recipient).map_err(|err| match err {
            message::ContentError::TooLarge => RejectionReason::TooLarge,
            message::ContentError::Malformed => RejectionReason::Malformed,
        })?;
        if content.is_encrypted() || self.allow_unencrypted {
            Ok(content)
        } else {
            Err(RejectionReason::Refused)
        }
    }

    /// A region may say so of its own accounts only: the sender is one, whoever it names.
    fn gone(&self, record: &EventRecord, event: &Event) -> Result<Verdict, RejectionReason> {
        match record.sender {
            Some(uuid) if event.recipients.is_empty() && event.group.is_none() => {
                Ok(Verdict::Gone(AccountId { uuid, server: self.origin.clone() }))
            }
            _ => Err(RejectionReason::Malformed),
        }
    }

    fn watermark(
        &self,
        record: &EventRecord,
        event: &Event,
        recipients: &Recipients,
    ) -> Result<Verdict, RejectionReason> {
        let group = event.conversation.and_then(|one| recipients.groups.get(&one));
        if let Some(known) = group {
            return self.group_watermark(record, (event, known), recipients);
        }
        let (reader, told, conversation) = self.ends(record, event)?;
        if !recipients.exists(told.uuid) {
            return Err(RejectionReason::UnknownRecipient);
        }
        let [body] = event.bodies.as_slice() else { return Err(RejectionReason::Malformed) };
        let mark =
            payload::Watermark::decode(&body.data).map_err(|_| RejectionReason::Malformed)?;
        let watermark = Watermark {
            conversation,
            reader,
            origin: self.own.clone(),
            reached: mark.seen.into(),
            through: mark.through,
            except: mark.except,
            at: self.now,
        };
        let rise = WatermarkRise { watermark, tell: vec![told.uuid], forward: None };
        Ok(Verdict::Watermark(Box::new(rise)))
    }

    /// Sender and recipient of an event between two people, and their conversation: the event may
    /// name no other, or a region could write into conversations of people who are not its own.
    pub(super) fn ends(
        &self,
        record: &EventRecord,
        event: &Event,
    ) -> Result<(AccountId, AccountId, ConversationId), RejectionReason> {
        if event.group.is_some() {
            return Err(RejectionReason::Unsupported);
        }
        let (Some(sender), [recipient]) = (record.sender, event.recipients.as_slice()) else {
            return Err(RejectionReason::Malformed);
        };
        let sender = AccountId { uuid: sender, server: self.origin.clone() };
        let recipient = AccountId { uuid: *recipient, server: self.own.clone() };
        let conversation = ConversationId::direct(&sender, &recipient);
        if event.conversation == Some(conversation) {
            Ok((sender, recipient, conversation))
        } else {
            Err(RejectionReason::Malformed)
        }
    }
}

fn class(class: EventClass) -> Class {
    match class {
        EventClass::Message => Class::Message,
        EventClass::Receipt => Class::Receipt,
        EventClass::Key => Class::Key,
        EventClass::Group | EventClass::Control => Class::Control,
        EventClass::Ephemeral => Class::Ephemeral,
    }
}

/// The bit of the sender's side, as `delivery::route` gives it.
fn side(sender: &AccountId, recipient: &AccountId) -> u8 {
    if sender.to_string() < recipient.to_string() { 1 } else { 2 }
}

#[cfg(test)]
mod tests;
