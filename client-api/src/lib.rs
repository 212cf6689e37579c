//! The edge between a user's device and the homeserver: REST (axum) for what is not real time, one
//! WebSocket for what is.
//!
//! This crate knows frames, requests and sockets. What they mean is decided behind the [`ports`]
//! that it declares.

pub mod ports;

pub mod mailbox;
