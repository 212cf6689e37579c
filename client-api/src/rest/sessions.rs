//! `/v1/sessions`: logging in and out, refreshing tokens, ending other sessions.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::{
    id::SessionId,
    problem::Rejection,
    rest::{LogIn, Refresh},
};

use super::{
    auth::{Authenticated, ClientAddress},
    body::{JsonBody, Segment},
    response::{Outcome, json},
};
use crate::{Edge, config, edge::Anonymous};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

/// `POST /v1/sessions`
pub(super) async fn log_in(
    State(edge): State<Edge>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<LogIn, MAX_BODY>,
) -> Outcome {
    edge.limit_address(Anonymous::LogIn, address)?;
    let tokens = edge.ports().accounts.log_in(request).await?;
    Ok(json(StatusCode::CREATED, &tokens))
}

/// `POST /v1/sessions/refresh`
pub(super) async fn refresh(
    State(edge): State<Edge>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<Refresh, MAX_BODY>,
) -> Outcome {
    edge.limit_address(Anonymous::Refresh, address)?;
    let tokens = edge.ports().accounts.refresh(request).await?;
    Ok(json(StatusCode::OK, &tokens))
}

/// `GET /v1/sessions`
pub(super) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let sessions = edge.ports().accounts.sessions(&caller).await?;
    Ok(json(StatusCode::OK, &sessions))
}

/// `DELETE /v1/sessions/current`
pub(super) async fn log_out(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    edge.ports().accounts.log_out(&caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/sessions/{id}`
pub(super) async fn end(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(id): Segment,
) -> Outcome {
    let session = SessionId::parse(&id).map_err(Rejection::from)?;
    edge.ports().accounts.end_session(&caller, session).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
