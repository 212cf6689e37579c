//! Bytes and keys: signatures, sealed envelopes, and the end-to-end encryption of clients.
//!
//! Pure: no I/O, no clock; random numbers come in as a parameter. Builds for wasm32.

pub mod e2ee;
pub mod sign;

pub mod seal;
