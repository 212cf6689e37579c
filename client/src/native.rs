//! What a process of an operating system gives: sockets, timers and threads, by Tokio.

mod connection;
mod connector;
mod http;
mod stream;

pub use connection::Connection;
pub use connector::Connector;
pub(crate) use http::Http;
pub(crate) use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use posthouse_protocol::time::Timestamp;

/// Runs a task by itself.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

/// The system's time.
#[expect(clippy::disallowed_methods, reason = "the one clock of a device")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}
