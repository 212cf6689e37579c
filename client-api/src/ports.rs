//! What this edge needs of the homeserver, by area. Every method that takes a [`Caller`] touches
//! that caller's own data only, or says whose else.

mod accounts;
mod messaging;
mod presence;

pub use accounts::{Accounts, Caller};
pub use messaging::{Answer, Feed, Messaging};
pub use presence::Presence;
