//! What people say of themselves: the own profile, and those of others.

use posthouse_protocol::id::{AccountId, Address};

use super::Client;
use crate::{
    ClientError, Profile,
    machine::Wish,
    records::{KnownProfile, OwnProfile},
    store::{Table, Tx},
};

impl Client {
    /// The own profile, as it is or will be published; empty if none was ever set.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn own_profile(&self) -> Result<Profile, ClientError> {
        let name = self.account.id.to_string();
        let tx = Tx::new(&*self.access.store);
        let own = tx.read::<OwnProfile>(Table::Profiles, name.as_bytes()).await?;
        Ok(own.map(|own| own.shown.to_profile()).unwrap_or_default())
    }

    /// Replaces the own profile. When this returns it is durable here: it will be encrypted and
    /// published, and [`Update::Profile`](crate::Update::Profile) of the own account tells when it
    /// is. Those who have its key see it within a day, others once the person writes to them.
    ///
    /// What would steer a terminal is taken out of name and words.
    ///
    /// # Errors
    /// [`ClientError::ProfileTooLong`] beyond 256 bytes of name, 1,024 of words and 28,670 of
    /// picture; [`ClientError::Stopped`].
    pub async fn set_profile(&self, profile: Profile) -> Result<(), ClientError> {
        if !profile.fits() {
            return Err(ClientError::ProfileTooLong);
        }
        self.wish(Wish::SetProfile(Box::new(profile.cleaned()))).await
    }

    /// Whether the homeserver has the own profile as it was set; so it is if none ever was.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn is_profile_published(&self) -> Result<bool, ClientError> {
        let name = self.account.id.to_string();
        let tx = Tx::new(&*self.access.store);
        let own = tx.read::<OwnProfile>(Table::Profiles, name.as_bytes()).await?;
        Ok(own.is_none_or(|own| !own.is_due()))
    }

    /// Somebody's profile as it is known here; `None` if they did not give this account its key, or
    /// nothing was opened with it yet. One that was not asked for in a day is asked for again, which
    /// this does not wait for.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn profile(&self, user: &AccountId) -> Result<Option<Profile>, ClientError> {
        if *user == self.account.id {
            return Ok(Some(self.own_profile().await?));
        }
        let Some(known) = self.known_profile(user).await? else { return Ok(None) };
        if known.is_stale(self.home.clock.now()) {
            // A client that has stopped still shows what it knows.
            let _ = self.wish(Wish::LookAt(user.clone())).await;
        }
        Ok((known.version > 0).then(|| known.shown.to_profile()))
    }

    /// Asks for somebody's profile now, and gives it. Homeservers remember profiles of other regions
    /// for some minutes.
    ///
    /// # Errors
    /// [`ClientError::Transport`], [`ClientError::Store`], [`ClientError::Stopped`].
    pub async fn refresh_profile(&self, user: &AccountId) -> Result<Option<Profile>, ClientError> {
        let address = &Address::Account(user.clone());
        let answer =
            self.access.call(|api, token| async move { api.profile(&token, address).await });
        self.wish(Wish::Profile(user.clone(), Box::new(answer.await?))).await?;
        self.profile(user).await
    }

    async fn known_profile(&self, user: &AccountId) -> Result<Option<KnownProfile>, ClientError> {
        let tx = Tx::new(&*self.access.store);
        Ok(tx.read(Table::Profiles, user.to_string().as_bytes()).await?)
    }
}
