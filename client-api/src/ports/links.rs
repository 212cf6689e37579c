//! Linking a new device by a code that an old one scans.

use async_trait::async_trait;
use posthouse_protocol::{
    problem::Rejection,
    rest::keys::{ApproveLink, FetchLink, Link, LinkResult, LinkedDevice, StartLink},
};
use uuid::Uuid;

use super::Caller;

/// Links.
#[async_trait]
pub trait Links: Send + Sync {
    /// A new device, which belongs to nobody yet, opens a link.
    async fn start(&self, request: StartLink) -> Result<Link, Rejection>;

    /// The caller's account lets the new device in; `not_found` for a link that nobody waits on.
    async fn approve(
        &self,
        caller: &Caller,
        link: Uuid,
        request: ApproveLink,
    ) -> Result<LinkedDevice, Rejection>;

    /// The new device asks for the outcome; answered once there is one, or after
    /// [`LINK_POLL_SECONDS`](posthouse_protocol::limits::LINK_POLL_SECONDS).
    async fn result(&self, link: Uuid, request: FetchLink) -> Result<LinkResult, Rejection>;
}
