//! The listener of the suite's peers: one address, the peer chosen by the name that TLS was asked
//! for.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Either, Full, Limited, StreamBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    formats::{
        Answer, Query, Refusal,
        envelope::MAX_ENVELOPE,
        event::Event,
        receipt::{Receipt, outcome, reason},
        records::Enclosed,
    },
    keys::{Document, KeyId, SHARED_ENCAPSULATION},
    lanes::Position,
    peer::{Peer, derived_key, uuid_text},
    receiving::{Arrived, Ends, FRESH, Taken, nonsense},
    refusals::{self, Code},
    tls::proved_names,
};

/// Most connections of the listener.
const MAX_CONNECTIONS: usize = 512;
/// How long a handshake, a head and a body may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a silent peer keeps a request.
const SILENCE: Duration = Duration::from_mins(10);

/// An event that a peer received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The lane.
    pub lane: u64,
    /// The event in its record.
    pub enclosed: Enclosed,
    /// The event, if it could be read.
    pub event: Option<Event>,
}

/// How a peer answers envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// By the specification.
    Honest,
    /// With a receipt signed by a key that is not its own.
    ForgedKey,
    /// With a receipt under the right key id, but with another key's signature.
    ForgedSignature,
    /// With a receipt for another envelope.
    OtherEnvelope,
    /// With a receipt whose two ends are exchanged.
    ExchangedEnds,
    /// With positions beyond what was sent, and a hash that is none.
    Beyond,
    /// With 200 and bytes that are no receipt.
    Garbage,
    /// With a redirection to another server.
    Redirect,
    /// With a receipt of more than 256 KiB.
    Oversize,
    /// With a body that never ends.
    Endless,
    /// Not at all.
    Silent,
}

/// What the peers know of the subject, and their clock.
#[derive(Debug)]
pub struct Site {
    /// The peers.
    pub peers: Vec<Arc<Peer>>,
    /// The subject's document.
    pub subject: Document,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Least time between two incarnations, in milliseconds.
    pub minute: u64,
}

type Body = Either<Full<Bytes>, StreamBody<stream::BoxStream<'static, Piece>>>;
type Piece = Result<Frame<Bytes>, Infallible>;

