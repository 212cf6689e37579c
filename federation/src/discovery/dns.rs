//! Questions to DNS, through hickory-resolver. Its cache is off: ours also serves what is stale.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError as NetDnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{RData, Record, RecordType},
    },
};

use super::{NEGATIVE_TTL_SECONDS, order::Service};

/// Which servers to ask, and how patiently.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// Recursive servers; both UDP and TCP are used.
    pub servers: Vec<SocketAddr>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many attempts are made.
    pub attempts: usize,
}

/// A client of DNS; copies share its sockets.
#[derive(Clone)]
pub struct Dns(TokioResolver);

/// Records with the shortest of their TTLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The records.
    pub records: Vec<T>,
    /// In seconds.
    pub ttl: u32,
}

/// Why there are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// No server gave a usable answer: time-out, SERVFAIL, nonsense.
    #[error("no usable answer")]
    Failure,
    /// The name exists, records of this kind do not; for how many seconds that counts.
    #[error("no such records")]
    NoData(u32),
    /// The name does not exist; for how many seconds that counts.
    #[error("no such name")]
    NoName(u32),
}

impl Dns {
    /// A client.
    ///
    /// # Errors
    /// [`DnsError::Failure`] if the resolver cannot be set up.
    pub fn new(config: &DnsConfig) -> Result<Self, DnsError> {
        let servers = config.servers.iter().map(|address| {
            let port = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            let connections = vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())];
            NameServerConfig::new(address.ip(), true, connections)
        });
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(servers, provider);
        let options = builder.options_mut();
        options.timeout = config.timeout;
        options.attempts = config.attempts;
        options.cache_size = 0;
        options.ndots = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.try_tcp_on_error = true;
        builder.build().map(Self).map_err(|_| DnsError::Failure)
    }

    /// The SRV records of a name.
    ///
    /// # Errors
    /// [`DnsError`].
    pub async fn services(&self, name: &str) -> Result<Found<Service>, DnsError> {
        self.ask(name, RecordType::SRV, |record| match &record.data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: plain(&srv.target.to_ascii()),
            }),
            _ => None,
        })
        .await
    }

    /// The addresses of a host: IPv6 and IPv4 in turn, IPv6 first (RFC 8305 §4).
    ///
    /// # Errors
    /// [`DnsError`] if there is neither; a failure of one kind does not hide the other.
    pub async fn addresses(&self, host: &str) -> Result<Found<IpAddr>, DnsError> {
        let (v6, v4) = tokio::join!(
            self.ask(host, RecordType::AAAA, |record| match &record.data {
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            }),
            self.ask(host, RecordType::A, |record| match &record.data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                _ => None,
            }),
        );
        let (mut v6, mut v4) = match (v6, v4) {
            (Err(DnsError::Failure), Err(_)) | (Err(_), Err(DnsError::Failure)) => {
                return Err(DnsError::Failure);
            }
            (Err(_), Err(err)) => return Err(err),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => return Ok(found),
            (Ok(v6), Ok(v4)) => (v6, v4),
        };
        let ttl = v6.ttl.min(v4.ttl);
        let mut records = Vec::with_capacity(v6.records.len() + v4.records.len());
        v6.records.reverse();
        v4.records.reverse();
        while !(v6.records.is_empty() && v4.records.is_empty()) {
            records.extend(v6.records.pop());
            records.extend(v4.records.pop());
        }
        Ok(Found { records, ttl })
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&Record) -> Option<T>,
    ) -> Result<Found<T>, DnsError> {
        // The final dot keeps the search list out.
        let answer = self.0.lookup(format!("{name}."), kind).await.map_err(|err| convert(&err))?;
        let ttl = answer.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
        let records: Vec<T> = answer.answers().iter().filter_map(read).collect();
        if records.is_empty() {
            return Err(DnsError::NoData(NEGATIVE_TTL_SECONDS.0));
        }
        Ok(Found { records, ttl })
    }
}

fn convert(err: &NetError) -> DnsError {
    let NetError::Dns(NetDnsError::NoRecordsFound(none)) = err else { return DnsError::Failure };
    let ttl = none.negative_ttl.unwrap_or(NEGATIVE_TTL_SECONDS.0);
    match none.response_code {
        ResponseCode::NXDomain => DnsError::NoName(ttl),
        ResponseCode::NoError => DnsError::NoData(ttl),
        _ => DnsError::Failure,
    }
}

/// Lowercase, without the final dot; the root is the empty text.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
