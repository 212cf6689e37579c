//! The published documents of the client API: OpenAPI 3.1 of the REST calls and AsyncAPI 3 of the
//! socket. Both are made once, from the table of routes and the types that the handlers take and give.

mod asyncapi;
mod frames;
mod openapi;
mod operation;
mod page;
mod schemas;

#[cfg(test)]
mod tests;

pub(crate) use operation::{Answer, Draft, Limit, Operation, operation};
pub(crate) use page::PAGE;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A document as it is served.
#[derive(Debug)]
pub struct Document {
    /// Its text.
    pub bytes: Bytes,
    /// A strong entity tag (RFC 9110 §8.8.3): it changes with the text.
    pub etag: String,
}

impl Document {
    pub(crate) fn new(text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest.iter().take(12).map(|byte| format!("{byte:02x}"));
        let etag = format!("\"{}\"", digest.collect::<String>());
        Self { bytes: Bytes::from(text), etag }
    }

    fn of(value: &Value) -> Self {
        Self::new(value.to_string())
    }
}

static OPENAPI: LazyLock<Document> = LazyLock::new(|| Document::of(&openapi::document()));
static ASYNCAPI: LazyLock<Document> = LazyLock::new(|| Document::of(&asyncapi::document()));

/// The OpenAPI document: `GET /v1/openapi.json`.
pub fn openapi() -> &'static Document {
    &OPENAPI
}

/// The AsyncAPI document: `GET /v1/asyncapi.json`.
pub fn asyncapi() -> &'static Document {
    &ASYNCAPI
}

/// Puts a member into an object.
fn put(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.into(), value);
    }
}
