//! `/v1/messages`: for clients without a socket, and for catching up.

use axum::{extract::State, response::IntoResponse as _};
use hyper::StatusCode;
use posthouse_protocol::{
    cursor::Since,
    frame::{Ack, Malformed, Submission},
    limits,
    problem::{Code, Rejection},
};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{
    auth::Authenticated,
    body::{Query, TextBody},
    response::{Failure, Outcome, json},
};
use crate::{Edge, edge::Personal, ports::Answer};

pub(super) const MAX_BODY: usize = limits::MAX_REQUEST;

/// `POST /v1/messages`: answers once the message is durable.
pub(super) async fn submit(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    TextBody(text): TextBody<MAX_BODY>,
) -> Outcome {
    edge.limit_account(Personal::Message, &caller)?;
    let submission = Submission::parse(&text, &edge.config().server_name).map_err(malformed)?;
    let (answer, outcome) = oneshot::channel();
    edge.ports().messaging.submit(&caller, submission, Answer::Request(answer)).await;
    let Ok(outcome) = outcome.await else {
        return Err(Rejection::new(Code::Internal, "the message was dropped; send it again").into());
    };
    Ok(json(StatusCode::OK, &outcome?))
}

/// `POST /v1/messages/ack`
pub(super) async fn acknowledge(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    TextBody(text): TextBody<MAX_BODY>,
) -> Outcome {
    let ack = Ack::parse(&text, &edge.config().server_name).map_err(malformed)?;
    edge.ports().messaging.acknowledge(&caller, ack).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The query of `GET /v1/messages/sync`.
#[derive(Deserialize)]
pub(super) struct SyncQuery {
    since: Option<String>,
    limit: Option<String>,
}

/// `GET /v1/messages/sync`
pub(super) async fn sync(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<SyncQuery>,
) -> Outcome {
    let since = query.since.as_deref().map(Since::parse).transpose().map_err(Rejection::from)?;
    let limit = match query.limit.as_deref().map(str::parse) {
        None => limits::DEFAULT_SYNC_PAGE,
        Some(Ok(limit)) if (1..=limits::MAX_SYNC_PAGE).contains(&limit) => limit,
        Some(_) => {
            let detail = format!("`limit` is 1 to {}", limits::MAX_SYNC_PAGE);
            return Err(Rejection::new(Code::BadRequest, detail).into());
        }
    };
    let page = edge.ports().messaging.sync(&caller, since, limit).await?;
    Ok(json(StatusCode::OK, &page))
}

fn malformed(err: Malformed) -> Failure {
    err.rejection.into()
}
