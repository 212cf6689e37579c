//! One WebSocket to the homeserver: `GET /v1/connect` (docs/spec/client-socket.md).

use core::fmt;
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::{Sink, Stream as _};
use hyper::{Request, header};
use posthouse_protocol::{frame::ClientFrame, rest::Secret};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as WsError, Message as WsMessage, Utf8Bytes, handshake::client::generate_key,
        protocol::WebSocketConfig,
    },
};

use super::{connector::Connector, stream::Stream};
use crate::{
    Closed, Error, Event, MAX_QUEUED,
    closed::{CONNECT_TIMEOUT, MAX_INCOMING},
    encode,
    problem::refusal,
};

/// Bytes read at a time. Small, since a process may hold thousands of connections.
const READ_BUFFER: usize = 4 * 1024;
/// Bytes that are gathered before a write, if nobody flushes earlier.
const WRITE_BUFFER: usize = 16 * 1024;

/// A connection of one device. What was queued is written while the connection is read, so that one
/// task can own it, and neither side waits for the other.
pub struct Connection {
    socket: WebSocketStream<Stream>,
    connector: Connector,
    closed: Option<Closed>,
}

impl Connection {
    /// Connects the device that `access` belongs to. The backlog comes first, then
    /// [`Event::CaughtUp`], then live traffic.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::TimedOut`], [`Error::Refused`].
    pub async fn open(connector: &Connector, access: &Secret) -> Result<Self, Error> {
        let request = async { shake_hands(connector, access).await };
        match tokio::time::timeout(CONNECT_TIMEOUT, request).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut(CONNECT_TIMEOUT)),
        }
    }

    /// The next event. Cancel-safe: nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`] at the end, from then on every time; [`Error::Unexpected`] for a frame
    /// that cannot be read, after which the connection can go on.
    pub async fn next(&mut self) -> Result<Event, Error> {
        Event::parse(&self.next_text().await?)
    }

    /// The next frame's text, for callers that read only a part of it. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn next_text(&mut self) -> Result<Utf8Bytes, Error> {
        poll_fn(|cx| {
            // What cannot be written now must not keep anything from being read.
            if let Poll::Ready(Err(err)) = Pin::new(&mut self.socket).poll_flush(cx) {
                self.end(&err);
            }
            self.poll_text(cx)
        })
        .await
    }

    /// A frame that has arrived already, or `None`: lets a caller handle what came together before
    /// it writes its answers. It writes nothing itself.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn ready_text(&mut self) -> Result<Option<Utf8Bytes>, Error> {
        match self.poll_text(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Queues a frame. It is written by the next [`Connection::flush`] or while the connection is
    /// read, at the latest when some kilobytes wait.
    ///
    /// # Errors
    /// [`Error::Closed`], also if more than [`MAX_QUEUED`] bytes would wait.
    pub fn queue(&mut self, frame: &ClientFrame) -> Result<(), Error> {
        self.queue_text(encode(frame))
    }

    /// Queues a frame that is JSON text already.
    ///
    /// # Errors
    /// As [`Connection::queue`].
    pub fn queue_text(&mut self, text: String) -> Result<(), Error> {
        if let Some(closed) = &self.closed {
            return Err(Error::Closed(closed.clone()));
        }
        let message = WsMessage::Text(text.into());
        Pin::new(&mut self.socket).start_send(message).map_err(|err| {
            self.end(&err);
            self.ended()
        })
    }

    /// Writes what is queued. A caller that reads all the time needs it only for promptness.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        let flushed = poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx)).await;
        flushed.map_err(|err| {
            self.end(&err);
            self.ended()
        })
    }

    /// Sends a frame at once.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), Error> {
        self.queue(frame)?;
        self.flush().await
    }

    /// Says goodbye and waits, at most ten seconds, until the server has closed the connection.
    pub async fn close(mut self) {
        // The connection is given up either way, so how it fails does not matter.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, async {
            if self.socket.close(None).await.is_ok() {
                while self.next_text().await.is_ok() {}
            }
        })
        .await;
    }

    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Result<Utf8Bytes, Error>> {
        while self.closed.is_none() {
            match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(WsMessage::Text(text)))) => return Poll::Ready(Ok(text)),
                Poll::Ready(Some(Ok(WsMessage::Close(frame)))) => {
                    self.closed = Some(frame.map_or_else(
                        || Closed { code: 1005, reason: "closed without a reason".into() },
                        |frame| Closed {
                            code: frame.code.into(),
                            reason: frame.reason.as_str().into(),
                        },
                    ));
                    // The answering close frame; if it cannot be written now, the socket's end
                    // tells the server as much.
                    let _ = Pin::new(&mut self.socket).poll_flush(cx);
                }
                // Pings are answered by the library; binary frames were not negotiated.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(err))) => self.end(&err),
                Poll::Ready(None) => {
                    self.closed = Some(Closed::broken("the server went away".into()));
                }
            }
        }
        Poll::Ready(Err(self.ended()))
    }

    /// Notes the end, if none was noted before.
    fn end(&mut self, err: &WsError) {
        self.closed.get_or_insert_with(|| Closed::broken(err.to_string()));
    }

    fn ended(&self) -> Error {
        let unknown = || Closed::broken("the connection broke".into());
        Error::Closed(self.closed.clone().unwrap_or_else(unknown))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", self.connector.endpoint())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

async fn shake_hands(connector: &Connector, access: &Secret) -> Result<Connection, Error> {
    let authority = connector.endpoint().authority();
    let scheme = if connector.endpoint().is_tls() { "wss" } else { "ws" };
    let request = Request::get(format!("{scheme}://{authority}/v1/connect"))
        .header(header::HOST, authority)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, "posthouse.v1")
        .header(header::AUTHORIZATION, format!("Bearer {}", access.0))
        .body(())
        .map_err(|err| Error::Unexpected(err.to_string()))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_QUEUED)
        .max_message_size(Some(MAX_INCOMING))
        .max_frame_size(Some(MAX_INCOMING));
    let stream = connector.dial().await?;
    let shaken: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(client_async_with_config(request, stream, Some(config)));
    match shaken.await {
        Ok((socket, _)) => Ok(Connection { socket, connector: connector.clone(), closed: None }),
        // The problem document usually came along with the head of the answer.
        Err(WsError::Http(response)) => {
            Err(refusal(response.status(), response.body().as_deref().unwrap_or_default()))
        }
        Err(WsError::Io(err)) => Err(connector.unreachable(err)),
        Err(err) => Err(connector.unreachable(io::Error::other(err))),
    }
}
