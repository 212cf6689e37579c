//! The frame about a group.

use serde::{Deserialize, Serialize};

use crate::{cursor::Cursor, id::GroupId, rest::groups::GroupHead};

/// A group has changed, or what the account is in it: an entry of the inbox. A newer one about the
/// same group replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "group")]
pub struct GroupFrame {
    /// What.
    pub event: GroupEvent,
    /// Which.
    pub group: GroupId,
    /// The newest epoch that the account may read.
    #[serde(flatten)]
    pub head: GroupHead,
    /// Its place in this account's inbox.
    pub cursor: Cursor,
}

/// What has changed for the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupEvent {
    /// The account is a member, and there is a new epoch.
    Epoch,
    /// The account is invited.
    Invited,
    /// The account is neither any more: it left, was removed, or its invitation was taken back.
    Gone,
}

impl GroupFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        // Plain data with text keys: serialising to memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
