//! Presence and typing: in memory, scoped to people who have exchanged messages, coalesced.

mod abroad;
mod acquaintance;
mod elsewhere;
mod remote;
mod service;
mod watchers;

pub use acquaintance::Acquaintance;
pub use elsewhere::Whisperer;
pub use service::PresenceService;
pub use watchers::Watchers;
