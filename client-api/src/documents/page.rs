//! `GET /docs`: one page with its style and its script inside, which reads the two documents from its
//! own server and nothing from anywhere else.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::Document;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page and what a browser may do on it.
pub(crate) struct Page {
    pub(crate) document: Document,
    /// Content Security Policy (level 3): this script and this style by their hashes, requests to the
    /// own server, and nothing else.
    pub(crate) policy: HeaderValue,
}

/// The page.
pub(crate) static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = HTML.replace("/* style */", STYLE).replace("/* script */", SCRIPT);
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let closed = HeaderValue::from_static("default-src 'none'");
    Page { document: Document::new(html), policy: HeaderValue::try_from(policy).unwrap_or(closed) }
});

fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}
