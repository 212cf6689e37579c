//! Unlinking devices that have been silent for too long, and forgetting old claims.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{limits, time::Clock};
use posthouse_storage::{accounts::Accounts, error::StoreError, keys::Keys};
use tokio_util::sync::CancellationToken;

use crate::accounts::AccountsService;

/// How often it is looked for silent devices.
const INTERVAL: Duration = Duration::from_mins(10);

/// Devices unlinked, and keys forgotten, at a time.
const PIECE: u32 = 500;

/// Looks for silent devices.
pub struct SilentDevices {
    /// Accounts and devices.
    pub accounts: Arc<dyn Accounts>,
    /// Claims.
    pub keys: Arc<dyn Keys>,
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

    /// One round: at most [`PIECE`] devices and [`PIECE`] keys. Returns how many devices went.
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
        self.keys.forget_claims(now.minus_millis(limits::CLAIM_MEMORY_MS), PIECE).await?;
        Ok(unlinked)
    }
}
