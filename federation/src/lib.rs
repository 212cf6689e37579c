//! The edge between two Posthouse homeservers: discovery, mutual TLS, inbound, outbox.

pub mod engine;

pub mod ports;

#[cfg(test)]
mod simulator;
