//! What becomes of what was sent.

use posthouse_protocol::{
    frame::{Class, StatusFrame, WatermarkFrame},
    id::{AccountId, ConversationId, MessageId},
    status::Status,
};
use uuid::Uuid;

use super::{Call, Step, lanes::Hold};
use crate::{
    Refusal,
    records::{Person, Queued, Reached, message_key, number_key, open_key, timeline_key},
    store::{Scan, StoreError, Table, decode},
    update::{Entry, Update},
};

/// Refusals of a lane in a row after which it pauses.
const PATIENCE: u32 = 4;
/// The longest pause of a lane, in seconds.
const MAX_PAUSE: u64 = 60;

impl Step<'_> {
    /// The status of one message.
    pub(super) async fn on_status(&mut self, status: &StatusFrame) -> Result<(), StoreError> {
        if let Some(cursor) = status.cursor {
            self.seen(cursor);
        }
        let own = self.own();
        if status.status == Status::Sent {
            return self.taken_by_server(status).await;
        }
        if let Some((key, entry)) = self.entry(&own, status.message_id).await? {
            self.advance(key, entry, status.status, status.reason.clone());
        }
        Ok(())
    }

    /// The homeserver has taken a message: it leaves the queue and gets its place.
    async fn taken_by_server(&mut self, status: &StatusFrame) -> Result<(), StoreError> {
        let id = status.message_id;
        let Some((conversation, lane)) = self.machine.lanes.lane_of(id) else { return Ok(()) };
        lane.refused = 0;
        lane.suspects.clear();
        lane.without_prev = false;
        lane.without_after = false;
        let with = lane.to.clone();
        let Some(number) = self.machine.lanes.remove(id) else { return Ok(()) };
        let taken = self.tx.read::<Queued>(Table::Queue, &number_key(number)).await?;
        self.tx.delete(Table::Queue, number_key(number));
        if let Some(taken) = taken.filter(|taken| !taken.has.is_empty()) {
            self.send_rest(taken).await?;
        }
        let own = self.own();
        if with.person() == Some(&own) {
            // Own devices ask for the next piece, not for a message again.
            self.tx.delete(Table::Sent, id.0.as_bytes().to_vec());
        }
        let mut record = self.conversation(&with).await?;
        record.last_taken = Some(id);
        record.highest = record.highest.max(status.stamp);
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        let Some((key, entry)) = self.entry(&own, id).await? else { return Ok(()) };
        self.tx.delete(Table::Timeline, key);
        let (stamp, origin_number) = (status.stamp, status.origin_number);
        let entry = Entry { stamp, origin_number, queued: 0, ..entry };
        let key = timeline_key(&entry);
        self.tx.put(Table::Index, message_key(&own, id), key.clone().into());
        self.start_expiry(&entry);
        self.advance(key.clone(), entry.clone(), Status::Sent, None);
        let Some(number) = origin_number else { return Ok(()) };
        // What has told of this number before it was known is not told again.
        let known = record.reached.iter().filter(|reached| reached.covers(number));
        let known = known.map(|reached| reached.status).max();
        if let Some(status) = known {
            // A receipt may have said more, before either.
            let entry = Entry { status: entry.status.max(Some(Status::Sent)), ..entry };
            self.advance(key, entry, status, None);
        }
        if known < Some(Status::Delivered) {
            self.tx.write(Table::Open, open_key(conversation, number), &id);
        }
        if let Some(tally) =
            record.tally.as_deref().and_then(|json| serde_json::from_str(json).ok())
        {
            self.count(&tally).await?;
        }
        Ok(())
    }

    /// The status of many messages.
    pub(super) async fn on_watermark(&mut self, mark: &WatermarkFrame) -> Result<(), StoreError> {
        self.seen(mark.cursor);
        let own = self.own();
        let conversation = mark.conversation_id;
        if mark.origin != own.server || conversation != self.conversation_with(&mark.user) {
            return Ok(());
        }
        let mut record = self.conversation(&mark.user.clone().into()).await?;
        record.reached.retain(|reached| reached.status != mark.status);
        let WatermarkFrame { status, through, .. } = *mark;
        record.reached.push(Reached { status, through, except: mark.except.clone() });
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        let scan = Scan {
            to: open_key(conversation, mark.through.saturating_add(1)),
            ..Scan::prefix(Table::Open, &conversation.0, usize::MAX)
        };
        for (key, id) in self.tx.scan(&scan).await? {
            if mark.except.contains(&crate::records::key_number(&key)) {
                continue;
            }
            let id: MessageId = decode(Table::Open, &id)?;
            if let Some((at, entry)) = self.entry(&own, id).await? {
                self.advance(at, entry, mark.status, None);
            }
            if mark.status >= Status::Delivered {
                self.tx.delete(Table::Open, key);
            }
        }
        Ok(())
    }

    /// Writes an entry with a status that only advances, and tells it.
    pub(super) fn advance(
        &mut self,
        key: Vec<u8>,
        mut entry: Entry,
        status: Status,
        reason: Option<String>,
    ) {
        let advances = entry.status.is_none_or(|known| known < status);
        if advances {
            entry.status = Some(status);
            let (id, with) = (entry.id, entry.with.clone());
            self.tell(&Update::Status { id, with, status, reason });
        }
        self.tx.write(Table::Timeline, key, &entry);
    }

    /// Something that this device sent was refused.
    pub(super) async fn on_refusal(&mut self, refusal: &Refusal) -> Result<(), StoreError> {
        let reference = refusal.reference.as_deref().and_then(|r| Uuid::parse_str(r).ok());
        let Some(id) = reference.map(MessageId) else { return Ok(()) };
        self.machine.lanes.land(id);
        let Some((conversation, lane)) = self.machine.lanes.lane_of(id) else { return Ok(()) };
        let is_first = lane.items.front().is_some_and(|item| item.id == id);
        match refusal.code.as_str() {
            "stale_epoch" if lane.to.group().is_some() => {
                self.on_stale_epoch(conversation, refusal.head.as_ref()).await
            }
            "stale_devices" => {
                let stale = refusal.stale_devices.as_ref();
                let user = stale.and_then(|stale| AccountId::parse(&stale.user).ok());
                let user = user.or_else(|| lane.to.person().cloned());
                let Some(user) = user else { return Ok(()) };
                if is_first {
                    lane.suspects = stale.map_or_else(Vec::new, |stale| stale.missing.clone());
                }
                self.on_stale_devices(conversation, &user).await
            }
            // The one before it was refused: it is sent again behind it. If there is none, the
            // server knows less than this device, and nothing can be overtaken.
            "out_of_order" if !is_first => Ok(()),
            "out_of_order" if !lane.without_prev => {
                lane.without_prev = true;
                Ok(())
            }
            "after_unknown" if !lane.without_after => {
                lane.without_after = true;
                Ok(())
            }
            "rate_limited" | "overloaded" | "unavailable" | "internal" | "timeout"
            | "region_unreachable" | "queue_full" | "out_of_order" | "after_unknown" => {
                lane.refused = lane.refused.saturating_add(1);
                let pause = 1_u64 << lane.refused.min(6);
                let asked = refusal.retry_after.map_or(0, u64::from);
                self.pause(conversation, pause.max(asked).min(MAX_PAUSE.max(asked)));
                Ok(())
            }
            // A piece that names somebody who is no member any more, for instance: others are made.
            _ if self.is_piece(id).await? => {
                self.reseal(conversation).await?;
                self.pause(conversation, 1);
                Ok(())
            }
            code => self.fail(id, code).await,
        }
    }

    /// The ciphertexts did not match: the devices are asked for, and everything in the lane is
    /// encrypted anew. Nothing of it was delivered.
    async fn on_stale_devices(
        &mut self,
        conversation: ConversationId,
        user: &AccountId,
    ) -> Result<(), StoreError> {
        let person = self.person(user).await?;
        self.put_person(user, &Person { fresh: false, ..person });
        let Some(lane) = self.machine.lanes.get(conversation) else { return Ok(()) };
        lane.refused = lane.refused.saturating_add(1);
        let is_stuck = lane.refused > PATIENCE;
        let is_group = lane.to.group().is_some();
        lane.needs.insert(user.clone());
        if !matches!(lane.hold, Some(Hold::Until(_))) {
            lane.hold = Some(Hold::Answer);
        }
        if is_group {
            self.reseal(conversation).await?;
            if is_stuck {
                self.pause(conversation, MAX_PAUSE);
            } else {
                self.call(Call::Devices(user.clone()));
            }
            return Ok(());
        }
        let items: Vec<u64> = lane.items.iter().map(|item| item.number).collect();
        for number in items {
            let key = number_key(number);
            if let Some(queued) = self.tx.read::<Queued>(Table::Queue, &key).await?
                && queued.sealed.is_some()
            {
                self.tx.write(Table::Queue, key, &Queued { sealed: None, ..queued });
            }
        }
        if is_stuck {
            self.pause(conversation, MAX_PAUSE);
        } else {
            self.call(Call::Devices(user.clone()));
        }
        Ok(())
    }

    /// Whether what was refused hands out a sender key.
    async fn is_piece(&mut self, id: MessageId) -> Result<bool, StoreError> {
        let Some((_, lane)) = self.machine.lanes.lane_of(id) else { return Ok(false) };
        let Some(item) = lane.items.iter().find(|item| item.id == id) else { return Ok(false) };
        if lane.to.group().is_none() {
            return Ok(false);
        }
        let key = number_key(item.number);
        let queued = self.tx.read::<Queued>(Table::Queue, &key).await?;
        Ok(queued.is_some_and(|queued| queued.class == Class::Key))
    }

    /// A message will not be taken.
    pub(super) async fn fail(&mut self, id: MessageId, code: &str) -> Result<(), StoreError> {
        if let Some(number) = self.machine.lanes.remove(id) {
            self.tx.delete(Table::Queue, number_key(number));
        }
        self.key_not_taken(id).await?;
        self.tx.delete(Table::Sent, id.0.as_bytes().to_vec());
        let own = self.own();
        if let Some((key, entry)) = self.entry(&own, id).await? {
            self.advance(key, entry, Status::Failed, Some(code.to_owned()));
        }
        Ok(())
    }

    /// Nothing of a lane will be taken.
    pub(super) async fn fail_lane(
        &mut self,
        user: &AccountId,
        code: &str,
    ) -> Result<(), StoreError> {
        let conversation = self.conversation_with(user);
        let Some(lane) = self.machine.lanes.get(conversation) else { return Ok(()) };
        let ids: Vec<MessageId> = lane.items.iter().map(|item| item.id).collect();
        for id in ids {
            self.fail(id, code).await?;
        }
        Ok(())
    }
}
