//! The life of one connection: handshake, requests, and perhaps a socket.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    Shared,
    stream::{self, Impatient, Stream},
};
use crate::{
    config::{MAX_HEAD, MAX_HEADERS},
    edge::Admission,
    rest, ws,
};

/// Where a request that opens a socket leaves what the socket needs, for the task that owns the
/// connection.
#[derive(Clone, Default)]
pub(crate) struct Opening(Arc<Mutex<Option<ws::Opened>>>);

impl Opening {
    pub(crate) fn set(&self, opened: ws::Opened) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
    }

    fn take(&self) -> Option<ws::Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs a connection to its end. Each stage is boxed by itself, so that the memory of the earlier
/// ones is given back: what stays for a socket's life is the socket's.
pub(super) async fn run(tcp: TcpStream, peer: IpAddr, shared: Arc<Shared>, admission: Admission) {
    // Of its own, so that a connection that wakes does not meet all others at one lock.
    let kill = shared.kill.child_token();
    let _admission = admission;
    let stages = async {
        let Some(stream) = Box::pin(shake_hands(tcp, &shared)).await else { return };
        let Some((stream, early, opened)) = Box::pin(requests(stream, peer, &shared)).await else {
            return;
        };
        Box::pin(ws::run(stream, early, opened, &shared.edge)).await;
    };
    tokio::select! {
        () = stages => {}
        () = kill.cancelled() => {}
    }
}

async fn shake_hands(tcp: TcpStream, shared: &Shared) -> Option<Stream> {
    // Frames are batched before they are written; the kernel must not wait for more.
    tcp.set_nodelay(true).ok()?;
    let Some(tls) = &shared.tls else { return Some(Stream::Plain(tcp)) };
    let accept = TlsAcceptor::from(tls.current()).accept(tcp);
    let patience = shared.edge.config().handshake_timeout;
    let stream = tokio::select! {
        result = timeout(patience, accept) => result.ok().and_then(Result::ok),
        () = shared.edge.draining().cancelled() => return None,
    };
    if stream.is_none() {
        shared.edge.counters().failed_handshakes.add(1);
    }
    stream.map(|stream| Stream::Tls(Box::new(stream)))
}

/// Serves requests until the peer has no more, the server drains, or a socket opens.
async fn requests(
    stream: Stream,
    peer: IpAddr,
    shared: &Shared,
) -> Option<(Stream, Vec<u8>, ws::Opened)> {
    let config = shared.edge.config();
    let io = TokioIo::new(Impatient::new(stream, config.write_timeout));
    let opening = Opening::default();
    let service = service_fn(|request| respond(request, peer, &opening, shared));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, service);
    let mut drained = Some(Box::pin(shared.edge.draining().cancelled()));
    let result = std::future::poll_fn(|cx| {
        let is_draining = drained.as_mut().is_some_and(|d| d.as_mut().poll(cx).is_ready());
        if is_draining {
            drained = None;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    match (result, opening.take()) {
        (Ok(()), Some(opened)) => {
            // A copy, since the original would keep all of hyper's read buffer for the socket's
            // life.
            Some((stream, parts.read_buf.to_vec(), opened))
        }
        (result, _) => {
            if let Err(err) = result {
                tracing::debug!(error = %err, "an HTTP connection ended early");
            }
            stream::close(&mut stream).await;
            None
        }
    }
}

type Responding<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send + 'a>>;

fn respond<'a>(
    request: Request<Incoming>,
    peer: IpAddr,
    opening: &Opening,
    shared: &'a Shared,
) -> Responding<'a> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(opening.clone());
    request.extensions_mut().insert(rest::Peer(peer));
    Box::pin(async move { Ok(rest::answer(&shared.edge, &shared.router, request).await) })
}
