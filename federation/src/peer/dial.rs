//! From discovered targets to a TLS connection: several addresses at a time, staggered (RFC 8305).
//!
//! An attempt counts as won only after the peer has proved its domain: a dead, slow or foreign host
//! behind one address costs a moment, not the connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use posthouse_protocol::id::ServerName;
use rustls::{ClientConfig, pki_types};
use tokio::{net::TcpStream, task::JoinSet, time};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::discovery::Target;

/// How long one attempt is alone before the next one starts (RFC 8305 §5).
pub(super) const STAGGER: Duration = Duration::from_millis(250);
/// How long one attempt may take, TCP and TLS together.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10);
/// Most attempts for one connection.
pub(super) const MAX_ATTEMPTS: usize = 16;

/// A connection to a peer that has proved its domain.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// Which address it goes to.
    pub address: SocketAddr,
}

/// Why no connection was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Every host answered that nothing listens there; the first reason.
    #[error("nothing listens there: {0}")]
    Closed(String),
    /// There was no address to try.
    #[error("there is no address to try")]
    NoAddress,
    /// Some host answered, but none proved the domain; the first reason.
    #[error("no host proved the domain: {0}")]
    NotProved(String),
    /// No host answered in time.
    #[error("no host answered: {0}")]
    Unreachable(String),
}

enum Failure {
    Tcp(io::Error),
    Tls(String),
}

/// Connects to the first target that proves `domain`.
///
/// # Errors
/// [`DialError`].
pub async fn dial(
    domain: &ServerName,
    targets: &[Target],
    config: &Arc<ClientConfig>,
) -> Result<Dialed, DialError> {
    let addresses = targets.iter().flat_map(|target| &target.addresses).copied();
    let mut addresses = addresses.take(MAX_ATTEMPTS);
    let mut attempts = JoinSet::new();
    let (mut tcp, mut tls, mut all_closed) = (None, None, true);
    let start = |attempts: &mut JoinSet<_>, address| {
        let (domain, config) = (domain.clone(), Arc::clone(config));
        attempts.spawn(attempt(domain, address, config));
    };
    start(&mut attempts, addresses.next().ok_or(DialError::NoAddress)?);
    // Dropping the set on return ends the attempts that lost.
    while !attempts.is_empty() {
        match time::timeout(STAGGER, attempts.join_next()).await {
            Ok(Some(Ok(Ok(dialed)))) => return Ok(dialed),
            Ok(Some(Ok(Err(Failure::Tcp(reason))))) => {
                all_closed &= reason.kind() == io::ErrorKind::ConnectionRefused;
                tcp.get_or_insert_with(|| reason.to_string());
            }
            Ok(Some(Ok(Err(Failure::Tls(reason))))) => drop(tls.get_or_insert(reason)),
            Ok(Some(Err(broken))) => drop(tcp.get_or_insert_with(|| broken.to_string())),
            Ok(None) | Err(_) => {}
        }
        if let Some(address) = addresses.next() {
            start(&mut attempts, address);
        }
    }
    Err(match (tls, tcp) {
        (Some(reason), _) => DialError::NotProved(reason),
        (None, Some(reason)) if all_closed => DialError::Closed(reason),
        (None, reason) => DialError::Unreachable(reason.unwrap_or_default()),
    })
}

async fn attempt(
    domain: ServerName,
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<Dialed, Failure> {
    let connect = async {
        let socket = TcpStream::connect(address).await.map_err(Failure::Tcp)?;
        // Envelopes are written whole; waiting to fill a packet only delays receipts.
        socket.set_nodelay(true).map_err(Failure::Tcp)?;
        let name = pki_types::ServerName::try_from(domain.as_str().to_owned())
            .map_err(|err| Failure::Tls(err.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, socket).await.map_err(|err| {
            match err.kind() {
                // What rustls finds wrong; everything else is a connection that broke.
                io::ErrorKind::InvalidData => Failure::Tls(err.to_string()),
                _ => Failure::Tcp(err),
            }
        })?;
        Ok(Dialed { stream, address })
    };
    let late =
        |_| Err(Failure::Tcp(io::Error::new(io::ErrorKind::TimedOut, "the attempt took too long")));
    time::timeout(ATTEMPT, connect).await.unwrap_or_else(late)
}
