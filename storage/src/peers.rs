//! What is known of other regions: their keys, and the accounts behind their handles.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{HandleName, ServerName},
    time::Timestamp,
};
use uuid::Uuid;

use crate::error::StoreError;

/// Most handles of other regions that are remembered; the one learnt longest ago goes first.
pub const MAX_REMEMBERED_HANDLES: usize = 100_000;

/// An account of another region that had a handle when it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedHandle {
    /// The account; `None` if nobody had it.
    pub account: Option<Uuid>,
    /// Until when the region said that it holds. It is still good to know afterwards, when the
    /// region cannot be asked: handles are never given to somebody else.
    pub until: Timestamp,
}

/// Other regions.
#[async_trait]
pub trait Peers: Send + Sync {
    /// The newest trusted entry of the peer's key log, as the federation encodes it.
    async fn key_head(&self, peer: &ServerName) -> Result<Option<Bytes>, StoreError>;

    /// Replaces it, if it is still `expected`; gives whether it was.
    async fn advance_key_head(
        &self,
        peer: &ServerName,
        expected: Option<&[u8]>,
        head: &[u8],
    ) -> Result<bool, StoreError>;

    /// Regions whose keys are known, at most `limit`, in the order of their names after `after`.
    async fn known_peers(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// What was remembered of a handle.
    async fn remembered_handle(
        &self,
        server: &ServerName,
        handle: &HandleName,
    ) -> Result<Option<RememberedHandle>, StoreError>;

    /// Remembers a handle, in place of what was known before; at most
    /// [`MAX_REMEMBERED_HANDLES`].
    async fn remember_handle(
        &self,
        server: &ServerName,
        handle: &HandleName,
        remembered: RememberedHandle,
    ) -> Result<(), StoreError>;
}
