//! `GET /v1/connect` and `POST /v1/connect/ticket`: opening the socket (RFC 6455 §4.2,
//! docs/spec/client-socket.md).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
};
use posthouse_protocol::{
    limits,
    problem::{Code, Rejection},
    rest::Ticket,
};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};

use super::{
    auth::{Authenticated, bearer, no_token},
    body::Query,
    response::{Outcome, json},
};
use crate::{
    Edge,
    edge::Personal,
    mailbox::Mailbox,
    ports::Caller,
    server::Opening,
    ws::{Opened, SUBPROTOCOL},
};

/// What the accept key is made with (RFC 6455 §1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `POST /v1/connect/ticket`
pub(super) async fn ticket(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let ticket = edge.issue_ticket(caller);
    Ok(json(StatusCode::OK, &Ticket { ticket, expires_in: limits::TICKET_SECONDS }))
}

/// The query of `GET /v1/connect`.
#[derive(Deserialize)]
pub(super) struct ConnectQuery {
    ticket: Option<String>,
}

/// `GET /v1/connect`: answers 101 and leaves the rest to the connection's task. Everything that
/// can be refused is refused before, as a problem document.
pub(super) async fn connect(
    State(edge): State<Edge>,
    Query(query): Query<ConnectQuery>,
    request: Request,
) -> Outcome {
    let headers = request.headers();
    let token = bearer(headers);
    if token.is_none() && query.ticket.is_none() {
        return Err(no_token().into());
    }
    // Before the ticket is used up.
    let handshake = Handshake::check(request.method(), request.version(), headers)?;
    let caller = caller(&edge, token, query.ticket.as_deref()).await?;
    edge.limit_account(Personal::Any, &caller)?;
    if edge.draining().is_cancelled() {
        return Err(Rejection::new(Code::Unavailable, "the server is stopping").into());
    }
    let Some(opening) = request.extensions().get::<Opening>() else {
        return Err(Rejection::new(Code::Internal, "this connection cannot become a socket").into());
    };
    let mailbox = Arc::new(Mailbox::new());
    let feed = edge.ports().messaging.connect(&caller, Arc::clone(&mailbox)).await?;
    // From here on the end of the session closes the mailbox; it may have come just before.
    edge.ports().accounts.still_valid(&caller).await?;
    opening.set(Opened { caller, mailbox, feed });
    Ok(handshake.accept())
}

async fn caller(
    edge: &Edge,
    token: Option<&str>,
    ticket: Option<&str>,
) -> Result<Caller, Rejection> {
    match (token, ticket) {
        (Some(token), _) => edge.ports().accounts.authenticate(token).await,
        (None, Some(ticket)) => edge.redeem_ticket(ticket).await,
        (None, None) => Err(no_token()),
    }
}

/// A client's handshake that is as it must be.
struct Handshake {
    accept_key: String,
    with_subprotocol: bool,
}

impl Handshake {
    fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<Self, Rejection> {
        let refuse = |detail| Err(Rejection::new(Code::BadRequest, detail));
        if method != Method::GET
            || version != Version::HTTP_11
            || !has_token(headers, &header::CONNECTION, "upgrade")
            || !has_token(headers, &header::UPGRADE, "websocket")
        {
            return refuse("a WebSocket handshake over HTTP/1.1 is expected (RFC 6455)");
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return refuse("`Sec-WebSocket-Version: 13` is expected");
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let nonce = key.and_then(|key| STANDARD.decode(key).ok());
        let (Some(key), Some(16)) = (key, nonce.map(|nonce| nonce.len())) else {
            return refuse("`Sec-WebSocket-Key` has 16 bytes in base64");
        };
        let hash = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
        // Unlike the others, compared as it is written (RFC 6455 §4.2.2).
        let with_subprotocol =
            elements(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|one| one == SUBPROTOCOL);
        Ok(Self { accept_key: STANDARD.encode(hash), with_subprotocol })
    }

    fn accept(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        // Base64 is always a header's value.
        if let Ok(key) = HeaderValue::from_str(&self.accept_key) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
        }
        if self.with_subprotocol {
            let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}

/// Whether a list field has an element, in any case of its letters.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|one| one.eq_ignore_ascii_case(token))
}

/// The elements of a list field (RFC 9110 §5.6.1).
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let fields = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 §1.3.
    #[test]
    fn the_accept_key_is_the_rfcs() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let handshake = Handshake::check(&Method::GET, Version::HTTP_11, &headers).unwrap();
        assert_eq!(handshake.accept_key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!handshake.with_subprotocol);
        headers.insert("sec-websocket-key", HeaderValue::from_static("dGhl"));
        assert!(Handshake::check(&Method::GET, Version::HTTP_11, &headers).is_err());
    }
}
