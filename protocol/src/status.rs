//! What becomes of a message, as its sender is told.

use serde::{Deserialize, Serialize};

/// A message's status (docs/spec/statuses.md). Clients ignore values that they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Durable on the sender's homeserver (✓).
    Sent,
    /// The recipient's region cannot be reached; the message waits.
    Queued,
    /// A backup relay holds it.
    Relayed,
    /// The recipient's region signed for it.
    Accepted,
    /// A device of the recipient has it (✓✓).
    Delivered,
    /// The recipient has read it (blue ✓✓).
    Read,
    /// It will not arrive; final. Comes with a reason.
    Failed,
}

/// What a device acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// The device holds the message durably.
    Delivered,
    /// The person has read it: the readable opt-out; encrypted read receipts are messages.
    Read,
}

impl From<Seen> for Status {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Delivered => Self::Delivered,
            Seen::Read => Self::Read,
        }
    }
}
