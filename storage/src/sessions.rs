//! Sessions and their refresh tokens.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{DeviceId, SessionId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::error::StoreError;

/// SHA-256 of a refresh token; the token itself is never stored.
pub type TokenHash = [u8; 32];

/// A session to be opened.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Its account.
    pub account: Uuid,
    /// Its device.
    pub device: DeviceId,
    /// Its first refresh token.
    pub refresh: TokenHash,
    /// When.
    pub created_at: Timestamp,
    /// When the refresh token expires, if it is not used.
    pub expires_at: Timestamp,
}

/// A session that is neither ended nor expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its account.
    pub account: Uuid,
    /// Its device.
    pub device: DeviceId,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub refreshed_at: Timestamp,
}

/// How a refresh ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The old token is used up, the new one is valid.
    Rotated(Session),
    /// The token had been used before: someone copied it. The session is ended by this call.
    Reused(Session),
    /// No such token, or its session is ended or expired.
    Unknown,
}

/// Sessions. Every method is atomic; of two concurrent rotations of one token exactly one gets
/// [`Rotation::Rotated`].
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Opens a session for a device that exists, and ends the device's earlier ones. The ended ones
    /// are returned; `None` if the account has no such device.
    async fn open_session(
        &self,
        session: &NewSession,
    ) -> Result<Option<Vec<SessionId>>, StoreError>;

    /// The session, if it is neither ended nor expired at `now` and its account is active.
    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError>;

    /// Uses up the token `presented` and puts `next` in its place, valid until `expires_at`. The
    /// same rotation again changes nothing and succeeds, as long as `next` was not used: whoever
    /// asks for it knows both. A `next` that is known otherwise is [`Rotation::Unknown`], and
    /// another one for a used token [`Rotation::Reused`].
    async fn rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Rotation, StoreError>;

    /// The account's sessions that are neither ended nor expired at `now`, oldest first.
    async fn sessions(&self, account: Uuid, now: Timestamp) -> Result<Vec<Session>, StoreError>;

    /// Ends one session. `false` if it is not one of the account's live ones.
    async fn end_session(
        &self,
        account: Uuid,
        session: SessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Deletes sessions and tokens that ended or expired before `before`, at most `limit` sessions;
    /// returns how many.
    async fn forget_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Deletes refresh tokens that were used before `before`, at most `limit`; returns how many. One
    /// of them that comes again is unknown instead of ending its session.
    async fn forget_used_tokens(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
