//! Links: new devices on their way into an account.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{DeviceId, RegistrationId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{error::StoreError, sessions::TokenHash};

/// Most links that are open at a time, of a whole region: strangers open them.
pub const MAX_OPEN: usize = 10_000;

/// A link to be opened.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// Its id, never used before.
    pub id: Uuid,
    /// SHA-256 of the secret that the new device keeps.
    pub secret: TokenHash,
    /// The new device's installation.
    pub registration_id: RegistrationId,
    /// What its person will call it.
    pub name: String,
    /// After this it is no link any more.
    pub expires_at: Timestamp,
}

/// What a new device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Nobody has approved the link yet.
    Waiting,
    /// It was approved. Until it expires the answer may be asked for again, since it may get lost.
    Linked {
        /// The account.
        account: Uuid,
        /// The device that was made for the new one.
        device: DeviceId,
        /// What the old device said.
        message: Bytes,
    },
    /// There is no such link, it has expired, or the secret is another one.
    Unknown,
}

/// Links. Every method is atomic.
#[async_trait]
pub trait Links: Send + Sync {
    /// Opens a link; `false` if [`MAX_OPEN`] are open.
    async fn open_link(&self, link: &NewLink, now: Timestamp) -> Result<bool, StoreError>;

    /// Installation and name of the device that waits; `None` for a link that nobody waits on.
    async fn waiting_link(
        &self,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<(RegistrationId, String)>, StoreError>;

    /// Approves a link that waits, for a device that was added for it. Of several approvals one
    /// succeeds; `false` for all others.
    async fn approve_link(
        &self,
        id: Uuid,
        (account, device): (Uuid, DeviceId),
        message: &[u8],
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The outcome for the holder of the secret, the same until it expires.
    async fn fetch_link(
        &self,
        id: Uuid,
        secret: &TokenHash,
        now: Timestamp,
    ) -> Result<Fetched, StoreError>;

    /// Forgets links that expired before `now`, at most `limit`; gives the devices that were added
    /// for them and never fetched, which nobody can use.
    async fn forget_links(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Uuid, DeviceId)>, StoreError>;
}
