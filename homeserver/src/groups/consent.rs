//! What only the server can check of an epoch: that people are who the group takes them for, and
//! that nobody is put into a group against their will.

use std::sync::Arc;

use posthouse_crypto::e2ee::{
    primitives::curve::PublicKey,
    signed::group_epoch::{Change, Person},
};
use posthouse_protocol::{
    id::{AccountId, GroupId},
    problem::{Code, Rejection},
    rest::Audience,
    time::Timestamp,
};
use posthouse_storage::keys::Keys;

use super::{GroupBook, change::Read};
use crate::{
    accounts::{Directory, store_failed},
    people::Relations,
};

/// Asks about people.
pub struct Consent {
    /// Who exists.
    pub directory: Arc<Directory>,
    /// Their identity keys.
    pub keys: Arc<dyn Keys>,
    /// What they think of each other.
    pub relations: Arc<Relations>,
    /// Who asks to join.
    pub book: Arc<GroupBook>,
}

impl Consent {
    /// Whether the epoch may be made of the people that it names, and whether an invitation that it
    /// makes is kept from its subject.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], [`Code::NoIdentity`], [`Code::Conflict`] for an identity key that is
    /// not the person's, [`Code::ConsentNeeded`].
    pub(super) async fn check(
        &self,
        read: &Read,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<bool, Rejection> {
        let (Some(actor), Some(subject)) = (&read.actor, &read.subject) else { return Ok(false) };
        match &read.epoch.change {
            Change::Create { owner, .. } => {
                self.check_identity(actor, &owner.identity).await?;
                Ok(false)
            }
            Change::Invite(person) => {
                self.check_person(subject, person).await?;
                self.is_unheard(subject, actor, now).await
            }
            Change::Add(person) => {
                self.check_person(subject, person).await?;
                self.check_consent(subject, actor, group, now).await?;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Whether an invitation that an epoch makes is kept from its subject.
    ///
    /// # Errors
    /// As the store, dressed for a client.
    pub(super) async fn keeps_from(&self, read: &Read, now: Timestamp) -> Result<bool, Rejection> {
        match (&read.epoch.change, &read.actor, &read.subject) {
            (Change::Invite(_), Some(actor), Some(subject)) => {
                self.is_unheard(subject, actor, now).await
            }
            _ => Ok(false),
        }
    }

    /// Whether the identity key of an account of this region is this one.
    pub(super) async fn check_identity(
        &self,
        account: &AccountId,
        identity: &PublicKey,
    ) -> Result<(), Rejection> {
        let stored = self.keys.identity(account.uuid).await.map_err(|err| store_failed(&err))?;
        let detail = "the account has no identity key";
        let stored = stored.ok_or_else(|| Rejection::new(Code::NoIdentity, detail))?;
        if stored.key == identity.to_bytes() {
            return Ok(());
        }
        let detail = "the epoch names an identity key that the account does not have";
        Err(Rejection::new(Code::Conflict, detail))
    }

    /// What is known of people of other regions is for their own regions, and for clients, to say.
    async fn check_person(&self, subject: &AccountId, person: &Person) -> Result<(), Rejection> {
        if subject.server != *self.directory.server() {
            return self.directory.regions().admits(&subject.server);
        }
        let exists = self.directory.existing(&[subject.uuid]).await;
        if exists.map_err(|err| store_failed(&err))?.first() != Some(&true) {
            return Err(Rejection::new(Code::UnknownUser, "this region has no such user"));
        }
        self.check_identity(subject, &person.identity).await
    }

    /// Whether the subject does not hear the actor. Neither is told.
    async fn is_unheard(
        &self,
        subject: &AccountId,
        actor: &AccountId,
        now: Timestamp,
    ) -> Result<bool, Rejection> {
        if subject.server != *self.directory.server() {
            return Ok(false);
        }
        Ok(self.relations.one(subject, actor, now).await?.blocked)
    }

    /// Whether the actor may put the subject into a group without asking: who asked to join has
    /// consented, others have by their privacy settings.
    async fn check_consent(
        &self,
        subject: &AccountId,
        actor: &AccountId,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let asks = self.book.store().asks_to_join(group, subject).await;
        if asks.map_err(|err| store_failed(&err))? {
            return Ok(());
        }
        let detail = "this person has to be invited, and to accept";
        let needed = || Rejection::new(Code::ConsentNeeded, detail);
        if subject.server != *self.directory.server() {
            return Err(needed());
        }
        let audience = self.relations.privacy(subject.uuid).await?.groups;
        let relation = self.relations.one(subject, actor, now).await?;
        let may = match audience {
            Audience::Everyone => true,
            Audience::Contacts => relation.stance.is_known(),
            Audience::Nobody => false,
        };
        if may && !relation.blocked { Ok(()) } else { Err(needed()) }
    }
}
