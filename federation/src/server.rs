//! The listener for peers (docs/spec/federation.md, "HTTP"): HTTP/1.1 over mutual TLS.
//!
//! Whoever connects is hostile until the contrary is shown, and stays bounded afterwards: in
//! connections, handshakes, bytes, time and requests. A peer that is slow holds up nobody else: each
//! connection has a task of its own and what it waits for has a deadline.

mod body;
mod connection;
mod counters;
mod peers;
mod queries;
mod routes;
mod stream;

pub use counters::Counters;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use posthouse_crypto::sign::SigningKey;
use posthouse_protocol::{id::ServerName, time::Clock};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    connection::Place,
    peers::{Addresses, Peers},
};
use crate::{
    inbound::Inbound,
    policy::PolicyStore,
    ports::{Contacts, Handles, KeyDirectory, PeerGroups, Profiles, Published, UserKeys},
    tls::{self, IdentityStore, TlsClock, TrustStore},
};

/// The longest pause after a failure to accept.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How often one kind of trouble is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The bounds of the listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Most connections in all, those in the handshake included.
    pub max_connections: usize,
    /// Most connections whose handshake is not over: strangers cannot take all places.
    pub max_handshakes: usize,
    /// Most connections from one IPv4 address or one IPv6 network of 64 bits.
    pub max_per_address: usize,
    /// Most connections of one proved name.
    pub max_per_peer: usize,
    /// Most requests of one proved name that are in work at a time.
    pub max_in_work: usize,
    /// Most bytes of bodies that are held at a time, over all peers.
    pub max_body_bytes: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take, from its first byte; the first request of a
    /// connection starts when the handshake is over.
    pub head_timeout: Duration,
    /// How long a request may take from its head to its answer, and then the answer to be read.
    pub request_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    /// How long draining may take.
    pub drain_timeout: Duration,
    /// Queries that a proved name may ask at once after a rest.
    pub query_burst: u32,
    /// Queries a second that a proved name may ask in the long run.
    pub queries_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            max_handshakes: 256,
            max_per_address: 64,
            max_per_peer: 16,
            max_in_work: 8,
            max_body_bytes: 256 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(2),
            drain_timeout: Duration::from_secs(30),
            query_burst: 200,
            queries_per_second: 50,
        }
    }
}

/// What the listener works with.
pub struct Parts {
    /// Our name.
    pub own: ServerName,
    /// The key that signs answers to echoes.
    pub signing: SigningKey,
    /// Our certificate.
    pub identity: Arc<IdentityStore>,
    /// Whose certificates are believed.
    pub trust: Arc<TrustStore>,
    /// With whom we federate.
    pub policy: Arc<PolicyStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What takes envelopes.
    pub inbound: Arc<Inbound>,
    /// Our document and key log.
    pub published: Arc<dyn Published>,
    /// Who has which handle here.
    pub handles: Arc<dyn Handles>,
    /// Groups.
    pub groups: Arc<dyn PeerGroups>,
    /// What profiles say here.
    pub profiles: Arc<dyn Profiles>,
    /// Keys of users here.
    pub user_keys: Arc<dyn UserKeys>,
    /// Peers' keys.
    pub keys: Arc<dyn KeyDirectory>,
    /// Who hears that a peer is alive.
    pub contacts: Arc<dyn Contacts>,
}

/// What all connections share.
struct Shared {
    config: Config,
    parts: Parts,
    counters: Arc<Counters>,
    acceptor: TlsAcceptor,
    places: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    peers: Peers,
    /// One permit a byte.
    bodies: Arc<Semaphore>,
    trouble: LogGate,
    draining: CancellationToken,
    /// Ends every connection at once, when draining has taken too long.
    kill: CancellationToken,
}

/// The listener for peers.
pub struct Server(Arc<Shared>);

