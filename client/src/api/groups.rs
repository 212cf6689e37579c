//! The calls about groups (docs/spec/rest.md §10).

use posthouse_protocol::{
    id::{ConversationId, GroupId},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, DeclineJoin, EpochTaken, Epochs, GroupInfo, GroupLinkCreated,
            GroupLinks, Groups, JoinGroup, JoinRequests, RevokeGroupLink, SubmitEpoch,
        },
    },
};

use super::{Api, json};
use crate::Error;

impl Api {
    /// `POST /v1/groups`: creates a group with its first epoch.
    pub async fn create_group(
        &self,
        access: &Secret,
        request: &SubmitEpoch,
    ) -> Result<EpochTaken, Error> {
        self.post("/v1/groups", Some(access), json(request)).await
    }

    /// `GET /v1/groups`: a page of the account's groups and invitations, after this conversation.
    pub async fn groups(
        &self,
        access: &Secret,
        after: Option<ConversationId>,
    ) -> Result<Groups, Error> {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        self.get(&format!("/v1/groups{after}"), Some(access)).await
    }

    /// `GET /v1/groups/{id}`: the group as the server reads its chain.
    pub async fn group(&self, access: &Secret, group: &GroupId) -> Result<GroupInfo, Error> {
        self.get(&format!("/v1/groups/{group}"), Some(access)).await
    }

    /// `POST /v1/groups/{id}/epochs`: a change of the group.
    pub async fn submit_epoch(
        &self,
        access: &Secret,
        group: &GroupId,
        request: &SubmitEpoch,
    ) -> Result<EpochTaken, Error> {
        self.post(&format!("/v1/groups/{group}/epochs"), Some(access), json(request)).await
    }

    /// `GET /v1/groups/{id}/epochs`: a piece of the group's chain, from the epoch `from` on.
    pub async fn group_epochs(
        &self,
        access: &Secret,
        group: &GroupId,
        from: u64,
    ) -> Result<Epochs, Error> {
        self.get(&format!("/v1/groups/{group}/epochs?from={from}"), Some(access)).await
    }

    /// `GET /v1/groups/{id}/links`: the invite links that hold.
    pub async fn group_links(&self, access: &Secret, group: &GroupId) -> Result<GroupLinks, Error> {
        self.get(&format!("/v1/groups/{group}/links"), Some(access)).await
    }

    /// `POST /v1/groups/{id}/links`: makes an invite link.
    pub async fn create_group_link(
        &self,
        access: &Secret,
        group: &GroupId,
        request: &CreateGroupLink,
    ) -> Result<GroupLinkCreated, Error> {
        self.post(&format!("/v1/groups/{group}/links"), Some(access), json(request)).await
    }

    /// `POST /v1/groups/{id}/links/revoke`: ends an invite link.
    pub async fn revoke_group_link(
        &self,
        access: &Secret,
        group: &GroupId,
        request: &RevokeGroupLink,
    ) -> Result<(), Error> {
        self.act(&format!("/v1/groups/{group}/links/revoke"), access, request).await
    }

    /// `POST /v1/groups/{id}/join`: asks to join by an invite link.
    pub async fn join_group(
        &self,
        access: &Secret,
        group: &GroupId,
        request: &JoinGroup,
    ) -> Result<(), Error> {
        self.act(&format!("/v1/groups/{group}/join"), access, request).await
    }

    /// `GET /v1/groups/{id}/requests`: who asks to join.
    pub async fn join_requests(
        &self,
        access: &Secret,
        group: &GroupId,
    ) -> Result<JoinRequests, Error> {
        self.get(&format!("/v1/groups/{group}/requests"), Some(access)).await
    }

    /// `POST /v1/groups/{id}/requests/decline`: takes somebody off that list.
    pub async fn decline_join(
        &self,
        access: &Secret,
        group: &GroupId,
        request: &DeclineJoin,
    ) -> Result<(), Error> {
        self.act(&format!("/v1/groups/{group}/requests/decline"), access, request).await
    }
}
