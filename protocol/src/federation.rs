//! What homeservers say to each other (docs/spec/federation.md): envelopes and the events in them,
//! receipts, server documents and the key log, as deterministic CBOR.
//!
//! Everything is pure data. Parsing is strict: one value has one encoding, so that a signature or
//! a hash over bytes is a signature or a hash over meaning, and two implementations cannot
//! disagree about what was signed.

pub mod limits;

pub mod cbor;

pub mod stream;

pub mod header;

pub mod envelope;

pub mod record;

pub mod event;

pub mod payload;

pub mod message;

pub mod signed;

pub mod receipt;

pub mod refusal;

pub mod keys;

pub mod key_log;

pub mod document;

pub mod well_known;

pub mod version;

pub mod query;

#[cfg(test)]
mod vectors;
