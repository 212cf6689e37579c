//! `GET /v1/presence?users=a,b`: how some users' presence is now.

use axum::extract::State;
use hyper::StatusCode;
use posthouse_protocol::{
    frame::PresenceFrame,
    id::Address,
    problem::{Code, Rejection},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    auth::Authenticated,
    body::Query,
    response::{Outcome, json},
};
use crate::{Edge, config};

#[derive(Deserialize)]
pub(super) struct PresenceQuery {
    users: String,
}

/// The answer.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PresenceAnswer")]
pub(super) struct Answer {
    /// Those whose presence the caller may see, in the order of the question.
    presence: Vec<PresenceFrame>,
}

pub(super) async fn query(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<PresenceQuery>,
) -> Outcome {
    let parts: Vec<&str> = query.users.split(',').collect();
    if parts.len() > config::MAX_PRESENCE_QUERY {
        let detail = format!("at most {} users are queried", config::MAX_PRESENCE_QUERY);
        return Err(Rejection::new(Code::TooLarge, detail).into());
    }
    let own = &edge.config().server_name;
    let users = parts.iter().map(|user| Address::parse(user, own)).collect::<Result<_, _>>();
    let users = users.map_err(Rejection::from)?;
    let presence = edge.ports().presence.query(&caller, users).await?;
    Ok(json(StatusCode::OK, &Answer { presence }))
}
