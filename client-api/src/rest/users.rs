//! `GET /v1/users/{user}`: the directory. Limited by account, against enumeration.

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::{
    id::Address,
    problem::{Code, Rejection},
};

use super::{
    auth::Authenticated,
    body::Segment,
    response::{Outcome, json},
};
use crate::{Edge, edge::Personal};

pub(super) async fn find(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(user): Segment,
) -> Outcome {
    let address = Address::parse(&user, &edge.config().server_name).map_err(Rejection::from)?;
    if matches!(address, Address::Group(_)) {
        return Err(Rejection::new(Code::BadRequest, "a group is no user").into());
    }
    edge.limit_account(Personal::Lookup, &caller)?;
    let user = edge.ports().accounts.user(&caller, address).await?;
    Ok(json(StatusCode::OK, &user))
}
