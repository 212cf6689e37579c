//! `/v1/account/…`: what protects the caller's account, and its deletion.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::rest::{ChangePassword, ConfirmTotp, Confirmation, SetPin};

use super::{
    auth::Authenticated,
    body::JsonBody,
    response::{Outcome, json},
};
use crate::{Edge, config};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

/// `GET /v1/account/security`
pub(super) async fn show(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let protection = edge.ports().security.protection(&caller).await?;
    Ok(json(StatusCode::OK, &protection))
}

/// `POST /v1/account/password`
pub(super) async fn change_password(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<ChangePassword, MAX_BODY>,
) -> Outcome {
    edge.ports().security.change_password(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/account/totp`
pub(super) async fn enrol_totp(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Confirmation, MAX_BODY>,
) -> Outcome {
    let secret = edge.ports().security.enrol_totp(&caller, request).await?;
    Ok(json(StatusCode::OK, &secret))
}

/// `POST /v1/account/totp/confirm`
pub(super) async fn confirm_totp(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<ConfirmTotp, MAX_BODY>,
) -> Outcome {
    let codes = edge.ports().security.confirm_totp(&caller, request).await?;
    Ok(json(StatusCode::OK, &codes))
}

/// `POST /v1/account/totp/off`
pub(super) async fn remove_totp(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Confirmation, MAX_BODY>,
) -> Outcome {
    edge.ports().security.remove_totp(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/account/recovery-codes`
pub(super) async fn renew_codes(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Confirmation, MAX_BODY>,
) -> Outcome {
    let codes = edge.ports().security.renew_recovery_codes(&caller, request).await?;
    Ok(json(StatusCode::OK, &codes))
}

/// `POST /v1/account/pin`
pub(super) async fn set_pin(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<SetPin, MAX_BODY>,
) -> Outcome {
    edge.ports().security.set_pin(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/account/pin/off`
pub(super) async fn remove_pin(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Confirmation, MAX_BODY>,
) -> Outcome {
    edge.ports().security.remove_pin(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/account/delete`
pub(super) async fn delete_account(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Confirmation, MAX_BODY>,
) -> Outcome {
    edge.ports().security.delete_account(&caller, request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
