//! `/v1/links`: linking a new device.

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::{
    problem::{Code, Rejection},
    rest::keys::{ApproveLink, FetchLink, StartLink},
};
use uuid::Uuid;

use super::{
    auth::{Authenticated, ClientAddress},
    body::{JsonBody, Segment},
    response::{Outcome, json},
};
use crate::{Edge, config, edge::Anonymous};

/// A provisioning message in base64, and room for the rest.
pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

/// `POST /v1/links`
pub(super) async fn start(
    State(edge): State<Edge>,
    ClientAddress(address): ClientAddress,
    JsonBody(request): JsonBody<StartLink, MAX_BODY>,
) -> Outcome {
    edge.limit_address(Anonymous::Link, address)?;
    let link = edge.ports().links.start(request).await?;
    Ok(json(StatusCode::CREATED, &link))
}

/// `POST /v1/links/{id}`
pub(super) async fn approve(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(id): Segment,
    JsonBody(request): JsonBody<ApproveLink, MAX_BODY>,
) -> Outcome {
    let device = edge.ports().links.approve(&caller, parse(&id)?, request).await?;
    Ok(json(StatusCode::CREATED, &device))
}

/// `POST /v1/links/{id}/result`
pub(super) async fn result(
    State(edge): State<Edge>,
    ClientAddress(address): ClientAddress,
    Segment(id): Segment,
    JsonBody(request): JsonBody<FetchLink, MAX_BODY>,
) -> Outcome {
    edge.limit_address(Anonymous::LinkResult, address)?;
    let result = edge.ports().links.result(parse(&id)?, request).await?;
    Ok(json(StatusCode::OK, &result))
}

fn parse(id: &str) -> Result<Uuid, Rejection> {
    Uuid::try_parse(id)
        .map_err(|_| Rejection::new(Code::BadRequest, "a link's id is a UUID with hyphens"))
}
