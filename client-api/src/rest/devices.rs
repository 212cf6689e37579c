//! `/v1/devices`: the devices of the own account.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::{id::DeviceId, problem::Rejection, rest::keys::RenameDevice};

use super::{
    auth::Authenticated,
    body::{JsonBody, Segment},
    response::{Outcome, json},
};
use crate::{Edge, config};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

/// `GET /v1/devices`
pub(super) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let devices = edge.ports().devices.devices(&caller).await?;
    Ok(json(StatusCode::OK, &devices))
}

/// `PUT /v1/devices/{id}`
pub(super) async fn rename(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(id): Segment,
    JsonBody(request): JsonBody<RenameDevice, MAX_BODY>,
) -> Outcome {
    let device = DeviceId::parse(&id).map_err(Rejection::from)?;
    edge.ports().devices.rename(&caller, device, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/devices/{id}`
pub(super) async fn revoke(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(id): Segment,
) -> Outcome {
    let device = DeviceId::parse(&id).map_err(Rejection::from)?;
    edge.ports().devices.revoke(&caller, device).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