impl Site {
    /// Serves for as long as the task is not aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, config: Arc<ServerConfig>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (site, config) = (Arc::clone(&self), Arc::clone(&config));
            tokio::spawn(async move {
                site.connection(stream, config).await;
                drop(place);
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, config: Arc<ServerConfig>) {
        let accepting = timeout(PATIENCE, TlsAcceptor::from(config).accept(stream)).await;
        let Ok(Ok(stream)) = accepting else { return };
        let session = stream.get_ref().1;
        let asked = session.server_name().unwrap_or_default();
        let Some(peer) = self.peers.iter().find(|peer| peer.name == asked).cloned() else {
            return;
        };
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let names: Arc<[String]> = certificate.map(proved_names).unwrap_or_default().into();
        let service = service_fn(move |request| {
            let (site, peer, names) = (Arc::clone(&self), Arc::clone(&peer), Arc::clone(&names));
            async move { Ok::<_, Infallible>(site.answer(&peer, &names, request).await) }
        });
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        // What is wrong with a connection shows at its other end.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        &self,
        peer: &Peer,
        names: &[String],
        request: Request<Incoming>,
    ) -> Response<Body> {
        let now = (self.clock)();
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/federation/v1/server") => {
                {
                    let mut state = peer.state();
                    state.looks = state.looks.saturating_add(1);
                }
                told(200, peer.document(now))
            }
            (&Method::GET, "/federation/v1/keylog") => told(200, peer.log()),
            (&Method::POST, "/federation/v1/envelopes") => match read(request).await {
                Err(code) => refused(code),
                Ok(bytes) => self.envelope(peer, names, &bytes).await,
            },
            (&Method::POST, "/federation/v1/query/resolve") => match read(request).await {
                Err(code) => refused(code),
                Ok(bytes) => match self.resolve(peer, names, &bytes) {
                    Err(code) => refused(code),
                    Ok(answer) => told(200, answer.encode()),
                },
            },
            _ => refused(refusals::NOT_FOUND),
        }
    }

    async fn envelope(&self, peer: &Peer, names: &[String], bytes: &[u8]) -> Response<Body> {
        let behaviour = {
            let mut state = peer.state();
            state.attempts = state.attempts.saturating_add(1);
            state.behaviour
        };
        if behaviour == Behaviour::Silent {
            sleep(SILENCE).await;
        }
        let answered = match behaviour {
            Behaviour::Honest => self.take(peer, names, bytes),
            _ => self.misbehave(peer, behaviour, bytes),
        };
        match (answered, behaviour) {
            (Err(code), _) => refused(code),
            (Ok(_), Behaviour::Endless) => endless(),
            (Ok(_), Behaviour::Redirect) => {
                let mut response = told(307, Vec::new());
                let elsewhere = header::HeaderValue::from_static("https://127.0.0.1:1/elsewhere");
                response.headers_mut().insert(header::LOCATION, elsewhere);
                response
            }
            (Ok(_), Behaviour::Oversize) => told(200, vec![0x5a; 400 * 1024]),
            (Ok(_), Behaviour::Garbage) => told(200, b"\x82\x40\x40".to_vec()),
            (Ok(body), _) => told(200, body),
        }
    }

    fn signer(&self, id: KeyId, names: &[String]) -> Result<[u8; 32], Code> {
        if !names.contains(&self.subject.server) {
            return Err(refusals::WRONG_ORIGIN);
        }
        let key = self.subject.entry.signing_key(id, (self.clock)());
        key.ok_or(refusals::UNKNOWN_KEY)
    }

    fn take(&self, peer: &Peer, names: &[String], bytes: &[u8]) -> Result<Vec<u8>, Code> {
        let arrived = Arrived::read(bytes).map_err(|_| refusals::MALFORMED)?;
        arrived.is_addressed(&peer.name, names)?;
        if arrived.header.salt.is_some() && !peer.features.contains(&SHARED_ENCAPSULATION) {
            return Err(refusals::MALFORMED);
        }
        let signer = self.signer(arrived.header.signing_key, names)?;
        let records = arrived.open(&signer, &peer.sealing)?;
        let now = (self.clock)();
        let mut state = peer.state();
        let lane = arrived.header.lane;
        let mut received = Vec::new();
        let judge = &mut |enclosed: &Enclosed| {
            let event = Event::read(&enclosed.event).ok();
            let verdict = judge(event.as_ref(), peer, now);
            received.push(Received { lane, enclosed: enclosed.clone(), event });
            verdict
        };
        let taken = match &arrived.header.place {
            None => state.receiver.ephemeral(&arrived, &records, now, judge)?,
            Some(place) => {
                let ends = Ends {
                    origin: &self.subject.server,
                    destination: &peer.name,
                    now,
                    minute: self.minute,
                };
                state.receiver.sequenced((lane, place), &records, ends, judge)
            }
        };
        state.received.extend(received);
        let standing = state.receiver.standing();
        drop(state);
        let Taken { outcome, rejections } = taken;
        let receipt = Receipt { outcome, standing, rejections, ..self.receipt(peer, &arrived) };
        Ok(receipt.sign(&peer.signer()))
    }

    fn receipt(&self, peer: &Peer, arrived: &Arrived) -> Receipt {
        Receipt {
            from: peer.name.clone(),
            to: self.subject.server.clone(),
            created: (self.clock)(),
            signing_key: Receipt::key_id(&peer.signer()),
            answers: arrived.digest,
            outcome: outcome::ACCEPTED,
            standing: None,
            rejections: Vec::new(),
        }
    }

    /// A receipt that says that everything was taken, wrong in one way. Nothing is taken.
    fn misbehave(&self, peer: &Peer, behaviour: Behaviour, bytes: &[u8]) -> Result<Vec<u8>, Code> {
        let arrived = Arrived::read(bytes).map_err(|_| refusals::MALFORMED)?;
        let signer =
            self.signer(arrived.header.signing_key, std::slice::from_ref(&self.subject.server))?;
        let records = arrived.open(&signer, &peer.sealing)?;
        let Some(place) = &arrived.header.place else { return Err(refusals::RATE_LIMITED) };
        let standing = peer.state().receiver.standing();
        let positions = standing.filter(|(incarnation, _)| *incarnation == place.incarnation);
        let mut positions = positions.map_or_else(
            || super::lanes::starts(&self.subject.server, &peer.name, place.incarnation),
            |(_, positions)| positions,
        );
        let at = Position { through: place.first - 1, hash: place.before };
        let lane = usize::try_from(arrived.header.lane - 1).unwrap_or_default();
        if let Some(position) = positions.get_mut(lane) {
            *position = records.iter().fold(at, |at, record| record.after(at));
            if behaviour == Behaviour::Beyond {
                *position = Position { through: position.through + 100, hash: nonsense("beyond") };
            }
        }
        let mut receipt = Receipt {
            standing: Some((place.incarnation, positions)),
            ..self.receipt(peer, &arrived)
        };
        let stranger = derived_key("stranger");
        let mut signer = peer.signer();
        match behaviour {
            Behaviour::ForgedKey => {
                receipt.signing_key = Receipt::key_id(&stranger);
                signer = stranger;
            }
            Behaviour::ForgedSignature => signer = stranger,
            Behaviour::OtherEnvelope => receipt.answers = nonsense("other envelope"),
            Behaviour::ExchangedEnds => std::mem::swap(&mut receipt.from, &mut receipt.to),
            _ => {}
        }
        Ok(receipt.sign(&signer))
    }

    fn resolve(&self, peer: &Peer, names: &[String], bytes: &[u8]) -> Result<Answer, Code> {
        let (query, key, is_signed_by) = Query::read(bytes).map_err(|_| refusals::MALFORMED)?;
        if !names.contains(&query.origin) || query.origin != self.subject.server {
            return Err(refusals::WRONG_ORIGIN);
        }
        if query.destination != peer.name {
            return Err(refusals::WRONG_DESTINATION);
        }
        if query.created.abs_diff((self.clock)()) > FRESH {
            return Err(refusals::NOT_FRESH);
        }
        if !is_signed_by(&self.signer(key, names)?) {
            return Err(refusals::BAD_SIGNATURE);
        }
        let account = (query.handle == peer.handle).then_some(peer.user);
        Ok(Answer { account, seconds: 60 })
    }
}

