//! The real server on a loopback port.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use posthouse_client_api::{Config, Edge, Listener, Ports, Tls, serve};
use posthouse_protocol::{
    id::ServerName,
    time::{Clock, Timestamp},
};
use rand::{SeedableRng as _, rngs::StdRng};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::home::Home;

/// A clock that tests set.
pub(crate) struct ManualClock(AtomicU64);

impl ManualClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// The defaults, for the region `eu.example`.
pub(crate) fn config() -> Config {
    Config::new(ServerName::parse("eu.example").unwrap())
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) home: Arc<Home>,
    pub(crate) edge: Edge,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) certificate: Option<Certificate>,
    tls_handle: Option<Arc<Tls>>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl TestServer {
    /// In the clear, with the default settings.
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    /// In the clear.
    pub(crate) async fn with(config: Config) -> Self {
        Self::run(config, None).await
    }

    /// Over TLS, with a certificate of its own.
    pub(crate) async fn over_tls(config: Config) -> Self {
        let certificate = Certificate::new();
        let tls = Arc::new(Tls::new(certificate.server()));
        let mut started = Self::run(config, Some(tls)).await;
        started.tls = Some(certificate.trust());
        started.certificate = Some(certificate);
        started
    }

    async fn run(config: Config, tls: Option<Arc<Tls>>) -> Self {
        let home = Home::new();
        let tls_handle = tls.clone();
        let ports = Ports {
            accounts: home.clone(),
            security: home.clone(),
            messaging: home.clone(),
            people: home.clone(),
            groups: home.clone(),
            presence: home.clone(),
            devices: home.clone(),
            keys: home.clone(),
            links: home.clone(),
            health: home.clone(),
        };
        let clock = Arc::new(ManualClock(AtomicU64::new(1_705_234_567_890)));
        let edge = Edge::new(ports, config, clock.clone(), StdRng::seed_from_u64(7));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = match tls {
            Some(tls) => Listener::tls(tcp, tls),
            None => Listener::plain(tcp),
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let task = Some(tokio::spawn(serve(listener, edge.clone(), shutdown)));
        Self {
            address,
            home,
            edge,
            clock,
            tls: None,
            certificate: None,
            tls_handle,
            stop: Some(stop),
            task,
        }
    }

    /// Takes another certificate for the connections to come.
    pub(crate) fn renew_certificate(&mut self) {
        let renewed = Certificate::new();
        self.tls_handle.as_ref().expect("a server over TLS").replace(renewed.server());
        self.tls = Some(renewed.trust());
        self.certificate = Some(renewed);
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(&mut self) {
        let task = self.task.take().expect("stopped once");
        timeout(Duration::from_secs(10), task).await.expect("the server stops").unwrap();
    }
}

/// A certificate for `localhost` that signs itself.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self { der: made.cert.der().clone(), key }
    }

    /// Settings of a server that shows it.
    fn server(&self) -> Arc<rustls::ServerConfig> {
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], self.key.clone_key().into())
            .unwrap();
        Arc::new(server)
    }

    /// Settings of a client that trusts it.
    fn trust(&self) -> Arc<rustls::ClientConfig> {
        trust(self.der.clone())
    }
}

/// Settings of a client that trusts one certificate.
pub(crate) fn trust(certificate: CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
