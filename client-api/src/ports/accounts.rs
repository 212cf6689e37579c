//! Accounts, sessions and the directory.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, Address, DeviceId, DeviceNumber, SessionId},
    problem::Rejection,
    rest::{LogIn, Me, Refresh, Register, SessionTokens, Sessions, User},
};

/// Who calls, as proved by an access token or ticket whose session is neither ended nor expired.
/// Only [`Accounts::authenticate`] makes one outside of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The device's number within the account.
    pub number: DeviceNumber,
    /// The session.
    pub session: SessionId,
}

/// Accounts and sessions.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Registers an account with a first device and logs that in.
    async fn register(&self, request: Register) -> Result<SessionTokens, Rejection>;

    /// Logs in with a password, on a new device or on one that exists.
    async fn log_in(&self, request: LogIn) -> Result<SessionTokens, Rejection>;

    /// Trades a refresh token for new tokens; a token that was used before ends its session.
    async fn refresh(&self, request: Refresh) -> Result<SessionTokens, Rejection>;

    /// Checks an access token: signature, audience, expiry, and that its session has not ended.
    async fn authenticate(&self, access_token: &str) -> Result<Caller, Rejection>;

    /// Checks again that the caller's session has not ended, for tickets.
    async fn still_valid(&self, caller: &Caller) -> Result<(), Rejection>;

    /// Who the caller is.
    async fn me(&self, caller: &Caller) -> Result<Me, Rejection>;

    /// The sessions of the caller's account.
    async fn sessions(&self, caller: &Caller) -> Result<Sessions, Rejection>;

    /// Ends the caller's session and removes its device.
    async fn log_out(&self, caller: &Caller) -> Result<(), Rejection>;

    /// Ends a session of the caller's account and removes its device; `not_found` for any other.
    async fn end_session(&self, caller: &Caller, session: SessionId) -> Result<(), Rejection>;

    /// Finds a user by id or handle: what anyone of the region may know of them.
    async fn user(&self, caller: &Caller, address: Address) -> Result<User, Rejection>;
}
