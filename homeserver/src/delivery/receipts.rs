//! Step 11: what acknowledgements tell the senders: at once, per message, to devices that are
//! connected; durably, as a watermark, to everyone.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_client_api::ports::Caller;
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    cursor::Cursor,
    federation::{
        event::{Event, EventBody, EventClass, EventKind},
        limits::MAX_ACKNOWLEDGED,
        payload::Acknowledged,
    },
    frame::StatusFrame,
    id::{AccountId, ConversationId, GroupId, ServerName},
    problem::Rejection,
    status::Seen,
    time::Timestamp,
};
use posthouse_storage::receipts::{Forward, PositionAdvance, Watermark, WatermarkRise};
use uuid::Uuid;

use super::{
    Connections, Progress,
    window::{Flying, Progressed},
};
use crate::{groups::GroupBook, people::Relations, random::Random, regions::Regions};

/// Tells senders what became of their messages.
#[derive(Clone)]
pub(super) struct Receipts {
    pub(super) server: ServerName,
    pub(super) connections: Arc<Connections>,
    pub(super) progress: Arc<Progress>,
    pub(super) random: Arc<Random>,
    pub(super) regions: Arc<dyn Regions>,
    pub(super) wishes: Arc<dyn Wishes>,
}

/// What readers want told of them.
#[async_trait]
pub(crate) trait Wishes: Send + Sync {
    /// Whether the reader, of this region, wants senders to know what it has read.
    ///
    /// # Errors
    /// As the store.
    async fn tells_read(&self, reader: Uuid) -> Result<bool, Rejection>;

    /// Whether the reader is a member of the group, and was one at this epoch.
    ///
    /// # Errors
    /// As the store.
    async fn belongs(
        &self,
        reader: &AccountId,
        group: &GroupId,
        epoch: u64,
    ) -> Result<bool, Rejection>;
}

/// What the store says of readers.
pub(super) struct Readers {
    pub(super) relations: Arc<Relations>,
    pub(super) book: Arc<GroupBook>,
}

#[async_trait]
impl Wishes for Readers {
    async fn tells_read(&self, reader: Uuid) -> Result<bool, Rejection> {
        Ok(self.relations.privacy(reader).await?.read_receipts)
    }

    async fn belongs(
        &self,
        reader: &AccountId,
        group: &GroupId,
        epoch: u64,
    ) -> Result<bool, Rejection> {
        let Some(known) = self.book.current(group).await? else { return Ok(false) };
        let member = known.state.members().get(&reader.to_string());
        Ok(member.is_some_and(|member| member.joined <= epoch))
    }
}

impl Receipts {
    /// A window has moved.
    pub(super) fn progressed(&self, reader: &Caller, progressed: &Progressed, now: Timestamp) {
        self.tell_now(reader, &progressed.newly, Seen::Delivered, now);
        if let Some(position) = progressed.position {
            let device = reader.device;
            self.progress.advance(PositionAdvance { device, position, active_at: now });
            self.rise(reader, &progressed.passed, Seen::Delivered, now);
        }
    }

    /// The reader's device is no longer connected: remembers when it was last seen.
    pub(super) fn left(&self, reader: &Caller, now: Timestamp) {
        let (device, position) = (reader.device, Cursor::START);
        self.progress.advance(PositionAdvance { device, position, active_at: now });
    }

    /// The reader has read these, and with each what came before it in its conversation. Nobody is
    /// told, if the reader does not want that.
    ///
    /// # Errors
    /// As the store, which knows the reader's wish.
    pub(super) async fn read(
        &self,
        reader: &Caller,
        messages: &[Flying],
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if !self.wishes.tells_read(reader.account.uuid).await? {
            return Ok(());
        }
        self.tell_now(reader, messages, Seen::Read, now);
        let passed: Vec<_> = messages.iter().map(|message| (message.clone(), true)).collect();
        self.rise(reader, &passed, Seen::Read, now);
        Ok(())
    }

    /// Tells connected devices of the senders, message by message.
    fn tell_now(&self, reader: &Caller, messages: &[Flying], seen: Seen, now: Timestamp) {
        self.tell_regions(reader, messages, seen, now);
        for message in messages {
            if message.is_group
                || message.sender == reader.account
                || message.sender.server != self.server
                || !self.connections.is_connected(message.sender.uuid)
            {
                continue;
            }
            let frame = StatusFrame {
                message_id: message.id,
                status: seen.into(),
                at: now,
                user: Some(reader.account.clone()),
                conversation_id: None,
                stamp: None,
                origin_number: None,
                reason: None,
                cursor: None,
            };
            self.connections.push(message.sender.uuid, &frame.to_json().into(), None);
        }
    }

