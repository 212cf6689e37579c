//! Messages that are sent again: to a device that could not read them, or that the first time did not
//! reach.

use posthouse_crypto::e2ee::{
    content::{Body, Content, MessageId as RawId, ResendRequest},
    primitives::curve::PublicKey,
};
use posthouse_protocol::{
    frame::{Class, DevicesChangedFrame},
    id::{AccountId, ConversationId, DeviceNumber},
    time::Timestamp,
};

use super::{Outgoing, Step, marks::message};
use crate::{
    Message,
    records::{Bytes, Person, Queued, SentContent, With, message_key},
    store::{Scan, StoreError, Table},
};

/// How long a sent content can be asked for again, in milliseconds.
const RESEND_WITHIN: u64 = 24 * 60 * 60 * 1000;
/// Contents that are forgotten at once.
const MAX_FORGOTTEN: usize = 10_000;
/// How often a message is sent again to one device.
const MAX_ANSWERS: u8 = 3;

impl Step<'_> {
    /// Asks the sender of a message that cannot be read to send it again, through a new session.
    pub(super) async fn ask_again(
        &mut self,
        unreadable: &Message,
        ratchet_key: Option<PublicKey>,
    ) -> Result<(), StoreError> {
        let (Some(ratchet_key), Some(place)) = (ratchet_key, &unreadable.place) else {
            return Ok(());
        };
        let Some(device) = unreadable.from_device else { return Ok(()) };
        // What is not for people is not worth a new session.
        if unreadable.from == self.own() || unreadable.class != Class::Message {
            return Ok(());
        }
        let marker = place.stamp.0.to_be_bytes().to_vec();
        self.tx.put(Table::Index, message_key(&unreadable.from, unreadable.id), marker.into());
        let mut session = self.session(&unreadable.from, device).await?;
        session.archive();
        self.put_session(&unreadable.from, device, &session);
        let request = ResendRequest {
            message_id: *unreadable.id.0.as_bytes(),
            ratchet_key: Some(ratchet_key),
            sender_key: None,
        };
        let body = Body::Resend(request);
        let wish = Outgoing::new(unreadable.from.clone().into(), body);
        let _ = self.say(wish).await?;
        Ok(())
    }

    /// Contents that nobody can ask for any more are deleted, unless they still wait.
    pub(super) async fn forget_sent(&mut self) -> Result<(), StoreError> {
        let to = too_old(self.now);
        let scan = Scan { to, ..Scan::prefix(Table::Sent, &[], MAX_FORGOTTEN) };
        for (key, _) in self.tx.scan(&scan).await? {
            let id: Option<RawId> = key.as_slice().try_into().ok();
            if id.is_none_or(|id| self.machine.lanes.lane_of(message(&id)).is_none()) {
                self.tx.delete(Table::Sent, key);
            }
        }
        Ok(())
    }

    /// Somebody could not read a message of this account: it is sent again, through a new
    /// session if it is the running one that does not fit.
    pub(super) async fn on_resend_request(
        &mut self,
        asking: &Message,
        request: &ResendRequest,
    ) -> Result<(), StoreError> {
        let (Some(device), key) = (asking.from_device, request.message_id.to_vec()) else {
            return Ok(());
        };
        let Some(mut sent) = self.tx.read::<SentContent>(Table::Sent, &key).await? else {
            return Ok(());
        };
        let is_late = self.now.0.saturating_sub(sent.at.0) > RESEND_WITHIN;
        if !self.was_meant_for(&sent, &asking.from).await?
            || is_late
            || !may_answer(&mut sent, &asking.from, device.get())
        {
            return Ok(());
        }
        self.tx.write(Table::Sent, key, &sent);
        if let Some(ratchet_key) = &request.ratchet_key {
            let mut session = self.session(&asking.from, device).await?;
            if session.archive_if_sending_with(ratchet_key) {
                self.put_session(&asking.from, device, &session);
            }
        }
        // The key of the profile may have gone the same way.
        self.forget_given(&asking.from).await?;
        self.say_again(&sent, request.message_id, (&asking.from, &[device]));
        self.mend(&sent.to, &asking.from).await
    }

    /// A message did not reach devices of its recipient that this device had not heard of. It is sent
    /// again, under another id and in its own name: who has it passes over it. Whom it goes to, the
    /// person's signed list says, and not the server.
    pub(super) async fn on_unserved(
        &mut self,
        unserved: &DevicesChangedFrame,
    ) -> Result<(), StoreError> {
        self.seen(unserved.cursor);
        let DevicesChangedFrame { message_id, user, missing, .. } = unserved;
        let key = message_id.0.as_bytes().to_vec();
        let Some(mut sent) = self.tx.read::<SentContent>(Table::Sent, &key).await? else {
            return Ok(());
        };
        let is_late = self.now.0.saturating_sub(sent.at.0) > RESEND_WITHIN;
        let mut may = false;
        for device in missing {
            may |= may_answer(&mut sent, user, device.get());
        }
        if sent.to.person() != Some(user) || is_late || !may {
            return Ok(());
        }
        self.tx.write(Table::Sent, key, &sent);
        let person = self.person(user).await?;
        self.put_person(user, &Person { fresh: false, ..person });
        self.say_again(&sent, *message_id.0.as_bytes(), (user, missing));
        Ok(())
    }

    /// Queues a content once more, for those devices of a person above all.
    fn say_again(
        &mut self,
        sent: &SentContent,
        first: RawId,
        (user, devices): (&AccountId, &[DeviceNumber]),
    ) {
        let Some(padded) = said_again(sent, first) else { return };
        let again = crate::message_id(self.now, self.rng);
        // What is sent again is not sent again by its new name.
        let answered = devices.iter().map(|device| (user.clone(), device.get(), MAX_ANSWERS));
        let copy = SentContent {
            to: user.clone().into(),
            epoch: 0,
            at: self.now,
            padded: Bytes(padded),
            answered: answered.collect(),
        };
        self.tx.write(Table::Sent, again.0.as_bytes().to_vec(), &copy);
        self.enqueue(&Queued::new(again, user.clone().into(), Class::Message, self.now));
    }

    /// Whether somebody is to have what was sent: the person, or who was a member then and is.
    async fn was_meant_for(
        &self,
        sent: &SentContent,
        asking: &AccountId,
    ) -> Result<bool, StoreError> {
        let With::Group(group) = &sent.to else { return Ok(sent.to.person() == Some(asking)) };
        let group = self.group(ConversationId::group(group)).await?;
        let people = group.map_or_else(Vec::new, |group| group.people());
        let joined = people.into_iter().find(|(who, ..)| who == asking);
        let joined = joined.and_then(|(_, _, joined)| joined);
        Ok(sent.epoch > 0 && joined.is_some_and(|joined| joined <= sent.epoch))
    }

    /// A device of a member lacks the sender key: its person's devices are looked at again, and
    /// everybody gets a new key with the next message.
    async fn mend(&mut self, to: &With, asking: &AccountId) -> Result<(), StoreError> {
        let With::Group(group) = to else { return Ok(()) };
        let person = self.person(asking).await?;
        self.put_person(asking, &Person { fresh: false, ..person });
        let conversation = ConversationId::group(group);
        let mut sending = self.sending(conversation).await?;
        sending.rotate();
        self.put_sending(conversation, &sending);
        self.reseal(conversation).await
    }
}

/// The same content, which names the message that it was first.
pub(super) fn said_again(sent: &SentContent, first: RawId) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let mut content = Content::from_padded_bytes(&sent.padded.0).ok()?;
    content.again = content.again.or(Some(first));
    content.to_padded_bytes().ok()
}

/// The keys of contents that are too old to be sent again: they begin with the time.
fn too_old(now: Timestamp) -> Vec<u8> {
    let before = now.minus_millis(RESEND_WITHIN).0.to_be_bytes();
    before.iter().skip(2).copied().collect()
}

/// Counts an answer to a device, unless it had enough.
fn may_answer(sent: &mut SentContent, user: &AccountId, device: u8) -> bool {
    let known = sent.answered.iter_mut().find(|(who, which, _)| who == user && *which == device);
    match known {
        Some((_, _, times)) if *times >= MAX_ANSWERS => false,
        Some((_, _, times)) => {
            *times += 1;
            true
        }
        None => {
            sent.answered.push((user.clone(), device, 1));
            true
        }
    }
}
