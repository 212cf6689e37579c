//! Frames about groups.

use serde::{Deserialize, Serialize};

use crate::{
    cursor::Cursor,
    id::{ConversationId, GroupId, ServerName},
    rest::groups::GroupHead,
    status::Status,
    time::Timestamp,
};

/// A group has changed, or what the account is in it: an entry of the inbox. A newer one about the
/// same group replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "GroupFrame", transform = crate::schema::tagged("group"))
)]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GroupEvent {
    /// The account is a member, and there is a new epoch.
    Epoch,
    /// The account is invited.
    Invited,
    /// The account is neither any more: it left or declined, was removed, or its invitation was
    /// taken back.
    Gone,
}

/// How many members of a group have got what its regions accepted: an entry of the inbox. A newer one
/// of the same group, origin and status replaces an older one.
///
/// The message with the number `n` has been got by so many: the sum of `steps` at `n` and above, less
/// the sum of `joined` at `n` and above, less what `except` says for `n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "TallyFrame", transform = crate::schema::tagged("group_status"))
)]
#[serde(tag = "type", rename = "group_status")]
pub struct TallyFrame {
    /// The group.
    pub group: GroupId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The region whose numbers are meant.
    pub origin: ServerName,
    /// What became of the messages.
    pub status: Status,
    /// A number, and how many have got everything up to it; the highest first.
    pub steps: Vec<(u64, u64)>,
    /// A number, and how many of them joined after it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub joined: Vec<(u64, u64)>,
    /// A number, and how many of them it was passed over for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub except: Vec<(u64, u64)>,
    /// The lowest number that can be counted.
    pub from: u64,
    /// When the last of them got something.
    pub at: Timestamp,
    /// Its place in this account's inbox.
    pub cursor: Cursor,
}

impl TallyFrame {
    /// How many have got the message with this number; `None` if it cannot be counted any more.
    pub fn count(&self, number: u64) -> Option<u64> {
        let at_least = |list: &[(u64, u64)]| {
            list.iter().filter(|(step, _)| *step >= number).map(|(_, many)| many).sum::<u64>()
        };
        let except = self.except.iter().find(|(one, _)| *one == number);
        let less = at_least(&self.joined) + except.map_or(0, |(_, many)| *many);
        (number >= self.from).then(|| at_least(&self.steps).saturating_sub(less))
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl GroupFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        // Plain data with text keys: serialising to memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
