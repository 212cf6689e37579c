//! Ways into a group by a link, and the regions that may take it over.

use posthouse_crypto::e2ee::signed::group_epoch::{Change, EpochError};
use posthouse_protocol::{
    id::{AccountId, GroupId, ServerName},
    rest::{
        Secret,
        groups::{
            CreateGroupLink, DeclineJoin, EpochStatus, GroupLinkInfo, JoinGroup, JoinRequest,
            RevokeGroupLink,
        },
    },
    time::Timestamp,
};
use uuid::Uuid;

use super::Client;
use crate::ClientError;

/// What stands before a group and a code.
const LINK: &str = "posthouse-group:";

/// An invite link that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupLink {
    /// By which it is [revoked](Client::revoke_group_link).
    pub id: Uuid,
    /// What is given to people, who give it to [`Client::join_by_link`]. It is told this once.
    pub link: Secret,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

impl Client {
    /// Makes a link by which people ask to join a group, for so many seconds; at most, and without
    /// a number, for 30 days. For admins, of groups whose region is the own one.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `forbidden` and `too_many`.
    pub async fn create_group_link(
        &self,
        group: &GroupId,
        expires_in: Option<u64>,
    ) -> Result<GroupLink, ClientError> {
        let request = &CreateGroupLink { expires_in };
        let create = |api: crate::Api, token| async move {
            api.create_group_link(&token, group, request).await
        };
        let made = self.access.call(create).await?;
        let link = Secret(format!("{LINK}{group}?c={}", made.code.0));
        Ok(GroupLink { id: made.link_id, link, expires_at: made.expires_at })
    }

    /// The links that hold, without their codes. For admins.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `forbidden`.
    pub async fn group_links(&self, group: &GroupId) -> Result<Vec<GroupLinkInfo>, ClientError> {
        let list = |api: crate::Api, token| async move { api.group_links(&token, group).await };
        Ok(self.access.call(list).await?.links)
    }

    /// Ends a link. Who asks to join already goes on asking. For admins.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if there is no such link.
    pub async fn revoke_group_link(&self, group: &GroupId, link: Uuid) -> Result<(), ClientError> {
        let request = &RevokeGroupLink { link_id: link };
        let revoke = |api: crate::Api, token| async move {
            api.revoke_group_link(&token, group, request).await
        };
        self.access.call(revoke).await
    }

    /// Asks to join the group of a link. An admin lets the account in, which comes as
    /// [`Update::Group`](crate::Update::Group). The group.
    ///
    /// # Errors
    /// [`ClientError::Link`] for what is no link; [`ClientError::Transport`], with the code
    /// `not_found` if it does not hold.
    pub async fn join_by_link(&self, link: &str) -> Result<GroupId, ClientError> {
        let parts = link.trim().strip_prefix(LINK).and_then(|rest| rest.split_once("?c="));
        let parts = parts.and_then(|(group, code)| Some((GroupId::parse(group).ok()?, code)));
        let (group, code) = parts.ok_or(ClientError::Link("it is not a link to a group"))?;
        let (to, request) = (&group, &JoinGroup { code: Secret(code.to_owned()) });
        let join =
            |api: crate::Api, token| async move { api.join_group(&token, to, request).await };
        self.access.call(join).await?;
        Ok(group)
    }

    /// Who asks to join, the earliest first. For admins, who let them in by [`Client::add`].
    ///
    /// # Errors
    /// [`ClientError::Transport`], with codes such as `forbidden`.
    pub async fn join_requests(&self, group: &GroupId) -> Result<Vec<JoinRequest>, ClientError> {
        let list = |api: crate::Api, token| async move { api.join_requests(&token, group).await };
        Ok(self.access.call(list).await?.requests)
    }

    /// Does not let somebody in, who is not told. For admins.
    ///
    /// # Errors
    /// [`ClientError::Transport`], with the code `not_found` if they do not ask.
    pub async fn decline_join(
        &self,
        group: &GroupId,
        person: &AccountId,
    ) -> Result<(), ClientError> {
        let request = &DeclineJoin { user: person.clone() };
        let decline =
            |api: crate::Api, token| async move { api.decline_join(&token, group, request).await };
        self.access.call(decline).await
    }

    /// Names the regions of which one may take the group over if its own is gone for good: at most
    /// eight, in the place of those before. For owners.
    ///
    /// # Errors
    /// [`ClientError::Group`], [`ClientError::Transport`].
    pub async fn set_deputies(
        &self,
        group: &GroupId,
        regions: &[ServerName],
    ) -> Result<EpochStatus, ClientError> {
        let regions: Vec<String> = regions.iter().map(ToString::to_string).collect();
        self.change(group, |_| Change::SetDeputies(regions.clone())).await
    }

    /// The regions that may take the group over, as its verified chain says.
    ///
    /// # Errors
    /// [`ClientError::UnknownGroup`], [`ClientError::Store`].
    pub async fn deputies(&self, group: &GroupId) -> Result<Vec<ServerName>, ClientError> {
        let state = self.known_group(group).await?.state().ok_or(ClientError::UnknownGroup)?;
        let parse = |region: &String| ServerName::parse(region);
        let regions = state.deputies().iter().map(parse).collect::<Result<_, _>>();
        // Whoever signs a chain may write what is no region.
        regions.map_err(|_| EpochError::NotAllowed("a deputy is no region").into())
    }
}
