//! What went to other regions a moment ago: their acknowledgements are passed on at once only for
//! messages that are remembered here. Watermarks tell the rest.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use posthouse_protocol::id::{AccountId, MessageId};
use uuid::Uuid;

/// Most messages of one generation; two are kept.
const GENERATION: usize = 32_768;

/// Recently sent messages by id and sender, with their recipients.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    new: HashMap<(MessageId, Uuid), AccountId>,
    old: HashMap<(MessageId, Uuid), AccountId>,
}

impl Recent {
    /// Remembers that `sender` sent the message to `recipient`.
    pub(super) fn note(&self, id: MessageId, sender: Uuid, recipient: AccountId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.new.len() >= GENERATION {
            all.old = core::mem::take(&mut all.new);
        }
        all.new.insert((id, sender), recipient);
    }

    /// Whether `sender` sent the message to `recipient`, as far as is remembered.
    pub(crate) fn knows(&self, id: MessageId, sender: Uuid, recipient: &AccountId) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id, sender);
        all.new.get(&key).or_else(|| all.old.get(&key)) == Some(recipient)
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::id::ServerName;

    use super::*;

    #[test]
    fn only_the_recipient_of_a_recent_message_is_known() {
        let server = ServerName::parse("us.example").unwrap();
        let account = |n| AccountId { uuid: Uuid::from_u128(n), server: server.clone() };
        let (recent, sender) = (Recent::default(), Uuid::from_u128(1));
        let id = |n: usize| MessageId(Uuid::from_u128(n as u128));
        for n in 0..3 * GENERATION {
            recent.note(id(n), sender, account(2));
        }
        let newest = id(3 * GENERATION - 1);
        assert!(recent.knows(newest, sender, &account(2)));
        assert!(!recent.knows(newest, sender, &account(3)), "another recipient");
        assert!(!recent.knows(newest, Uuid::from_u128(9), &account(2)), "another sender");
        assert!(!recent.knows(id(0), sender, &account(2)), "long ago");
    }
}
