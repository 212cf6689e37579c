//! A person with one device, who uses the public API like anyone.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    http::Call,
    server::Server,
    socket::{Opening, Socket},
    verdict::{Failure, Verdict, number, text},
};

/// Longest wait that a server may ask for before a registration, in seconds.
const MAX_WAIT: u64 = 60;

/// A person's device that is logged in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The account's full id.
    pub account: String,
    /// The handle's name part, as the server tells it.
    pub handle: String,
    /// The handle that was asked for.
    pub wanted_handle: String,
    /// The password.
    pub password: String,
    /// The device's UUID.
    pub device_id: String,
    /// The device's number.
    pub device: u64,
    /// The session's UUID.
    pub session: String,
    /// The access token.
    pub token: String,
    /// The refresh token.
    pub refresh: String,
}

impl Person {
    /// Registers an account, waiting if the server asks to.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn register(server: &Server) -> Verdict<Self> {
        let handle = server.fresh_handle();
        let password = format!("correct horse {}", server.fresh_uuid());
        let mut body = json!({
            "handle": handle, "password": password,
            "device": {"name": "conformance", "registration_id": 4711},
        });
        if let (Some(invite), Some(fields)) = (&server.invite, body.as_object_mut()) {
            fields.insert("invite".into(), invite.as_str().into());
        }
        loop {
            let answer = Call::post("/v1/accounts").json(&body).send(&server.endpoint).await?;
            match answer.retry_after {
                Some(seconds) if answer.status.as_u16() == 429 && seconds <= MAX_WAIT => {
                    sleep(Duration::from_secs(seconds.max(1))).await;
                }
                _ => {
                    let person = Self::logged_in(&answer.success()?, &password)?;
                    return Ok(Self { wanted_handle: handle, ..person });
                }
            }
        }
    }

    /// Logs in on a new device of the same account.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn another_device(&self, server: &Server) -> Verdict<Self> {
        let body = json!({
            "user": self.handle, "password": self.password, "device": {"name": "another", "registration_id": 815},
        });
        let answer = Call::post("/v1/sessions").json(&body).send(&server.endpoint).await?;
        Self::logged_in(&answer.success()?, &self.password)
    }

    /// Reads the answer to registering, logging in or refreshing.
    ///
    /// # Errors
    /// [`Failure::Differs`] if a field is missing.
    pub fn logged_in(tokens: &Value, password: &str) -> Verdict<Self> {
        let field = |name| text(tokens, name).map(str::to_owned);
        Ok(Self {
            account: field("account_id")?,
            handle: field("handle")?,
            wanted_handle: field("handle")?,
            password: password.to_owned(),
            device_id: field("device_id")?,
            device: number(tokens, "device")?,
            session: field("session_id")?,
            token: field("access_token")?,
            refresh: field("refresh_token")?,
        })
    }

    /// Opens a socket; the backlog is still to come.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn open(&self, server: &Server) -> Verdict<Socket> {
        Opening { token: Some(&self.token), ..Opening::default() }.socket(&server.endpoint).await
    }

    /// Opens a socket, takes the backlog and acknowledges it: what comes now is live.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses or sends no `caught_up`.
    pub async fn come_online(&self, server: &Server) -> Verdict<Socket> {
        let mut socket = self.open(server).await?;
        let frames = socket
            .through("`caught_up`", |frame| crate::socket::is_type(frame, "caught_up"))
            .await?;
        if let Some(end) = frames.last() {
            let cursor = text(end, "cursor")?;
            socket.send(&json!({"type": "ack", "through": cursor, "status": "delivered"})).await?;
        }
        Ok(socket)
    }

    /// Hands a message in by REST.
    ///
    /// # Errors
    /// [`Failure`] if the server does not accept it.
    pub async fn post(&self, server: &Server, message: &Value) -> Verdict<Value> {
        let call = Call::post("/v1/messages").token(&self.token).json(message);
        call.send(&server.endpoint).await?.success()
    }

    /// A page of the inbox.
    ///
    /// # Errors
    /// [`Failure`] if the server refuses.
    pub async fn sync(&self, server: &Server, query: &str) -> Verdict<Value> {
        let path = format!("/v1/messages/sync{query}");
        Call::get(&path).token(&self.token).send(&server.endpoint).await?.success()
    }
}

/// A message frame with an opaque body, which every region takes.
pub fn message(id: &str, to: &str, body: &str) -> Value {
    json!({
        "type": "message", "id": id, "to": to,
        "content": {"type": "encrypted", "encrypted": true, "body": body},
    })
}

/// The same frame with another field.
#[must_use]
pub fn with(mut frame: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(fields) = frame.as_object_mut() {
        fields.insert(name.into(), value.into());
    }
    frame
}

/// Two of a check's people.
///
/// # Errors
/// [`Failure::Lacks`] if the group of checks has fewer.
pub fn two(people: &[Person]) -> Verdict<(&Person, &Person)> {
    match people {
        [one, other, ..] => Ok((one, other)),
        _ => Err(Failure::Lacks("two people".into())),
    }
}
