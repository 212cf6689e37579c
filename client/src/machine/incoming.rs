//! What comes in: decrypted once, believed if a device of the sender's signed list wrote it,
//! shown once.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::{
    content::{Body, Content, history::HistoryStep},
    primitives::curve::PublicKey,
    secret::Secret,
    session::{DecryptError, Peer},
    wire::{message::SignalMessage, prekey_message::PreKeySignalMessage},
};
use posthouse_protocol::{
    content::{Ciphertext, Payload},
    frame::Class,
    id::{AccountId, DeviceNumber, GroupId},
    rest::keys::EcKey,
};
use zeroize::Zeroizing;

use super::{Call, Step, address};
use crate::{
    Event, Message,
    records::{Person, With, message_key},
    store::{Scan, StoreError, Table},
    update::{Entry, Misbehaviour, Said, Update},
};

/// Messages of one person that wait for their keys, at most; later ones are given up.
const MAX_HELD: usize = 1_000;

/// Whether a message has been put aside before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It has just come.
    First,
    /// It was put aside, and more is known now: it is not asked again and again.
    Again,
}

/// What came of a ciphertext.
pub(super) enum Opened {
    /// It is authentic.
    Content(Box<Content>),
    /// It waits until more is known of its sender's devices or key.
    Held,
    /// It cannot be read.
    Unreadable(String, Option<PublicKey>),
}

