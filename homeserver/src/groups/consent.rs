//! What only the server can check of an epoch: that people are who the group takes them for, and
//! that nobody is put into a group against their will.

use std::sync::Arc;

use posthouse_crypto::e2ee::{
    primitives::curve::PublicKey,
    signed::group_epoch::{Change, GroupState, Person},
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

    /// Whether an epoch that another region put into its place may be made of people of this one:
    /// who joins by their own act has signed it with a key of theirs, and who is added lets it
    /// happen. Without this a region could make up a chain that has anybody in it.
    ///
    /// # Errors
    /// [`Code::Forbidden`], [`Code::ConsentNeeded`], or as the store.
    pub(super) async fn check_foreign(
        &self,
        read: &Read,
        before: Option<&GroupState>,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let own = self.directory.server();
        match (&read.epoch.change, &read.actor, &read.subject) {
            (Change::Create { .. }, _, Some(owner)) if owner.server != group.server => {
                let detail = "a group begins with somebody of the region that its name tells";
                Err(Rejection::new(Code::Forbidden, detail))
            }
            (Change::Accept, Some(actor), _) if actor.server == *own => {
                let name = actor.to_string();
                let mut invitations = before.into_iter().flat_map(GroupState::invitations);
                match invitations.find(|(account, _)| *account == name) {
                    Some((_, identity)) => self.check_had(actor, identity).await,
                    // Nobody was invited: the epoch does not follow.
                    None => Ok(()),
                }
            }
            (Change::Add(person), Some(actor), Some(subject)) if subject.server == *own => {
                self.check_had(subject, &person.identity).await?;
                self.check_consent(subject, actor, group, now).await
            }
            _ => Ok(()),
        }
    }

    /// Whether an account of this region has, or had, this identity key. Of accounts that are gone
    /// nobody can tell any more, and nobody is harmed.
    async fn check_had(&self, account: &AccountId, identity: &PublicKey) -> Result<(), Rejection> {
        let exists = self.directory.existing(&[account.uuid]).await;
        if exists.map_err(|err| store_failed(&err))?.first() != Some(&true) {
            return Ok(());
        }
        let keys = self.keys.key_changes(account.uuid).await.map_err(|err| store_failed(&err))?;
        if keys.iter().any(|change| change.key == identity.to_bytes()) {
            return Ok(());
        }
        let detail = "the epoch names an identity key that the account never had";
        Err(Rejection::new(Code::Forbidden, detail))
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
