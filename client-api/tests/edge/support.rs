//! A server, its homeserver in memory, and clients for it.
//!
//! The paths are spelled out since two test binaries have this file.

#[path = "support/client.rs"]
pub(crate) mod client;
#[path = "support/groups.rs"]
mod groups;
#[path = "support/home.rs"]
pub(crate) mod home;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/people.rs"]
mod people;
#[path = "support/security.rs"]
mod security;
#[path = "support/server.rs"]
pub(crate) mod server;

pub(crate) use client::{Answer, Bytestream, Socket, eventually};
pub(crate) use home::User;
pub(crate) use server::{TestServer, config};
