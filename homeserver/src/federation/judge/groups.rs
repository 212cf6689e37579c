//! What this region makes of an event about a group. Pure.

use bytes::Bytes;
use posthouse_protocol::{
    federation::{
        event::{Event, EventClass},
        message, payload,
        receipt::RejectionReason,
        record::EventRecord,
    },
    id::{AccountId, ConversationId, GroupId, MessageId},
    time::Stamp,
};
use posthouse_storage::{
    bodies::BodyId,
    inbox::StoredMessage,
    receipts::{Watermark, WatermarkRise},
    reception::Received,
};
use uuid::Uuid;

use super::{Judge, MAX_AHEAD_MS, Recipients, Verdict, class};
use crate::groups::Known;

impl Judge<'_> {
    /// A message to a group. Its members here are for this region to know; only keys name theirs.
    pub(super) fn group_message(
        &self,
        record: &EventRecord,
        (event, group): (&Event, &GroupId),
        recipients: &Recipients,
        body: BodyId,
    ) -> Result<Verdict, RejectionReason> {
        let conversation = ConversationId::group(group);
        let (Some(sender), Some(epoch)) = (record.sender, event.epoch) else {
            return Err(RejectionReason::Malformed);
        };
        let sender = AccountId { uuid: sender, server: self.origin.clone() };
        if event.conversation != Some(conversation) || event.part.is_some() {
            return Err(RejectionReason::Malformed);
        }
        if event.expires.is_some_and(|expires| expires <= self.now) {
            return Err(RejectionReason::Expired);
        }
        let known = recipients.groups.get(&conversation);
        let known = known.ok_or(RejectionReason::UnknownRecipient)?;
        // What was sent before the sender was removed is not taken from who is removed by now; what
        // names an epoch that nobody has could be for anybody.
        let members = known.state.members();
        if !members.contains_key(&sender.to_string()) || epoch > known.state.epoch() {
            return Err(RejectionReason::Refused);
        }
        let (Some(stamp), Some(origin_number)) = (event.stamp, event.origin_number) else {
            return Err(RejectionReason::Malformed);
        };
        if stamp > Stamp::next(self.now.plus_millis(MAX_AHEAD_MS), None, None) {
            return Err(RejectionReason::Refused);
        }
        let content = message::group_content(event, self.own).map_err(|err| match err {
            message::ContentError::TooLarge => RejectionReason::TooLarge,
            message::ContentError::Malformed => RejectionReason::Malformed,
        })?;
        if !content.is_encrypted() && !self.allow_unencrypted {
            return Err(RejectionReason::Refused);
        }
        let mut accounts = present(known, epoch);
        if event.class == EventClass::Key && !event.recipients.is_empty() {
            accounts.retain(|account| event.recipients.contains(account));
        }
        let accepted_at = self.accepted_at(event);
        let message = StoredMessage {
            part: 0,
            device: None,
            device_number: event.sender_device,
            device_list_version: event.device_list_version,
            id: MessageId(record.id),
            to: group.to_string(),
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
        let content: Bytes = content.to_stored().into();
        let size = content.len() as u64;
        let received = Received { message, side: 0, recipients: accounts, discard: false, size };
        Ok(Verdict::Message(Box::new(received), content))
    }

    /// A member there has got further in a group's conversation.
    pub(super) fn group_watermark(
        &self,
        record: &EventRecord,
        (event, known): (&Event, &Known),
        recipients: &Recipients,
    ) -> Result<Verdict, RejectionReason> {
        let Some(sender) = record.sender else { return Err(RejectionReason::Malformed) };
        let reader = AccountId { uuid: sender, server: self.origin.clone() };
        if !known.state.members().contains_key(&reader.to_string()) {
            return Err(RejectionReason::Refused);
        }
        // Only who is in the group is told of it.
        let is_here = |one: &Uuid| known.local.values().any(|local| local.account.uuid == *one);
        let told = event.recipients.iter().copied();
        let told: Vec<Uuid> = told.filter(|one| recipients.exists(*one) && is_here(one)).collect();
        let [body] = event.bodies.as_slice() else { return Err(RejectionReason::Malformed) };
        let mark =
            payload::Watermark::decode(&body.data).map_err(|_| RejectionReason::Malformed)?;
        let watermark = Watermark {
            conversation: ConversationId::group(&known.id),
            reader,
            origin: self.own.clone(),
            reached: mark.seen.into(),
            through: mark.through,
            except: mark.except,
            at: self.now,
        };
        let rise = WatermarkRise { watermark, tell: told, forward: None };
        Ok(Verdict::Watermark(Box::new(rise)))
    }
}

/// Members of this region who were members at that epoch, and have not left: what was sent then is
/// for them.
fn present(known: &Known, epoch: u64) -> Vec<Uuid> {
    let members = known.state.members();
    let was_there = |name: &str| members.get(name).is_some_and(|member| member.joined <= epoch);
    let hearers = known.hearers().filter(|(name, _)| was_there(name));
    hearers.map(|(_, one)| one.account.uuid).collect()
}
