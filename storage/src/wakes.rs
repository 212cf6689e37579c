//! Hints between the processes of one region. A lost hint costs latency, never a message: the
//! inboxes and queues are the truth, and whoever lost the way by which hints come says
//! [`Wake::Missed`].

use async_trait::async_trait;
use posthouse_protocol::id::{ServerName, SessionId};
use uuid::Uuid;

use crate::error::StoreError;

/// A hint from another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// These accounts' inboxes have grown.
    Inboxes(Vec<Uuid>),
    /// The queues to these regions have grown.
    Outboxes(Vec<ServerName>),
    /// These sessions were ended.
    Ended(Vec<SessionId>),
    /// These accounts are gone: forget what is remembered of them.
    Gone(Vec<Uuid>),
    /// Hints may have been lost: look at every inbox that has a connected device, and at every
    /// queue to another region.
    Missed,
}

/// Hints. An adapter whose database belongs to one process alone never has any.
#[async_trait]
pub trait Wakes: Send + Sync {
    /// Waits for the next hint of another process. Safe to cancel.
    async fn next(&self) -> Result<Wake, StoreError>;

    /// Tells the others that sessions were ended. (Whatever puts entries into inboxes or into
    /// queues to other regions tells of them by itself.)
    async fn ended(&self, sessions: &[SessionId]) -> Result<(), StoreError>;

    /// Tells the others that accounts are gone.
    async fn gone(&self, accounts: &[Uuid]) -> Result<(), StoreError>;
}