impl Step<'_> {
    /// A message, with the frame that it came in.
    pub(super) async fn on_message(
        &mut self,
        message: &Message,
        frame: &str,
    ) -> Result<(), StoreError> {
        if let Some(place) = &message.place {
            self.seen(place.cursor);
            // The same message again: its acknowledgement was lost. It must not be decrypted
            // twice.
            let key = message_key(&message.from, message.id);
            if self.tx.get(Table::Index, &key).await?.is_some() {
                return Ok(());
            }
            self.tx.put(Table::Index, key, Zeroizing::new(Vec::new()));
        }
        let group = self.group(message.conversation).await?;
        let is_body = matches!(message.content.payload, Payload::Body(_));
        let is_direct = message.conversation == self.conversation_with(&message.from);
        if is_body && !is_direct && message.to.as_deref().is_none_or(is_group) {
            return self.on_group_message(message, frame).await;
        }
        // Who is met in a group has the key by which the group knows them.
        let met = group.and_then(|g| g.members().find(|(member, _)| *member == message.from));
        if let Some((member, key)) = met {
            self.pin(&member, key).await?;
        }
        match self.open(message, Look::First).await? {
            Opened::Content(content) => self.apply(message, &content).await,
            Opened::Held => self.hold(message, frame).await,
            Opened::Unreadable(_, ratchet_key) if message.class == Class::Key => {
                // What comes under this key is asked for, through a new session.
                if let (Some(_), Some(device)) = (ratchet_key, message.from_device) {
                    let mut session = self.session(&message.from, device).await?;
                    session.archive();
                    self.put_session(&message.from, device, &session);
                }
                Ok(())
            }
            Opened::Unreadable(reason, ratchet_key) => {
                if message.place.is_some() && message.class != Class::Receipt {
                    let (id, from) = (message.id, message.from.clone());
                    self.tell(&Update::Undecryptable { id, from, reason });
                    self.ask_again(message, ratchet_key).await?;
                }
                Ok(())
            }
        }
    }

    async fn open(&mut self, message: &Message, look: Look) -> Result<Opened, StoreError> {
        let unreadable = |reason: &str| Ok(Opened::Unreadable(reason.to_owned(), None));
        let Payload::Ciphertexts(all) = &message.content.payload else {
            return unreadable("it is not encrypted");
        };
        let ([one], Some(device)) = (all.as_slice(), message.from_device) else {
            return unreadable("it has no ciphertext for this device");
        };
        let own = &self.machine.account;
        if message.from == own.id && device == own.device {
            return unreadable("it claims to come from this device");
        }
        let person = self.person(&message.from).await?;
        if let Some(list) = person.verified_list(&message.from) {
            let is_listed = |number: u8| list.as_list().devices.keys().any(|n| n.get() == number);
            if !is_listed(device.get()) {
                if person.announced.is_some() {
                    // The list is of the key before: it says nothing of devices of the other one.
                    return Ok(Opened::Held);
                }
                if person.fresh && look == Look::First {
                    // Asked afresh once; whoever is not listed then is a ghost.
                    self.put_person(&message.from, &Person { fresh: false, ..person });
                    self.call(Call::Devices(message.from.clone()));
                    return Ok(Opened::Held);
                }
                if self.machine.asked.contains(&Call::Devices(message.from.clone())) {
                    return Ok(Opened::Held);
                }
                self.complain(&message.from, Misbehaviour::Ghost { device: device.get() });
                return unreadable("its device is not in the sender's signed list");
            }
        }
        self.decrypt(message, device, one, person).await
    }

    async fn decrypt(
        &mut self,
        message: &Message,
        device: DeviceNumber,
        ciphertext: &Ciphertext,
        person: Person,
    ) -> Result<Opened, StoreError> {
        let malformed = || Opened::Unreadable("it is malformed".to_owned(), None);
        let Ok(bytes) = STANDARD.decode(&ciphertext.data) else { return Ok(malformed()) };
        let name = address(&message.from, device);
        let known = person.identity.map(|key| key.0);
        let peer = Peer { address: &name, known: known.as_ref() };
        let mut session = self.session(&message.from, device).await?;
        let local = &mut self.machine.local;
        let (plain, ratchet_key, announced) = match ciphertext.kind {
            2 => {
                let Ok(parsed) = SignalMessage::from_bytes(&bytes) else { return Ok(malformed()) };
                let plain = session.decrypt(local, peer, &parsed, self.rng);
                (plain, *parsed.ratchet_key(), None)
            }
            3 => {
                let Ok(parsed) = PreKeySignalMessage::from_bytes(&bytes) else {
                    return Ok(malformed());
                };
                let plain = session.decrypt_prekey(local, peer, &parsed, self.rng);
                self.prekeys_changed |= plain.is_ok();
                (plain, *parsed.message().ratchet_key(), Some(*parsed.identity_key()))
            }
            _ => return Ok(malformed()),
        };
        let plain = match (plain, announced) {
            (Ok(plain), _) => plain,
            (Err(DecryptError::IdentityChanged), Some(key)) => {
                self.announce(&message.from, person, EcKey(key));
                return Ok(Opened::Held);
            }
            (Err(err), _) => return Ok(Opened::Unreadable(err.to_string(), Some(ratchet_key))),
        };
        self.put_session(&message.from, device, &session);
        if person.identity.is_none() {
            // Trusted on first use: whoever writes shows to have the key.
            let identity = session.info().map(|info| EcKey(info.identity));
            self.put_person(&message.from, &Person { identity, ..person });
        }
        Ok(match Content::from_padded_bytes(&plain) {
            Ok(content) => Opened::Content(Box::new(content)),
            Err(err) => Opened::Unreadable(err.to_string(), None),
        })
    }

    /// Puts a message aside until more is known of its sender.
    async fn hold(&mut self, message: &Message, frame: &str) -> Result<(), StoreError> {
        let Some(place) = &message.place else { return Ok(()) };
        let prefix = held_prefix(&message.from);
        let held = self.tx.scan(&Scan::prefix(Table::Held, &prefix, MAX_HELD)).await?.len();
        if held >= MAX_HELD {
            return Ok(());
        }
        let mut key = prefix;
        key.extend_from_slice(&place.cursor.0.to_be_bytes());
        key.extend_from_slice(message.id.0.as_bytes());
        self.tx.put(Table::Held, key, Zeroizing::new(frame.as_bytes().to_vec()));
        Ok(())
    }

    /// More is known of a person: what was put aside is looked at again.
    pub(super) async fn unhold(&mut self, user: &AccountId) -> Result<(), StoreError> {
        let scan = Scan::prefix(Table::Held, &held_prefix(user), MAX_HELD);
        for (key, frame) in self.tx.scan(&scan).await? {
            self.tx.delete(Table::Held, key);
            let text = String::from_utf8_lossy(&frame).into_owned();
            if let Ok(Event::Message(message)) = Event::parse(&text) {
                match self.open(&message, Look::Again).await? {
                    Opened::Content(content) => self.apply(&message, &content).await?,
                    Opened::Held => self.hold(&message, &text).await?,
                    Opened::Unreadable(reason, _) => {
                        let (id, from) = (message.id, message.from.clone());
                        self.tell(&Update::Undecryptable { id, from, reason });
                    }
                }
            }
        }
        Ok(())
    }

    /// An authentic content.
    async fn apply(&mut self, message: &Message, content: &Content) -> Result<(), StoreError> {
        let conversation = content.conversation.as_deref();
        if let Body::ProfileKey(key) = &content.body
            && conversation.is_none_or(|name| GroupId::parse(name).is_err())
        {
            return self.take_profile_key(message, conversation, &key.0).await;
        }
        if let Some(Ok(group)) = content.conversation.as_deref().map(GroupId::parse) {
            return match &content.body {
                Body::ProfileKey(key) => self.on_title_key(&group, &message.from, &key.0).await,
                Body::KeyDistribution(key) => self.on_distribution(message, &group, key).await,
                _ => self.on_resent(message, &group, content).await,
            };
        }
        let own = self.own();
        if let Body::History(step) = &content.body {
            if *step == HistoryStep::Nothing {
                self.expect_rest(message);
            }
            return if message.from == own { self.on_history(message, step).await } else { Ok(()) };
        }
        let with = if message.from == own {
            // The server's `to` counts for nothing: the own other device says whom it wrote to.
            let named = content.conversation.as_deref().map(AccountId::parse);
            let Some(Ok(with)) = named else { return Ok(()) };
            with
        } else {
            message.from.clone()
        };
        let Some(place) = &message.place else {
            if let (Body::Typing { started }, false) = (&content.body, message.from == own) {
                self.on_typing((None, with), *started);
            }
            return Ok(());
        };
        let talk = With::Person(with.clone());
        let mut record = self.conversation(&talk).await?;
        record.highest = record.highest.max(Some(place.stamp));
        let conversation = self.conversation_with(&with);
        self.tx.write(Table::Conversations, conversation.0.to_vec(), &record);
        let Some((id, stamp)) = self.meant(message, content, place.stamp).await? else {
            return Ok(());
        };
        let from = message.from.clone();
        if let Some(said) = Said::of(content) {
            let entry = Entry::received(message, content, (id, stamp), &talk, said, &own);
            return self.show(entry).await;
        }
        match &content.body {
            Body::Edit { .. } | Body::Delete { .. } | Body::Reaction { .. } => {
                self.mark(&talk, &from, content, place.stamp, true).await
            }
            Body::Receipt { targets, status } => {
                self.on_receipt(&with, &from, *status, targets).await
            }
            Body::Resend(request) => self.on_resend_request(message, request).await,
            _ => Ok(()),
        }
    }

    /// The key of a profile: of the sender's, or, from an own other device, of the own one, which it
    /// hands on or has given to somebody.
    async fn take_profile_key(
        &mut self,
        message: &Message,
        conversation: Option<&str>,
        key: &Secret<32>,
    ) -> Result<(), StoreError> {
        if message.from != self.own() {
            return self.on_profile_key(&message.from, key).await;
        }
        match conversation.map(AccountId::parse) {
            None => self.on_own_key(key).await,
            Some(Ok(user)) => self.was_given(&user, key).await,
            Some(Err(_)) => Ok(()),
        }
    }
}

fn is_group(name: &str) -> bool {
    GroupId::parse(name).is_ok()
}

fn held_prefix(user: &AccountId) -> Vec<u8> {
    let mut prefix = user.to_string().into_bytes();
    prefix.push(0);
    prefix
}
