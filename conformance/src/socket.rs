//! A WebSocket of a device, as a stranger's client would open it.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, Response, header},
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::{
    http::{Endpoint, PATIENCE},
    verdict::{Failure, Verdict, differs, short, unreachable},
};

/// How long a frame that must come may take.
pub const FRAME_PATIENCE: Duration = Duration::from_secs(10);

/// How to open a socket.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening<'a> {
    /// For `Authorization: Bearer`.
    pub token: Option<&'a str>,
    /// For `?ticket=`.
    pub ticket: Option<&'a str>,
    /// For `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<&'a str>,
}

/// What came of opening a socket.
#[derive(Debug)]
pub enum Opened {
    /// A socket, and the subprotocol that the server chose.
    Socket(Box<Socket>, Option<String>),
    /// The server answered with this status and body.
    Refused(u16, Value),
}

/// An open socket. Frames that no check has asked for yet are kept in order.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    kept: VecDeque<Value>,
}

impl Opening<'_> {
    /// Opens `GET /v1/connect`.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if the server neither opens nor answers.
    pub async fn open(self, endpoint: &Endpoint) -> Verdict<Opened> {
        let query = self.ticket.map(|ticket| format!("?ticket={ticket}")).unwrap_or_default();
        let url = format!("ws://{}/v1/connect{query}", endpoint.authority);
        let mut request = url.into_client_request().map_err(unreachable)?;
        if let Some(token) = self.token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).map_err(unreachable)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        if let Some(subprotocol) = self.subprotocol {
            let value = HeaderValue::try_from(subprotocol).map_err(unreachable)?;
            request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        let tcp = endpoint.connect().await?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let opening = timeout_at(Instant::now() + PATIENCE, client_async(request, tcp));
        match opening.await.map_err(unreachable)? {
            Ok((stream, answer)) => {
                let chosen = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                let chosen = chosen.and_then(|value| value.to_str().ok()).map(str::to_owned);
                let socket = Socket { stream, kept: VecDeque::new() };
                Ok(Opened::Socket(Box::new(socket), chosen))
            }
            Err(Error::Http(answer)) => Ok(refusal(&answer)),
            Err(err) => Err(unreachable(err)),
        }
    }

    /// Opens `GET /v1/connect`, which must succeed.
    ///
    /// # Errors
    /// [`Failure::Differs`] if the server refuses.
    pub async fn socket(self, endpoint: &Endpoint) -> Verdict<Socket> {
        match self.open(endpoint).await? {
            Opened::Socket(socket, _) => Ok(*socket),
            Opened::Refused(status, body) => {
                differs(format!("GET /v1/connect is answered {status} {}", short(&body)))
            }
        }
    }
}

impl Socket {
    /// Sends a frame.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if the connection is gone.
    pub async fn send(&mut self, frame: &Value) -> Verdict {
        self.send_text(frame.to_string()).await
    }

    /// Sends any text as a frame.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if the connection is gone.
    pub async fn send_text(&mut self, text: String) -> Verdict {
        self.stream.send(Message::text(text)).await.map_err(unreachable)
    }

    /// Sends bytes as a text frame, whether or not they are UTF-8.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if the connection is gone.
    pub async fn send_raw_text(&mut self, bytes: &'static [u8]) -> Verdict {
        let frame = Frame::message(Bytes::from_static(bytes), OpCode::Data(Data::Text), true);
        self.stream.send(Message::Frame(frame)).await.map_err(unreachable)
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if the connection is gone.
    pub async fn send_binary(&mut self, bytes: &'static [u8]) -> Verdict {
        self.stream.send(Message::binary(Bytes::from_static(bytes))).await.map_err(unreachable)
    }

    /// Waits for the first frame that `wanted` accepts; others are kept.
    ///
    /// # Errors
    /// [`Failure::Differs`] if none comes within [`FRAME_PATIENCE`] or the server closes.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Verdict<Value> {
        if let Some(found) = self.kept.iter().position(&wanted) {
            return Ok(self.kept.remove(found).unwrap_or_default());
        }
        let deadline = Instant::now() + FRAME_PATIENCE;
        loop {
            match self.next(deadline).await? {
                Next::Frame(frame) if wanted(&frame) => return Ok(frame),
                Next::Frame(frame) => self.kept.push_back(frame),
                Next::Closed(code) => {
                    return differs(format!("the server closed ({code:?}) instead of {what}"));
                }
                Next::Nothing => {
                    let kept: Vec<_> = self.kept.iter().map(short).collect();
                    return differs(format!("{what} did not come; there came {kept:?}"));
                }
            }
        }
    }

    /// Waits for the next frame of this `type`.
    ///
    /// # Errors
    /// As [`Socket::expect`].
    pub async fn expect_type(&mut self, kind: &str) -> Verdict<Value> {
        self.expect(&format!("a `{kind}` frame"), |frame| is_type(frame, kind)).await
    }

    /// Everything up to and including the next frame that `last` accepts, in order.
    ///
    /// # Errors
    /// As [`Socket::expect`].
    pub async fn through(
        &mut self,
        what: &str,
        last: impl Fn(&Value) -> bool,
    ) -> Verdict<Vec<Value>> {
        let place = if let Some(place) = self.kept.iter().position(&last) {
            place
        } else {
            let end = self.expect(what, last).await?;
            self.kept.push_back(end);
            self.kept.len() - 1
        };
        Ok(self.kept.drain(..=place).collect())
    }

    /// Waits for the server to close, for at most `patience`; the close code.
    ///
    /// # Errors
    /// [`Failure::Differs`] if it does not.
    pub async fn closed(&mut self, patience: Duration) -> Verdict<Option<u16>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline).await? {
                Next::Closed(code) => return Ok(code),
                Next::Frame(frame) => self.kept.push_back(frame),
                Next::Nothing => return differs("the server did not close the connection"),
            }
        }
    }

    /// Leaves without a word, as a device that lost its network would.
    pub fn drop_silently(self) {
        drop(self);
    }

    async fn next(&mut self, deadline: Instant) -> Verdict<Next> {
        loop {
            let message = match timeout_at(deadline, self.stream.next()).await {
                Err(_) => return Ok(Next::Nothing),
                Ok(None) => return Ok(Next::Closed(None)),
                Ok(Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))) => {
                    return Ok(Next::Closed(None));
                }
                Ok(Some(Err(err))) => return Err(unreachable(err)),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text);
                    let frame: Value = frame.map_err(|err| {
                        Failure::Differs(format!("a frame of the server is no JSON: {err}"))
                    })?;
                    return Ok(Next::Frame(frame));
                }
                Message::Close(close) => {
                    return Ok(Next::Closed(close.map(|close| close.code.into())));
                }
                Message::Binary(_) => return differs("a binary frame without being asked for"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

enum Next {
    Frame(Value),
    Closed(Option<u16>),
    Nothing,
}

/// Whether a frame has this `type`.
pub fn is_type(frame: &Value, kind: &str) -> bool {
    frame.get("type").and_then(Value::as_str) == Some(kind)
}

/// Whether a field of a frame has this text.
pub fn has(frame: &Value, name: &str, text: &str) -> bool {
    frame.get(name).and_then(Value::as_str) == Some(text)
}

fn refusal(answer: &Response<Option<Vec<u8>>>) -> Opened {
    let body = answer.body().as_deref().unwrap_or_default();
    Opened::Refused(answer.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null))
}
