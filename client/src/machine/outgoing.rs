//! What the application sends: queued durably, encrypted when its turn comes, sent until it is
//! taken.

use posthouse_crypto::e2ee::{
    content::{Body, Content, ContentError, Mention as Meant, ReceiptStatus},
    secret::Secret,
    time::UnixMillis,
};
use posthouse_protocol::{
    content::{Ciphertext, Content as Envelope, Payload},
    frame::{Class, ClientFrame, PresenceUpdate, Submission},
    id::{AccountId, Address, ConversationId, DeviceNumber, GroupId, MessageId, RegistrationId},
    limits::MAX_SUBSCRIPTIONS,
    rest::{Profile as Sealed, groups::Epochs, keys::UserDevices},
    time::Stamp,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Step, lanes::Hold};
use crate::{
    Mention, Profile, encode,
    message_id::message_id,
    records::{
        Bytes, Conversation, Queued, SentContent, With, message_key, number_key, timeline_key,
    },
    store::{StoreError, Table},
    update::{Entry, Said},
};

/// Something that the application wants said.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: With,
    pub(crate) body: Body,
    /// Who is mentioned in its text.
    pub(crate) mentions: Vec<Meant>,
    /// Seconds that it is shown after it was read.
    pub(crate) expires_after: Option<u32>,
}

impl Outgoing {
    /// Something without mentions, for good.
    pub(crate) fn new(to: With, body: Body) -> Self {
        Self { to, body, mentions: Vec::new(), expires_after: None }
    }
}

/// How far the application's call to leave a group has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It is wanted, whatever becomes of the call.
    Begun,
    /// The homeserver could not be asked: it goes on without the application.
    Later,
    /// It cannot be.
    Impossible,
}

/// Other wishes of the application.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Everything in the conversation with this person up to now was read.
    Read(AccountId),
    /// Everything in this group up to now was read.
    ReadGroup(GroupId),
    /// What is sent there from now on disappears so many seconds after it was read.
    Disappear(With, Option<u32>),
    /// Typing began or stopped.
    Typing(AccountId, bool),
    /// The same in a group.
    TypingIn(GroupId, bool),
    /// The person knows of the changed key and goes on with it.
    AcceptKey(AccountId),
    /// The person has compared the safety number.
    Verified(AccountId),
    /// Updates up to this number are taken.
    Taken(u64),
    /// The presence of these people, and of nobody else, is of interest.
    Watch(Vec<AccountId>),
    /// Whether the person is elsewhere.
    Away(bool),
    /// A piece of a group's chain that the application's call has fetched or made.
    Chain(GroupId, Box<Epochs>),
    /// This account leaves a group.
    Leave(GroupId, Leaving),
    /// Somebody's devices, which the application's call has asked for.
    Devices(AccountId, Box<UserDevices>),
    /// A new title's key, and whom to hand it to.
    Title(GroupId, Secret<32>, Vec<AccountId>),
    /// The own devices have changed, by this person's will.
    SignList(ListChange),
    /// The own profile, which is published.
    SetProfile(Box<Profile>),
    /// Somebody's profile is shown.
    LookAt(AccountId),
    /// Somebody's profile, which the application's call has asked for.
    Profile(AccountId, Box<Sealed>),
    /// This person was accepted: they are given the key of the own profile.
    Share(AccountId),
    /// This person is not heard any more.
    Blocked(AccountId),
    /// This person is heard again.
    Unblocked(AccountId),
}

/// What becomes of the own device list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ListChange {
    /// A device was let in.
    Add { device: DeviceNumber, registration_id: RegistrationId },
    /// A device was removed.
    Remove { device: DeviceNumber },
}

