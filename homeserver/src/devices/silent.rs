//! Unlinking devices that have been silent for too long or that nobody fetched, and forgetting old
//! claims and links.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{limits, problem::Code, time::Clock};
use posthouse_storage::{accounts::Accounts, error::StoreError, keys::Keys, links::Links};
use tokio_util::sync::CancellationToken;

use crate::accounts::AccountsService;

/// How often it is looked for silent devices.
const INTERVAL: Duration = Duration::from_mins(5);

/// Devices unlinked, and keys forgotten, at a time.
const PIECE: u32 = 500;

/// Links forgotten at a time: all that there can be.
const MAX_LINKS: u32 = 10_000;

/// Looks for silent devices.
pub struct SilentDevices {
    /// Accounts and devices.
    pub accounts: Arc<dyn Accounts>,
    /// Claims.
    pub keys: Arc<dyn Keys>,
    /// Links.
    pub links: Arc<dyn Links>,
    /// Unlinks.
    pub service: Arc<AccountsService>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl SilentDevices {
    /// Unlinks silent devices until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(err) = self.round().await {
                tracing::warn!(error = %err, "silent devices could not be looked for");
            }
        }
    }

    /// One round, bounded. Returns how many silent devices went.
    ///
    /// # Errors
    /// As the store.
    pub async fn round(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let before = now.minus_millis(limits::SILENT_DEVICE_MS);
        let mut unlinked = 0;
        for (account, device) in self.accounts.silent_devices(before, PIECE).await? {
            // A socket that has been open all the time is written down when it closes.
            if self.service.connections.is_connected(account) {
                continue;
            }
            tracing::info!(%account, %device, "a silent device is unlinked");
            match self.service.unlink(account, device).await {
                Ok(()) => unlinked += 1,
                Err(rejection) => {
                    tracing::warn!(%rejection, "a silent device could not be unlinked");
                }
            }
        }
        for (account, device) in self.links.forget_links(now, MAX_LINKS).await? {
            // Nobody holds its session.
            if let Err(rejection) = self.service.unlink(account, device).await
                && rejection.code != Code::NotFound
            {
                tracing::warn!(%rejection, "a device that nobody fetched could not be unlinked");
            }
        }
        let before = now.minus_millis(limits::CLAIM_MEMORY_MS);
        while self.keys.forget_claims(before, PIECE).await? >= u64::from(PIECE) {}
        Ok(unlinked)
    }
}
