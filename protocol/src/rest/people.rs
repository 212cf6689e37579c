//! Bodies of the calls about people: contacts, blocks, message requests, privacy, profiles, reports,
//! and the list of conversations (docs/spec/rest.md §7 to §9).

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use crate::{
    id::{AccountId, ConversationId, MessageId},
    limits,
    time::{Stamp, Timestamp},
};

/// A text of at most `MAX` bytes that the server keeps and does not read: ciphertext in whatever
/// form its client gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Opaque<const MAX: usize>(String);

impl<const MAX: usize> Opaque<MAX> {
    /// The text, if it is not too long.
    pub fn new(text: String) -> Option<Self> {
        (text.len() <= MAX).then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Opaque<MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::new(text).ok_or_else(|| de::Error::custom(format!("at most {MAX} bytes")))
    }
}

/// What an account calls a contact; encrypted by its client.
pub type Label = Opaque<{ limits::MAX_CONTACT_LABEL }>;

/// A call that names a user: `POST /v1/blocks`, `/v1/requests/accept`, `/v1/requests/decline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Named {
    /// A handle or an account id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AddressText"))]
    pub user: String,
}

/// `POST /v1/contacts`: adds a contact, or changes its label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutContact {
    /// A handle or an account id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AddressText"))]
    pub user: String,
    /// What the account calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Label>,
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContactInfo {
    /// Who.
    pub account_id: AccountId,
    /// What the account calls it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Label>,
    /// Since when.
    pub added_at: Timestamp,
}

/// `GET /v1/contacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Contacts {
    /// In the order of their ids.
    pub contacts: Vec<ContactInfo>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<AccountId>,
}

/// Somebody who was blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BlockInfo {
    /// Who.
    pub account_id: AccountId,
    /// Since when.
    pub blocked_at: Timestamp,
}

/// `GET /v1/blocks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Blocks {
    /// In the order of their ids.
    pub blocks: Vec<BlockInfo>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<AccountId>,
}

/// A stranger who has written, and was not answered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestInfo {
    /// Who.
    pub account_id: AccountId,
    /// The conversation that it is about.
    pub conversation_id: ConversationId,
    /// When the first message came.
    pub requested_at: Timestamp,
}

/// `GET /v1/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Requests {
    /// In the order of their ids.
    pub requests: Vec<RequestInfo>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<AccountId>,
}

/// Whom a setting lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Anyone.
    Everyone,
    /// Contacts, and people whom the account has written to.
    Contacts,
    /// Nobody.
    Nobody,
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Anyone; a stranger's first message makes a request.
    Everyone,
    /// Contacts, and people whom the account has written to. Others are refused.
    Contacts,
}

/// How exactly others are told when somebody was last there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LastSeen {
    /// To the millisecond.
    Exact,
    /// The last full hour.
    Hour,
    /// Neither when, nor whether the account is there now.
    Nobody,
}

/// Privacy settings: `GET` and `PUT /v1/account/privacy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Privacy {
    /// Presence. Who shows none sees none.
    pub last_seen: LastSeen,
    /// Whether readable `read` acknowledgements reach the senders.
    pub read_receipts: bool,
    /// Who is sent stories.
    pub stories: Audience,
    /// Who may put the account into a group without asking.
    pub groups: Audience,
    /// Who may write.
    pub messages: Writers,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            last_seen: LastSeen::Exact,
            read_receipts: true,
            stories: Audience::Contacts,
            groups: Audience::Contacts,
            messages: Writers::Everyone,
        }
    }
}

/// `PUT /v1/users/me/profile`: the whole profile. Absent members are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutProfile {
    /// The version that this one replaces; 0 for the first. Another one is refused.
    pub replaces: u64,
    /// The name, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<Opaque<{ limits::MAX_PROFILE_NAME }>>,
    /// A few words, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub about: Option<Opaque<{ limits::MAX_PROFILE_ABOUT }>>,
    /// A picture, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avatar: Option<Opaque<{ limits::MAX_PROFILE_AVATAR }>>,
}

