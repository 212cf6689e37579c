//! `GET https://<domain>/.well-known/posthouse` (docs/spec/federation-discovery.md, step 3).
//!
//! A stranger's document decides whom we call next, so little is believed: https alone, with the
//! trust of the Web, a few redirects, addresses that policy allows, few bytes, little time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    client::conn::http1,
    header::{HOST, LOCATION},
};
use hyper_util::rt::TokioIo;
use posthouse_protocol::{federation::limits, id::ServerName, time::Clock};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    AddressPolicy, Dns, MAX_TARGETS, Target, WellKnownError, WellKnownSource, dns::DnsError,
};
use crate::{
    peer::{DialError, dial},
    tls::{self, TlsClock},
};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 3;
/// Most header fields of an answer.
const MAX_HEADERS: usize = 64;
/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
const PATH: &str = "/.well-known/posthouse";
const HTTPS_PORT: u16 = 443;

/// Fetches well-known documents from the Web.
pub struct WebWellKnown {
    tls: Arc<ClientConfig>,
    dns: Dns,
    addresses: AddressPolicy,
    port: u16,
}

impl WebWellKnown {
    /// Believes servers whose certificates lead to `roots`: those of the Web
    /// ([`crate::tls::web_roots`]), or others in a closed network.
    ///
    /// # Errors
    /// [`rustls::Error`] if the algorithms do not fit together, which is a defect of this program.
    pub fn new(
        roots: RootCertStore,
        dns: Dns,
        addresses: AddressPolicy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, rustls::Error> {
        let tls = Arc::new(tls::web_config(roots, Arc::new(TlsClock::new(clock)))?);
        Ok(Self { tls, dns, addresses, port: HTTPS_PORT })
    }

    /// With another port than 443, which tests cannot listen at.
    #[cfg(test)]
    pub(super) fn at_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    async fn follow(&self, domain: &ServerName) -> Result<Vec<u8>, WellKnownError> {
        let (mut host, mut path) = (domain.clone(), PATH.to_owned());
        for _ in 0..=MAX_REDIRECTS {
            match self.get(&host, &path).await? {
                Got::Document(bytes) => return Ok(bytes),
                Got::Elsewhere(next, at) => (host, path) = (next, at),
            }
        }
        Err(WellKnownError::Absent)
    }

    async fn get(&self, host: &ServerName, path: &str) -> Result<Got, WellKnownError> {
        let target = self.target(host).await?;
        let dialed = dial(host, &[target], &self.tls).await.map_err(|err| match err {
            // Nobody serves the Web there, or nobody who could speak for the domain.
            DialError::Closed(_) | DialError::NoAddress | DialError::NotProved(_) => {
                WellKnownError::Absent
            }
            DialError::Unreachable(_) => WellKnownError::Unavailable,
        })?;
        let unavailable = |_: hyper::Error| WellKnownError::Unavailable;
        let (mut sending, driving) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(dialed.stream))
            .await
            .map_err(unavailable)?;
        let _driving = AbortOnDropHandle::new(tokio::spawn(driving));
        let authority = match self.port {
            HTTPS_PORT => host.to_string(),
            port => format!("{host}:{port}"),
        };
        let request = Request::get(path).header(HOST, authority).body(Empty::<Bytes>::new());
        let request = request.map_err(|_| WellKnownError::Absent)?;
        let (head, body) = sending.send_request(request).await.map_err(unavailable)?.into_parts();
        if head.status.is_redirection() {
            let location = head.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let next = location.and_then(|to| self.redirect(host, to));
            return next.ok_or(WellKnownError::Absent);
        }
        if head.status.is_server_error() || head.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(WellKnownError::Unavailable);
        }
        if head.status != StatusCode::OK {
            return Err(WellKnownError::Absent);
        }
        match Limited::new(body, limits::MAX_WELL_KNOWN).collect().await {
            Ok(body) => Ok(Got::Document(body.to_bytes().to_vec())),
            Err(err) if err.is::<http_body_util::LengthLimitError>() => Err(WellKnownError::Absent),
            Err(_) => Err(WellKnownError::Unavailable),
        }
    }

    /// The host's addresses that may be used.
    async fn target(&self, host: &ServerName) -> Result<Target, WellKnownError> {
        let found = self.dns.addresses(host.as_str()).await.map_err(|err| match err {
            DnsError::Failure => WellKnownError::Unavailable,
            DnsError::NoData(_) | DnsError::NoName(_) => WellKnownError::Absent,
        })?;
        let allowed = found.records.into_iter().filter(|one| self.addresses.allows(*one));
        let addresses = allowed.take(MAX_TARGETS).map(|one| SocketAddr::new(one, self.port));
        let addresses: Vec<_> = addresses.collect();
        if addresses.is_empty() {
            return Err(WellKnownError::Absent);
        }
        Ok(Target { host: host.to_string(), port: self.port, addresses })
    }

    /// Where a redirect leads: within https, at the same port, to a host with a name.
    fn redirect(&self, host: &ServerName, location: &str) -> Option<Got> {
        let to: Uri = location.parse().ok()?;
        let path = to.path_and_query()?.as_str().to_owned();
        let Some(authority) = to.authority() else {
            return path.starts_with('/').then(|| Got::Elsewhere(host.clone(), path));
        };
        let fits = to.scheme_str() == Some("https")
            && authority.port_u16().unwrap_or(HTTPS_PORT) == self.port
            && !authority.as_str().contains('@');
        let next = ServerName::parse(&authority.host().to_ascii_lowercase()).ok()?;
        fits.then_some(Got::Elsewhere(next, path))
    }
}

/// What one request came to.
enum Got {
    Document(Vec<u8>),
    Elsewhere(ServerName, String),
}

#[async_trait]
impl WellKnownSource for WebWellKnown {
    async fn fetch(&self, domain: &ServerName) -> Result<Vec<u8>, WellKnownError> {
        timeout(PATIENCE, self.follow(domain)).await.unwrap_or(Err(WellKnownError::Unavailable))
    }
}

#[cfg(test)]
mod tests;
