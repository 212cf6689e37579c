//! Keys of servers: what this one has and publishes.

pub mod file;

mod own;

pub use own::{OwnKeys, OwnKeysError, Secrets, first_entry};
