//! What the listener for peers asks of the homeserver, beside the streams.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::query::{
        ProfileAnswer,
        groups::{GroupAnswer, GroupQuestion},
        keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
    },
    id::{HandleName, ServerName},
    time::Timestamp,
};
use posthouse_storage::error::StoreError;
use uuid::Uuid;

/// What this server says of itself. Both are asked for often and should be kept ready.
pub trait Published: Send + Sync {
    /// The signed server document that holds at `now`, encoded.
    fn document(&self, now: Timestamp) -> Bytes;

    /// The whole key log, encoded.
    fn key_log(&self) -> Bytes;
}

/// Who has which handle here.
#[async_trait]
pub trait Handles: Send + Sync {
    /// The account with this handle; `None` if nobody has it.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be told now.
    async fn account(&self, handle: &HandleName) -> Result<Option<Uuid>, StoreError>;
}

/// What profiles say here.
#[async_trait]
pub trait Profiles: Send + Sync {
    /// The profile of an account; `None` if there is no such account.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be told now.
    async fn profile(&self, account: Uuid) -> Result<Option<ProfileAnswer>, StoreError>;
}

/// Keys of users of this server.
#[async_trait]
pub trait UserKeys: Send + Sync {
    /// The devices of an account.
    ///
    /// # Errors
    /// [`Unanswered`].
    async fn devices(&self, question: DevicesOf) -> Result<DevicesAnswer, Unanswered>;

    /// What sessions with an account's devices begin with, for an account of `origin`: every
    /// one-time key once, to whomever it may be.
    ///
    /// # Errors
    /// [`Unanswered`].
    async fn bundles(
        &self,
        origin: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Unanswered>;
}

/// Groups, for other servers.
#[async_trait]
pub trait PeerGroups: Send + Sync {
    /// What `origin` is told about a group, or what becomes of what it tells.
    ///
    /// # Errors
    /// [`Unanswered`].
    async fn group(
        &self,
        origin: &ServerName,
        question: GroupQuestion,
    ) -> Result<GroupAnswer, Unanswered>;
}

/// Why a question about keys is not answered now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many keys were asked for: again after so many seconds.
    #[error("too many keys were asked for")]
    TooOften(u32),
    /// Something here failed; for the log alone.
    #[error("{0}")]
    Failed(String),
}

/// Who wants to know that a peer is alive: what waits for it should be tried at once
/// ([`crate::engine::sender::Input::SignOfLife`]).
pub trait Contacts: Send + Sync {
    /// The peer signed something that came just now, answers again after a failure, or has a new
    /// address. Called often: it must neither wait nor grow.
    fn heard(&self, peer: &ServerName);
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContacts;

impl Contacts for NoContacts {
    fn heard(&self, _peer: &ServerName) {}
}
