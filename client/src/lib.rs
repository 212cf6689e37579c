//! Rust SDK of Posthouse: how a device speaks with its homeserver.
//!
//! Two transports share one [`Connector`]: [`Api`] for what is not real time and [`Connection`], one
//! WebSocket, for what is. Frames are the types of `posthouse-protocol`: a
//! [`ClientFrame`](posthouse_protocol::frame::ClientFrame) goes out, an [`Event`] comes in.
//! Nothing here reads a clock or draws random numbers by itself: `now` and the rng are arguments.

mod endpoint;

mod connector;

mod stream;

mod error;

mod api;

mod encode;

mod event;

mod connection;

mod message_id;

mod backoff;

mod store;

mod records;

mod update;

mod machine;

mod access;

mod engine;

mod failure;

mod client;

pub use api::Api;
pub use backoff::Backoff;
pub use client::{Client, ConversationSummary, Home, Linking, NewAccount, Numbered, Updates};
pub use connection::{Closed, Connection, MAX_QUEUED};
pub use connector::{Connector, Trust};
pub use encode::encode;
pub use endpoint::{Endpoint, EndpointError};
pub use error::Error;
pub use event::{Event, Message, Place, Refusal};
pub use failure::ClientError;
pub use message_id::message_id;
pub use store::{Batch, MemoryStore, Scan, SqliteStore, Store, StoreError, Table, Value};
pub use update::{Change, Entry, Misbehaviour, Said, Update};
