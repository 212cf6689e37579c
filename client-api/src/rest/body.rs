//! Bodies of requests: of the right type, bounded, in time, and parsed once.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{HeaderMap, header, http::request::Parts};
use posthouse_protocol::{
    json,
    problem::{Code, Rejection},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::response::Failure;
use crate::Edge;

/// A JSON object of at most `MAX` bytes.
pub(crate) struct JsonBody<T, const MAX: usize>(pub(crate) T);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<Edge> for JsonBody<T, MAX> {
    type Rejection = Failure;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, Failure> {
        let TextBody::<MAX>(text) = TextBody::from_request(request, edge).await?;
        // Else an array would pass for an object with its fields in order.
        if !text.trim_start().starts_with('{') {
            return Err(Rejection::new(Code::BadJson, "a JSON object is expected").into());
        }
        json::from_str(&text).map(Self).map_err(|err| explain(&err).into())
    }
}

/// A text of at most `MAX` bytes that says it is JSON.
pub(crate) struct TextBody<const MAX: usize>(pub(crate) String);

impl<const MAX: usize> FromRequest<Edge> for TextBody<MAX> {
    type Rejection = Failure;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        expect_json(&parts.headers)?;
        let announced = parts.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > MAX as u64) {
            return Err(too_large(MAX).into());
        }
        let reading = timeout(edge.config().body_timeout, read(body, MAX));
        let Ok(bytes) = reading.await else {
            return Err(Rejection::new(Code::Timeout, "the body did not arrive in time").into());
        };
        String::from_utf8(bytes?).map(Self).map_err(|err| {
            let place = err.utf8_error().valid_up_to();
            Rejection::new(Code::BadJson, format!("byte {place} is no UTF-8")).into()
        })
    }
}

/// The parameters of a query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Edge> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Edge) -> Result<Self, Failure> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        let bad = |err| Rejection::new(Code::BadRequest, format!("{err}")).into();
        query.map(|axum::extract::Query(query)| Self(query)).map_err(bad)
    }
}

/// The one variable segment of a path.
pub(crate) struct Segment(pub(crate) String);

impl FromRequestParts<Edge> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Failure> {
        let path = axum::extract::Path::from_request_parts(parts, edge).await;
        let bad = |_| Rejection::new(Code::BadRequest, "the path is no UTF-8").into();
        path.map(|axum::extract::Path(segment)| Self(segment)).map_err(bad)
    }
}

async fn read(body: Body, max: usize) -> Result<Vec<u8>, Rejection> {
    match Limited::new(body, max).collect().await {
        Ok(all) => Ok(all.to_bytes().into()),
        Err(err) if err.is::<LengthLimitError>() => Err(too_large(max)),
        Err(_) => Err(Rejection::new(Code::BadRequest, "the body ended early")),
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = given.and_then(|value| value.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Rejection::new(Code::UnsupportedMediaType, "`Content-Type: application/json` is expected"))
}

fn too_large(max: usize) -> Rejection {
    Rejection::new(Code::TooLarge, format!("the body has at most {max} bytes here"))
}

/// The parser's complaint. It may repeat a little of what the caller sent, to the caller alone.
fn explain(err: &serde_json::Error) -> Rejection {
    use serde_json::error::Category;
    let place = format!("line {} column {}", err.line(), err.column());
    let what = match err.classify() {
        Category::Data => err.to_string().chars().take(128).collect(),
        Category::Eof => String::from("the text ends too early"),
        Category::Syntax | Category::Io => String::from("no JSON"),
    };
    Rejection::new(Code::BadJson, format!("{place}: {what}"))
}
