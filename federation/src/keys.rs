//! Keys of servers: what this one has and publishes.

pub mod file;

mod directory;
mod own;

pub use directory::{DirectoryCounters, KeysAlarm, PeerKeyDirectory};
pub use own::{OwnKeys, OwnKeysError, Secrets, first_entry};