impl Step<'_> {
    /// Queues a message. Its id.
    pub(crate) async fn say(
        &mut self,
        outgoing: Outgoing,
    ) -> Result<Result<MessageId, ContentError>, StoreError> {
        let Outgoing { to, body, mentions, expires_after } = outgoing;
        let class = match &body {
            Body::Receipt { .. } => Class::Receipt,
            Body::Resend(_) => Class::Control,
            _ => Class::Message,
        };
        let group = to.group().map(ToString::to_string);
        let mut content = Content::new(UnixMillis(self.now.0), group, body);
        if Said::of(&content).is_some() {
            let setting = self.conversation(&to).await?.disappears;
            content.expires_after = expires_after.or(setting);
            if let With::Group(group) = &to {
                content.profile_key = self.key_for_group(group).await?;
            }
        }
        content.mentions = mentions;
        let padded = match content.to_padded_bytes() {
            Ok(padded) => padded,
            Err(err) => return Ok(Err(err)),
        };
        if let (Class::Message, With::Person(user)) = (class, &to) {
            self.share_profile(user).await?;
        }
        let id = message_id(self.now, self.rng);
        let own = self.own();
        if let Some(said) = Said::of(&content) {
            self.show_own(id, &to, said, &content).await?;
        } else if class == Class::Message {
            // An edit and the like shows at once on the device that makes it.
            let highest = self.conversation(&to).await?.highest.unwrap_or_default();
            let after = Stamp(highest.0.saturating_add(1)).max(Stamp::at(self.now));
            self.mark(&to, &own, &content, after, false).await?;
        }
        self.enqueue_content(&Queued::new(id, to, class, self.now), padded);
        Ok(Ok(id))
    }

    /// Queues a content, and keeps it as long as somebody may ask for it again.
    pub(super) fn enqueue_content(&mut self, queued: &Queued, padded: Zeroizing<Vec<u8>>) {
        let sent = SentContent {
            to: queued.to.clone(),
            epoch: 0,
            at: self.now,
            padded: Bytes(padded),
            answered: Vec::new(),
        };
        self.tx.write(Table::Sent, queued.id.0.as_bytes().to_vec(), &sent);
        self.enqueue(queued);
    }

    pub(super) fn enqueue(&mut self, queued: &Queued) {
        let conversation = self.place_of(&queued.to);
        let number = self.machine.lanes.next_number;
        self.machine.lanes.push(conversation, number, queued);
        self.tx.write(Table::Queue, number_key(number), queued);
    }

    /// Another wish.
    pub(crate) async fn wish(&mut self, wish: Wish) -> Result<(), StoreError> {
        match wish {
            Wish::Read(user) => self.read_through(&user).await,
            Wish::ReadGroup(group) => self.mark_read(&group.into(), None).await.map(drop),
            Wish::Disappear(to, seconds) => {
                let record = self.conversation(&to).await?;
                let record = Conversation { disappears: seconds, ..record };
                let key = self.place_of(&to).0.to_vec();
                self.tx.write(Table::Conversations, key, &record);
                Ok(())
            }
            Wish::Typing(to, started) => self.type_to(&to, started).await,
            Wish::TypingIn(group, started) => self.type_in_group(&group, started).await,
            Wish::AcceptKey(user) => self.accept_key(&user).await,
            Wish::Verified(user) => self.verified(&user).await,
            Wish::Taken(through) => self.taken(through).await,
            Wish::Watch(users) => {
                self.watch(users);
                Ok(())
            }
            Wish::Away(away) => {
                self.machine.away = away;
                let update = if away { PresenceUpdate::Away } else { PresenceUpdate::Online };
                self.out.frames.push(encode(&ClientFrame::Presence(update)));
                Ok(())
            }
            Wish::Leave(group, leaving) => self.leave(&group, leaving).await,
            Wish::Chain(group, page) => self.on_epochs(&group, &page, false).await,
            Wish::Devices(user, devices) => self.on_devices(&user, &devices).await,
            Wish::Title(group, key, to) => self.hand_title(&group, &key, &to).await,
            Wish::SignList(change) => self.change_list(change).await,
            Wish::SetProfile(profile) => self.set_profile(&profile).await,
            Wish::LookAt(user) => self.look_at(&user).await,
            Wish::Profile(user, answer) => self.on_profile(&user, &answer).await,
            Wish::Share(user) => self.share_profile(&user).await,
            Wish::Blocked(user) => self.blocked(&user).await,
            Wish::Unblocked(user) => {
                self.unblocked(&user);
                Ok(())
            }
        }
    }

    async fn show_own(
        &mut self,
        id: MessageId,
        to: &With,
        said: Said,
        content: &Content,
    ) -> Result<(), StoreError> {
        let (own, conversation) = (self.own(), self.place_of(to));
        let entry = Entry {
            id,
            from: own.clone(),
            with: to.person().unwrap_or(&own).clone(),
            group: to.group().cloned(),
            conversation,
            stamp: None,
            sent_at: self.now,
            status: None,
            said,
            mentions: Mention::of(&content.mentions),
            expires_after: content.expires_after,
            origin_number: None,
            queued: self.machine.lanes.next_number,
            read: true,
            edited: false,
            reactions: Vec::new(),
            delivered: 0,
            audience: 0,
        };
        self.note_author(&entry).await?;
        let key = timeline_key(&entry);
        self.tx.write(Table::Timeline, key.clone(), &entry);
        self.tx.put(Table::Index, message_key(&own, id), key.into());
        let mut record = self.conversation(to).await?;
        record.active = record.active.max(self.now);
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        Ok(())
    }

    /// Tells a person that everything of theirs was read, and the own other devices too.
    async fn read_through(&mut self, with: &AccountId) -> Result<(), StoreError> {
        let targets = self.mark_read(&with.clone().into(), None).await?;
        for targets in targets.chunks(posthouse_crypto::e2ee::content::MAX_RECEIPT_MESSAGES) {
            let targets = targets.iter().map(|id| *id.0.as_bytes()).collect();
            let body = Body::Receipt { status: ReceiptStatus::Read, targets };
            let receipt = Outgoing::new(with.clone().into(), body);
            // A receipt of at most 1,000 ids fits.
            let _ = self.say(receipt).await?;
        }
        Ok(())
    }

    async fn type_to(&mut self, to: &AccountId, started: bool) -> Result<(), StoreError> {
        if !self.machine.online {
            return Ok(());
        }
        let content = Content::new(UnixMillis(self.now.0), None, Body::Typing { started });
        let Ok(padded) = content.to_padded_bytes() else { return Ok(()) };
        // Who has no session yet is told later, or not at all.
        if let Ok(part) = self.seal(to, &padded, &[]).await? {
            let id = message_id(self.now, self.rng);
            let queued = Queued::new(id, to.clone().into(), Class::Ephemeral, self.now);
            let payload = Payload::Ciphertexts(part.ciphertexts);
            let frame = submission(&queued, payload, (None, None), None);
            self.out.frames.push(frame);
        }
        Ok(())
    }

    /// Typing is not worth handing out a key: it is told to a group whose key everybody has.
    async fn type_in_group(&mut self, id: &GroupId, started: bool) -> Result<(), StoreError> {
        let group = self.group(ConversationId::group(id)).await?;
        let Some(group) = group.filter(|_| self.machine.online) else { return Ok(()) };
        let name = Some(id.to_string());
        let content = Content::new(UnixMillis(self.now.0), name, Body::Typing { started });
        let Ok(padded) = content.to_padded_bytes() else { return Ok(()) };
        if let Some(body) = self.seal_passing(&group, &padded).await? {
            let message = message_id(self.now, self.rng);
            let queued = Queued::new(message, id.clone().into(), Class::Ephemeral, self.now);
            let epoch = Some(group.epoch());
            self.out.frames.push(submission(&queued, Payload::Body(body), (None, None), epoch));
        }
        Ok(())
    }

    /// Watches these people from now on, and no others.
    fn watch(&mut self, users: Vec<AccountId>) {
        let before = std::mem::take(&mut self.machine.watched);
        self.machine.watched = users.into_iter().take(MAX_SUBSCRIPTIONS).collect();
        let now = &self.machine.watched;
        let gone: Vec<Address> = before.difference(now).cloned().map(Address::Account).collect();
        let new = now.difference(&before).cloned().collect();
        if !gone.is_empty() {
            self.out.frames.push(encode(&ClientFrame::Unsubscribe(gone)));
        }
        self.subscribe(new);
    }

    pub(super) fn subscribe(&mut self, users: Vec<AccountId>) {
        let users: Vec<Address> = users.into_iter().map(Address::Account).collect();
        if !users.is_empty() {
            self.out.frames.push(encode(&ClientFrame::Subscribe(users)));
        }
    }

    /// Sends what may be sent.
    pub(super) async fn pump(&mut self) -> Result<(), StoreError> {
        self.machine.lanes.release(self.now);
        if !self.machine.online {
            return Ok(());
        }
        for conversation in self.machine.lanes.ready() {
            while self.send_next(conversation).await? {}
        }
        Ok(())
    }

    /// Encrypts and sends the next message of a lane; `false` if none moves now.
    async fn send_next(&mut self, conversation: ConversationId) -> Result<bool, StoreError> {
        let may_fly = self.machine.lanes.may_fly();
        let Some(lane) = self.machine.lanes.get(conversation) else { return Ok(false) };
        let Some(at) = lane.items.iter().position(|item| !item.flying) else { return Ok(false) };
        let Some(item) = lane.items.get(at).copied() else { return Ok(false) };
        if !may_fly || lane.hold.is_some() {
            return Ok(false);
        }
        let before = at.checked_sub(1).and_then(|at| lane.items.get(at)).map(|item| item.id);
        let (without_prev, without_after) = (lane.without_prev, lane.without_after);
        let key = number_key(item.number);
        let queued = self.tx.read::<Queued>(Table::Queue, &key).await?;
        let Some(mut queued) = queued else { return Err(StoreError::Corrupt(Table::Queue)) };
        let (payload, epoch) = if queued.to.group().is_some() {
            match self.seal_to_group(conversation, at, &mut queued).await? {
                Some(sealed) => (sealed.payload, Some(sealed.epoch)),
                // Something else may stand there now: what hands out the key.
                None => return Ok(self.machine.lanes.is_ready(conversation)),
            }
        } else {
            let sealed = match queued.sealed.take() {
                Some(sealed) => sealed,
                None => match self.seal_queued(&mut queued).await? {
                    Some(sealed) => sealed,
                    None => return Ok(false),
                },
            };
            queued.sealed = Some(sealed.clone());
            (Payload::Ciphertexts(sealed), None)
        };
        let record = self.conversation(&queued.to).await?;
        let prev = before.or(record.last_taken).filter(|_| !without_prev || before.is_some());
        let after = record.highest.filter(|_| !without_after && queued.class == Class::Message);
        let frame = submission(&queued, payload, (prev, after), epoch);
        self.tx.write(Table::Queue, key, &queued);
        self.out.frames.push(frame);
        self.machine.lanes.take_off(conversation, at);
        Ok(true)
    }

    /// Encrypts what is queued; `None` if that must wait, which is seen to.
    async fn seal_queued(
        &mut self,
        queued: &mut Queued,
    ) -> Result<Option<Vec<Ciphertext>>, StoreError> {
        let content = self.tx.read::<SentContent>(Table::Sent, queued.id.0.as_bytes()).await?;
        let content = content.ok_or(StoreError::Corrupt(Table::Sent))?;
        let Some(to) = &queued.to.person().cloned() else { return Ok(None) };
        if *to == self.machine.account.id {
            return self.seal_for_own(queued, &content.padded.0).await;
        }
        match self.seal(to, &content.padded.0, &queued.had).await? {
            Ok(part) => {
                queued.has = part.has;
                Ok(Some(part.ciphertexts))
            }
            Err(lack) => {
                let conversation = self.conversation_with(to);
                self.provide(conversation, lack);
                Ok(None)
            }
        }
    }

    pub(super) async fn conversation(&self, with: &With) -> Result<Conversation, StoreError> {
        let key = self.place_of(with).0;
        let known = self.tx.read(Table::Conversations, &key).await?;
        Ok(known.unwrap_or_else(|| Conversation::new(with.clone())))
    }

    /// Stops a lane for some seconds.
    pub(super) fn pause(&mut self, conversation: ConversationId, seconds: u64) {
        let until = self.now.plus_millis(seconds.saturating_mul(1000));
        if let Some(lane) = self.machine.lanes.get(conversation) {
            lane.hold = Some(Hold::Until(until));
        }
    }
}

/// The frame of a message.
fn submission(
    queued: &Queued,
    payload: Payload,
    (prev, after): (Option<MessageId>, Option<Stamp>),
    epoch: Option<u64>,
) -> String {
    let submission = Submission {
        id: queued.id,
        to: match &queued.to {
            With::Person(person) => Address::Account(person.clone()),
            With::Group(group) => Address::Group(group.clone()),
        },
        after,
        prev: prev.filter(|_| queued.class != Class::Ephemeral),
        class: queued.class,
        collapse: queued.collapse.clone(),
        expires: None,
        device_list_version: None,
        epoch,
        supplement: false,
        timestamp: Some(queued.timestamp),
        content: Envelope { kind: "encrypted".into(), encrypted: true, payload },
    };
    encode(&ClientFrame::Message(Box::new(submission)))
}
