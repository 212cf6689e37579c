//! What becomes of a message, as its sender is told.

use serde::{Deserialize, Serialize};

/// A message's status (docs/spec/statuses.md). Clients ignore values that they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// How far a message has got, as a watermark tells it of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reached {
    /// The recipient's region signed for it.
    Accepted,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient has read it.
    Read,
}

impl From<Seen> for Reached {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Delivered => Self::Delivered,
            Seen::Read => Self::Read,
        }
    }
}

impl From<Reached> for Status {
    fn from(reached: Reached) -> Self {
        match reached {
            Reached::Accepted => Self::Accepted,
            Reached::Delivered => Self::Delivered,
            Reached::Read => Self::Read,
        }
    }
}

/// Why a message failed: `reason` of the status `failed` (docs/spec/statuses.md §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FailReason {
    /// It expired before it could be delivered.
    Expired,
    /// The recipient's region could not read it.
    Malformed,
    /// The recipient, or the recipient's region, does not take it.
    Refused,
    /// It is larger than the recipient's region takes.
    TooLarge,
    /// The recipient does not exist.
    UnknownUser,
    /// The recipient's region does not know this kind of message.
    Unsupported,
    /// The recipient's region does not exist.
    NoSuchRegion,
    /// The recipient's region gave a reason that this version does not know.
    Other,
    /// The recipient's inbox is full.
    QueueFull,
}

impl FailReason {
    /// All of them; their places are their numbers in storage.
    pub const ALL: [Self; 9] = [
        Self::Expired,
        Self::Malformed,
        Self::Refused,
        Self::TooLarge,
        Self::UnknownUser,
        Self::Unsupported,
        Self::NoSuchRegion,
        Self::Other,
        Self::QueueFull,
    ];

    /// The reason as clients are told it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::UnknownUser => "unknown_user",
            Self::Unsupported => "unsupported",
            Self::NoSuchRegion => "no_such_region",
            Self::Other => "other",
            Self::QueueFull => "queue_full",
        }
    }
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
