//! `/v1/contacts`, `/v1/blocks`, `/v1/requests`, `/v1/account/privacy`, `/v1/reports`: the lists and
//! settings of the caller's own account.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use hyper::StatusCode;
use posthouse_protocol::{
    id::{AccountId, Address},
    limits,
    problem::{Code, Rejection},
    rest::{FileReport, Named, Privacy, PutContact},
};
use serde::Deserialize;

use super::{
    auth::Authenticated,
    body::{JsonBody, Query, Segment},
    response::{Failure, Outcome, json},
};
use crate::{
    Edge, config,
    edge::Personal,
    ports::{Caller, ListRange},
};

pub(super) const MAX_BODY: usize = config::MAX_CREDENTIALS;
pub(super) const MAX_REPORT: usize = limits::MAX_REPORT;

/// The query of lists.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<String>,
}

impl ListQuery {
    fn range(self) -> Result<ListRange, Failure> {
        let after = self.after.as_deref().map(AccountId::parse).transpose();
        let after = after.map_err(Rejection::from)?;
        Ok(ListRange { after, limit: limit(self.limit.as_deref())? })
    }
}

/// How much of a list is wanted.
pub(super) fn limit(text: Option<&str>) -> Result<usize, Failure> {
    match text.map(str::parse) {
        None => Ok(limits::DEFAULT_LIST_PAGE),
        Some(Ok(limit)) if (1..=limits::MAX_LIST_PAGE).contains(&limit) => Ok(limit),
        Some(_) => {
            let detail = format!("`limit` is 1 to {}", limits::MAX_LIST_PAGE);
            Err(Rejection::new(Code::BadRequest, detail).into())
        }
    }
}

/// The user that a call names. Names are looked up, which is limited against enumeration.
pub(super) fn user(edge: &Edge, caller: &Caller, text: &str) -> Result<Address, Failure> {
    let address = Address::parse(text, &edge.config().server_name).map_err(Rejection::from)?;
    if matches!(address, Address::Group(_)) {
        return Err(Rejection::new(Code::BadRequest, "a group is no user").into());
    }
    edge.limit_account(Personal::Lookup, caller)?;
    Ok(address)
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /v1/contacts`
pub(super) async fn contacts(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Outcome {
    let contacts = edge.ports().people.contacts(&caller, query.range()?).await?;
    Ok(json(StatusCode::OK, &contacts))
}

/// `POST /v1/contacts`
pub(super) async fn put_contact(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<PutContact, MAX_BODY>,
) -> Outcome {
    let user = user(&edge, &caller, &request.user)?;
    edge.ports().people.put_contact(&caller, user, request.label).await?;
    Ok(done())
}

/// `DELETE /v1/contacts/{user}`
pub(super) async fn remove_contact(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let user = user(&edge, &caller, &text)?;
    edge.ports().people.remove_contact(&caller, user).await?;
    Ok(done())
}

/// `GET /v1/blocks`
pub(super) async fn blocks(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Outcome {
    let blocks = edge.ports().people.blocks(&caller, query.range()?).await?;
    Ok(json(StatusCode::OK, &blocks))
}

/// `POST /v1/blocks`
pub(super) async fn block(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Named, MAX_BODY>,
) -> Outcome {
    let user = user(&edge, &caller, &request.user)?;
    edge.ports().people.block(&caller, user).await?;
    Ok(done())
}

/// `DELETE /v1/blocks/{user}`
pub(super) async fn unblock(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Segment(text): Segment,
) -> Outcome {
    let user = user(&edge, &caller, &text)?;
    edge.ports().people.unblock(&caller, user).await?;
    Ok(done())
}

/// `GET /v1/requests`
pub(super) async fn requests(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    Query(query): Query<ListQuery>,
) -> Outcome {
    let requests = edge.ports().people.requests(&caller, query.range()?).await?;
    Ok(json(StatusCode::OK, &requests))
}

/// `POST /v1/requests/accept`
pub(super) async fn accept(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Named, MAX_BODY>,
) -> Outcome {
    let user = user(&edge, &caller, &request.user)?;
    edge.ports().people.answer_request(&caller, user, true).await?;
    Ok(done())
}

/// `POST /v1/requests/decline`
pub(super) async fn decline(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Named, MAX_BODY>,
) -> Outcome {
    let user = user(&edge, &caller, &request.user)?;
    edge.ports().people.answer_request(&caller, user, false).await?;
    Ok(done())
}

/// `GET /v1/account/privacy`
pub(super) async fn privacy(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
) -> Outcome {
    let privacy = edge.ports().people.privacy(&caller).await?;
    Ok(json(StatusCode::OK, &privacy))
}

/// `PUT /v1/account/privacy`
pub(super) async fn set_privacy(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<Privacy, MAX_BODY>,
) -> Outcome {
    edge.ports().people.set_privacy(&caller, request).await?;
    Ok(done())
}

/// `POST /v1/reports`
pub(super) async fn report(
    State(edge): State<Edge>,
    Authenticated(caller): Authenticated,
    JsonBody(request): JsonBody<FileReport, MAX_REPORT>,
) -> Outcome {
    let user = user(&edge, &caller, &request.user)?;
    let filed = edge.ports().people.report(&caller, user, request).await?;
    Ok(json(StatusCode::CREATED, &filed))
}
