//! Deleting accounts for good, in small steps.
//!
//! [`Erasure::begin_erasure`] is the one moment at which an account is gone for everybody. What it
//! leaves behind is then taken away piece by piece; a process that dies leaves the rest to the next
//! one, since what is unfinished is written down.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, HandleName, ServerName, SessionId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{bodies::BodyId, error::StoreError};

/// For how long an erasure looks again for what a commit that had begun before it left behind, in
/// milliseconds.
pub const SETTLE_MS: u64 = 2 * 60_000;

/// For how long a region that cannot be reached is told that an account was deleted, in milliseconds
/// (a year). A region that does not exist is given up as messages to it are.
pub const TELL_MS: u64 = 365 * 24 * 3_600_000;

/// An account that is gone, and not yet erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The handle that it had.
    pub handle: HandleName,
    /// Its sessions, which are ended.
    pub sessions: Vec<SessionId>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// Bodies that nothing points to any more: to be deleted from where they live, if that is
    /// elsewhere.
    pub bodies: Vec<BodyId>,
    /// Regions for which a notice that the account is gone waits since this step, in their lane of
    /// messages.
    pub told: Vec<ServerName>,
    /// What comes next.
    pub next: Next,
}

impl Erased {
    /// A step that took no bodies away.
    pub fn of(next: Next) -> Self {
        Self { next, ..Self::default() }
    }
}

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// Another step, at once.
    #[default]
    Step,
    /// Nothing is left now; another look once [`SETTLE_MS`] have passed since the beginning, or
    /// what is under way to other regions has arrived there.
    Later,
    /// Nothing is left but the memory that there was such an account.
    Done,
}

/// Erasing accounts. Every method is atomic and small.
#[async_trait]
pub trait Erasure: Send + Sync {
    /// From now on there is no such account: it cannot log in, be found or be sent to, its sessions
    /// are ended, its handle stays taken. `None` if there is no such account.
    async fn begin_erasure(
        &self,
        account: Uuid,
        now: Timestamp,
    ) -> Result<Option<Begun>, StoreError>;

    /// Accounts whose erasure is not finished, the oldest first, at most `limit`.
    async fn unfinished_erasures(&self, limit: usize) -> Result<Vec<Uuid>, StoreError>;

    /// Takes a next piece of an account away, at most about `limit` rows. Messages that others hold
    /// stay theirs. First, every other region with somebody whom the account had as contact, request
    /// or in its list of conversations has the notice
    /// [`OutboxItem::Gone`](crate::outbox::OutboxItem::Gone) in its queue, behind the account's
    /// messages.
    async fn erase_some(
        &self,
        account: &AccountId,
        limit: usize,
        now: Timestamp,
    ) -> Result<Erased, StoreError>;

    /// Takes away a piece of what people of this region keep of `account` of another region, which
    /// was deleted there: that it is a contact or asks, its place in lists of conversations and among
    /// those who ask to join groups, that keys were exchanged; at most `limit` rows of each. Messages
    /// stay, and so do blocks: a region that lies would lift them otherwise. Whether there was any.
    async fn forget_abroad(&self, account: &AccountId, limit: usize) -> Result<bool, StoreError>;

    /// When an account with this id was deleted; `None` if none ever was.
    async fn gone_since(&self, account: Uuid) -> Result<Option<Timestamp>, StoreError>;
}
