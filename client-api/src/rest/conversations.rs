//! `/v1/conversations` and `POST /v1/messages/delete`: the caller's own list, and what it deletes for
//! itself.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::{
    id::ConversationId,
    limits,
    problem::{Code, Rejection},
    rest::{DeleteMessages, Deleted},
    time::Stamp,
};
use serde::Deserialize;

use super::{
    auth::Authenticated,
    body::{JsonBody, Query, Segment},
    people::limit,
    response::{Outcome, json},
};
use crate::{Edge, config};

pub(super) const MAX_BODY: usize = 2 * config::MAX_CREDENTIALS;

/// The query of `GET /v1/conversations`.
#[derive(Deserialize)]
pub(super) struct ConversationsQuery {
    before: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/conversations`
pub(super) async fn list(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ConversationsQuery>,
) -> Outcome {
    let before = query.before.as_deref().map(place).transpose()?;
    let limit = limit(query.limit.as_deref())?;
    let page = edge.ports().messaging.conversations(&caller, before, limit).await?;
    Ok(json(StatusCode::OK, &page))
}

/// A place in the list, as `next` told it: a stamp and a conversation.
fn place(text: &str) -> Result<(Stamp, ConversationId), Rejection> {
    let bad = || Rejection::new(Code::BadRequest, "`before` is what `next` was");
    let (stamp, conversation) = text.split_once('.').ok_or_else(bad)?;
    let digits = !stamp.is_empty() && stamp.bytes().all(|byte| byte.is_ascii_digit());
    let stamp = stamp.parse().ok().filter(|_| digits).map(Stamp).ok_or_else(bad)?;
    Ok((stamp, ConversationId::parse(conversation).map_err(|_| bad())?))
}

/// `DELETE /v1/conversations/{id}`
pub(super) async fn delete(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(id): Segment,
) -> Outcome {
    let conversation = ConversationId::parse(&id).map_err(Rejection::from)?;
    edge.ports().messaging.delete_conversation(&caller, conversation).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/messages/delete`
pub(super) async fn delete_messages(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<DeleteMessages, MAX_BODY>,
) -> Outcome {
    if request.messages.len() > limits::MAX_DELETED {
        let detail = format!("at most {} messages are deleted at once", limits::MAX_DELETED);
        return Err(Rejection::new(Code::TooLarge, detail).into());
    }
    let named = request.messages.into_iter().map(|one| (one.from, one.id)).collect();
    let deleted = edge.ports().messaging.delete_messages(&caller, named).await?;
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}
