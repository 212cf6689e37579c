//! `GET /v1/openapi.json`, `GET /v1/asyncapi.json`, `GET /docs`: what the API is, for programs and for
//! people.

use axum::response::{IntoResponse as _, Response};
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderValue},
};

use crate::documents::{self, Document, PAGE};

/// How long a document may be kept without asking again, in seconds: it changes with the server's
/// version only.
const CACHE: &str = "public, max-age=300";

/// `GET /v1/openapi.json`
pub(super) async fn openapi(headers: HeaderMap) -> Response {
    serve(documents::openapi(), "application/json", &headers)
}

/// `GET /v1/asyncapi.json`
pub(super) async fn asyncapi(headers: HeaderMap) -> Response {
    serve(documents::asyncapi(), "application/json", &headers)
}

/// `GET /docs`
pub(super) async fn page(headers: HeaderMap) -> Response {
    let mut response = serve(&PAGE.document, "text/html; charset=utf-8", &headers);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    response
}

fn serve(document: &'static Document, media_type: &'static str, headers: &HeaderMap) -> Response {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    // Weak comparison (RFC 9110 §13.1.2).
    let is_known =
        known.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == document.etag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type)], document.bytes.clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHE));
    // A tag of hexadecimal digits is always a header's value.
    if let Ok(etag) = HeaderValue::from_str(&document.etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
