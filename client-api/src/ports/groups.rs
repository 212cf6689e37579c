//! Groups: their chains of epochs, invite links, and who asks to join.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId},
    problem::Rejection,
    rest::{
        Secret,
        groups::{
            CreateGroupLink, EpochTaken, Epochs, GroupInfo, GroupLinkCreated, GroupLinks,
            Groups as GroupList, JoinRequests, SubmitEpoch,
        },
    },
};
use uuid::Uuid;

use super::Caller;

/// Groups. Whoever has nothing to do with a group is answered `not_found`, as if it did not exist.
#[async_trait]
pub trait Groups: Send + Sync {
    /// Creates a group with its first epoch. The same epoch again is answered like the first time.
    async fn create(&self, caller: &Caller, epoch: SubmitEpoch) -> Result<EpochTaken, Rejection>;

    /// Appends an epoch; `stale_epoch` if the group has moved on. One that is in the chain already
    /// is answered like the first time.
    async fn submit(
        &self,
        caller: &Caller,
        group: &GroupId,
        epoch: SubmitEpoch,
    ) -> Result<EpochTaken, Rejection>;

    /// The groups and invitations of the caller after `after`.
    async fn list(
        &self,
        caller: &Caller,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<GroupList, Rejection>;

    /// A group, for its members and who is invited.
    async fn group(&self, caller: &Caller, group: &GroupId) -> Result<GroupInfo, Rejection>;

    /// A piece of the chain from `from` on; for who has left, up to there.
    async fn epochs(
        &self,
        caller: &Caller,
        group: &GroupId,
        from: u64,
        limit: usize,
    ) -> Result<Epochs, Rejection>;

    /// Makes an invite link. For admins.
    async fn create_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: CreateGroupLink,
    ) -> Result<GroupLinkCreated, Rejection>;

    /// The invite links that hold. For admins.
    async fn links(&self, caller: &Caller, group: &GroupId) -> Result<GroupLinks, Rejection>;

    /// Ends an invite link. For admins.
    async fn revoke_link(
        &self,
        caller: &Caller,
        group: &GroupId,
        link: Uuid,
    ) -> Result<(), Rejection>;

    /// Asks to join by the code of a link.
    async fn join(&self, caller: &Caller, group: &GroupId, code: Secret) -> Result<(), Rejection>;

    /// Who asks to join. For admins.
    async fn join_requests(
        &self,
        caller: &Caller,
        group: &GroupId,
    ) -> Result<JoinRequests, Rejection>;

    /// Somebody shall not join. For admins.
    async fn decline_join(
        &self,
        caller: &Caller,
        group: &GroupId,
        user: &AccountId,
    ) -> Result<(), Rejection>;
}
