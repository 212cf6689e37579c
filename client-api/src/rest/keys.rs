//! `/v1/keys` and what is served of a user's keys: identity, device list, prekeys, bundles.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::{
    id::Address,
    limits,
    problem::{Code, Rejection},
    rest::keys::{ClaimBundles, PutDeviceList, SetIdentity, UploadPreKeys},
};

use super::{
    auth::Authenticated,
    body::{JsonBody, Segment},
    response::{Outcome, json},
};
use crate::{Edge, config, edge::Personal};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;
pub(super) const MAX_UPLOAD: usize = limits::MAX_REQUEST;

/// `PUT /v1/keys/identity`
pub(super) async fn set_identity(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<SetIdentity, MAX_BODY>,
) -> Outcome {
    edge.ports().keys.set_identity(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PUT /v1/keys/device-list`
pub(super) async fn put_list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<PutDeviceList, MAX_BODY>,
) -> Outcome {
    edge.ports().keys.put_list(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/keys/prekeys`
pub(super) async fn upload(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<UploadPreKeys, MAX_UPLOAD>,
) -> Outcome {
    request.check()?;
    let status = edge.ports().keys.upload(&caller, request).await?;
    Ok(json(StatusCode::OK, &status))
}

/// `GET /v1/keys/prekeys`
pub(super) async fn status(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let status = edge.ports().keys.prekeys(&caller).await?;
    Ok(json(StatusCode::OK, &status))
}

/// `GET /v1/users/{user}/devices`
pub(super) async fn user_devices(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(user): Segment,
) -> Outcome {
    let user = address(&edge, &user)?;
    edge.limit_account(Personal::Lookup, &caller)?;
    let devices = edge.ports().keys.user_devices(&caller, user).await?;
    Ok(json(StatusCode::OK, &devices))
}

/// `GET /v1/users/{user}/key-changes`
pub(super) async fn key_changes(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(user): Segment,
) -> Outcome {
    let user = address(&edge, &user)?;
    edge.limit_account(Personal::Lookup, &caller)?;
    let changes = edge.ports().keys.key_changes(&caller, user).await?;
    Ok(json(StatusCode::OK, &changes))
}

/// `POST /v1/users/{user}/bundles`
pub(super) async fn claim(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(user): Segment,
    JsonBody(request): JsonBody<ClaimBundles, MAX_BODY>,
) -> Outcome {
    request.check()?;
    edge.limit_account(Personal::Lookup, &caller)?;
    let bundles = edge.ports().keys.claim(&caller, address(&edge, &user)?, request).await?;
    Ok(json(StatusCode::OK, &bundles))
}

fn address(edge: &Edge, user: &str) -> Result<Address, Rejection> {
    match Address::parse(user, &edge.config().server_name)? {
        Address::Group(_) => Err(Rejection::new(Code::BadRequest, "a group is no user")),
        address => Ok(address),
    }
}
