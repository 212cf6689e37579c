//! What two regions say to each other, written down in the clear: between them stands a relay that has
//! the certificates and keys of both, as only their own operators could. So every connection is two,
//! of mutual TLS as the regions demand it, and what is between them can be read.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use posthouse_federation::tls::{
    Identity, IdentityStore, PrivateAuthority, TlsClock, Trust, TrustStore, client_config,
    server_config,
};
use posthouse_homeserver::clock::SystemClock;
use posthouse_protocol::id::ServerName;
use rustls::{
    RootCertStore,
    client::ClientConfig,
    pki_types::{self, CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ServerConfig,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::server::Place;

/// What one side of a connection said.
type Said = Arc<Mutex<Vec<u8>>>;

/// Stands in front of a region.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<Vec<Said>>>,
}

impl Recorder {
    /// In front of `of`, which listens at `at`; only `peer` comes to it.
    pub(crate) fn start(of: &Place, at: SocketAddr, peer: &Place) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, said) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Said>>>::default());
        let clock = || Arc::new(TlsClock::new(Arc::new(SystemClock)));
        let server = server_config(identity(of), trust(of), clock()).unwrap();
        let client = client_config(identity(peer), trust(peer), clock()).unwrap();
        let (server, client) = (Arc::new(server), Arc::new(client));
        let name = pki_types::ServerName::try_from(of.domain.clone()).unwrap();
        let all = Arc::clone(&said);
        tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((from, _)) = listener.accept().await {
                let (server, client, name) =
                    (Arc::clone(&server), Arc::clone(&client), name.clone());
                let both = [Said::default(), Said::default()];
                all.lock().unwrap().extend(both.iter().cloned());
                // A connection that breaks is one that the regions make again.
                tokio::spawn(async move { relay(from, (server, client), (name, at), both).await });
            }
        });
        Self { address, said }
    }

    /// Everything that was said, each side of each connection by itself.
    pub(crate) fn said(&self) -> Vec<Vec<u8>> {
        self.said.lock().unwrap().iter().map(|one| one.lock().unwrap().clone()).collect()
    }
}

async fn relay(
    from: TcpStream,
    (server, client): (Arc<ServerConfig>, Arc<ClientConfig>),
    (name, at): (pki_types::ServerName<'static>, SocketAddr),
    [asked, answered]: [Said; 2],
) -> std::io::Result<()> {
    let from = TlsAcceptor::from(server).accept(from).await?;
    let to = TlsConnector::from(client).connect(name, TcpStream::connect(at).await?).await?;
    let ((from_read, from_write), (to_read, to_write)) =
        (tokio::io::split(from), tokio::io::split(to));
    tokio::select! {
        ended = pass(from_read, to_write, &asked) => ended,
        ended = pass(to_read, from_write, &answered) => ended,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    said: &Said,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16_384];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        said.lock().unwrap().extend_from_slice(&buffer[..length]);
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}

fn identity(of: &Place) -> Arc<IdentityStore> {
    let keys = of.dir.path().join("keys");
    let chain = CertificateDer::pem_file_iter(keys.join("server.pem")).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(keys.join("server.key")).unwrap();
    let domain = ServerName::parse(&of.domain).unwrap();
    Arc::new(IdentityStore::new(Identity::new(&domain, chain, key).unwrap()))
}

fn trust(of: &Place) -> Arc<TrustStore> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(of.dir.path().join("keys/ca.pem")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let private = vec![PrivateAuthority { roots, names: None }];
    Arc::new(TrustStore::new(Trust { private, ..Trust::default() }))
}
