//! Signs of life of peers, from those who notice them to the workers that wait for them.

use std::sync::{Arc, OnceLock, Weak};

use posthouse_federation::{outbox::Supervisor, ports::Contacts};
use posthouse_protocol::id::ServerName;

/// Passes signs of life on, once the supervisor is there: the client, which notices some, is a part
/// of what the supervisor works with.
#[derive(Default)]
pub(super) struct Relay(OnceLock<Weak<Supervisor>>);

impl Relay {
    /// Leads to `supervisor` from now on.
    pub(super) fn lead_to(&self, supervisor: &Arc<Supervisor>) {
        // It is called once.
        _ = self.0.set(Arc::downgrade(supervisor));
    }
}

impl Contacts for Relay {
    fn heard(&self, peer: &ServerName) {
        if let Some(supervisor) = self.0.get().and_then(Weak::upgrade) {
            supervisor.sign_of_life(peer);
        }
    }
}
