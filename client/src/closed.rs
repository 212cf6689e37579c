//! How a connection ended, and what holds for every connection.

use std::time::Duration;

use posthouse_protocol::limits;

/// Most bytes that wait to be written. Beyond it [`Connection::queue`](crate::Connection::queue)
/// fails: the server does not read, or more submissions are in flight than it takes.
pub const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// The largest frame that a server of this version sends: a body that its sender's frame could
/// hold, and the fields that the server adds.
pub(crate) const MAX_INCOMING: usize = limits::MAX_FRAME + 4 * 1024;
/// How long a connection may take to be made, TLS included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (code {code})")]
pub struct Closed {
    /// The close code (RFC 6455 §7.4; docs/spec/client-socket.md): 1006 if the connection broke
    /// without one.
    pub code: u16,
    /// The server's reason, for people.
    pub reason: String,
}

impl Closed {
    /// Another connection of the same device took over.
    pub const REPLACED: u16 = 4001;
    /// This client did not read or acknowledge fast enough.
    pub const TOO_SLOW: u16 = 4002;
    /// The session was ended.
    pub const REVOKED: u16 = 4003;

    /// Whether to connect again by itself. Not after it was replaced or revoked: the device is
    /// connected elsewhere, or must log in.
    pub fn may_reconnect(&self) -> bool {
        !matches!(self.code, Self::REPLACED | Self::REVOKED)
    }

    /// It broke without a word.
    pub(crate) fn broken(reason: String) -> Self {
        Self { code: 1006, reason }
    }
}
