//! Groups, as an application changes and sees them.
//!
//! Each change is an epoch that this device signs on top of the chain that it has verified. If
//! another member was quicker, the chain is read and the change signed again, as long as it still
//! makes sense.

use posthouse_crypto::e2ee::{
    signed::group_epoch::{
        Change, EpochError, GroupEpoch, GroupRole, GroupState, Person as Named, SignedGroupEpoch,
    },
    time::UnixMillis,
};
use posthouse_protocol::{
    id::{AccountId, Address, ConversationId, GroupId},
    rest::{
        groups::{EpochDocument, EpochStatus, Epochs, Standing, SubmitEpoch},
        keys::EcKey,
    },
    time::Timestamp,
};

use super::Client;
use crate::{
    ClientError,
    engine::sign,
    machine::{Leaving, Wish},
    records::{Conversation, Group, Person, seal_title},
    store::{Scan, Table, Tx, decode},
};

/// How often a change is signed again because others were quicker.
const ATTEMPTS: u32 = 16;

/// A group, for a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// Which.
    pub id: GroupId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// What its members call it; `None` until somebody has handed out the key of the title.
    pub title: Option<String>,
    /// What this account is in it; `None` once it has left or was removed.
    pub standing: Option<Standing>,
    /// Who has invited this account, as they have signed it; only while it is invited.
    pub invited_by: Option<AccountId>,
    /// How many members it has.
    pub members: usize,
    /// How many are invited.
    pub invited: usize,
    /// The newest verified epoch.
    pub epoch: u64,
    /// When something was last said in it; 0 if nothing was.
    pub active: Timestamp,
    /// Messages of others that were not read.
    pub unread: u64,
    /// Of those, the ones that mention this account.
    pub mentioned: u64,
    /// For how many seconds what this device sends there is shown; `None` for good.
    pub disappears: Option<u32>,
    /// Whether this device has left it, or declined, and the chain does not say so yet.
    pub leaving: bool,
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Who.
    pub account: AccountId,
    /// What they are in it; also who is invited.
    pub standing: Standing,
    /// The epoch in which they joined; `None` while they are invited.
    pub joined: Option<u64>,
}

impl Client {
    /// Creates a group of this account in its region, and invites these people. Its id.
    ///
    /// # Errors
    /// [`ClientError::TooLong`] for a title of more than 1,022 bytes; [`ClientError::Transport`].
    /// The group is there once an error comes of inviting.
    pub async fn create_group(
        &self,
        title: &str,
        people: &[AccountId],
    ) -> Result<GroupId, ClientError> {
        let mut rng = self.home.fork();
        let (key, sealed) = seal_title(title, &mut rng).ok_or(ClientError::TooLong)?;
        let uuid = crate::message_id(self.access.clock.now(), &mut rng).0;
        let group = GroupId { uuid, server: self.account.id.server.clone() };
        let owner = Named { account: self.account.id.to_string(), identity: self.identity };
        let region = self.account.id.server.to_string();
        let first = GroupEpoch {
            group: group.to_string(),
            epoch: 1,
            previous: None,
            actor: Some(owner.account.clone()),
            change: Change::Create { owner, region, title: sealed },
            issued: UnixMillis(self.access.clock.now().0),
        };
        let signed = self.sign(&first).await?;
        self.wish(Wish::Title(group.clone(), key, Vec::new())).await?;
        let request = &SubmitEpoch { epoch: EpochDocument(signed.clone()) };
        self.access
            .call(|api, token| async move { api.create_group(&token, request).await })
            .await?;
        self.learn(&group, vec![signed]).await?;
        for person in people {
            self.invite(&group, person).await?;
        }
        Ok(group)
    }

    /// Invites somebody, who joins by [`Client::accept_invitation`]. They are handed the key of
    /// the title. For admins.
    ///
    /// # Errors
    /// [`ClientError::Group`], [`ClientError::UnknownKeys`] if they have no identity key,
    /// [`ClientError::Transport`].
    pub async fn invite(
        &self,
        group: &GroupId,
        person: &AccountId,
    ) -> Result<EpochStatus, ClientError> {
        let named = self.named(person).await?;
        let status = self.change(group, |_| Change::Invite(named.clone())).await?;
        self.hand_title(group, person).await?;
        Ok(status)
    }

    /// Adds somebody of the own region without asking, which takes their consent before: a link,
    /// or their privacy setting ([groups.md](docs/spec/groups.md) §4). For admins.
    ///
    /// # Errors
    /// As [`Client::invite`]; [`ClientError::Transport`] with the code `consent_needed`.
    pub async fn add(
        &self,
        group: &GroupId,
        person: &AccountId,
    ) -> Result<EpochStatus, ClientError> {
        let named = self.named(person).await?;
        let status = self.change(group, |_| Change::Add(named.clone())).await?;
        self.hand_title(group, person).await?;
        Ok(status)
    }

