//! Listening, accepting and draining.
//!
//! One small task per connection: it shakes hands (TLS), serves requests (hyper), and if a request
//! opens a socket, becomes that socket, with nothing of HTTP left in memory.

mod connection;
mod stream;
mod tls;

pub(crate) use connection::Opening;
pub(crate) use stream::{Stream, close};
pub use tls::Tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Edge, rest};

/// The longest pause after a failure to accept.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How often one kind of trouble at the door is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Where connections come from.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Connections in the clear: for a proxy in front, or for tests.
    pub fn plain(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }

    /// Connections over TLS.
    pub fn tls(tcp: TcpListener, tls: Arc<Tls>) -> Self {
        Self { tcp, tls: Some(tls) }
    }
}

/// What the connections of one listener share.
struct Shared {
    edge: Edge,
    router: axum::Router,
    tls: Option<Arc<Tls>>,
    /// Ends every connection at once, when draining has taken too long.
    kill: CancellationToken,
}

/// Serves connections until `shutdown` completes or [`Edge::drain`] is called; then drains: accepts
/// no more, lets requests finish, closes sockets with 1012, and returns once all are gone, after
/// [`crate::Config::drain_timeout`] at the latest. The future must not be dropped before: it owns
/// every connection.
pub async fn serve(listener: Listener, edge: Edge, shutdown: impl Future<Output = ()>) {
    let Listener { tcp, tls } = listener;
    let router = rest::router(edge.clone());
    let kill = CancellationToken::new();
    let shared = Arc::new(Shared { edge: edge.clone(), router, tls, kill: kill.clone() });
    let tasks = TaskTracker::new();
    // If the caller drops this future nevertheless, nothing is left running.
    let _kill_on_drop = kill.clone().drop_guard();
    tokio::select! {
        () = accept_all(&tcp, &shared, &tasks) => {}
        () = shutdown => {}
        () = edge.draining().cancelled() => {}
    }
    drop(tcp);
    edge.drain();
    tasks.close();
    if timeout(edge.config().drain_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "draining took too long, connections are cut");
        kill.cancel();
        tasks.wait().await;
    }
}

/// Accepts for ever. Failures are no reason to stop: they pass when connections end.
async fn accept_all(tcp: &TcpListener, shared: &Arc<Shared>, tasks: &TaskTracker) {
    let mut pause = Duration::ZERO;
    let mut log = LogGate::default();
    loop {
        match tcp.accept().await {
            Ok((stream, peer)) => {
                pause = Duration::ZERO;
                admit(stream, peer, shared, tasks, &mut log);
            }
            Err(err) => {
                shared.edge.counters().accept_errors.add(1);
                if is_about_one_connection(&err) {
                    continue;
                }
                pause = (pause * 2).clamp(Duration::from_millis(10), MAX_ACCEPT_PAUSE);
                if log.opens() {
                    tracing::error!(error = %err, "cannot accept; are there enough file descriptors?");
                }
                sleep(pause).await;
            }
        }
    }
}

/// Starts the connection's task, unless a limit is reached.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Arc<Shared>,
    tasks: &TaskTracker,
    log: &mut LogGate,
) {
    let counters = shared.edge.counters();
    match shared.edge.admit(peer.ip()) {
        Ok(admission) => {
            counters.connections.add(1);
            tasks.spawn(connection::run(stream, peer.ip(), Arc::clone(shared), admission));
        }
        Err(limit) => {
            counters.refused_connections.add(1);
            if log.opens() {
                let open = counters.open_connections.get();
                tracing::warn!(open, ?limit, address = %peer.ip(), "a connection limit is reached");
            }
        }
    }
}

/// Whether only the connection that was to be accepted is lost.
fn is_about_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Lets a message through every [`LOG_INTERVAL`].
#[derive(Default)]
struct LogGate(Option<Instant>);

impl LogGate {
    fn opens(&mut self) -> bool {
        let now = Instant::now();
        let opens = self.0.is_none_or(|last| now - last >= LOG_INTERVAL);
        if opens {
            self.0 = Some(now);
        }
        opens
    }
}
