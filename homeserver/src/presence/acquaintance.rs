//! Who has exchanged messages both ways, and so may see the other's presence.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use posthouse_protocol::{id::ConversationId, problem::Rejection};
use posthouse_storage::message_store::MessageStore;

use crate::accounts::store_failed;

/// Most conversations that are remembered; a full memory is emptied and fills again.
const MAX_REMEMBERED: usize = 100_000;

/// Answers from memory where it can: once both sides have spoken, they have for ever.
pub struct Acquaintance {
    store: MessageStore,
    known: Mutex<HashSet<ConversationId>>,
}

impl Acquaintance {
    /// Reads from `store`.
    pub fn new(store: MessageStore) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// For each direct conversation: whether both sides have spoken.
    ///
    /// # Errors
    /// As the store.
    pub async fn all(&self, conversations: &[ConversationId]) -> Result<Vec<bool>, Rejection> {
        let unknown: Vec<_> = {
            let known = self.known();
            conversations.iter().filter(|id| !known.contains(id)).copied().collect()
        };
        if !unknown.is_empty() {
            let mutual = self.store.ledger().mutual(&unknown).await;
            let mutual = mutual.map_err(|err| store_failed(&err))?;
            let mut known = self.known();
            if known.len() + unknown.len() > MAX_REMEMBERED {
                known.clear();
            }
            known.extend(unknown.iter().zip(mutual).filter(|(_, yes)| *yes).map(|(id, _)| *id));
        }
        let known = self.known();
        Ok(conversations.iter().map(|id| known.contains(id)).collect())
    }

    fn known(&self) -> MutexGuard<'_, HashSet<ConversationId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
