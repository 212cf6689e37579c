//! Answers: JSON, and problem documents (RFC 9457, docs/spec/errors.md).

use axum::response::{IntoResponse, Response};
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use posthouse_protocol::problem::{Code, Problem, Rejection};
use serde::Serialize;

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    typed(status, "application/json", body)
}

/// A refusal as answer. This is the one place where refusals become HTTP.
pub(crate) struct Failure(Box<Rejection>);

/// What a handler gives back.
pub(crate) type Outcome = Result<Response, Failure>;

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self(Box::new(rejection))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(rejection) = self;
        let (code, retry_after) = (rejection.code, rejection.retry_after);
        let status = StatusCode::from_u16(code.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = typed(status, "application/problem+json", &Problem::from(*rejection));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // For the counters.
        response.extensions_mut().insert::<Code>(code);
        response
    }
}

fn typed(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, media_type)], bytes).into_response(),
        Err(err) => {
            // Answers are plain data with text keys: only a defect leads here.
            tracing::error!(error = %err, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