impl Server {
    /// A server that has not begun to listen.
    ///
    /// # Errors
    /// [`rustls::Error`] if the algorithms do not fit together, which is a defect of this program.
    pub fn new(config: Config, parts: Parts) -> Result<Self, rustls::Error> {
        let clock = Arc::new(TlsClock::new(Arc::clone(&parts.clock)));
        let (identity, trust) = (Arc::clone(&parts.identity), Arc::clone(&parts.trust));
        let tls = tls::server_config(identity, trust, clock)?;
        Ok(Self(Arc::new(Shared {
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            counters: Arc::new(Counters::default()),
            places: Arc::new(Semaphore::new(config.max_connections)),
            handshakes: Arc::new(Semaphore::new(config.max_handshakes)),
            addresses: Arc::new(Addresses::new(config.max_per_address)),
            peers: Peers::new(&config),
            bodies: Arc::new(Semaphore::new(config.max_body_bytes.min(Semaphore::MAX_PERMITS))),
            trouble: LogGate::default(),
            draining: CancellationToken::new(),
            kill: CancellationToken::new(),
            config,
            parts,
        })))
    }

    /// What is counted.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.0.counters)
    }

    /// Serves connections until `shutdown`; then accepts no more, lets the requests in work finish
    /// and returns once all connections are gone, after [`Config::drain_timeout`] at the latest.
    /// The future owns every connection: if it is dropped, they end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let shared = self.0;
        let tasks = TaskTracker::new();
        let _kill_on_drop = shared.kill.clone().drop_guard();
        tokio::select! {
            () = accept_all(&listener, &shared, &tasks) => {}
            () = shutdown => {}
        }
        drop(listener);
        shared.draining.cancel();
        tasks.close();
        if timeout(shared.config.drain_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "draining took too long, peers are cut off");
            shared.kill.cancel();
            tasks.wait().await;
        }
    }
}

/// Accepts for ever. Failures are no reason to stop: they pass when connections end.
async fn accept_all(listener: &TcpListener, shared: &Arc<Shared>, tasks: &TaskTracker) {
    let mut pause = Duration::ZERO;
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                pause = Duration::ZERO;
                admit(tcp, address, shared, tasks);
            }
            Err(err) => {
                shared.counters.accept_errors.fetch_add(1, Relaxed);
                if is_about_one_connection(&err) {
                    continue;
                }
                pause = (pause * 2).clamp(Duration::from_millis(10), MAX_ACCEPT_PAUSE);
                shared.trouble.log(|more| {
                    tracing::error!(error = %err, more, "cannot accept peers; are there enough file descriptors?");
                });
                sleep(pause).await;
            }
        }
    }
}

/// Starts the connection's task, unless a bound is reached: then it is closed before it costs more.
fn admit(tcp: TcpStream, address: SocketAddr, shared: &Arc<Shared>, tasks: &TaskTracker) {
    let counters = &shared.counters;
    let place = Arc::clone(&shared.places).try_acquire_owned().ok();
    let handshake = Arc::clone(&shared.handshakes).try_acquire_owned().ok();
    let (Some(place), Some(handshake), Some(from)) =
        (place, handshake, shared.addresses.enter(address.ip()))
    else {
        counters.refused_connections.fetch_add(1, Relaxed);
        shared.trouble.log(|more| {
            tracing::warn!(%address, more, "a peer's connection is refused: a bound is reached");
        });
        return;
    };
    counters.connections.fetch_add(1, Relaxed);
    let open = counters.enter();
    let place = Place { _total: place, _from: from, _open: open, handshake };
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        let kill = shared.kill.clone();
        tokio::select! {
            () = connection::run(tcp, address, shared, place) => {}
            () = kill.cancelled() => {}
        }
    });
}

/// Whether only the connection that was to be accepted is lost.
fn is_about_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Lets a message through every [`LOG_INTERVAL`].
#[derive(Default)]
struct LogGate(Mutex<(Option<Instant>, u64)>);

impl LogGate {
    /// Calls `write` with the number of messages that were held back since the last one, or holds
    /// this one back too.
    fn log(&self, write: impl FnOnce(u64)) {
        let now = Instant::now();
        let held_back = {
            let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if gate.0.is_some_and(|last| now - last < LOG_INTERVAL) {
                gate.1 += 1;
                return;
            }
            gate.0 = Some(now);
            core::mem::take(&mut gate.1)
        };
        write(held_back);
    }
}

#[cfg(test)]
mod tests;
