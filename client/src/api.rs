//! The REST calls of the client API (docs/spec/rest.md).

mod groups;
mod keys;
mod people;
mod security;

use core::fmt;
use std::{io::ErrorKind, time::Duration};

use bytes::Bytes;
use http::Method;
use posthouse_protocol::{
    cursor::{Cursor, Since},
    frame::{Ack, Submission},
    id::{Address, SessionId},
    rest::{
        Capabilities, LogIn, Me, Refresh, Register, Secret, Sent, SessionTokens, Sessions,
        SyncPage, Ticket, User,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Connector, Error,
    encode::{address, encode_ack, encode_submission},
    platform::{Http, timeout},
    problem::refusal,
};

/// How long a call may take, from connecting to the last byte of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer: a full sync page of the largest bodies.
pub(crate) const MAX_ANSWER: usize = 96 * 1024 * 1024;

/// The REST side of one homeserver. It holds no session: calls that need one take the access token.
/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Api {
    connector: Connector,
    http: Http,
}

impl Api {
    /// An API at the connector's endpoint. It connects when it is first called, inside a Tokio
    /// runtime or a browser.
    pub fn new(connector: Connector) -> Self {
        let http = Http::new(&connector);
        Self { connector, http }
    }

    /// `GET /v1/capabilities`: what the region is and allows.
    pub async fn capabilities(&self) -> Result<Capabilities, Error> {
        self.get("/v1/capabilities", None).await
    }

    /// `POST /v1/accounts`: registers an account with a first device and logs that in.
    pub async fn register(&self, request: &Register) -> Result<SessionTokens, Error> {
        self.post("/v1/accounts", None, json(request)).await
    }

    /// `POST /v1/sessions`: logs in.
    pub async fn log_in(&self, request: &LogIn) -> Result<SessionTokens, Error> {
        self.post("/v1/sessions", None, json(request)).await
    }

    /// `POST /v1/sessions/refresh`: trades a refresh token, which is used up by it, for new tokens.
    pub async fn refresh(&self, request: &Refresh) -> Result<SessionTokens, Error> {
        self.post("/v1/sessions/refresh", None, json(request)).await
    }

    /// `GET /v1/sessions`: the sessions of the account.
    pub async fn sessions(&self, access: &Secret) -> Result<Sessions, Error> {
        self.get("/v1/sessions", Some(access)).await
    }

    /// `DELETE /v1/sessions/{id}`: ends a session of the account and removes its device.
    pub async fn end_session(&self, access: &Secret, session: SessionId) -> Result<(), Error> {
        let path = format!("/v1/sessions/{session}");
        self.call(Method::DELETE, &path, Some(access), None).await.map(drop)
    }

    /// `DELETE /v1/sessions/current`: ends this session and removes its device.
    pub async fn log_out(&self, access: &Secret) -> Result<(), Error> {
        self.call(Method::DELETE, "/v1/sessions/current", Some(access), None).await.map(drop)
    }

    /// `GET /v1/account`: who the caller is.
    pub async fn me(&self, access: &Secret) -> Result<Me, Error> {
        self.get("/v1/account", Some(access)).await
    }

    /// `GET /v1/users/{user}`: what anyone of the region may know of a user.
    pub async fn user(&self, access: &Secret, user: &Address) -> Result<User, Error> {
        // The characters of ids and handles need no escape in a path (RFC 3986 §3.3).
        self.get(&format!("/v1/users/{}", address(user)), Some(access)).await
    }

    /// `POST /v1/connect/ticket`: a one-time ticket for a socket that cannot set headers.
    pub async fn ticket(&self, access: &Secret) -> Result<Ticket, Error> {
        self.post("/v1/connect/ticket", Some(access), "{}".into()).await
    }

    /// `POST /v1/messages`: submits a message and waits until it is durable.
    pub async fn send(&self, access: &Secret, message: &Submission) -> Result<Sent, Error> {
        self.post("/v1/messages", Some(access), encode_submission(message)).await
    }

    /// `GET /v1/messages/sync`: a page of the inbox, from `since` or from the device's position. It
    /// acknowledges nothing.
    pub async fn sync(
        &self,
        access: &Secret,
        since: Option<Since>,
        limit: usize,
    ) -> Result<SyncPage, Error> {
        let since = match since {
            Some(Since::Cursor(cursor)) => format!("&since={cursor}"),
            Some(Since::Time(time)) => format!("&since={}", time.0),
            None => String::new(),
        };
        self.get(&format!("/v1/messages/sync?limit={limit}{since}"), Some(access)).await
    }

    /// `POST /v1/messages/ack`: acknowledges without a socket.
    pub async fn ack(&self, access: &Secret, ack: &Ack) -> Result<(), Error> {
        let body = Some(encode_ack(ack));
        self.call(Method::POST, "/v1/messages/ack", Some(access), body).await.map(drop)
    }

    /// Everything that waits, page after page from `since`, handed to `page` in order; at most
    /// `limit` entries at a time. It ends with the cursor of the inbox's end.
    pub async fn drain(
        &self,
        access: &Secret,
        since: Cursor,
        limit: usize,
        mut page: impl FnMut(SyncPage),
    ) -> Result<Cursor, Error> {
        let mut since = since;
        loop {
            let got = self.sync(access, Some(Since::Cursor(since)), limit).await?;
            let (more, next) = (got.has_more, got.next_cursor);
            page(got);
            if !more {
                return Ok(next);
            }
            if next <= since {
                return Err(Error::Unexpected("a page that leads nowhere".into()));
            }
            since = next;
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        access: Option<&Secret>,
    ) -> Result<T, Error> {
        parse(&self.call(Method::GET, path, access, None).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        access: Option<&Secret>,
        body: String,
    ) -> Result<T, Error> {
        parse(&self.call(Method::POST, path, access, Some(body)).await?)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        access: Option<&Secret>,
        body: Option<String>,
    ) -> Result<Bytes, Error> {
        let call =
            HttpCall { method, url: format!("{}{path}", self.connector.endpoint()), access, body };
        match timeout(CALL_TIMEOUT, Box::pin(self.http.answer(call))).await {
            Ok(Ok((status, body))) if status.is_success() => Ok(body),
            Ok(Ok((status, body))) => Err(refusal(status, &body)),
            Ok(Err(err)) if err.kind() == ErrorKind::InvalidInput => {
                Err(Error::Unexpected(err.to_string()))
            }
            Ok(Err(broken)) => Err(self.connector.unreachable(broken)),
            Err(_) => Err(Error::TimedOut(CALL_TIMEOUT)),
        }
    }
}

/// A call, as it goes out: `access` in the header, `body` is JSON.
pub(crate) struct HttpCall<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) access: Option<&'a Secret>,
    pub(crate) body: Option<String>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(self.connector.endpoint()).finish()
    }
}

fn json(request: &impl Serialize) -> String {
    // Plain data with text keys: serialising to memory has no way to fail.
    serde_json::to_string(request).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|err| {
        Error::Unexpected(format!("an answer, at line {} column {}", err.line(), err.column()))
    })
}
