//! The own profile: published encrypted, and its key given to whom the person writes to.
//!
//! A key is given only once it is in force at the homeserver, so that whoever gets it can use it at
//! once. It is drawn with the first profile and anew whenever somebody is blocked.

use posthouse_crypto::e2ee::{
    content::{Body, Content, KeyBytes},
    secret::Secret,
    time::UnixMillis,
};
use posthouse_protocol::{
    frame::Class,
    id::{AccountId, ConversationId, GroupId, MessageId},
    rest::{Profile as Sealed, PutProfile},
};

use super::{Call, Step};
use crate::{
    Profile,
    message_id::message_id,
    records::{Fields, KnownProfile, OwnProfile, ProfileKeys, Queued, own, profile},
    store::{StoreError, Table},
    update::Update,
};

/// People who are given a key as soon as it is in force; others with the next message.
const MAX_OWED: usize = 1_000;

impl Step<'_> {
    pub(in crate::machine) async fn own_profile(&self) -> Result<Option<OwnProfile>, StoreError> {
        self.tx.read(Table::Profiles, self.own().to_string().as_bytes()).await
    }

    fn put_own_profile(&mut self, profile: &OwnProfile) {
        self.tx.write(Table::Profiles, self.own().to_string().into_bytes(), profile);
    }

    /// The person changes the own profile.
    pub(in crate::machine) async fn set_profile(
        &mut self,
        profile: &Profile,
    ) -> Result<(), StoreError> {
        let mut own = match self.own_profile().await? {
            Some(own) => own,
            None => OwnProfile { rotated: true, ..OwnProfile::new(self.fresh_key()) },
        };
        own.shown = Fields::of(profile);
        own.edited = true;
        self.put_own_profile(&own);
        self.publish_profile(&own);
        Ok(())
    }

    fn fresh_key(&mut self) -> ProfileKeys {
        let mut keys = ProfileKeys::default();
        keys.add(&Secret::random(self.rng));
        keys
    }

    /// Draws a new key, since `user` may know the one before.
    pub(super) async fn rotate_profile_key(&mut self, user: &AccountId) -> Result<(), StoreError> {
        let Some(mut own) = self.own_profile().await? else { return Ok(()) };
        own.keys.add(&Secret::random(self.rng));
        own.rotated = true;
        own.owed.retain(|owed| owed != user);
        self.put_own_profile(&own);
        self.publish_profile(&own);
        Ok(())
    }

    /// Encrypts the next version and has it published.
    pub(super) fn publish_profile(&mut self, profile: &OwnProfile) {
        let own = self.own();
        // What is in the record was bounded when it came.
        let Some(sealed) = profile.seal(&own, self.rng) else { return };
        let version = profile.version.saturating_add(1);
        self.tx.write(Table::Own, own::PROFILE.to_vec(), &sealed);
        self.call(Call::PutProfile(version));
    }

    /// The homeserver has taken a version.
    pub(in crate::machine) async fn profile_published(
        &mut self,
        answer: &Sealed,
    ) -> Result<(), StoreError> {
        let Some(mut own) = self.own_profile().await? else { return Ok(()) };
        let sent = self.tx.read::<PutProfile>(Table::Own, own::PROFILE).await?;
        let is_newest = sent.is_some_and(|sent| sent.name == answer.name);
        own.version = answer.version;
        if is_newest {
            self.in_force(own).await?;
        } else {
            // It was changed again meanwhile.
            self.put_own_profile(&own);
            self.publish_profile(&own);
        }
        Ok(())
    }

    /// What was to be published is: those who wait for the key get it.
    async fn in_force(&mut self, mut own: OwnProfile) -> Result<(), StoreError> {
        if own.version < own.highest {
            // Others still take it for old.
            self.put_own_profile(&own);
            self.publish_profile(&own);
            return Ok(());
        }
        own.highest = own.version;
        let is_new = own.rotated;
        (own.edited, own.rotated) = (false, false);
        let owed = core::mem::take(&mut own.owed);
        self.put_own_profile(&own);
        self.tx.delete(Table::Own, own::PROFILE.to_vec());
        self.tell(&Update::Profile { user: self.own() });
        let Some(key) = own.keys.newest() else { return Ok(()) };
        if is_new {
            self.hand_key(&self.own(), &key);
        }
        for user in owed {
            self.share_profile(&user).await?;
        }
        Ok(())
    }

    /// Another own device was quicker, or the answer was lost: what the homeserver has is asked for.
    pub(in crate::machine) fn profile_refused(&mut self, code: &str) {
        if code == "conflict" {
            self.call(Call::Profile(self.own()));
        }
    }

    /// What the homeserver has of the own profile.
    pub(super) async fn on_own_profile(&mut self, answer: &Sealed) -> Result<(), StoreError> {
        let Some(mut own) = self.own_profile().await? else { return Ok(()) };
        if answer.account_id != self.own() {
            return Ok(());
        }
        if answer.version < own.version {
            // The homeserver went back to a backup: what it lacks is published again.
            own.highest = own.highest.max(own.version);
            (own.version, own.edited) = (answer.version, true);
            self.put_own_profile(&own);
            self.publish_profile(&own);
            return Ok(());
        }
        let is_newer = answer.version > own.version;
        let opened = profile::open(answer, &own.keys);
        if own.is_due() {
            let sent = self.tx.read::<PutProfile>(Table::Own, own::PROFILE).await?;
            own.version = answer.version;
            if sent.is_some_and(|sent| sent.name.is_some() && sent.name == answer.name) {
                return self.in_force(own).await;
            }
            if let (false, Some((fields, _))) = (own.edited, opened) {
                own.shown = fields;
            }
            self.put_own_profile(&own);
            self.publish_profile(&own);
            return Ok(());
        }
        // Another own device has made it. Its key may still be on the way.
        if let (true, Some((fields, key))) = (is_newer, opened) {
            (own.version, own.highest) = (answer.version, own.highest.max(answer.version));
            own.shown = fields;
            own.keys.add(&key);
            self.put_own_profile(&own);
            self.tell(&Update::Profile { user: self.own() });
        }
        Ok(())
    }

    /// A key of the own profile, from another own device.
    pub(in crate::machine) async fn on_own_key(
        &mut self,
        key: &Secret<32>,
    ) -> Result<(), StoreError> {
        let known = self.own_profile().await?;
        let mut own = known.unwrap_or_else(|| OwnProfile::new(ProfileKeys::default()));
        // Which one is in force, the homeserver's version says, which one of them opens.
        let is_new = if own.keys.is_empty() || !own.is_due() && own.version == 0 {
            own.keys.add(key)
        } else {
            own.keys.add_candidate(key)
        };
        if is_new {
            self.put_own_profile(&own);
            self.call(Call::Profile(self.own()));
        }
        Ok(())
    }

    /// Gives somebody the key whom the person writes to, or has accepted: once each key.
    pub(in crate::machine) async fn share_profile(
        &mut self,
        user: &AccountId,
    ) -> Result<(), StoreError> {
        if *user == self.own() || self.is_blocked(user) {
            return Ok(());
        }
        let Some(mut own) = self.own_profile().await? else { return Ok(()) };
        let Some(key) = own.keys.newest() else { return Ok(()) };
        if own.rotated || own.version == 0 {
            if !own.owed.contains(user) && own.owed.len() < MAX_OWED {
                own.owed.push(user.clone());
                self.put_own_profile(&own);
            }
            return Ok(());
        }
        let known = self.known_profile(user).await?.unwrap_or_default();
        let has_it = known.given.as_ref().is_some_and(|given| given.0.as_slice() == key.expose());
        if !has_it {
            let known = KnownProfile { given: Some(profile::bytes(&key)), ..known };
            self.put_known_profile(user, &known);
            self.hand_key(user, &key);
        }
        Ok(())
    }

    /// The key for a message to a group, where it goes with the message itself: each message has it,
    /// for those who joined since. `None` while somebody is a member whom the account has blocked.
    pub(in crate::machine) async fn key_for_group(
        &self,
        group: &GroupId,
    ) -> Result<Option<KeyBytes>, StoreError> {
        let Some(own) = self.own_profile().await? else { return Ok(None) };
        let Some(group) = self.group(ConversationId::group(group)).await? else { return Ok(None) };
        let has_blocked = group.members().any(|(member, _)| self.is_blocked(&member));
        Ok(own.keys.newest().filter(|_| !has_blocked && own.version > 0).map(KeyBytes))
    }

    fn hand_key(&mut self, to: &AccountId, key: &Secret<32>) {
        let body = Body::ProfileKey(KeyBytes(key.clone()));
        // A key fits.
        let content = Content::new(UnixMillis(self.now.0), None, body);
        let Ok(padded) = content.to_padded_bytes() else { return };
        let id = message_id(self.now, self.rng);
        let queued = Queued::new(id, to.clone().into(), Class::Control, self.now);
        self.enqueue_content(&queued, padded);
    }

    /// Something that was queued will not be taken: if it was the key for somebody, they do not have
    /// it.
    pub(in crate::machine) async fn key_not_taken(
        &mut self,
        id: MessageId,
    ) -> Result<(), StoreError> {
        let key = id.0.as_bytes();
        let sent = self.tx.read::<crate::records::SentContent>(Table::Sent, key).await?;
        let Some(sent) = sent else { return Ok(()) };
        let is_key = Content::from_padded_bytes(&sent.padded.0).is_ok_and(|content| {
            content.conversation.is_none() && matches!(content.body, Body::ProfileKey(_))
        });
        match sent.to.person() {
            Some(user) if is_key => self.forget_given(&user.clone()).await,
            _ => Ok(()),
        }
    }

    /// Somebody may not have the own key any more: they get it with the next message.
    pub(in crate::machine) async fn forget_given(
        &mut self,
        user: &AccountId,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.known_profile(user).await?.filter(|known| known.given.is_some()) {
            self.put_known_profile(user, &KnownProfile { given: None, ..known });
        }
        Ok(())
    }
}
