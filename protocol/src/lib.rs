//! The vocabulary of Posthouse on the wire: ids, frames, problem types, limits.
//!
//! Pure data, parse and encode: no I/O, no clock, no rng of its own. Whatever comes from outside
//! is parsed here once, into types that can only hold what the specification allows
//! (`docs/spec/`), so that nothing behind the edges has to check again.

pub mod id;

pub mod time;

pub mod cursor;

pub mod content;

pub mod frame;

pub mod status;

pub mod problem;

pub mod limits;

pub mod json;

pub mod rest;

pub mod federation;

#[cfg(feature = "schema")]
pub mod schema;
