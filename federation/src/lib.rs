//! The edge between two Posthouse homeservers: discovery, mutual TLS, inbound, outbox.

pub mod engine;

pub mod ports;

pub mod tls;

pub mod policy;

pub mod discovery;

pub mod inbound;

pub mod keys;

pub mod outbox;

pub mod peer;

pub mod server;

pub mod store;

pub mod doctor;

pub mod zone;

#[cfg(test)]
mod simulator;

#[cfg(test)]
mod testing;
