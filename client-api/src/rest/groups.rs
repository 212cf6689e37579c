//! `/v1/groups`: chains of epochs, invite links, and who asks to join.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use hyper::StatusCode;
use posthouse_protocol::{
    id::{Address, ConversationId, GroupId},
    limits,
    problem::{Code, Rejection},
    rest::groups::{CreateGroupLink, DeclineJoin, JoinGroup, RevokeGroupLink, SubmitEpoch},
};
use serde::Deserialize;

use super::{
    auth::Authenticated,
    body::{JsonBody, Query, Segment},
    people::limit,
    response::{Failure, Outcome, json},
};
use crate::{Edge, config, edge::Personal};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;

/// The query of the list.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// The query of a chain.
#[derive(Deserialize)]
pub(super) struct ChainQuery {
    from: Option<String>,
    limit: Option<String>,
}

impl ChainQuery {
    fn range(&self) -> Result<(u64, usize), Failure> {
        let bad = |detail: String| Failure::from(Rejection::new(Code::BadRequest, detail));
        let from = match self.from.as_deref().map(str::parse) {
            None => 1,
            Some(Ok(from)) if (1..=limits::MAX_GROUP_EPOCHS).contains(&from) => from,
            Some(_) => {
                return Err(bad(format!("`from` is 1 to {}", limits::MAX_GROUP_EPOCHS)));
            }
        };
        let limit = match self.limit.as_deref().map(str::parse) {
            None => limits::MAX_EPOCHS_PAGE,
            Some(Ok(limit)) if (1..=limits::MAX_EPOCHS_PAGE).contains(&limit) => limit,
            Some(_) => {
                return Err(bad(format!("`limit` is 1 to {}", limits::MAX_EPOCHS_PAGE)));
            }
        };
        Ok((from, limit))
    }
}

/// The group that a path names.
fn group(edge: &Edge, text: &str) -> Result<GroupId, Failure> {
    match Address::parse(text, &edge.config().server_name).map_err(Rejection::from)? {
        Address::Group(group) => Ok(group),
        _ => Err(Rejection::new(Code::BadRequest, "a group's id starts with `g.`").into()),
    }
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// `POST /v1/groups`
pub(super) async fn create(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<SubmitEpoch, MAX_BODY>,
) -> Outcome {
    let taken = edge.ports().groups.create(&caller, request).await?;
    Ok(json(StatusCode::CREATED, &taken))
}

/// `GET /v1/groups`
pub(super) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Outcome {
    let after = query.after.as_deref().map(ConversationId::parse).transpose();
    let after = after.map_err(Rejection::from)?;
    let limit = limit(query.limit.as_deref())?;
    let groups = edge.ports().groups.list(&caller, after, limit).await?;
    Ok(json(StatusCode::OK, &groups))
}

/// `GET /v1/groups/{id}`
pub(super) async fn show(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let group = group(&edge, &text)?;
    let info = edge.ports().groups.group(&caller, &group).await?;
    Ok(json(StatusCode::OK, &info))
}

/// `GET /v1/groups/{id}/epochs`
pub(super) async fn epochs(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    Query(query): Query<ChainQuery>,
) -> Outcome {
    let group = group(&edge, &text)?;
    let (from, limit) = query.range()?;
    let epochs = edge.ports().groups.epochs(&caller, &group, from, limit).await?;
    Ok(json(StatusCode::OK, &epochs))
}

/// `POST /v1/groups/{id}/epochs`
pub(super) async fn submit(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    JsonBody(request): JsonBody<SubmitEpoch, MAX_BODY>,
) -> Outcome {
    let group = group(&edge, &text)?;
    let taken = edge.ports().groups.submit(&caller, &group, request).await?;
    Ok(json(StatusCode::OK, &taken))
}

/// `POST /v1/groups/{id}/links`
pub(super) async fn create_link(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    JsonBody(request): JsonBody<CreateGroupLink, MAX_BODY>,
) -> Outcome {
    let group = group(&edge, &text)?;
    let link = edge.ports().groups.create_link(&caller, &group, request).await?;
    Ok(json(StatusCode::CREATED, &link))
}

/// `GET /v1/groups/{id}/links`
pub(super) async fn links(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let group = group(&edge, &text)?;
    let links = edge.ports().groups.links(&caller, &group).await?;
    Ok(json(StatusCode::OK, &links))
}

/// `POST /v1/groups/{id}/links/revoke`
pub(super) async fn revoke_link(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    JsonBody(request): JsonBody<RevokeGroupLink, MAX_BODY>,
) -> Outcome {
    let group = group(&edge, &text)?;
    edge.ports().groups.revoke_link(&caller, &group, request.link_id).await?;
    Ok(done())
}

/// `POST /v1/groups/{id}/join`. Codes are tried out as names are: with the same limit.
pub(super) async fn join(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    JsonBody(request): JsonBody<JoinGroup, MAX_BODY>,
) -> Outcome {
    let group = group(&edge, &text)?;
    edge.limit_account(Personal::Lookup, &caller)?;
    edge.ports().groups.join(&caller, &group, request.code).await?;
    Ok(done())
}

/// `GET /v1/groups/{id}/requests`
pub(super) async fn join_requests(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let group = group(&edge, &text)?;
    let requests = edge.ports().groups.join_requests(&caller, &group).await?;
    Ok(json(StatusCode::OK, &requests))
}

/// `POST /v1/groups/{id}/requests/decline`
pub(super) async fn decline_join(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
    JsonBody(request): JsonBody<DeclineJoin, MAX_BODY>,
) -> Outcome {
    let group = group(&edge, &text)?;
    edge.ports().groups.decline_join(&caller, &group, &request.user).await?;
    Ok(done())
}