/// What an honest peer with one user says to an event.
fn judge(event: Option<&Event>, peer: &Peer, now: u64) -> Option<u64> {
    let Some(event) = event else { return Some(reason::MALFORMED) };
    if !(1..=5).contains(&event.kind) {
        Some(reason::UNSUPPORTED)
    } else if event.expires.is_some_and(|expires| expires < now) {
        Some(reason::EXPIRED)
    } else if event.recipients.contains(&peer.user) {
        None
    } else {
        Some(reason::UNKNOWN_RECIPIENT)
    }
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Code> {
    let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if field(header::CONTENT_TYPE) != Some("application/cbor")
        || field(header::CONTENT_ENCODING).is_some()
    {
        return Err(refusals::MALFORMED);
    }
    let body = Limited::new(request.into_body(), MAX_ENVELOPE).collect();
    let read = timeout(PATIENCE, body).await.map_err(|_| refusals::RATE_LIMITED)?;
    read.map(http_body_util::Collected::to_bytes).map_err(|_| refusals::TOO_LARGE)
}

fn refused(Code { code, status }: Code) -> Response<Body> {
    let refusal = Refusal { code: code.to_owned(), detail: code.to_owned(), seconds: None };
    told(status, refusal.encode())
}

fn told(status: u16, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let cbor = header::HeaderValue::from_static("application/cbor");
    response.headers_mut().insert(header::CONTENT_TYPE, cbor);
    response
}

fn endless() -> Response<Body> {
    let pieces = stream::unfold((), |()| async {
        sleep(Duration::from_millis(100)).await;
        Some((Ok(Frame::data(Bytes::from_static(&[0x5a]))), ()))
    });
    let mut response = Response::new(Either::Right(StreamBody::new(
        Box::pin(pieces) as stream::BoxStream<'static, Piece>
    )));
    let cbor = header::HeaderValue::from_static("application/cbor");
    response.headers_mut().insert(header::CONTENT_TYPE, cbor);
    response
}

/// Binds the listener.
///
/// # Errors
/// A sentence for the person who gave the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|err| format!("the peers cannot listen at {address}: {err}"))
}

impl Received {
    /// The id's text.
    pub fn id(&self) -> String {
        uuid_text(self.enclosed.id)
    }
}
