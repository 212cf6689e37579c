//! Rust SDK of Posthouse.
