//! Groups of the homeserver in memory: there are none.

use async_trait::async_trait;
use posthouse_client_api::ports::{Caller, Groups};
use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId},
    problem::{Code, Rejection},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, EpochTaken, Epochs, GroupInfo, GroupLinkCreated, GroupLinks,
            Groups as GroupList, JoinRequests, SubmitEpoch,
        },
    },
};
use uuid::Uuid;

use super::home::Home;

fn none<T>() -> Result<T, Rejection> {
    Err(Rejection::new(Code::NotFound, "there is no such group"))
}

#[async_trait]
impl Groups for Home {
    async fn create(&self, _: &Caller, _: SubmitEpoch) -> Result<EpochTaken, Rejection> {
        none()
    }

    async fn submit(
        &self,
        _: &Caller,
        _: &GroupId,
        _: SubmitEpoch,
    ) -> Result<EpochTaken, Rejection> {
        none()
    }

    async fn list(
        &self,
        _: &Caller,
        _: Option<ConversationId>,
        _: usize,
    ) -> Result<GroupList, Rejection> {
        Ok(GroupList { groups: Vec::new(), next: None })
    }

    async fn group(&self, _: &Caller, _: &GroupId) -> Result<GroupInfo, Rejection> {
        none()
    }

    async fn epochs(&self, _: &Caller, _: &GroupId, _: u64, _: usize) -> Result<Epochs, Rejection> {
        none()
    }

    async fn create_link(
        &self,
        _: &Caller,
        _: &GroupId,
        _: CreateGroupLink,
    ) -> Result<GroupLinkCreated, Rejection> {
        none()
    }

    async fn links(&self, _: &Caller, _: &GroupId) -> Result<GroupLinks, Rejection> {
        none()
    }

    async fn revoke_link(&self, _: &Caller, _: &GroupId, _: Uuid) -> Result<(), Rejection> {
        none()
    }

    async fn join(&self, _: &Caller, _: &GroupId, _: Secret) -> Result<(), Rejection> {
        none()
    }

    async fn join_requests(&self, _: &Caller, _: &GroupId) -> Result<JoinRequests, Rejection> {
        none()
    }

    async fn decline_join(&self, _: &Caller, _: &GroupId, _: &AccountId) -> Result<(), Rejection> {
        none()
    }
}
