//! How a connection to the homeserver is made: address, certificates, time limits.

use core::fmt;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::{Endpoint, Error, Trust, closed::CONNECT_TIMEOUT};

/// Makes connections to one homeserver. Cheap to clone; clones share TLS sessions.
#[derive(Clone)]
pub struct Connector {
    endpoint: Endpoint,
    address: Option<SocketAddr>,
    source: Option<IpAddr>,
    tls: Option<TlsConnector>,
}

impl Connector {
    /// A connector to `endpoint`. `trust` is not looked at for an `http://` endpoint.
    ///
    /// # Errors
    /// [`Error::Trust`] if there is no certificate that can be used.
    pub fn new(endpoint: Endpoint, trust: Trust<'_>) -> Result<Self, Error> {
        let tls = if endpoint.is_tls() { Some(client_config(trust)?.into()) } else { None };
        Ok(Self { endpoint, address: None, source: None, tls })
    }

    /// The same connector, connecting to this address whatever DNS says of the endpoint's host: for
    /// an address that was discovered by other means. The certificate must still be the host's.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address: Some(address), ..self.clone() }
    }

    /// The same connector, connecting from this address of the machine: on a machine with several,
    /// and to play many clients on one.
    #[must_use]
    pub fn from_source(&self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self.clone() }
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects, within ten seconds.
    pub(crate) async fn dial(&self) -> Result<Stream, Error> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.dial_unbounded()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(self.unreachable(source)),
            Err(_) => Err(Error::TimedOut(CONNECT_TIMEOUT)),
        }
    }

    /// The error that tells that the connection could not be made, or broke.
    pub(crate) fn unreachable(&self, source: io::Error) -> Error {
        Error::Unreachable { endpoint: self.endpoint.clone(), source }
    }

    async fn dial_unbounded(&self) -> io::Result<Stream> {
        let tcp = self.dial_tcp().await?;
        // Frames are small and are batched here, so waiting for more would only delay them.
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let name = ServerName::try_from(self.endpoint.host().to_owned())
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err))?;
        Ok(Stream::Tls(Box::new(tls.connect(name, tcp).await?)))
    }
}

impl Connector {
    async fn dial_tcp(&self) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = if let Some(address) = self.address {
            vec![address]
        } else {
            let host = (self.endpoint.host(), self.endpoint.port());
            tokio::net::lookup_host(host).await?.collect()
        };
        let Some(source) = self.source else { return TcpStream::connect(&*addresses).await };
        let address = addresses
            .into_iter()
            .find(|address| address.is_ipv4() == source.is_ipv4())
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(address).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.endpoint)
            .field("address", &self.address)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

fn client_config(trust: Trust<'_>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| Error::Trust(err.to_string()))?
        .with_root_certificates(roots(trust)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(trust: Trust<'_>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::System => {
            // Some entries of a system's store are usually unreadable; that takes nothing away.
            let loaded = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(loaded.certs);
        }
        Trust::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|err| Error::Trust(err.to_string()))?;
                store.add(certificate).map_err(|err| Error::Trust(err.to_string()))?;
            }
        }
    }
    if store.is_empty() {
        return Err(Error::Trust("there is none".into()));
    }
    Ok(store)
}

/// How hyper asks for a connection: whatever the URI, it is the connector's own endpoint.
#[derive(Clone)]
pub(crate) struct Dialer(pub(crate) Connector);

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move { connector.dial().await.map(TokioIo::new) })
    }
}
