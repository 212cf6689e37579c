//! The socket of a device (docs/spec/client-socket.md): frames in, frames out, heartbeats, closing.

mod connection;
mod decoder;
mod dispatch;
mod end;
mod reader;
mod writer;

use std::sync::Arc;

use posthouse_protocol::limits;

use crate::{
    Edge,
    mailbox::Mailbox,
    ports::{Caller, Feed},
    server::Stream,
};
use connection::Connection;
use decoder::Decoder;

/// The subprotocol: JSON text frames.
pub(crate) const SUBPROTOCOL: &str = "posthouse.v1";

/// A socket that is about to open: who it belongs to and what it gets.
pub(crate) struct Opened {
    pub(crate) caller: Caller,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) feed: Box<dyn Feed>,
}

/// Runs a socket to its end. `early` are bytes that arrived right after the handshake.
pub(crate) async fn run(stream: Stream, early: Vec<u8>, opened: Opened, edge: &Edge) {
    let counters = edge.counters();
    counters.sockets.add(1);
    let _open = counters.open_sockets.hold();
    let Opened { caller, mailbox, feed } = opened;
    let mut connection =
        Connection::new(stream, Decoder::new(limits::MAX_FRAME, early), &caller, &mailbox, edge);
    let end = connection.run(feed, edge.draining()).await;
    tracing::debug!(device = %caller.device, ?end, "a socket ends");
    end.count(counters);
    connection.close(end).await;
}
