//! Connections to peers, and what is asked over them.

mod client;
mod dial;
mod pool;
mod request;

pub use client::{PeerClient, PeerParts};
pub use dial::{DialError, Dialed, dial};
pub(crate) use request::{Exchange, Failure, Sending, exchange, open};
