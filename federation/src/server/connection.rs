//! The life of one connection: handshake, who is there, requests, close.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    task::Poll,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use posthouse_protocol::{federation::refusal::Refusal, time::Timestamp};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_rustls::server::TlsStream;

use super::{
    Shared,
    counters::Open,
    peers::{AddressPlace, Peer},
    routes,
    stream::{self, Pace, Paced, Patience, Watch},
};
use crate::tls::{PeerNames, TrustError, chain_names};

/// Most header fields of a request.
const MAX_HEADERS: usize = 64;
/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Most bytes that are read ahead of what is looked at.
const READ_AHEAD: usize = 64 * 1024;
/// For how long a certificate that was checked is taken as still good, in milliseconds (1 min).
const RECHECK_MS: u64 = 60_000;

/// A connection's share of what all connections may have.
pub(super) struct Place {
    pub(super) _total: OwnedSemaphorePermit,
    pub(super) _from: AddressPlace,
    pub(super) _open: Open,
    pub(super) handshake: OwnedSemaphorePermit,
}

/// Who is at the other end of a connection.
pub(super) struct Session {
    chain: Vec<CertificateDer<'static>>,
    checked: Mutex<(Timestamp, PeerNames)>,
    /// The peer's account.
    pub(super) peer: Arc<Peer>,
    /// `None` if the peer has too many connections: then it is only told so.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Session {
    /// Looks at the certificate with the trust in force.
    fn open(tls: &rustls::CommonState, shared: &Shared) -> Result<Option<Self>, TrustError> {
        let now = shared.parts.clock.now();
        let chain: Vec<_> = tls
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|one| one.clone().into_owned())
            .collect();
        let names = chain_names(&chain, &shared.parts.trust.current(), now)?;
        // What a peer has in hand is counted under the first of its names.
        let Some(first) = names.as_slice().first() else { return Ok(None) };
        let Some(peer) = shared.peers.get(first, now) else { return Ok(None) };
        let place = peer.connect();
        Ok(Some(Self { chain, checked: Mutex::new((now, names)), peer, place }))
    }

    /// The names that the peer proves at `now`. The certificate is looked at anew each minute, with
    /// the trust then in force: it may have expired, or its authority may have lost our trust.
    pub(super) fn names(&self, shared: &Shared, now: Timestamp) -> Result<PeerNames, TrustError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if now < checked.0 || now.0 - checked.0.0 >= RECHECK_MS {
            let names = chain_names(&self.chain, &shared.parts.trust.current(), now)?;
            *checked = (now, names);
        }
        Ok(checked.1.clone())
    }

    /// Tells the operator what the peer was refused: now and then in the log, each time at level debug.
    pub(super) fn log_refusal(&self, route: &'static str, refusal: &Refusal) {
        let peer = self.first_name();
        tracing::debug!(%peer, route, %refusal, "a peer's request is refused");
        self.peer.refusals.log(|more| {
            tracing::info!(%peer, route, %refusal, more, "a peer's requests are refused");
        });
    }

    fn first_name(&self) -> String {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.1.as_slice().first().map_or_else(String::new, ToString::to_string)
    }
}

/// Runs a connection to its end.
pub(super) async fn run(tcp: TcpStream, address: SocketAddr, shared: Arc<Shared>, place: Place) {
    let failed = |reason: &dyn std::fmt::Display| {
        shared.counters.failed_handshakes.fetch_add(1, Relaxed);
        shared.trouble.log(|more| {
            tracing::info!(%address, %reason, more, "a peer's handshake failed");
        });
    };
    // Answers are written whole; waiting to fill a packet only delays them.
    if let Err(err) = tcp.set_nodelay(true) {
        return failed(&err);
    }
    let Place { handshake, .. } = place;
    let accept = timeout(shared.config.handshake_timeout, shared.acceptor.accept(tcp));
    let accepted = tokio::select! {
        accepted = accept => accepted,
        () = shared.draining.cancelled() => return,
    };
    drop(handshake);
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(err)) => return failed(&err),
        Err(_) => return failed(&"it took too long"),
    };
    match Session::open(stream.get_ref().1, &shared) {
        Ok(Some(session)) => Box::pin(requests(stream, &session, &shared)).await,
        Ok(None) => failed(&"too many peers are remembered"),
        Err(err) => failed(&err),
    }
}

/// Serves requests until the peer has no more, or the server drains.
async fn requests(stream: TlsStream<TcpStream>, session: &Session, shared: &Shared) {
    let config = &shared.config;
    let patience = Patience {
        head: config.head_timeout,
        idle: config.idle_timeout,
        answer: config.request_timeout,
    };
    let pace: Arc<Pace> = Arc::default();
    let io = TokioIo::new(Paced::new(stream, Arc::clone(&pace)));
    let service = service_fn(|request: Request<Incoming>| {
        let answering = pace.begin();
        Box::pin(async move {
            let response = routes::respond(request, session, shared).await;
            drop(answering);
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(READ_AHEAD)
        .serve_connection(io, service);
    let mut drained = pin!(shared.draining.cancelled());
    let mut is_draining = false;
    let mut watch = Watch::new(Arc::clone(&pace), patience);
    let result = std::future::poll_fn(|cx| {
        if !is_draining && drained.as_mut().poll(cx).is_ready() {
            is_draining = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let served = connection.poll_without_shutdown(cx);
        if served.is_pending() && watch.poll(cx).is_ready() {
            tracing::debug!("a peer took too long");
            return Poll::Ready(Ok(()));
        }
        served
    })
    .await;
    if let Err(err) = result {
        tracing::debug!(error = %err, "a peer's connection ended early");
    }
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    stream::close(&mut stream).await;
}