/// A profile: `GET /v1/users/{user}/profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// Whose.
    pub account_id: AccountId,
    /// Rises with every change; 0 if there never was a profile.
    pub version: u64,
    /// The name, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<Opaque<{ limits::MAX_PROFILE_NAME }>>,
    /// A few words, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub about: Option<Opaque<{ limits::MAX_PROFILE_ABOUT }>>,
    /// A picture, encrypted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avatar: Option<Opaque<{ limits::MAX_PROFILE_AVATAR }>>,
    /// When it was changed; absent if it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<Timestamp>,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportReason {
    /// Unwanted advertising.
    Spam,
    /// Insults, threats, pursuit.
    Harassment,
    /// Somebody pretends to be somebody else.
    Impersonation,
    /// What the law forbids.
    Illegal,
    /// Anything else; the comment says what.
    Other,
}

/// A message that a reporter chooses to show to the operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The message.
    pub id: MessageId,
    /// Who sent it, as the reporter says.
    pub from: AccountId,
    /// What it says, in the clear, in a form of the client's choice.
    pub content: Box<RawValue>,
    /// Its place in the conversation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stamp: Option<Stamp>,
}

/// `POST /v1/reports`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileReport {
    /// A handle or an account id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AddressText"))]
    pub user: String,
    /// What it is about.
    pub reason: ReportReason,
    /// In the reporter's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<Opaque<{ limits::MAX_REPORT_COMMENT }>>,
    /// Messages that show it, at most [`limits::MAX_REPORT_MESSAGES`].
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::MAX_REPORT_MESSAGES)))]
    pub messages: Vec<Evidence>,
}

/// The answer to `POST /v1/reports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportFiled {
    /// By which the operator knows it.
    pub report_id: String,
}

/// A conversation of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConversationInfo {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The other side: an account or a group.
    pub with: String,
    /// When something was last said.
    pub last_activity: Timestamp,
    /// The stamp of that.
    pub last_stamp: Stamp,
}

/// `GET /v1/conversations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conversations {
    /// The latest activity first.
    pub conversations: Vec<ConversationInfo>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// `POST /v1/messages/delete`: deletes messages for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeleteMessages {
    /// Which, at most [`limits::MAX_DELETED`].
    #[cfg_attr(feature = "schema", schemars(length(max = limits::MAX_DELETED)))]
    pub messages: Vec<NamedMessage>,
}

/// A message by its sender and id, which together name it everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedMessage {
    /// The sender.
    pub from: AccountId,
    /// The sender's id for it.
    pub id: MessageId,
}

/// The answer to `POST /v1/messages/delete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deleted {
    /// How many were there.
    pub deleted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_texts_are_bounded() {
        type Short = Opaque<4>;
        assert_eq!(serde_json::from_str::<Short>("\"abcd\"").unwrap().as_str(), "abcd");
        let error = serde_json::from_str::<Short>("\"abcde\"").unwrap_err().to_string();
        assert!(error.starts_with("at most 4 bytes"), "{error}");
        // Bytes count, not characters.
        assert!(serde_json::from_str::<Short>("\"äöü\"").is_err());
    }

    #[test]
    fn privacy_names_every_setting() {
        let json = serde_json::to_string(&Privacy::default()).unwrap();
        assert_eq!(
            json,
            r#"{"last_seen":"exact","read_receipts":true,"stories":"contacts","groups":"contacts","messages":"everyone"}"#
        );
        for bad in [
            r#"{"last_seen":"exact"}"#,
            r#"{"last_seen":"always","read_receipts":true,"stories":"nobody","groups":"nobody","messages":"everyone"}"#,
            r#"{"last_seen":"exact","read_receipts":1,"stories":"nobody","groups":"nobody","messages":"everyone"}"#,
            r#"{"last_seen":"exact","read_receipts":true,"stories":"nobody","groups":"nobody","messages":"nobody"}"#,
        ] {
            assert!(serde_json::from_str::<Privacy>(bad).is_err(), "{bad}");
        }
    }
}