    /// Joins a group that this account is invited to.
    ///
    /// # Errors
    /// [`ClientError::Group`], [`ClientError::Transport`].
    pub async fn accept_invitation(&self, group: &GroupId) -> Result<EpochStatus, ClientError> {
        self.change(group, |_| Change::Accept).await
    }

    /// Removes a member, or takes an invitation back. What is sent from then on they cannot read.
    /// For admins.
    ///
    /// # Errors
    /// [`ClientError::Group`], [`ClientError::Transport`].
    pub async fn remove(
        &self,
        group: &GroupId,
        person: &AccountId,
    ) -> Result<EpochStatus, ClientError> {
        self.change(group, |_| Change::Remove(person.to_string())).await
    }

    /// Leaves a group, or declines an invitation. If the homeserver, or the region that sequences the
    /// group, cannot be reached, [`EpochStatus::Queued`]: this device goes on until the chain says that
    /// the account is out, also after a restart, and signs anew whenever the group has moved on
    /// meanwhile.
    ///
    /// # Errors
    /// [`ClientError::Group`], [`ClientError::Transport`] for a refusal: then the account does not
    /// leave.
    pub async fn leave(&self, group: &GroupId) -> Result<EpochStatus, ClientError> {
        let was_in = self.known_group(group).await?.standing(&self.account.id).is_some();
        self.wish(Wish::Leave(group.clone(), Leaving::Begun)).await?;
        match self.change(group, |_| Change::Leave).await {
            Err(err) if err.is_transient() => {
                self.wish(Wish::Leave(group.clone(), Leaving::Later)).await?;
                Ok(EpochStatus::Queued)
            }
            Err(err) => {
                let is_in = self.known_group(group).await?.standing(&self.account.id).is_some();
                if was_in && !is_in && matches!(err, ClientError::Group(_)) {
                    // The device was quicker by itself, which it is when the chain grows.
                    return Ok(EpochStatus::Taken);
                }
                self.wish(Wish::Leave(group.clone(), Leaving::Impossible)).await?;
                Err(err)
            }
            taken => taken,
        }
    }

    /// Gives a member a role. For owners.
    ///
    /// # Errors
    /// [`ClientError::Group`], also for [`Standing::Invited`], which is no role;
    /// [`ClientError::Transport`].
    pub async fn set_role(
        &self,
        group: &GroupId,
        person: &AccountId,
        role: Standing,
    ) -> Result<EpochStatus, ClientError> {
        let role = match role {
            Standing::Owner => GroupRole::Owner,
            Standing::Admin => GroupRole::Admin,
            Standing::Member => GroupRole::Member,
            Standing::Invited => {
                return Err(EpochError::NotAllowed("an invitation is no role").into());
            }
        };
        let account = person.to_string();
        self.change(group, |_| Change::SetRole { account: account.clone(), role }).await
    }

    /// Gives a group another title, and hands its key to everybody in it. For admins.
    ///
    /// # Errors
    /// [`ClientError::TooLong`] beyond 1,022 bytes, [`ClientError::Group`],
    /// [`ClientError::Transport`].
    pub async fn rename(&self, group: &GroupId, title: &str) -> Result<EpochStatus, ClientError> {
        let sealed = seal_title(title, &mut self.home.fork());
        let (key, sealed) = sealed.ok_or(ClientError::TooLong)?;
        self.wish(Wish::Title(group.clone(), key.clone(), Vec::new())).await?;
        let status = self.change(group, |_| Change::Rename(sealed.clone())).await?;
        let people = self.known_group(group).await?.people();
        let people = people.into_iter().map(|(account, ..)| account).collect();
        self.wish(Wish::Title(group.clone(), key, people)).await?;
        Ok(status)
    }

