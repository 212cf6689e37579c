//! `/v1/users/{user}/profile` and `/v1/users/me/profile`.

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::{id::Address, rest::PutProfile};

use super::{
    auth::Authenticated,
    body::{JsonBody, Segment},
    people::user,
    response::{Outcome, json},
};
use crate::Edge;

/// A profile with JSON escapes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// `GET /v1/users/{user}/profile`
pub(super) async fn show(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let user = user(&edge, &caller, &text)?;
    let profile = edge.ports().people.profile(&caller, user).await?;
    Ok(json(StatusCode::OK, &profile))
}

/// `GET /v1/users/me/profile`
pub(super) async fn own(State(edge): State<Edge>, Authenticated(caller): Authenticated) -> Outcome {
    let own = Address::Account(caller.account.clone());
    let profile = edge.ports().people.profile(&caller, own).await?;
    Ok(json(StatusCode::OK, &profile))
}

/// `PUT /v1/users/me/profile`
pub(super) async fn put(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<PutProfile, MAX_BODY>,
) -> Outcome {
    let profile = edge.ports().people.put_profile(&caller, request).await?;
    Ok(json(StatusCode::OK, &profile))
}
