//! From a domain to the addresses of its homeserver (docs/spec/federation-discovery.md): operator
//! override, SRV, well-known, port 7443.
//!
//! What was found is remembered for as long as DNS says, within bounds, and kept on disk: a DNS
//! outage is not a federation outage. What was found never proves anything: the certificate does.

mod address;
mod cache;
mod dns;
mod order;
mod steps;
mod well_known;

pub use address::{AddressPolicy, is_public};
pub use cache::{Remembered, Store, StoreError};
pub use dns::{Dns, DnsConfig, DnsError, Found};
pub use order::{Service, order};
pub use steps::{WellKnownError, WellKnownSource};
pub use well_known::WebWellKnown;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::{cache::Cache, steps::Steps};

/// Shortest and longest time for which an answer counts, in seconds, whatever its TTL says.
pub const TTL_SECONDS: (u32, u32) = (30, 3_600);
/// Shortest and longest time for which a "there is none" counts, in seconds.
pub const NEGATIVE_TTL_SECONDS: (u32, u32) = (30, 300);
/// How soon a stale answer is asked for again, in seconds.
pub const STALE_RETRY_SECONDS: u32 = 30;
/// How soon DNS is asked again for a domain of which nothing is known, after it did not answer, in
/// seconds (RFC 9520 §3.2).
pub const UNAVAILABLE_RETRY_SECONDS: u32 = 5;
/// How long looking for a domain may take while its last good result is there (RFC 8767 §5 holds 1.8 s
/// to be right).
const PATIENCE_WITH_STALE: Duration = Duration::from_secs(2);
/// How long it may take without one. A call to a peer has 10 s for finding and connecting.
const PATIENCE: Duration = Duration::from_secs(8);
/// Most domains that are remembered; the one used longest ago goes first.
pub const MAX_REMEMBERED: usize = 10_000;
/// Most targets of a domain that are looked at, and most addresses of one target.
pub const MAX_TARGETS: usize = 16;

/// A host and port that stand for a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The host as it was named, or an address in an override.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The host's addresses, IPv6 and IPv4 in turn, those that policy forbids left out.
    pub addresses: Vec<SocketAddr>,
}

/// Which step found the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The operator's own word.
    Override,
    /// SRV records.
    Srv,
    /// The well-known document.
    WellKnown,
    /// The domain itself, at the default port.
    Fallback,
}

/// Where a domain's homeserver is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Where to try, in this order.
    pub targets: Vec<Target>,
    /// Which step found them.
    pub source: Source,
}

/// A result with its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where to try.
    pub discovered: Discovered,
    /// Its time is over, and it could not be renewed.
    pub stale: bool,
    /// When to ask again.
    pub until: Timestamp,
}

/// Why nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// All addresses are of a kind that the operator does not allow.
    #[error("all addresses of the domain are private, and private addresses are not allowed")]
    Forbidden,
    /// The domain says that it offers no federation (an SRV record with the target ".").
    #[error("the domain offers no federation")]
    NotOffered,
    /// The domain, or every host that it names, does not exist.
    #[error("the domain does not exist")]
    NoSuchName,
    /// DNS does not answer, and nothing was known before.
    #[error("DNS does not answer")]
    Unavailable,
}

/// The operator's settings.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Hosts or addresses with ports for domains that are not to be discovered.
    pub overrides: BTreeMap<ServerName, Vec<(String, u16)>>,
    /// Which addresses may be used.
    pub addresses: AddressPolicy,
}

/// Finds homeservers.
pub struct Discovery {
    steps: Steps,
    cache: Mutex<Cache>,
    store: Option<Store>,
}

impl Discovery {
    /// Starts with what `store` remembers, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the file is there and cannot be read: it is better to say so than to lose
    /// what it holds at the next write.
    pub fn new(
        config: Config,
        dns: Dns,
        well_known: Arc<dyn WellKnownSource>,
        store: Option<Store>,
    ) -> Result<Self, StoreError> {
        let remembered = store.as_ref().map(Store::load).transpose()?.unwrap_or_default();
        let cache = Mutex::new(Cache::new(remembered));
        Ok(Self { steps: Steps { config, dns, well_known }, cache, store })
    }

    /// Where `domain`'s homeserver is. Waits at most 8 s, and at most 2 s if a result is remembered:
    /// however many servers DNS has, and however patiently each is asked, whoever waits for this has
    /// to connect as well.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    pub async fn find(
        &self,
        domain: &ServerName,
        now: Timestamp,
        rng: &mut (impl Rng + Send),
    ) -> Result<Answer, DiscoveryError> {
        if let Some(known) = self.cache().fresh(domain, now) {
            return known;
        }
        let is_remembered = self.cache().remembers(domain);
        let patience = if is_remembered { PATIENCE_WITH_STALE } else { PATIENCE };
        let outcome = timeout(patience, self.steps.walk(domain, rng)).await;
        let outcome = outcome.unwrap_or(Err((DiscoveryError::Unavailable, 0)));
        let (answer, changed) = self.cache().record(domain, outcome, now);
        if changed {
            self.save().await;
        }
        answer
    }

    /// Looks anew, without what is remembered, and remembers nothing: for an examination.
    ///
    /// # Errors
    /// [`DiscoveryError`].
    pub async fn look(
        &self,
        domain: &ServerName,
        rng: &mut (impl Rng + Send),
    ) -> Result<Discovered, DiscoveryError> {
        let walked = self.steps.walk(domain, rng).await;
        walked.map(|(discovered, _)| discovered).map_err(|(err, _)| err)
    }

    /// The peer at these targets could not be reached: what is remembered of it is asked for anew
    /// next time, and used only if DNS has nothing better.
    pub fn doubt(&self, domain: &ServerName) {
        self.cache().doubt(domain);
    }

    async fn save(&self) {
        let Some(store) = self.store.clone() else { return };
        let remembered = self.cache().remembered();
        let saved = tokio::task::spawn_blocking(move || store.save(&remembered)).await;
        let failed = match saved {
            Ok(Ok(())) => return,
            Ok(Err(err)) => err.to_string(),
            Err(err) => err.to_string(),
        };
        tracing::warn!(error = failed, "what was discovered could not be kept on disk");
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        // A panic while the lock was held leaves at worst one entry out of date.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
