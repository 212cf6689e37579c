//! What comes to a group: under a key that came through the sender's own session, from somebody
//! who was a member when it was sent. What comes before its key or its chain waits.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::{
    content::{Body, Content, ResendRequest},
    group::receiving::{GroupDecryptError, ReceivedSenderKeys},
    group::waiting::{MAX_PER_SENDER, MAX_WAIT, MAX_WAITING, MAX_WAITING_BYTES},
    wire::sender_key_message::{SenderKeyDistribution, SenderKeyMessage},
};
use posthouse_protocol::{
    content::Payload,
    frame::Class,
    id::{AccountId, ConversationId, DeviceNumber, GroupId, MessageId},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Call, Outgoing, Step, incoming::Opened};
use crate::{
    Event, Message,
    records::{Group, With, message_key, session_key},
    store::{Scan, StoreError, Table},
    update::{ChainFault, Entry, Said, Update},
};

impl Step<'_> {
    /// A message to a group, with the frame that it came in.
    pub(super) async fn on_group_message(
        &mut self,
        message: &Message,
        frame: &str,
    ) -> Result<(), StoreError> {
        let opened = self.open_to_group(message).await?;
        match opened {
            Opened::Content(content) => self.apply_to_group(message, &content).await,
            Opened::Held => self.wait_for_key(message, frame).await,
            Opened::Unreadable(reason, _) => {
                if message.place.is_some() {
                    let (id, from) = (message.id, message.from.clone());
                    self.tell(&Update::Undecryptable { id, from, reason });
                }
                Ok(())
            }
        }
    }

    async fn open_to_group(&mut self, message: &Message) -> Result<Opened, StoreError> {
        let unreadable = |reason: &str| Ok(Opened::Unreadable(reason.to_owned(), None));
        let conversation = message.conversation;
        let (Payload::Body(body), Some(device)) = (&message.content.payload, message.from_device)
        else {
            return unreadable("it is not for a group");
        };
        let bytes = STANDARD.decode(body).ok();
        let parsed = bytes.and_then(|bytes| SenderKeyMessage::from_bytes(&bytes).ok());
        let Some(parsed) = parsed.filter(|m| *m.distribution_id() == conversation.0) else {
            return unreadable("it is malformed");
        };
        let Some(group) = self.group(conversation).await? else {
            self.call(Call::Groups(None));
            return Ok(Opened::Held);
        };
        let epoch = message.epoch.unwrap_or(0);
        if epoch > group.epoch() {
            self.heard_of(&group.id, None).await?;
            return Ok(Opened::Held);
        }
        if !group.wrote_as_member(&message.from, epoch) {
            let account = message.from.clone();
            self.accuse(&group.id, ChainFault::Ghost { account, epoch });
            return unreadable("its sender is no member of the group");
        }
        let mut keys = self.received(conversation, &message.from, device).await?;
        match keys.decrypt(&parsed) {
            Ok(plain) => {
                self.put_received(conversation, &message.from, device, &keys);
                Ok(match Content::from_padded_bytes(&plain) {
                    Ok(content) if content.conversation == Some(group.id.to_string()) => {
                        Opened::Content(Box::new(content))
                    }
                    Ok(_) => Opened::Unreadable("it belongs to another group".to_owned(), None),
                    Err(err) => Opened::Unreadable(err.to_string(), None),
                })
            }
            Err(GroupDecryptError::UnknownKey) => {
                self.ask_for_key(message, parsed.chain_id()).await?;
                Ok(Opened::Held)
            }
            Err(err) => unreadable(&err.to_string()),
        }
    }

    /// Asks once for a message whose key was not handed to this device.
    async fn ask_for_key(&mut self, message: &Message, chain: u32) -> Result<(), StoreError> {
        let Some(place) = &message.place else { return Ok(()) };
        if message.from == self.own() || message.class != Class::Message {
            return Ok(());
        }
        let key = message_key(&message.from, message.id);
        if self.tx.get(Table::Index, &key).await?.is_some_and(|at| at.len() >= 8) {
            return Ok(());
        }
        let marker = place.stamp.0.to_be_bytes().to_vec();
        self.tx.put(Table::Index, key, marker.into());
        let request = ResendRequest {
            message_id: *message.id.0.as_bytes(),
            ratchet_key: None,
            sender_key: Some((message.conversation.0, chain)),
        };
        let body = Body::Resend(request);
        let to = With::Person(message.from.clone());
        let _ = self.say(Outgoing::new(to, body)).await?;
        Ok(())
    }

    /// A sender key, through the session of the device that uses it.
    pub(super) async fn on_distribution(
        &mut self,
        message: &Message,
        id: &GroupId,
        distribution: &SenderKeyDistribution,
    ) -> Result<(), StoreError> {
        let conversation = ConversationId::group(id);
        let Some(device) = message.from_device else { return Ok(()) };
        if *distribution.distribution_id() != conversation.0 {
            return Ok(());
        }
        let group = self.group(conversation).await?;
        let epoch = message.epoch.unwrap_or(0);
        let is_ahead = group.as_ref().is_none_or(|group| epoch > group.epoch());
        let is_member =
            group.as_ref().is_some_and(|group| group.wrote_as_member(&message.from, epoch));
        if is_ahead {
            self.heard_of(id, None).await?;
        }
        // A group for which there is no room has no keys either.
        let has_room = self.group(conversation).await?.is_some();
        if !has_room || !(is_member || is_ahead) {
            return Ok(());
        }
        let mut keys = self.received(conversation, &message.from, device).await?;
        if keys.process(distribution).is_ok() {
            self.put_received(conversation, &message.from, device, &keys);
            self.retry_waiting(&waiting_prefix(conversation, &message.from, device)).await?;
        }
        Ok(())
    }

    /// A message to a group that was asked for and came through a session.
    pub(super) async fn on_resent(
        &mut self,
        message: &Message,
        id: &GroupId,
        content: &Content,
    ) -> Result<(), StoreError> {
        let conversation = ConversationId::group(id);
        let Some(again) = content.again else { return Ok(()) };
        let key = message_key(&message.from, MessageId(Uuid::from_bytes(again)));
        let is_asked = self.tx.get(Table::Index, &key).await?.is_some_and(|at| at.len() == 8);
        let group = self.group(conversation).await?;
        let is_member = group.is_some_and(|g| g.wrote_as_member(&message.from, g.epoch()));
        if is_asked && is_member {
            let message = Message { conversation, ..message.clone() };
            self.apply_to_group(&message, content).await?;
        }
        Ok(())
    }

    /// An authentic content of a member.
    async fn apply_to_group(
        &mut self,
        message: &Message,
        content: &Content,
    ) -> Result<(), StoreError> {
        let conversation = message.conversation;
        let Some(place) = &message.place else {
            let group = self.group(conversation).await?;
            if let (Body::Typing { started }, Some(Group { id: group, .. })) =
                (&content.body, group)
                && message.from != self.own()
            {
                self.on_typing((Some(group), message.from.clone()), *started);
            }
            return Ok(());
        };
        let Some(Group { id, .. }) = self.group(conversation).await? else { return Ok(()) };
        let with = With::Group(id);
        let mut record = self.conversation(&with).await?;
        // What is sent again has its place in another conversation.
        if content.again.is_none() {
            record.highest = record.highest.max(Some(place.stamp));
        }
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        let Some((id_of, stamp)) = self.meant(message, content, place.stamp).await? else {
            return Ok(());
        };
        if let Some(key) = &content.profile_key {
            self.on_profile_key(&message.from, &key.0).await?;
        }
        let Some(said) = Said::of(content) else {
            return self.mark(&with, &message.from, content, stamp, true).await;
        };
        let entry = Entry::received(message, content, (id_of, stamp), &with, said, &self.own());
        self.show(entry).await
    }

    /// Puts a message aside until its key or its chain comes.
    async fn wait_for_key(&mut self, message: &Message, frame: &str) -> Result<(), StoreError> {
        let (Some(place), Some(device)) = (&message.place, message.from_device) else {
            return Ok(());
        };
        let mut prefix = message.conversation.0.to_vec();
        prefix.extend_from_slice(message.from.to_string().as_bytes());
        prefix.push(0);
        let of_sender = Scan::prefix(Table::Waiting, &prefix, MAX_PER_SENDER);
        let (count, bytes) = self.machine.waiting;
        let is_full = count >= MAX_WAITING
            || bytes + frame.len() > MAX_WAITING_BYTES
            || self.tx.scan(&of_sender).await?.len() >= MAX_PER_SENDER;
        if is_full {
            let (id, from) = (message.id, message.from.clone());
            let reason = "too many messages wait for their keys".to_owned();
            self.tell(&Update::Undecryptable { id, from, reason });
            return Ok(());
        }
        self.machine.waiting = (count + 1, bytes + frame.len());
        let mut key = waiting_prefix(message.conversation, &message.from, device);
        key.extend_from_slice(&place.cursor.0.to_be_bytes());
        key.extend_from_slice(message.id.0.as_bytes());
        self.tx.put(Table::Waiting, key, Zeroizing::new(frame.as_bytes().to_vec()));
        Ok(())
    }

    /// More is known: what waits under keys with this prefix is looked at again.
    pub(super) async fn retry_waiting(&mut self, prefix: &[u8]) -> Result<(), StoreError> {
        for (key, frame) in self.tx.scan(&Scan::prefix(Table::Waiting, prefix, MAX_WAITING)).await?
        {
            let text = String::from_utf8_lossy(&frame).into_owned();
            let Ok(Event::Message(message)) = Event::parse(&text) else {
                self.no_longer_waits(key, frame.len());
                continue;
            };
            let index = message_key(&message.from, message.id);
            let is_shown = self.tx.get(Table::Index, &index).await?.is_some_and(|at| at.len() > 8);
            if is_shown {
                // It was sent again meanwhile.
                self.no_longer_waits(key, frame.len());
                continue;
            }
            match self.open_to_group(&message).await? {
                Opened::Held => continue,
                Opened::Content(content) => self.apply_to_group(&message, &content).await?,
                Opened::Unreadable(reason, _) => {
                    let (id, from) = (message.id, message.from.clone());
                    self.tell(&Update::Undecryptable { id, from, reason });
                }
            }
            self.no_longer_waits(key, frame.len());
        }
        Ok(())
    }

    fn no_longer_waits(&mut self, key: Vec<u8>, len: usize) {
        let (count, bytes) = self.machine.waiting;
        self.machine.waiting = (count.saturating_sub(1), bytes.saturating_sub(len));
        self.tx.delete(Table::Waiting, key);
    }

    /// What has waited for 7 days waits no longer.
    pub(super) async fn give_up_waiting(&mut self) -> Result<(), StoreError> {
        let scan = Scan::prefix(Table::Waiting, &[], MAX_WAITING);
        for (key, frame) in self.tx.scan(&scan).await? {
            let text = String::from_utf8_lossy(&frame).into_owned();
            let Ok(Event::Message(message)) = Event::parse(&text) else { continue };
            if self.now.0.saturating_sub(message.server_timestamp.0) >= MAX_WAIT {
                self.no_longer_waits(key, frame.len());
            }
        }
        Ok(())
    }

    async fn received(
        &self,
        conversation: ConversationId,
        from: &AccountId,
        device: DeviceNumber,
    ) -> Result<ReceivedSenderKeys, StoreError> {
        match self.tx.get(Table::Keys, &received_key(conversation, from, device)).await? {
            Some(stored) => ReceivedSenderKeys::from_bytes(&stored)
                .map_err(|_| StoreError::Corrupt(Table::Keys)),
            None => Ok(ReceivedSenderKeys::new(conversation.0)),
        }
    }

    fn put_received(
        &mut self,
        conversation: ConversationId,
        from: &AccountId,
        device: DeviceNumber,
        keys: &ReceivedSenderKeys,
    ) {
        self.tx.put(Table::Keys, received_key(conversation, from, device), keys.to_bytes());
    }
}

/// `conversation ‖ sender ‖ 0 ‖ device`.
fn received_key(conversation: ConversationId, from: &AccountId, device: DeviceNumber) -> Vec<u8> {
    let mut key = conversation.0.to_vec();
    key.extend_from_slice(&session_key(from, device));
    key
}

/// What the keys of all that waits of one device in a group start with.
fn waiting_prefix(conversation: ConversationId, from: &AccountId, device: DeviceNumber) -> Vec<u8> {
    received_key(conversation, from, device)
}
