//! How many regions that were never spoken with one account may bring this region to look for: each
//! costs look-ups, a queue or a search, and an account that makes up names costs no more.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use posthouse_client_api::rate::{Limiter, Rate};
use posthouse_protocol::{
    id::ServerName,
    problem::{Code, Rejection},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::Regions;

/// New regions of one account: at once, and one more every ten minutes.
const NEW_REGIONS: Rate = Rate { burst: 20, interval: Duration::from_mins(10) };

/// Most first contacts that are remembered; a full memory is emptied, and the next one of each takes
/// a token again.
const MAX_BEGUN: usize = 100_000;

/// Limits first contacts with other regions.
pub struct FirstContacts {
    regions: Arc<dyn Regions>,
    limiter: Limiter<Uuid>,
    /// Whom tokens were taken for: the next time the same region takes none.
    begun: Mutex<HashSet<(Uuid, ServerName)>>,
    /// What the limiter counts from. Not the time of day: were that put back, everyone who had begun
    /// shortly before would be refused until it had caught up.
    start: Instant,
}

impl FirstContacts {
    /// Nobody has begun.
    pub fn new(regions: Arc<dyn Regions>) -> Self {
        let (limiter, begun) = (Limiter::new(NEW_REGIONS), Mutex::default());
        Self { regions, limiter, begun, start: Instant::now() }
    }

    /// `account` has to do with `region`.
    ///
    /// # Errors
    /// [`Code::RateLimited`] if the region was never spoken with, and the account has begun with too
    /// many of those; and as the store.
    pub async fn begin(&self, account: Uuid, region: &ServerName) -> Result<(), Rejection> {
        if self.has_begun(account, region) || self.regions.knows(region).await? {
            return Ok(());
        }
        self.limiter.take(account, self.start.elapsed()).map_err(|wait| {
            Rejection::new(Code::RateLimited, "too often; wait").retry_after(wait.seconds())
        })?;
        let mut begun = self.begun();
        if begun.len() >= MAX_BEGUN {
            begun.clear();
        }
        begun.insert((account, region.clone()));
        Ok(())
    }

    /// Whether `account` is remembered to have begun with `region` when nobody had spoken with it.
    pub fn has_begun(&self, account: Uuid, region: &ServerName) -> bool {
        self.begun().contains(&(account, region.clone()))
    }

    fn begun(&self) -> MutexGuard<'_, HashSet<(Uuid, ServerName)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
