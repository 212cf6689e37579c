//! Profiles: encrypted by their people's clients, kept as they came.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use uuid::Uuid;

use crate::error::StoreError;

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Rises with every change, from 1.
    pub version: u64,
    /// The name.
    pub name: Option<String>,
    /// A few words.
    pub about: Option<String>,
    /// A picture.
    pub avatar: Option<String>,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// Profiles. Every method is atomic.
#[async_trait]
pub trait Profiles: Send + Sync {
    /// The account's profile; `None` if it never had one.
    async fn profile(&self, account: Uuid) -> Result<Option<Profile>, StoreError>;

    /// Puts a profile in the place of version `profile.version - 1` (none, if that is 0). `false` if
    /// another version is there, or no such account.
    async fn put_profile(&self, account: Uuid, profile: &Profile) -> Result<bool, StoreError>;
}
