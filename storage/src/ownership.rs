//! Whose store it is: one store holds one region, and says which.

use async_trait::async_trait;
use posthouse_protocol::id::ServerName;

use crate::error::StoreError;

/// The region that a store belongs to.
#[async_trait]
pub trait Ownership: Send + Sync {
    /// Whose the store is: from now on `server`'s, durably, if it was nobody's before. Of several
    /// that claim it at once one gets it, and all are told which.
    async fn claim_for(&self, server: &ServerName) -> Result<ServerName, StoreError>;
}