    /// The groups that this account is a member of or invited to, and those it was in.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn groups(&self) -> Result<Vec<GroupSummary>, ClientError> {
        let scan = Scan::prefix(Table::Groups, &[], usize::MAX);
        let mut all = Vec::new();
        for (_, value) in self.access.store.scan(&scan).await? {
            let group: Group = decode(Table::Groups, &value)?;
            if group.chain.is_some() {
                all.push(self.summary(&group).await?);
            }
        }
        Ok(all)
    }

    /// One group.
    ///
    /// # Errors
    /// [`ClientError::UnknownGroup`], [`ClientError::Store`].
    pub async fn group(&self, group: &GroupId) -> Result<GroupSummary, ClientError> {
        self.summary(&self.known_group(group).await?).await
    }

    /// Members of a group and who is invited, as its verified chain says.
    ///
    /// # Errors
    /// [`ClientError::UnknownGroup`], [`ClientError::Store`].
    pub async fn members(&self, group: &GroupId) -> Result<Vec<GroupMember>, ClientError> {
        let people = self.known_group(group).await?.people();
        let member = |(account, standing, joined)| GroupMember { account, standing, joined };
        Ok(people.into_iter().map(member).collect())
    }

    async fn summary(&self, group: &Group) -> Result<GroupSummary, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let key = group.conversation().0;
        let talk = tx.read::<Conversation>(Table::Conversations, &key).await?;
        Ok(GroupSummary {
            id: group.id.clone(),
            conversation: group.conversation(),
            title: group.title(),
            standing: group.standing(&self.account.id),
            invited_by: group.invited_by(&self.account.id),
            members: group.members().count(),
            invited: group.invited(),
            epoch: group.epoch(),
            active: talk.as_ref().map_or(Timestamp(0), |talk| talk.active),
            unread: talk.as_ref().map_or(0, |talk| talk.unread),
            mentioned: talk.as_ref().map_or(0, |talk| talk.mentioned),
            disappears: talk.and_then(|talk| talk.disappears),
            leaving: group.leaving,
        })
    }

    pub(super) async fn known_group(&self, group: &GroupId) -> Result<Group, ClientError> {
        let key = ConversationId::group(group).0;
        let known = Tx::new(&*self.access.store).read::<Group>(Table::Groups, &key).await?;
        known.filter(|group| group.chain.is_some()).ok_or(ClientError::UnknownGroup)
    }

    /// Signs a change and has it taken.
    pub(super) async fn change(
        &self,
        group: &GroupId,
        make: impl Fn(&GroupState) -> Change + Send + Sync,
    ) -> Result<EpochStatus, ClientError> {
        let mut attempt = 0;
        loop {
            let state = self.known_group(group).await?.state();
            let state = state.ok_or(ClientError::UnknownGroup)?;
            let (own, now) = (self.account.id.to_string(), self.access.clock.now());
            let epoch = state.propose(&own, make(&state), UnixMillis(now.0));
            let signed = self.sign(&epoch).await?;
            // What others would refuse is refused here.
            let Err(err) = state.apply(&signed) else {
                let request = &SubmitEpoch { epoch: EpochDocument(signed.clone()) };
                let submit = self.access.call(|api, token| async move {
                    api.submit_epoch(&token, group, request).await
                });
                match submit.await {
                    Ok(taken) if taken.status == EpochStatus::Taken => {
                        self.learn(group, vec![signed]).await?;
                        return Ok(taken.status);
                    }
                    Ok(taken) => return Ok(taken.status),
                    Err(err) if err.code() == Some("stale_epoch") && attempt < ATTEMPTS => {
                        attempt += 1;
                        self.catch_up(group, state.epoch()).await?;
                    }
                    Err(err) => return Err(err),
                }
                continue;
            };
            return Err(err.into());
        }
    }

    /// Reads what is missing of a chain.
    pub(super) async fn catch_up(&self, group: &GroupId, known: u64) -> Result<(), ClientError> {
        let mut from = known + 1;
        loop {
            let page = self
                .access
                .call(|api, token| async move { api.group_epochs(&token, group, from).await })
                .await?;
            let next = page.next;
            self.wish(Wish::Chain(group.clone(), Box::new(page))).await?;
            let epoch = self.known_group(group).await?.epoch();
            if epoch < from {
                return Err(ClientError::Chain);
            }
            from = epoch + 1;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn learn(
        &self,
        group: &GroupId,
        epochs: Vec<SignedGroupEpoch>,
    ) -> Result<(), ClientError> {
        let epochs = epochs.into_iter().map(EpochDocument).collect();
        self.wish(Wish::Chain(group.clone(), Box::new(Epochs { epochs, next: None }))).await
    }

    async fn sign(&self, epoch: &GroupEpoch) -> Result<SignedGroupEpoch, ClientError> {
        sign(&*self.access.store, epoch, &mut self.home.fork()).await
    }

    /// Somebody with the identity key that is known, or that their server tells if none is.
    async fn named(&self, person: &AccountId) -> Result<Named, ClientError> {
        let mut known = self.known_key(person).await?;
        if known.is_none() {
            let address = &Address::Account(person.clone());
            let ask =
                |api: crate::Api, token| async move { api.user_devices(&token, address).await };
            let devices = self.access.call(ask).await?;
            self.wish(Wish::Devices(person.clone(), Box::new(devices))).await?;
            known = self.known_key(person).await?;
        }
        let identity = known.ok_or(ClientError::UnknownKeys)?.0;
        Ok(Named { account: person.to_string(), identity })
    }

    async fn known_key(&self, person: &AccountId) -> Result<Option<EcKey>, ClientError> {
        let tx = Tx::new(&*self.access.store);
        let known = tx.read::<Person>(Table::People, person.to_string().as_bytes()).await?;
        Ok(known.filter(|known| known.announced.is_none()).and_then(|known| known.identity))
    }

    async fn hand_title(&self, group: &GroupId, to: &AccountId) -> Result<(), ClientError> {
        match self.known_group(group).await?.title_key() {
            Some(key) => self.wish(Wish::Title(group.clone(), key, vec![to.clone()])).await,
            None => Ok(()),
        }
    }
}
