//! Invitations: who may register in a region that asks for one.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;

use crate::error::StoreError;

/// SHA-256 of an invitation's code; the code itself is never stored.
pub type InviteHash = [u8; 32];

/// An invitation to be made.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// The beginning of its code, by which the operator names it.
    pub id: String,
    /// The hash of the whole code.
    pub hash: InviteHash,
    /// How many accounts may be registered with it.
    pub uses: u32,
    /// When it is made.
    pub created_at: Timestamp,
    /// From when on it is worth nothing.
    pub expires_at: Timestamp,
}

/// An invitation, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The beginning of its code.
    pub id: String,
    /// How many accounts may be registered with it.
    pub uses: u32,
    /// How many were.
    pub used: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is worth nothing.
    pub expires_at: Timestamp,
}

/// Invitations. Every method is atomic. They are used up by
/// [`crate::accounts::Accounts::create_account`].
#[async_trait]
pub trait Invites: Send + Sync {
    /// Makes an invitation. `false` if there is one with this id.
    async fn create_invite(&self, invite: &NewInvite) -> Result<bool, StoreError>;

    /// Invitations, the newest first, at most `limit`; those that are used up or expired too.
    async fn invites(&self, limit: usize) -> Result<Vec<Invite>, StoreError>;

    /// Withdraws an invitation. `false` if there is none with this id.
    async fn withdraw_invite(&self, id: &str) -> Result<bool, StoreError>;

    /// Deletes invitations that expired before `before`, at most `limit`; returns how many.
    async fn forget_invites(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
