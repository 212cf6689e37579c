//! Bodies of the REST calls (docs/spec/rest.md). Requests ignore unknown fields.

pub mod groups;
pub mod keys;
mod people;
mod security;

pub use people::{
    Audience, BlockInfo, Blocks, ContactInfo, Contacts, ConversationInfo, Conversations,
    DeleteMessages, Deleted, Evidence, FileReport, Label, LastSeen, Named, NamedMessage, Opaque,
    Privacy, Profile, PutContact, PutProfile, ReportFiled, ReportReason, RequestInfo, Requests,
    Writers,
};
pub use security::{
    AccountSecurity, ChangePassword, ConfirmTotp, Confirmation, Pin, RecoveryCodes, SetPin,
    TotpSecret,
};

use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    cursor::Cursor,
    id::{AccountId, ConversationId, DeviceId, DeviceNumber, HandleName, MessageId, SessionId},
    status::Status,
    time::{Stamp, Timestamp},
};

/// A text that is never shown or logged: passwords and tokens.
#[derive(
    Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::Zeroize, zeroize::ZeroizeOnDrop,
)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// `POST /v1/accounts`: register, with a first device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Register {
    /// The wanted handle, without a domain.
    pub handle: HandleName,
    /// 10 to 128 bytes, and none of the commonest.
    #[cfg_attr(feature = "schema", schemars(length(min = crate::limits::MIN_PASSWORD, max = crate::limits::MAX_PASSWORD)))]
    pub password: Secret,
    /// An invitation, where the region asks for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invite: Option<Secret>,
    /// The first device.
    #[serde(default)]
    pub device: NewDevice,
}

/// A device at its first log-in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewDevice {
    /// What its person calls it, at most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::DeviceName>"))]
    pub name: Option<String>,
    /// Drawn by the device at its installation; 0 to 16,383.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registration_id: Option<crate::id::RegistrationId>,
}

/// `POST /v1/sessions`: log in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogIn {
    /// The handle or account id, with or without this region's domain.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AddressText"))]
    pub user: String,
    /// The password.
    pub password: Secret,
    /// A code of the authenticator, where the account has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<Secret>,
    /// A recovery code in place of `code`; it is used up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovery_code: Option<Secret>,
    /// A device of the account that logs in again, with its place in the inbox. Absent: a new one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_id: Option<DeviceId>,
    /// The new device.
    #[serde(default)]
    pub device: NewDevice,
}

/// `POST /v1/sessions/refresh`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refresh {
    /// The newest refresh token; it is used up by this call.
    pub refresh_token: Secret,
    /// The one to come in its place, drawn by the client: 32 random bytes, in base64url without
    /// padding. Who sends both again, since the answer was lost, gets the answer again. Absent: the
    /// server draws it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_refresh_token: Option<Secret>,
}

/// The answer to registering, logging in and refreshing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionTokens {
    /// The account.
    pub account_id: AccountId,
    /// Its handle.
    pub handle: HandleName,
    /// The device.
    pub device_id: DeviceId,
    /// The device's number within the account.
    pub device: DeviceNumber,
    /// The session.
    pub session_id: SessionId,
    /// For `Authorization: Bearer`.
    pub access_token: Secret,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// For one call of `POST /v1/sessions/refresh`.
    pub refresh_token: Secret,
}

/// An element of `GET /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionInfo {
    /// The session.
    pub session_id: SessionId,
    /// Its device.
    pub device_id: DeviceId,
    /// The device's number.
    pub device: DeviceNumber,
    /// The device's name.
    pub device_name: String,
    /// When it logged in.
    pub created_at: Timestamp,
    /// When it last refreshed its tokens.
    pub refreshed_at: Timestamp,
    /// Whether it is the session that asks.
    pub current: bool,
}

/// `GET /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sessions {
    /// All sessions of the account, oldest first.
    pub sessions: Vec<SessionInfo>,
}

/// `GET /v1/account`: who the caller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Me {
    /// The account.
    pub account_id: AccountId,
    /// Its handle.
    pub handle: HandleName,
    /// The calling device.
    pub device_id: DeviceId,
    /// Its number.
    pub device: DeviceNumber,
}

/// `GET /v1/users/{user}`: what anyone of the region may know of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// The account.
    pub account_id: AccountId,
    /// Its handle.
    pub handle: HandleName,
}

/// `POST /v1/connect/ticket`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket {
    /// For one `GET /v1/connect?ticket=…`.
    pub ticket: Secret,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// `POST /v1/messages`: accepted and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sent {
    /// The message.
    pub message_id: MessageId,
    /// Always `sent`.
    pub status: Status,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Its place in the conversation.
    pub stamp: Stamp,
    /// Its number in the conversation among what this region accepted.
    pub origin_number: u64,
    /// When it was accepted.
    pub at: Timestamp,
}

/// `GET /v1/messages/sync`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SyncPage {
    /// `message` frames, in the order of their cursors.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::frame::MessageFrame<'static>>"))]
    pub messages: Vec<Box<RawValue>>,
    /// Other entries of the inbox as frames, in the order of their cursors.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::schema::InboxEvent>"))]
    pub events: Vec<Box<RawValue>>,
    /// Whether more is waiting.
    pub has_more: bool,
    /// Where the next page starts.
    pub next_cursor: Cursor,
}

/// `GET /v1/capabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Capabilities {
    /// The region.
    pub server_name: String,
    /// The software and its version.
    pub software: String,
    /// Versions of the client API.
    pub versions: Vec<String>,
    /// Subprotocols of the socket.
    pub subprotocols: Vec<String>,
    /// `open`, `invite` or `closed`.
    pub registration: String,
    /// Whether contents that are not encrypted are taken.
    pub allow_unencrypted: bool,
    /// Numbers a client can run into.
    pub limits: Limits,
}

/// Advertised limits; see [`crate::limits`] for their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "each field is the constant of the same name in `limits`")]
pub struct Limits {
    pub max_body: usize,
    pub max_frame: usize,
    pub max_ciphertexts: usize,
    pub window: usize,
    pub max_submissions_in_flight: usize,
    pub max_ack_ids: usize,
    pub max_subscriptions: usize,
    pub max_sync_page: usize,
    pub max_devices: usize,
    pub retention_seconds: u64,
    pub access_token_seconds: u64,
}

impl Limits {
    /// The limits of this version.
    pub fn current() -> Self {
        use crate::limits as l;
        Self {
            max_body: l::MAX_BODY,
            max_frame: l::MAX_FRAME,
            max_ciphertexts: l::MAX_CIPHERTEXTS,
            window: l::WINDOW,
            max_submissions_in_flight: l::MAX_SUBMISSIONS_IN_FLIGHT,
            max_ack_ids: l::MAX_ACK_IDS,
            max_subscriptions: l::MAX_SUBSCRIPTIONS,
            max_sync_page: l::MAX_SYNC_PAGE,
            max_devices: l::MAX_DEVICES,
            retention_seconds: l::RETENTION_MS / 1000,
            access_token_seconds: l::ACCESS_TOKEN_SECONDS,
        }
    }
}
