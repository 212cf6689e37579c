//! What this edge needs of the homeserver, by area. Every method that takes a [`Caller`] touches
//! that caller's own data only, or says whose else.

mod accounts;
mod groups;
mod health;
mod keys;
mod links;
mod messaging;
mod people;
mod presence;
mod security;

pub use accounts::{Accounts, Caller};
pub use groups::Groups;
pub use health::Health;
pub use keys::{Devices, Keys};
pub use links::Links;
pub use messaging::{Answer, Feed, Messaging};
pub use people::{ListRange, People};
pub use presence::Presence;
pub use security::Security;

use std::sync::Arc;

/// The homeserver, as this edge sees it.
#[derive(Clone)]
pub struct Ports {
    /// Accounts, sessions and the directory.
    pub accounts: Arc<dyn Accounts>,
    /// What protects an account.
    pub security: Arc<dyn Security>,
    /// Messages.
    pub messaging: Arc<dyn Messaging>,
    /// Contacts, blocks, message requests, privacy, profiles, reports.
    pub people: Arc<dyn People>,
    /// Groups.
    pub groups: Arc<dyn Groups>,
    /// Presence and typing.
    pub presence: Arc<dyn Presence>,
    /// The devices of accounts.
    pub devices: Arc<dyn Devices>,
    /// What is public of the end-to-end encryption.
    pub keys: Arc<dyn Keys>,
    /// Linking of new devices.
    pub links: Arc<dyn Links>,
    /// Whether the homeserver can serve.
    pub health: Arc<dyn Health>,
}
