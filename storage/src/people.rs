//! Whom an account knows, whom it has blocked, who asks to write to it, and its privacy settings.

use async_trait::async_trait;
use posthouse_protocol::{
    id::AccountId,
    rest::{Privacy, Writers},
    time::Timestamp,
};
use uuid::Uuid;

use crate::error::StoreError;

/// What an account of this region thinks of another account, of whatever region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// Nothing: they have nothing to do with each other yet.
    Stranger,
    /// The other one has written, and was not answered.
    Requested,
    /// The other one has written, and was turned away.
    Declined,
    /// The account has written to the other one, or has accepted its request.
    Known,
    /// The other one is a contact: a standing consent.
    Contact,
}

impl Stance {
    /// Whether the account is in touch with the other one by its own will.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Known | Self::Contact)
    }
}

/// A stance, and what else decides whether the other one may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// The stance, whether or not the other one is blocked.
    pub stance: Stance,
    /// Whether the other one is blocked.
    pub blocked: bool,
    /// Who may write to the account.
    pub writers: Writers,
    /// Whether either of the two has ever written to the other here.
    pub has_spoken: bool,
}

/// An account of this region, and another one.
pub type Pair = (AccountId, AccountId);

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub who: AccountId,
    /// What the account calls it, as its client wrote it.
    pub label: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// How adding to a bounded list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is on the list.
    Done,
    /// The list is full.
    TooMany,
    /// There is no such account.
    NoAccount,
}

/// A place in a list, and how much of it is wanted: those after `after` in the order of their ids.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// After this one.
    pub after: Option<&'a AccountId>,
    /// At most so many.
    pub limit: usize,
}

/// People. Every method is atomic and touches what belongs to the account that it names first.
#[async_trait]
pub trait People: Send + Sync {
    /// What the first of each pair thinks of the second, in their order. An account that does not
    /// exist thinks nothing.
    async fn relations(&self, pairs: &[Pair]) -> Result<Vec<Relation>, StoreError>;

    /// Makes `who` a contact, or changes its label; a request of it is accepted by that. At most
    /// `most` contacts.
    async fn put_contact(
        &self,
        account: Uuid,
        contact: &Contact,
        most: usize,
    ) -> Result<Added, StoreError>;

    /// `who` is no contact any more. `false` if it was none.
    async fn remove_contact(&self, account: Uuid, who: &AccountId) -> Result<bool, StoreError>;

    /// Contacts.
    async fn contacts(&self, account: Uuid, range: Range<'_>) -> Result<Vec<Contact>, StoreError>;

    /// Blocks `who`; a request of it goes. At most `most` are blocked.
    async fn block(
        &self,
        account: Uuid,
        who: &AccountId,
        now: Timestamp,
        most: usize,
    ) -> Result<Added, StoreError>;

    /// `who` is not blocked any more. `false` if it was not.
    async fn unblock(&self, account: Uuid, who: &AccountId) -> Result<bool, StoreError>;

    /// Who is blocked, and since when.
    async fn blocks(
        &self,
        account: Uuid,
        range: Range<'_>,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Each of `from` has written to somebody here who does not know it: account, sender. Nothing
    /// changes if there is a contact, an accepted or a declined request; of one that waits the first
    /// time stands. Beyond `most` requests of an account the oldest go. Gives those that are new.
    async fn request(
        &self,
        from: &[(Uuid, AccountId)],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(Uuid, AccountId)>, StoreError>;

    /// Accepts or declines a request that waits. `false` if none does.
    async fn answer_request(
        &self,
        account: Uuid,
        from: &AccountId,
        accepted: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Requests that wait, with their first times.
    async fn requests(
        &self,
        account: Uuid,
        range: Range<'_>,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError>;

    /// Forgets requests that were declined before `before`, at most `limit`; returns how many.
    async fn forget_declined(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Privacy settings; the defaults, if the account never chose.
    async fn privacy(&self, account: Uuid) -> Result<Privacy, StoreError>;

    /// Chooses privacy settings. `false` if there is no such account.
    async fn set_privacy(&self, account: Uuid, privacy: &Privacy) -> Result<bool, StoreError>;
}
