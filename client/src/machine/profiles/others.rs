//! Profiles of others: their keys come in messages, the rest from their homeserver.

use posthouse_crypto::e2ee::secret::Secret;
use posthouse_protocol::{id::AccountId, rest::Profile as Sealed, time::Timestamp};

use super::Step;
use crate::{
    records::{KnownProfile, profile},
    store::{StoreError, Table},
    update::Update,
};

/// Milliseconds from one question about somebody to the next, however often they change their key.
const LEAST_PAUSE: u64 = 5_000;
/// Milliseconds until a profile is asked for again that the newest key does not open, or that could
/// not be had. A homeserver remembers profiles of other regions for some minutes.
const PAUSES: [u64; 3] = [60_000, 330_000, 1_800_000];
/// Milliseconds after which a profile that is shown is asked for again.
pub(crate) const STALE_AFTER: u64 = 24 * 60 * 60 * 1000;

impl KnownProfile {
    /// Whether it is to be asked for again when it is shown.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        !self.keys.is_empty() && now.0.saturating_sub(self.asked.0) >= STALE_AFTER
    }
}

impl Step<'_> {
    pub(in crate::machine) async fn known_profile(
        &self,
        user: &AccountId,
    ) -> Result<Option<KnownProfile>, StoreError> {
        if *user == self.own() {
            // The record of that name is the own profile.
            return Ok(None);
        }
        self.tx.read(Table::Profiles, user.to_string().as_bytes()).await
    }

    pub(in crate::machine) fn put_known_profile(&mut self, user: &AccountId, known: &KnownProfile) {
        self.tx.write(Table::Profiles, user.to_string().into_bytes(), known);
    }

    /// Somebody gave this account the key of their profile.
    pub(in crate::machine) async fn on_profile_key(
        &mut self,
        from: &AccountId,
        key: &Secret<32>,
    ) -> Result<(), StoreError> {
        if *from == self.own() || self.is_blocked(from) {
            return Ok(());
        }
        let mut known = self.known_profile(from).await?.unwrap_or_default();
        if known.keys.newest().is_some_and(|newest| newest.ct_eq(key)) || !known.keys.add(key) {
            return Ok(());
        }
        (known.pending, known.misses) = (true, 0);
        self.put_known_profile(from, &known);
        let at = self.now.max(known.asked.plus_millis(LEAST_PAUSE));
        self.machine.profiles.want(from, at);
        Ok(())
    }

    /// An own other device has given somebody the own key.
    pub(in crate::machine) async fn was_given(
        &mut self,
        user: &AccountId,
        key: &Secret<32>,
    ) -> Result<(), StoreError> {
        if *user == self.own() {
            return Ok(());
        }
        let known = self.known_profile(user).await?.unwrap_or_default();
        let known = KnownProfile { given: Some(profile::bytes(key)), ..known };
        self.put_known_profile(user, &known);
        Ok(())
    }

    /// Asks for somebody's profile as it is shown, unless that was done lately.
    pub(in crate::machine) async fn look_at(&mut self, user: &AccountId) -> Result<(), StoreError> {
        let known = self.known_profile(user).await?;
        if known.is_some_and(|known| known.is_stale(self.now)) {
            self.machine.profiles.want(user, self.now);
        }
        Ok(())
    }

    /// What a homeserver has of a profile.
    pub(in crate::machine) async fn on_profile(
        &mut self,
        user: &AccountId,
        answer: &Sealed,
    ) -> Result<(), StoreError> {
        if *user == self.own() {
            return self.on_own_profile(answer).await;
        }
        let Some(mut known) = self.known_profile(user).await? else { return Ok(()) };
        known.asked = self.now;
        // One that is older than what was seen is from memory, or a server's lie.
        let is_theirs = answer.account_id == *user && answer.version >= known.version;
        let opened = profile::open(answer, &known.keys).filter(|_| is_theirs);
        if let Some((fields, key)) = opened {
            let is_newest = known.keys.newest().is_some_and(|newest| newest.ct_eq(&key));
            known.pending &= !is_newest;
            known.version = answer.version;
            if known.shown != fields {
                known.shown = fields;
                self.tell(&Update::Profile { user: user.clone() });
            }
        }
        self.try_again(user, known);
        Ok(())
    }

    /// A profile could not be had.
    pub(in crate::machine) async fn on_profile_refused(
        &mut self,
        user: &AccountId,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.known_profile(user).await?
            && *user != self.own()
        {
            self.try_again(user, KnownProfile { asked: self.now, ..known });
        }
        Ok(())
    }

    fn try_again(&mut self, user: &AccountId, mut known: KnownProfile) {
        let pause = PAUSES.get(usize::from(known.misses)).filter(|_| known.pending);
        if let Some(pause) = pause {
            known.misses += 1;
            self.machine.profiles.want(user, self.now.plus_millis(*pause));
        } else if !known.pending {
            known.misses = 0;
        }
        self.put_known_profile(user, &known);
    }
}
