//! Conversation ids: both sides derive the same one without asking anybody.

use core::fmt;

use sha2::{Digest, Sha256};

use super::{AccountId, GroupId, IdError, text_id};

/// A conversation, 16 bytes; on the wire 32 lowercase hex digits.
///
/// ```text
/// direct: SHA-256("posthouse conversation direct v1" ‖ 00 ‖ lower id ‖ 00 ‖ higher id)[0..16]
/// group:  SHA-256("posthouse conversation group v1" ‖ 00 ‖ group id)[0..16]
/// ```
/// The ids are their full text forms, compared bytewise (docs/spec/identifiers.md).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId(pub [u8; 16]);

impl ConversationId {
    /// The conversation of two accounts, whichever is named first. Both may be the same: notes to
    /// oneself.
    pub fn direct(one: &AccountId, other: &AccountId) -> Self {
        let (one, other) = (one.to_string(), other.to_string());
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self::hash("posthouse conversation direct v1", &[&low, &high])
    }

    /// The conversation of a group.
    pub fn group(group: &GroupId) -> Self {
        Self::hash("posthouse conversation group v1", &[&group.to_string()])
    }

    /// Parses 32 lowercase hex digits.
    ///
    /// # Errors
    /// [`IdError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let err =
            IdError { what: "a conversation id", why: "32 lowercase hex digits are expected" };
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(err);
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| err)
    }

    fn hash(label: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new_with_prefix(label.as_bytes());
        for part in parts {
            hash.update([0]);
            hash.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(hash.finalize().split_at(16).0);
        Self(id)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

text_id!(ConversationId);
