//! Presence and typing: in memory, scoped to people who have exchanged messages, coalesced.

mod acquaintance;
mod service;
mod watchers;

pub use acquaintance::Acquaintance;
pub use service::PresenceService;
pub use watchers::Watchers;
