//! What a browser gives: fetch, WebSocket, timers and IndexedDB.
//!
//! What JavaScript holds belongs to one thread, while a device's futures may be sent to others. So
//! each of these runs as a task beside the device and is spoken to through channels: see
//! [`local`].

mod connection;
mod connector;
mod http;
mod script;
mod socket;
mod time;

pub use connection::Connection;
pub use connector::Connector;
pub(crate) use http::Http;
pub(crate) use script::{Listening, failure, listen, local};
pub(crate) use time::{Instant, now, sleep, sleep_until, timeout, timeout_at};
pub(crate) use wasm_bindgen_futures::spawn_local as spawn;
