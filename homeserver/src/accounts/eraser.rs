//! Takes deleted accounts apart, in the background and in small steps. What a process leaves
//! unfinished, the next one finds.

use std::{sync::Arc, time::Duration};

use posthouse_protocol::{
    id::{AccountId, ServerName},
    time::Clock,
};
use posthouse_storage::{
    erasure::{Erasure, Next},
    error::StoreError,
    message_store::MessageStore,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::devices::Notices;

/// How often unfinished erasures are looked for, if nobody tells of one.
const INTERVAL: Duration = Duration::from_mins(1);

/// The pause between two steps, so that messages go first.
const PAUSE: Duration = Duration::from_millis(20);

/// Rows of one step.
const PIECE: usize = 500;

/// Erasures of one round. Those that wait for other regions do not hold up more than this many.
const ROUND: usize = 100;

/// The task that erases.
pub(crate) struct Eraser {
    pub(crate) server: ServerName,
    pub(crate) erasure: Arc<dyn Erasure>,
    pub(crate) messages: MessageStore,
    pub(crate) clock: Arc<dyn Clock>,
    /// Tells other regions.
    pub(crate) notices: Arc<Notices>,
    /// Told when an account was deleted.
    pub(crate) begun: Arc<Notify>,
}

impl Eraser {
    /// Erases until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            match self.round(&shutdown).await {
                Ok(()) => {}
                Err(err) => {
                    tracing::warn!(error = %err, "erasing an account failed; it goes on later");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.begun.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn round(&self, shutdown: &CancellationToken) -> Result<(), StoreError> {
        for account in self.erasure.unfinished_erasures(ROUND).await? {
            self.erase(account, shutdown).await?;
        }
        Ok(())
    }

    async fn erase(&self, uuid: Uuid, shutdown: &CancellationToken) -> Result<(), StoreError> {
        let account = AccountId { uuid, server: self.server.clone() };
        // While it is still known with whom the account has exchanged messages: those who have gone
        // back to a version without the notice that waits in their queues ask now.
        self.notices.gone(&account, self.clock.now()).await?;
        loop {
            if shutdown.is_cancelled() {
                return Ok(());
            }
            let erased = self.erasure.erase_some(&account, PIECE, self.clock.now()).await?;
            self.messages.delete_bodies(&erased.bodies).await?;
            self.notices.wake(&erased.told);
            match erased.next {
                Next::Step => tokio::time::sleep(PAUSE).await,
                Next::Later => return Ok(()),
                Next::Done => {
                    tracing::info!("a deleted account is erased");
                    return Ok(());
                }
            }
        }
    }
}
