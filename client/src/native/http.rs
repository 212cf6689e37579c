//! REST calls through hyper, over connections that are kept for a while.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{
    Request, StatusCode,
    header::{self, HeaderValue},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::connector::{Connector, Dialer};
use crate::api::{HttpCall, MAX_ANSWER};

/// Idle connections that are kept for later calls.
const MAX_IDLE: usize = 4;
/// How long they are kept.
const IDLE: Duration = Duration::from_secs(30);

/// Makes calls. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Http(Client<Dialer, Full<Bytes>>);

impl Http {
    pub(crate) fn new(connector: &Connector) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(Dialer(connector.clone()));
        Self(client)
    }

    /// The answer's status and its body; [`io::ErrorKind::InvalidInput`] for a call that cannot
    /// be put into words.
    pub(crate) async fn answer(&self, call: HttpCall<'_>) -> io::Result<(StatusCode, Bytes)> {
        let HttpCall { method, url, access, body } = call;
        let mut request = Request::builder().method(method).uri(url);
        if let Some(access) = access {
            let value = HeaderValue::try_from(format!("Bearer {}", access.0));
            let mut value = value.map_err(invalid)?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()));
        let request = request.body(body).map_err(invalid)?;
        let answer = self.0.request(request).await.map_err(|err| caused(&err))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(io::Error::other)?.to_bytes()))
    }
}

/// The failure with what is behind it, which alone tells a person anything: that nothing listens, or what
/// is wrong with a certificate.
fn caused(err: &hyper_util::client::legacy::Error) -> io::Error {
    let mut root: &dyn std::error::Error = err;
    while let Some(source) = root.source() {
        root = source;
    }
    io::Error::other(root.to_string())
}

fn invalid(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, err)
}
