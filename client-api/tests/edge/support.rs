//! A server, its homeserver in memory, and clients for it.

mod client;
mod home;
mod server;

pub(crate) use client::{Answer, Bytestream, Socket, eventually};
pub(crate) use home::{Home, User};
pub(crate) use server::{TestServer, config, tls_pair};
