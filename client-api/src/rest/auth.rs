//! Who calls: access tokens, and addresses for limits.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use hyper::{HeaderMap, header, http::request::Parts};
use posthouse_protocol::problem::{Code, Rejection};

use super::response::Failure;
use crate::{Edge, address::client_address, edge::Personal, ports::Caller};

/// The other end of the connection, put into every request by the connection's task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The client's address, for limits.
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<Edge> for ClientAddress {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Failure> {
        let Some(Peer(peer)) = parts.extensions.get() else {
            return Err(Rejection::new(Code::Internal, "the peer's address is not known").into());
        };
        Ok(Self(client_address(*peer, &parts.headers, edge.config())))
    }
}

/// A caller with a valid access token who keeps to the account's rate. A handler that asks for it
/// cannot be reached without.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Edge> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Failure> {
        let token = bearer(&parts.headers).ok_or_else(no_token)?;
        let caller = edge.ports().accounts.authenticate(token).await?;
        edge.limit_account(Personal::Any, &caller)?;
        Ok(Self(caller))
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The refusal of a call without a token.
pub(crate) fn no_token() -> Rejection {
    Rejection::new(Code::Unauthorized, "`Authorization: Bearer` and an access token are expected")
}
