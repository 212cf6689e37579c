//! `POST /v1/accounts`, `GET /v1/account`: registering, and who one is.

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::rest::Register;

use super::{
    auth::{Authenticated, ClientAddress},
    body::JsonBody,
    response::{Outcome, json},
};
use crate::{Edge, config, edge::Anonymous};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

pub(super) async fn register(
    State(edge): State<Edge>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<Register, MAX_BODY>,
) -> Outcome {
    edge.limit_address(Anonymous::Register, address)?;
    let tokens = edge.ports().accounts.register(request).await?;
    Ok(json(StatusCode::CREATED, &tokens))
}

pub(super) async fn me(State(edge): State<Edge>, Authenticated(caller): Authenticated) -> Outcome {
    let me = edge.ports().accounts.me(&caller).await?;
    Ok(json(StatusCode::OK, &me))
}
