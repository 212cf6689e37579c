//! From a request to its answer. What is refused for the peer's sake is refused first, and costs
//! nothing more.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
};
use posthouse_protocol::{
    federation::{
        limits,
        refusal::{Refusal, RefusalCode},
    },
    time::Timestamp,
};
use tokio::time::timeout;

use super::{
    Shared,
    body::{self, too_slow},
    connection::Session,
    queries,
};
use crate::{policy, tls::PeerNames};

/// The type of all bodies.
pub(crate) const CBOR: HeaderValue = HeaderValue::from_static("application/cbor");

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Bundle,
    Devices,
    Echo,
    Envelopes,
    Group,
    KeyLog,
    Profile,
    Resolve,
    Server,
}

impl Route {
    pub(super) const ALL: [Self; 9] = [
        Self::Bundle,
        Self::Devices,
        Self::Echo,
        Self::Envelopes,
        Self::Group,
        Self::KeyLog,
        Self::Profile,
        Self::Resolve,
        Self::Server,
    ];

    /// The name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Devices => "devices",
            Self::Echo => "echo",
            Self::Envelopes => "envelopes",
            Self::Group => "group",
            Self::KeyLog => "keylog",
            Self::Profile => "profile",
            Self::Resolve => "resolve",
            Self::Server => "server",
        }
    }

    fn of(method: &Method, path: &str) -> Option<Self> {
        let (expected, route) = match path {
            "/federation/v1/echo" => (Method::POST, Self::Echo),
            "/federation/v1/envelopes" => (Method::POST, Self::Envelopes),
            "/federation/v1/keylog" => (Method::GET, Self::KeyLog),
            "/federation/v1/query/bundle" => (Method::POST, Self::Bundle),
            "/federation/v1/query/devices" => (Method::POST, Self::Devices),
            "/federation/v1/query/group" => (Method::POST, Self::Group),
            "/federation/v1/query/profile" => (Method::POST, Self::Profile),
            "/federation/v1/query/resolve" => (Method::POST, Self::Resolve),
            "/federation/v1/server" => (Method::GET, Self::Server),
            _ => return None,
        };
        (*method == expected).then_some(route)
    }

    /// Most bytes of the request's body; `None` if it has none.
    fn most(self) -> Option<usize> {
        match self {
            Self::Envelopes => Some(limits::MAX_ENVELOPE),
            Self::Bundle
            | Self::Devices
            | Self::Echo
            | Self::Group
            | Self::Profile
            | Self::Resolve => Some(limits::MAX_QUERY),
            Self::KeyLog | Self::Server => None,
        }
    }
}

/// A refusal, and whether the connection ends with it.
struct Refused {
    refusal: Refusal,
    close: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, close: false }
    }
}

pub(super) async fn respond(
    request: Request<Incoming>,
    session: &Session,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    let route = Route::of(request.method(), request.uri().path());
    shared.counters.count_request(route);
    let mut unread = !request.body().is_end_stream();
    let answering = answer(route, request, &mut unread, session, shared);
    let answer = timeout(shared.config.request_timeout, answering).await;
    let refused = match answer.unwrap_or_else(|_| Err(too_slow().into())) {
        Ok(body) => {
            let mut response = Response::new(Full::new(body));
            response.headers_mut().insert(CONTENT_TYPE, CBOR);
            return response;
        }
        Err(refused) => refused,
    };
    let Refused { refusal, close } = refused;
    shared.counters.count_refusal(refusal.code);
    session.log_refusal(route.map_or("other", Route::name), &refusal);
    let mut response = Response::new(Full::new(Bytes::from(refusal.encode())));
    *response.status_mut() =
        StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, CBOR);
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // A body that nobody will read would stand in the way of the next request.
    if close || unread {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(
    route: Option<Route>,
    request: Request<Incoming>,
    unread: &mut bool,
    session: &Session,
    shared: &Shared,
) -> Result<Bytes, Refused> {
    let now = shared.parts.clock.now();
    let names = permitted(session, shared, now)?;
    let not_found = || Refusal::new(RefusalCode::NotFound, "there is nothing at this address");
    let route = route.ok_or_else(not_found)?;
    if route.most().is_some() {
        check_form(request.headers())?;
    }
    let limited = |seconds, detail| {
        let mut refusal = Refusal::new(RefusalCode::RateLimited, detail);
        refusal.retry_after = Some(seconds);
        refusal
    };
    if route != Route::Envelopes {
        session.peer.query(now).map_err(|seconds| limited(seconds, "too many queries"))?;
    }
    let working = session.peer.work();
    let _working = working.ok_or_else(|| limited(1, "too many requests at a time"))?;
    let parts = &shared.parts;
    let Some(most) = route.most() else {
        return Ok(match route {
            Route::KeyLog => parts.published.key_log(),
            _ => parts.published.document(now),
        });
    };
    let held = body::read(request.into_body(), most, &shared.bodies).await?;
    *unread = false;
    // The body took its time: what is decided about it is decided now.
    let now = parts.clock.now();
    Ok(match route {
        Route::Bundle => queries::bundles(&held.bytes, &names, parts, now).await?.into(),
        Route::Devices => queries::devices(&held.bytes, &names, parts, now).await?.into(),
        Route::Echo => queries::echo(&held.bytes, &names, parts, now).await?.into(),
        Route::Group => queries::group(&held.bytes, &names, parts, now).await?.into(),
        Route::Profile => queries::profile(&held.bytes, &names, parts, now).await?.into(),
        Route::Resolve => queries::resolve(&held.bytes, &names, parts, now).await?.into(),
        _ => {
            let receipt = parts.inbound.receive(&held.bytes, &names, now).await?;
            parts.contacts.heard(&receipt.claim().to);
            receipt.encode().into()
        }
    })
}

/// Who asks, if they may ask at all.
fn permitted(session: &Session, shared: &Shared, now: Timestamp) -> Result<PeerNames, Refused> {
    let close = |refusal| Refused { refusal, close: true };
    let names = session
        .names(shared, now)
        .map_err(|err| close(Refusal::new(RefusalCode::WrongOrigin, err.to_string())))?;
    let admitted = shared.parts.policy.current().admitted(&names);
    let names = admitted.ok_or_else(|| close(policy::denial()))?;
    if session.place.is_none() {
        let mut refusal = Refusal::new(RefusalCode::RateLimited, "too many connections");
        refusal.retry_after = Some(1);
        return Err(close(refusal));
    }
    Ok(names)
}

/// Bodies are CBOR, as they are.
fn check_form(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(RefusalCode::Malformed, "bodies have no content encoding"));
    }
    if headers.get(CONTENT_TYPE) == Some(&CBOR) {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::Malformed, "the content type is application/cbor"))
    }
}
