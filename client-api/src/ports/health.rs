//! Whether the homeserver can serve.

use async_trait::async_trait;
use posthouse_protocol::problem::Rejection;

/// Whether the homeserver can serve, for `GET /readyz`.
#[async_trait]
pub trait Health: Send + Sync {
    /// `Ok` if what a request needs can be reached, the store above all. The caller waits for
    /// [`crate::config::READY_TIMEOUT`] at most.
    async fn ready(&self) -> Result<(), Rejection>;
}
