//! What a refusal of the homeserver says.

use http::StatusCode;
use posthouse_protocol::problem::Problem;

use crate::Error;

/// A refused call: its problem document, or what the status says.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| from_status(status));
    Error::Refused(Box::new(problem))
}

/// What a status says by itself (RFC 9457 §4.2.1).
fn from_status(status: StatusCode) -> Problem {
    let title = status.canonical_reason().unwrap_or("an unknown status");
    Problem {
        kind: "about:blank".into(),
        title: title.into(),
        status: status.as_u16(),
        code: String::new(),
        detail: format!("the server answered with the status {}", status.as_u16()),
        retry_after: None,
        stale_devices: None,
        head: None,
    }
}
