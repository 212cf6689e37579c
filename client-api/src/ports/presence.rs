//! Presence and typing: in memory only.

use std::sync::Arc;

use async_trait::async_trait;
use posthouse_protocol::{
    frame::{PresenceFrame, PresenceUpdate},
    id::Address,
    problem::Rejection,
};

use super::Caller;
use crate::mailbox::Mailbox;

/// Presence and typing.
#[async_trait]
pub trait Presence: Send + Sync {
    /// The device's presence changes, or its person types.
    async fn update(&self, caller: &Caller, update: PresenceUpdate) -> Result<(), Rejection>;

    /// From now on `mailbox` is told of these users' presence, as far as the caller may see it, and
    /// at once of how it is now. Ends with the connection.
    async fn subscribe(
        &self,
        caller: &Caller,
        mailbox: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection>;

    /// No longer of these.
    async fn unsubscribe(
        &self,
        caller: &Caller,
        mailbox: &Arc<Mailbox>,
        users: Vec<Address>,
    ) -> Result<(), Rejection>;

    /// The presence of these users now; those whom the caller may not see are left out.
    async fn query(
        &self,
        caller: &Caller,
        users: Vec<Address>,
    ) -> Result<Vec<PresenceFrame>, Rejection>;

    /// Whether anyone watches this caller: the socket is then pinged more often, so that a silent
    /// death is noticed sooner.
    fn is_watched(&self, caller: &Caller) -> bool;
}
