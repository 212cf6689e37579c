//! Connections to peers.

mod dial;

pub use dial::{DialError, Dialed, dial};