    /// Tells the regions of senders elsewhere, sender by sender.
    fn tell_regions(&self, reader: &Caller, messages: &[Flying], seen: Seen, now: Timestamp) {
        let mut senders: Vec<(&Flying, Vec<Uuid>)> = Vec::new();
        let abroad = |message: &&Flying| !message.is_group && message.sender.server != self.server;
        for message in messages.iter().filter(abroad) {
            let same = |(first, ids): &&mut (&Flying, Vec<Uuid>)| {
                first.sender == message.sender
                    && first.conversation == message.conversation
                    && ids.len() < MAX_ACKNOWLEDGED
            };
            match senders.iter_mut().find(same) {
                Some((_, ids)) => ids.push(message.id.0),
                None => senders.push((message, vec![message.id.0])),
            }
        }
        for (message, ids) in senders {
            let body = Acknowledged { seen, ids }.encode();
            let event = Event {
                conversation: Some(message.conversation),
                recipients: vec![message.sender.uuid],
                bodies: vec![EventBody::for_all(body)],
                ..Event::new(EventKind::Acknowledged, EventClass::Ephemeral)
            };
            let id = self.random.uuid_at(now);
            // None replaces another: each names messages of its own.
            let key = EphemeralKey {
                kind: EventKind::Acknowledged.number(),
                sender: id,
                conversation: None,
            };
            let sender = reader.account.uuid;
            let ephemeral = Ephemeral { key, sender, id, event: event.encode().into() };
            self.regions.whisper(&message.sender.server, ephemeral);
        }
    }

    /// One watermark per conversation and origin, however many messages were passed.
    fn rise(&self, reader: &Caller, passed: &[(Flying, bool)], seen: Seen, now: Timestamp) {
        let mut rises: Vec<WatermarkRise> = Vec::new();
        for (message, _) in passed {
            if message.sender == reader.account {
                continue;
            }
            match rises.iter_mut().find(|rise| same(rise, message)) {
                Some(rise) => {
                    let number = message.origin_number;
                    rise.watermark.through = rise.watermark.through.max(number);
                    tell(rise, &message.sender);
                }
                None => rises.push(self.new_rise(message, &reader.account, seen, now)),
            }
        }
        for rise in &mut rises {
            let of = |wanted: bool| {
                let all = passed.iter().filter(move |(_, was_seen)| *was_seen == wanted);
                all.map(|(message, _)| message)
            };
            let is_seen =
                |number| of(true).any(|one| same(rise, one) && one.origin_number == number);
            let skipped = of(false).filter(|one| same(rise, one)).map(|one| one.origin_number);
            // What another entry of the same number had for the device counts.
            let except: Vec<u64> = skipped.filter(|number| !is_seen(*number)).collect();
            if !of(true).any(|one| same(rise, one)) {
                // It is noted, so that later watermarks name it; there is nothing to be told.
                rise.tell.clear();
                rise.forward = None;
            }
            rise.watermark.except = except;
        }
        for rise in rises {
            self.progress.rise(rise);
        }
    }

    /// A rise that tells the message's sender: here, or through its region.
    fn new_rise(
        &self,
        message: &Flying,
        reader: &AccountId,
        seen: Seen,
        now: Timestamp,
    ) -> WatermarkRise {
        let sender = &message.sender;
        let (tell, forward) = if sender.server == self.server {
            (vec![sender.uuid], None)
        } else {
            let id = self.random.uuid_at(now);
            (Vec::new(), Some(Forward { id, recipients: vec![sender.uuid] }))
        };
        let conversation: ConversationId = message.conversation;
        WatermarkRise {
            watermark: Watermark {
                conversation,
                reader: reader.clone(),
                origin: sender.server.clone(),
                reached: seen.into(),
                through: message.origin_number,
                except: Vec::new(),
                at: now,
            },
            tell,
            forward,
        }
    }
}

fn same(rise: &WatermarkRise, message: &Flying) -> bool {
    let mark = &rise.watermark;
    mark.conversation == message.conversation && mark.origin == message.sender.server
}

/// One more sender is told of a rise.
fn tell(rise: &mut WatermarkRise, sender: &AccountId) {
    let told = match &mut rise.forward {
        Some(forward) => &mut forward.recipients,
        None => &mut rise.tell,
    };
    if !told.contains(&sender.uuid) {
        told.push(sender.uuid);
    }
}
