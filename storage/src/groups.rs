//! Groups: their chains of signed epochs, and what the chains say.
//!
//! The store keeps bytes and what was read from them. Whether an epoch is to be believed is decided
//! before, by the homeserver, against the head that [`Step::before`] names; nothing is written if
//! that has changed meanwhile. So of two that race, one comes first.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    frame::GroupEvent,
    id::{AccountId, ConversationId, GroupId, ServerName},
    rest::groups::Standing,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{error::StoreError, keys::IdentityKey, ledger::Arrival};

/// The newest epoch of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub epoch: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What changes whenever a group does: whoever remembers one compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The newest epoch.
    pub head: Head,
    /// How often accounts of this region have left ahead of the chain.
    pub departures: u64,
}

/// A group as its chain makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub id: GroupId,
    /// The region that sequences it.
    pub region: ServerName,
    /// The newest epoch, and what has happened ahead of it.
    pub version: Version,
    /// The encrypted name.
    pub title: Bytes,
    /// Regions that may take over.
    pub deputies: Vec<ServerName>,
    /// Members and who is invited, in the order of their ids' texts.
    pub people: Vec<Person>,
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub account: AccountId,
    /// The identity key by which the group knows them.
    pub identity: IdentityKey,
    /// What they are.
    pub standing: Standing,
    /// The epoch in which they joined, or were invited.
    pub since: u64,
    /// Whether the account is one of this region that is not being deleted: it has an inbox.
    pub is_local: bool,
    /// Whether its invitation is kept from it.
    pub is_hidden: bool,
    /// Whether it has left here, or declined, ahead of the chain.
    pub is_leaving: bool,
}

/// How far an account may read a group's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// All of it.
    Current(Standing),
    /// All of it, to sign anew that it leaves: it has left here, ahead of the chain.
    Leaving(Standing),
    /// Up to the epoch in which it ceased to belong to it.
    Former(u64),
}

/// What an epoch changes for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub account: AccountId,
    /// Whether it is one of this region.
    pub is_local: bool,
    /// What becomes of it.
    pub becomes: Becomes,
}

/// What becomes of an account in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Becomes {
    /// It is this now.
    Known {
        /// The identity key by which the group knows it.
        identity: IdentityKey,
        /// What it is.
        standing: Standing,
        /// Since which epoch.
        since: u64,
        /// Whether an invitation is kept from it: it does not hear who invites.
        is_hidden: bool,
    },
    /// It has nothing to do with the group any more.
    Gone {
        /// Whether it may read the chain up to there, if it is of this region: it knew that it
        /// belonged to the group.
        may_read: bool,
    },
}

/// An epoch that was checked, to be appended.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which group.
    pub group: GroupId,
    /// What the epoch was checked against; `None` creates the group.
    pub before: Option<Head>,
    /// The new head.
    pub head: Head,
    /// The signed epoch.
    pub document: Bytes,
    /// The region that sequences the group.
    pub region: ServerName,
    /// The encrypted name.
    pub title: Bytes,
    /// Regions that may take over.
    pub deputies: Vec<ServerName>,
    /// What it changes for whom.
    pub changes: Vec<Change>,
    /// The account of this region that becomes a member by it, and of how many groups it may be one.
    pub joins: Option<(Uuid, usize)>,
    /// Accounts of this region that are told, each at most once, and of what.
    pub tell: Vec<(Uuid, GroupEvent)>,
    /// Regions that are to be told of it by this one, which sequences the group.
    pub announce: Vec<ServerName>,
    /// When.
    pub now: Timestamp,
}

/// How appending ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is durable; these inboxes have a new entry.
    Done(Vec<Arrival>),
    /// The group has another head: nothing was written. `None` if there is no such group.
    Moved(Option<Head>),
    /// The account that would join is a member of too many groups: nothing was written.
    TooMany,
}

/// An entry of an inbox about a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNotice {
    /// What.
    pub event: GroupEvent,
    /// Which group.
    pub group: GroupId,
    /// The epoch that it is about.
    pub head: Head,
}

/// A group of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which.
    pub group: GroupId,
    /// What the account is in it.
    pub standing: Standing,
    /// The newest epoch.
    pub head: Head,
    /// Whether it has left here, or declined, ahead of the chain.
    pub is_leaving: bool,
}

/// An invite link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLink {
    /// By which it is revoked.
    pub id: Uuid,
    /// Who made it.
    pub made_by: AccountId,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// An epoch that waits for the region that sequences its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Which group.
    pub group: GroupId,
    /// Its hash.
    pub hash: [u8; 32],
    /// The signed epoch.
    pub document: Bytes,
    /// Since when.
    pub at: Timestamp,
}

/// How a bounded list grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// By one.
    New,
    /// It was on the list.
    Known,
    /// Not: the list is full.
    Full,
    /// Not: there is no such group, or no such link.
    Nothing,
}

/// Groups. Every method is atomic.
#[async_trait]
pub trait Groups: Send + Sync {
    /// The head of a chain, and what has happened ahead of it.
    async fn group_version(&self, group: &GroupId) -> Result<Option<Version>, StoreError>;

