//! The homeserver.
