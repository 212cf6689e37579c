//! Leases: at most one process does a thing, and one that lost the right cannot write.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;

/// The right that a lease gives. Writes carry it, and are refused once a newer one exists: a holder
/// that slept through its expiry does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease.
    pub name: String,
    /// Rises with every change of hands.
    pub number: u64,
}

/// Leases by name.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease for `ttl_ms`, if nobody holds it at `now`, or `holder` does. `None` if
    /// another holds it.
    async fn acquire(
        &self,
        name: &str,
        holder: Uuid,
        now: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Fence>, StoreError>;

    /// Holds it for another `ttl_ms`; `false` if it has passed to another.
    async fn renew(&self, fence: &Fence, now: Timestamp, ttl_ms: u64) -> Result<bool, StoreError>;

    /// Gives back every lease that `holder` has: its process is known to be dead. What is still on
    /// its way from that process is refused once the lease has its next holder.
    async fn release_all(&self, holder: Uuid) -> Result<(), StoreError>;

    /// Gives it back at once; no error if it has passed to another.
    async fn release(&self, fence: &Fence) -> Result<(), StoreError>;
}