    /// The group as its chain makes it, of one moment.
    async fn group(&self, group: &GroupId) -> Result<Option<Group>, StoreError>;

    /// Whether and how far an account may read the chain. An invitation that is kept from the
    /// account lets it read nothing.
    async fn group_reader(
        &self,
        group: &GroupId,
        account: &AccountId,
    ) -> Result<Option<Reader>, StoreError>;

    /// Appends an epoch, if the head is the one that it was checked against.
    async fn append_epoch(&self, step: &Step) -> Result<Appended, StoreError>;

    /// The hash of an epoch.
    async fn epoch_hash(&self, group: &GroupId, epoch: u64)
    -> Result<Option<[u8; 32]>, StoreError>;

    /// At most `limit` epochs from `from` to `through`, without a gap, as signed documents.
    async fn epochs(
        &self,
        group: &GroupId,
        (from, through): (u64, u64),
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError>;

    /// Groups of which an account of this region is a member, and the latest `invitations` ones it
    /// is invited to and that are not kept from it: at most `limit` after `after` in the order of
    /// their conversation ids.
    async fn memberships(
        &self,
        account: Uuid,
        after: Option<ConversationId>,
        (limit, invitations): (usize, usize),
    ) -> Result<Vec<Membership>, StoreError>;

    /// Adds an invite link with the hash of its code, unless `most` hold.
    async fn put_group_link(
        &self,
        group: &GroupId,
        link: &GroupLink,
        (code, most): (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, StoreError>;

    /// Invite links that hold, the earliest end first.
    async fn group_links(
        &self,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<Vec<GroupLink>, StoreError>;

    /// Ends an invite link. `false` if there is none.
    async fn revoke_group_link(&self, group: &GroupId, link: Uuid) -> Result<bool, StoreError>;

    /// `account` asks to join by the code of a link that holds, unless `most` ask already.
    async fn ask_to_join(
        &self,
        group: &GroupId,
        account: &AccountId,
        (code, most): (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, StoreError>;

    /// Who asks to join, the earliest first.
    async fn join_requests(
        &self,
        group: &GroupId,
        limit: usize,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Whether `account` asks to join.
    async fn asks_to_join(&self, group: &GroupId, account: &AccountId) -> Result<bool, StoreError>;

    /// Somebody asks no longer. `false` if they did not.
    async fn drop_join_request(
        &self,
        group: &GroupId,
        account: &AccountId,
    ) -> Result<bool, StoreError>;

    /// Regions that have still to be told of epochs, and up to which: at most `limit` after `after`,
    /// in the order of regions and conversation ids.
    async fn untold_groups(
        &self,
        after: Option<(&ServerName, &GroupId)>,
        limit: usize,
    ) -> Result<Vec<(ServerName, GroupId, u64)>, StoreError>;

    /// `region` knows the group's epochs up to `epoch`.
    async fn told_group(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), StoreError>;

    /// `region` does not take the group's epochs up to `epoch`: it is not told again before there
    /// is another.
    async fn refused_group(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), StoreError>;

    /// Regions that were to be told of epochs and have not said that they have them, by name, and
    /// from which epoch on.
    async fn regions_behind(&self, group: &GroupId) -> Result<Vec<(ServerName, u64)>, StoreError>;

    /// Keeps an epoch of an account of this region for the region that sequences the group, unless
    /// `most` of the account's wait.
    async fn put_pending_epoch(
        &self,
        group: &GroupId,
        account: Uuid,
        (hash, document): (&[u8; 32], &[u8]),
        (most, now): (usize, Timestamp),
    ) -> Result<Grown, StoreError>;

    /// An account of this region leaves a group, or declines an invitation, while the region that
    /// sequences the group cannot be asked. From now on the group is over for it here, until an
    /// epoch makes something new of it; the account is told [`GroupEvent::Gone`] at `head`, unless
    /// it had left before. Its signed epoch is kept for that region, in the place of everything else
    /// of the account that waits for the group.
    async fn depart(
        &self,
        group: &GroupId,
        account: Uuid,
        (hash, document): (&[u8; 32], &[u8]),
        (head, now): (Head, Timestamp),
    ) -> Result<Option<Arrival>, StoreError>;

    /// Epochs that wait, the oldest first, at most `limit`, from behind `after` on: group, hash,
    /// document, since when.
    async fn pending_epochs(
        &self,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError>;

    /// An epoch does not wait any more.
    async fn drop_pending_epoch(&self, hash: &[u8; 32]) -> Result<(), StoreError>;

    /// The group whose conversation this is.
    async fn group_of(&self, conversation: ConversationId) -> Result<Option<GroupId>, StoreError>;

    /// Forgets links that ended before `now`, wishes to join from before `asked`, and who ceased to
    /// belong to a group before `left`: at most `limit` of each. Whether there may be more.
    async fn forget_in_groups(
        &self,
        (now, asked, left): (Timestamp, Timestamp, Timestamp),
        limit: u32,
    ) -> Result<bool, StoreError>;
}
