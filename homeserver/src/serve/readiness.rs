//! Whether the region can do its work: its store answers, and what is written to it becomes durable.
//!
//! That a disk is full shows when something is written. The outcome of the last transaction is
//! remembered by the store, so that asking costs a read. Where writing failed, a small write is tried
//! at most every [`TRY_EVERY`] for those who ask: in an idle region nothing else would show that there
//! is room again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use posthouse_client_api::ports::Health;
use posthouse_protocol::{
    problem::{Code, Rejection},
    time::Clock,
};
use posthouse_storage::accounts::Accounts;
use posthouse_storage_sql::SqlStore;
use uuid::Uuid;

/// The time between two tries of a small write.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Answers whether the region is ready.
pub(super) struct Readiness {
    store: SqlStore,
    clock: Arc<dyn Clock>,
    /// When a write was tried last, in milliseconds.
    tried: AtomicU64,
}

impl Readiness {
    /// Readiness of `store`, whose writing is tried once: a server that starts on a full disk is not
    /// ready.
    pub(super) async fn of(store: SqlStore, clock: Arc<dyn Clock>) -> Self {
        let tried = AtomicU64::new(clock.now().0);
        let readiness = Self { store, clock, tried };
        _ = readiness.try_writing().await;
        readiness
    }

    /// Whether it is this call's turn to try.
    fn is_due(&self) -> bool {
        let (now, last) = (self.clock.now().0, self.tried.load(Relaxed));
        u128::from(now.abs_diff(last)) >= TRY_EVERY.as_millis()
            && self.tried.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    async fn try_writing(&self) -> bool {
        let tried = self.store.try_writing().await;
        if let Err(err) = &tried {
            tracing::warn!(error = %err, "not ready: the store cannot be written");
        }
        tried.is_ok()
    }
}

#[async_trait]
impl Health for Readiness {
    async fn ready(&self) -> Result<(), Rejection> {
        if let Err(err) = self.store.account(Uuid::nil()).await {
            tracing::warn!(error = %err, "not ready: the store does not answer");
            return Err(Rejection::new(Code::Unavailable, "the store does not answer"));
        }
        if !self.store.counters().writing_fails() {
            return Ok(());
        }
        if self.is_due() && self.try_writing().await {
            tracing::info!("the store can be written again");
            return Ok(());
        }
        Err(Rejection::new(Code::Unavailable, "the store cannot be written: its disk may be full"))
    }
}
