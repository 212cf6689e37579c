//! One WebSocket to the homeserver: `GET /v1/connect` (docs/spec/client-socket.md).

use core::fmt;
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, Waker},
};

use posthouse_protocol::{frame::ClientFrame, rest::Secret};
use tokio::sync::oneshot;

use super::{
    connector::Connector,
    socket::{Order, Socket, Told},
    timeout,
};
use crate::{Api, Closed, Error, Event, closed::CONNECT_TIMEOUT, encode};

/// A connection of one device. The browser writes what was queued and gathers what comes by itself.
pub struct Connection {
    socket: Socket,
    connector: Connector,
    closed: Option<Closed>,
}

impl Connection {
    /// Connects the device that `access` belongs to. The backlog comes first, then
    /// [`Event::CaughtUp`], then live traffic. A browser sets no header fields on a WebSocket, so
    /// the token is traded for a ticket first, which is good for this connection alone.
    ///
    /// # Errors
    /// [`Error::Unreachable`], also if the server refuses the handshake, which a browser does not
    /// tell; [`Error::TimedOut`]; [`Error::Refused`] if it refuses the ticket.
    pub async fn open(connector: &Connector, access: &Secret) -> Result<Self, Error> {
        let opened = Box::pin(shake_hands(connector, access));
        match timeout(CONNECT_TIMEOUT, opened).await {
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
    pub async fn next_text(&mut self) -> Result<String, Error> {
        poll_fn(|cx| self.poll_text(cx)).await
    }

    /// A frame that has arrived already, or `None`: lets a caller handle what came together before
    /// it writes its answers.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn ready_text(&mut self) -> Result<Option<String>, Error> {
        match self.poll_text(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Queues a frame, which the browser writes by itself.
    ///
    /// # Errors
    /// [`Error::Closed`], also if more than [`MAX_QUEUED`](crate::MAX_QUEUED) bytes would wait.
    pub fn queue(&mut self, frame: &ClientFrame) -> Result<(), Error> {
        self.queue_text(encode(frame))
    }

    /// Queues a frame that is JSON text already.
    ///
    /// # Errors
    /// As [`Connection::queue`].
    pub fn queue_text(&mut self, text: String) -> Result<(), Error> {
        if self.closed.is_none() && self.socket.send(text) {
            return Ok(());
        }
        Err(self.ended("the server does not read"))
    }

    /// Waits until what is queued was handed to the browser.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        let (done, flushed) = oneshot::channel();
        if self.socket.order(Order::Flush(done)) && flushed.await.is_ok() {
            return Ok(());
        }
        Err(self.ended("the connection broke"))
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
        if self.socket.order(Order::Close) {
            // The connection is given up either way, so how it ends does not matter.
            let _ =
                timeout(CONNECT_TIMEOUT, async { while self.next_text().await.is_ok() {} }).await;
        }
    }

    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, Error>> {
        while self.closed.is_none() {
            match self.socket.told.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Told::Text(text))) => {
                    self.socket.read(&text);
                    return Poll::Ready(Ok(text));
                }
                Poll::Ready(Some(Told::Closed(closed))) => self.closed = Some(closed),
                Poll::Ready(Some(Told::Open)) => {}
                Poll::Ready(None) => {
                    self.closed = Some(Closed::broken("the connection broke".into()));
                }
            }
        }
        Poll::Ready(Err(self.ended("the connection broke")))
    }

    /// The end, which is noted if none was before.
    fn ended(&mut self, reason: &str) -> Error {
        let closed = self.closed.get_or_insert_with(|| Closed::broken(reason.into()));
        Error::Closed(closed.clone())
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
    let ticket = Api::new(connector.clone()).ticket(access).await?.ticket;
    let authority = connector.endpoint().authority();
    let scheme = if connector.endpoint().is_tls() { "wss" } else { "ws" };
    let url = format!("{scheme}://{authority}/v1/connect?ticket={}", ticket.0);
    let mut socket = Socket::connect(url);
    match socket.told.recv().await {
        Some(Told::Open) => Ok(Connection { socket, connector: connector.clone(), closed: None }),
        _ => Err(connector.unreachable(io::Error::other("the WebSocket was not opened"))),
    }
}
