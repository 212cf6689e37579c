//! Message ids.

use core::fmt;

use uuid::Uuid;

use super::{IdError, parse_uuid, text_id};

/// A message id: a UUID that the client chooses, scoped to its sender's account. Version 7 is
/// recommended (RFC 9562 §5.7), any version is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub Uuid);

impl MessageId {
    /// Parses a UUID in lowercase with hyphens.
    ///
    /// # Errors
    /// [`IdError`] for any other spelling.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        parse_uuid(text, "a message id").map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

text_id!(MessageId);
