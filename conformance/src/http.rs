//! Requests with JSON, one connection each: nothing is shared between two checks.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::verdict::{Failure, Verdict, differs, short, text, unreachable};

/// How long a server may take for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Largest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address, and port.
    pub authority: String,
}

impl Endpoint {
    /// Parses `http://host:port`.
    ///
    /// # Errors
    /// A sentence for the person who gave the address.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err("https is not spoken yet: name the plain listener (http://…)".into());
        }
        let rest = url.strip_prefix("http://").ok_or("the address starts with http://")?;
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#']) {
            return Err("the address has the form http://host:port".into());
        }
        let authority =
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`Failure::Unreachable`].
    pub async fn connect(&self) -> Verdict<TcpStream> {
        let opening = timeout(PATIENCE, TcpStream::connect(&self.authority));
        opening.await.map_err(unreachable)?.map_err(unreachable)
    }
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    media_type: &'a str,
    body: Option<Bytes>,
}

impl<'a> Call<'a> {
    /// `GET path`.
    pub fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST path` without a body.
    pub fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    /// `DELETE path`.
    pub fn delete(path: &'a str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Any method.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, token: None, media_type: "application/json", body: None }
    }

    /// With an access token.
    #[must_use]
    pub fn token(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self
    }

    /// With a body that may be no JSON at all.
    #[must_use]
    pub fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With another media type.
    #[must_use]
    pub fn media_type(mut self, media_type: &'a str) -> Self {
        self.media_type = media_type;
        self
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if there is no answer.
    pub async fn send(self, endpoint: &Endpoint) -> Verdict<Answer> {
        let what = format!("{} {}", self.method, self.path);
        let within = timeout(PATIENCE, self.exchange(endpoint));
        within.await.map_err(|_| Failure::Unreachable(format!("{what} took too long")))?
    }

    async fn exchange(self, endpoint: &Endpoint) -> Verdict<Answer> {
        let what = format!("{} {}", self.method, self.path);
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(header::HOST, &endpoint.authority)
            .header(header::CONNECTION, "close");
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, self.media_type);
        }
        let request =
            request.body(Full::new(self.body.unwrap_or_default())).map_err(unreachable)?;
        let io = TokioIo::new(endpoint.connect().await?);
        let (mut sender, connection) = http1::handshake(io).await.map_err(unreachable)?;
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(unreachable)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        driver.abort();
        let body = body.map_err(|err| Failure::Unreachable(err.to_string()))?.to_bytes();
        let header = |name| {
            let value = head.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Answer {
            what,
            status: head.status,
            media_type: header(header::CONTENT_TYPE),
            retry_after: header(header::RETRY_AFTER).parse().ok(),
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }
}

/// An answer, with its request's name for messages.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Method and path of the request.
    pub what: String,
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`.
    pub media_type: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body, if it is JSON.
    pub json: Value,
}

impl Answer {
    /// The body of an answer that must be a success.
    ///
    /// # Errors
    /// [`Failure::Differs`].
    pub fn success(self) -> Verdict<Value> {
        if self.status.is_success() {
            Ok(self.json)
        } else {
            differs(format!("{} is answered {}: {}", self.what, self.status, short(&self.json)))
        }
    }

    /// The answer must be a problem document with this status and code.
    ///
    /// # Errors
    /// [`Failure::Differs`].
    pub fn problem(&self, status: u16, code: &str) -> Verdict {
        let Self { what, json, .. } = self;
        if self.status.as_u16() != status || json.get("code").and_then(Value::as_str) != Some(code)
        {
            let (got, body) = (self.status.as_u16(), short(json));
            return differs(format!("{what} is answered {got} {body}, not {status} `{code}`"));
        }
        if self.media_type != "application/problem+json" {
            return differs(format!("{what}: the media type is {:?}", self.media_type));
        }
        let kind = text(json, "type")?;
        if kind != format!("urn:posthouse:problem:{code}") {
            return differs(format!("{what}: `type` is {kind:?}"));
        }
        text(json, "title")?;
        text(json, "detail")?;
        if json.get("status").and_then(Value::as_u64) != Some(u64::from(status)) {
            return differs(format!("{what}: `status` in the body is not {status}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let authority = |url: &str| Endpoint::parse(url).map(|endpoint| endpoint.authority);
        assert_eq!(authority("http://127.0.0.1:8080/"), Ok("127.0.0.1:8080".into()));
        assert_eq!(authority("http://eu.example"), Ok("eu.example:80".into()));
        for bad in ["127.0.0.1:8080", "https://eu.example", "http://", "http://a/v1"] {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }
}
