//! Bodies of the calls about groups (docs/spec/rest.md §10, docs/spec/groups.md).

use posthouse_crypto::e2ee::signed::group_epoch::SignedGroupEpoch;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Secret,
    keys::{Base64, EcKey, base64_text},
};
use crate::{
    id::{AccountId, ConversationId, GroupId, ServerName},
    limits,
    time::Timestamp,
};

/// A signed epoch of a group (docs/spec/e2ee.md). Its signature is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochDocument(pub SignedGroupEpoch);

impl Base64 for EpochDocument {
    const WHAT: &'static str = "a signed epoch of a group";
    const MAX: usize = limits::MAX_GROUP_EPOCH;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_bytes()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() <= Self::MAX;
        fits.then(|| SignedGroupEpoch::from_bytes(bytes).ok().map(Self)).flatten()
    }
}

/// The hash of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochHash(pub [u8; 32]);

impl Base64 for EpochHash {
    const WHAT: &'static str = "a hash of 32 bytes";
    const MAX: usize = 32;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// What members call a group, encrypted by them: name, description, and where the picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(pub Vec<u8>);

impl Base64 for Title {
    const WHAT: &'static str = "at most 4,096 bytes";
    const MAX: usize = limits::MAX_GROUP_TITLE;
    fn to_wire(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX).then(|| Self(bytes.to_vec()))
    }
}
base64_text!(EpochDocument, EpochHash, Title);

/// `POST /v1/groups` and `POST /v1/groups/{id}/epochs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitEpoch {
    /// The signed epoch. It names its group.
    pub epoch: EpochDocument,
}

/// The head of a group's chain: the answer to a submitted epoch, and what a refused one is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupHead {
    /// The newest epoch.
    pub epoch: u64,
    /// Its hash, which the next one names.
    pub hash: EpochHash,
}

/// The answer to a submitted epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochTaken {
    /// The group.
    pub group_id: GroupId,
    /// What became of the epoch.
    pub status: EpochStatus,
    /// The newest epoch that this region knows.
    #[serde(flatten)]
    pub head: GroupHead,
}

/// What became of a submitted epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EpochStatus {
    /// It is in the chain.
    Taken,
    /// The region that sequences the group cannot be reached; the epoch waits for it.
    Queued,
}

/// What an account is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Asked to join.
    Invited,
    /// Writes and leaves.
    Member,
    /// Also invites, adds, removes and renames.
    Admin,
    /// Also gives roles and names deputies.
    Owner,
}

/// A group of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupSummary {
    /// The group.
    pub group_id: GroupId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// What the caller is in it.
    pub role: Standing,
    /// The newest epoch.
    #[serde(flatten)]
    pub head: GroupHead,
    /// Whether the account has left here, or declined, while the region that sequences the group
    /// was away: the chain does not say so yet.
    #[serde(skip_serializing_if = "core::ops::Not::not", default)]
    pub leaving: bool,
}

/// `GET /v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Groups {
    /// Groups and invitations, in the order of their conversation ids.
    pub groups: Vec<GroupSummary>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<ConversationId>,
}

/// Somebody in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupPerson {
    /// Who.
    pub account_id: AccountId,
    /// What they are.
    pub role: Standing,
    /// The identity key by which the group knows them.
    pub identity_key: EcKey,
    /// The epoch in which they joined; absent for who is invited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<u64>,
}

/// `GET /v1/groups/{id}`: the group as the server reads its chain. Clients believe the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupInfo {
    /// The group.
    pub group_id: GroupId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The region that sequences its membership.
    pub region: ServerName,
    /// The newest epoch.
    #[serde(flatten)]
    pub head: GroupHead,
    /// The encrypted name.
    pub title: Title,
    /// Members and who is invited, in the order of their ids.
    pub members: Vec<GroupPerson>,
    /// Regions that may take over.
    pub deputies: Vec<ServerName>,
    /// Regions that have not said that they have the newest epoch, by name. Absent where another
    /// region sequences the group: that one knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unacknowledged: Option<Vec<Unacknowledged>>,
}

/// A region that may not know yet what has changed in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unacknowledged {
    /// Which.
    pub region: ServerName,
    /// The first epoch that it has not said to have.
    pub from: u64,
}

/// `GET /v1/groups/{id}/epochs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Epochs {
    /// Epochs, without a gap.
    pub epochs: Vec<EpochDocument>,
    /// The number that the next page starts with; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u64>,
}

/// `POST /v1/groups/{id}/links`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateGroupLink {
    /// For how many seconds it holds, at most [`limits::MAX_GROUP_LINK_SECONDS`]; that, if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = limits::MAX_GROUP_LINK_SECONDS)))]
    pub expires_in: Option<u64>,
}

/// A new invite link. Its code is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupLinkCreated {
    /// By which it is revoked.
    pub link_id: Uuid,
    /// What somebody shows who asks to join.
    pub code: Secret,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// An invite link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupLinkInfo {
    /// By which it is revoked.
    pub link_id: Uuid,
    /// Who made it.
    pub made_by: AccountId,
    /// Until when it holds.
    pub expires_at: Timestamp,
}

/// `GET /v1/groups/{id}/links`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupLinks {
    /// Those that hold.
    pub links: Vec<GroupLinkInfo>,
}

/// `POST /v1/groups/{id}/links/revoke`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevokeGroupLink {
    /// Which.
    pub link_id: Uuid,
}

/// `POST /v1/groups/{id}/join`: asks to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinGroup {
    /// The code of an invite link.
    pub code: Secret,
}

/// Somebody who asks to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinRequest {
    /// Who.
    pub account_id: AccountId,
    /// Since when.
    pub asked_at: Timestamp,
}

/// `GET /v1/groups/{id}/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinRequests {
    /// The earliest first.
    pub requests: Vec<JoinRequest>,
}

/// `POST /v1/groups/{id}/requests/decline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeclineJoin {
    /// Whose.
    pub user: AccountId,
}
