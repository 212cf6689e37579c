//! The steps from a domain to its targets.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use posthouse_protocol::{
    federation::well_known::{DEFAULT_PORT, WellKnown},
    id::ServerName,
};
use rand_core::Rng;

use super::{
    Config, Discovered, DiscoveryError, MAX_TARGETS, NEGATIVE_TTL_SECONDS, Source, TTL_SECONDS,
    Target,
    dns::{Dns, DnsError},
    order::order,
};

/// Fetches `https://<domain>/.well-known/posthouse`: with the trust of the Web, within a few
/// seconds, at most the limit's bytes, redirects followed within https only.
#[async_trait]
pub trait WellKnownSource: Send + Sync {
    /// The document's bytes.
    ///
    /// # Errors
    /// [`WellKnownError`].
    async fn fetch(&self, domain: &ServerName) -> Result<Vec<u8>, WellKnownError>;
}

/// Why there is no well-known document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WellKnownError {
    /// The domain's Web server has none, or there is no such server.
    #[error("there is no well-known document")]
    Absent,
    /// It cannot be told now: time-out, a failing server.
    #[error("the well-known document cannot be fetched now")]
    Unavailable,
}

/// What the steps came to.
pub(super) type Walked = Result<(Discovered, u32), (DiscoveryError, u32)>;

pub(super) struct Steps {
    pub(super) config: Config,
    pub(super) dns: Dns,
    pub(super) well_known: Arc<dyn WellKnownSource>,
}

impl Steps {
    /// Walks the steps in order; the numbers are TTLs in seconds.
    pub(super) async fn walk(&self, domain: &ServerName, rng: &mut (impl Rng + Send)) -> Walked {
        if let Some(hosts) = self.config.overrides.get(domain) {
            return self.targets(hosts.clone(), Source::Override, TTL_SECONDS.1).await;
        }
        match self.dns.services(&format!("_posthouse._tcp.{domain}")).await {
            Ok(found) => {
                let mut services = found.records;
                services.retain(|service| !service.host.is_empty() && service.port != 0);
                if services.is_empty() {
                    return Err((DiscoveryError::NotOffered, found.ttl));
                }
                let ordered = order(services, rng).into_iter().take(MAX_TARGETS);
                let hosts = ordered.map(|service| (service.host, service.port)).collect();
                return self.targets(hosts, Source::Srv, found.ttl).await;
            }
            Err(DnsError::Failure) => return Err((DiscoveryError::Unavailable, 0)),
            Err(DnsError::NoData(_) | DnsError::NoName(_)) => {}
        }
        match self.well_known.fetch(domain).await {
            Ok(json) => {
                let named = WellKnown::parse(&json).and_then(|document| document.federation());
                if let Ok(host) = named {
                    return self.targets(vec![host], Source::WellKnown, TTL_SECONDS.1).await;
                }
            }
            Err(WellKnownError::Absent) => {}
            Err(WellKnownError::Unavailable) => return Err((DiscoveryError::Unavailable, 0)),
        }
        let host = (domain.as_str().to_owned(), DEFAULT_PORT);
        self.targets(vec![host], Source::Fallback, TTL_SECONDS.1).await
    }

    /// Looks the hosts' addresses up. One dead host does not spoil the others.
    async fn targets(&self, hosts: Vec<(String, u16)>, source: Source, mut ttl: u32) -> Walked {
        let mut targets = Vec::new();
        let mut problem = DiscoveryError::NoSuchName;
        let mut negative = NEGATIVE_TTL_SECONDS.1;
        for (host, port) in hosts {
            let found = match host.parse::<IpAddr>() {
                // Only an override can name an address.
                Ok(address) if source == Source::Override => Ok((vec![address], ttl)),
                _ => self.dns.addresses(&host).await.map(|found| (found.records, found.ttl)),
            };
            let addresses = match found {
                Ok((addresses, found_ttl)) => {
                    ttl = ttl.min(found_ttl);
                    addresses
                }
                Err(DnsError::Failure) => {
                    problem = DiscoveryError::Unavailable;
                    continue;
                }
                Err(DnsError::NoData(seconds) | DnsError::NoName(seconds)) => {
                    negative = negative.min(seconds);
                    continue;
                }
            };
            let own_word = source == Source::Override;
            let allowed = |address: &IpAddr| own_word || self.config.addresses.allows(*address);
            let addresses: Vec<SocketAddr> = addresses
                .into_iter()
                .filter(allowed)
                .take(MAX_TARGETS)
                .map(|address| SocketAddr::new(address, port))
                .collect();
            if addresses.is_empty() {
                if problem == DiscoveryError::NoSuchName {
                    problem = DiscoveryError::Forbidden;
                }
            } else {
                targets.push(Target { host, port, addresses });
            }
        }
        if targets.is_empty() {
            Err((problem, negative))
        } else {
            Ok((Discovered { targets, source }, ttl))
        }
    }
}
