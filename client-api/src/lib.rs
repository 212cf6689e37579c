//! The edge between a user's device and the homeserver: REST (axum) for what is not real time, one
//! WebSocket for what is.
//!
//! This crate knows frames, requests and sockets. What they mean is decided behind the [`ports`]
//! that it declares. `docs/spec/rest.md`, `docs/spec/client-socket.md` and `docs/spec/errors.md`
//! say what a client may rely on.
//!
//! A process makes one [`Edge`] and calls [`serve`] for each listener.

mod edge;

pub mod config;

pub mod documents;

pub mod ports;

pub mod server;

pub mod mailbox;

pub mod counters;

pub mod rate;

pub mod tickets;

pub mod rest;

mod ws;

mod address;

pub use config::Config;
pub use edge::Edge;
pub use ports::Ports;
pub use server::{Listener, Tls, serve};
