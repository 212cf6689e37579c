//! What is kept, and for how long.

use posthouse_protocol::{limits, time::Timestamp};

use crate::bodies::BodyId;

/// Times before which things may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Entries that every device has acknowledged and that arrived before this go.
    pub acknowledged: Timestamp,
    /// Entries that arrived before this go, acknowledged or not.
    pub waiting: Timestamp,
    /// Messages (their ids and facts) that this region accepted or received before this are
    /// forgotten, and so are rejections of events and voids. When that was tells the time in the
    /// id of the message's body: the clocks of other regions count for nothing here.
    pub remembered: Timestamp,
}

impl Cutoffs {
    /// The cutoffs of the specification: 7 days of grace, 30 days of waiting, ids remembered for 30
    /// days more.
    pub fn at(now: Timestamp) -> Self {
        Self {
            acknowledged: now.minus_millis(limits::GRACE_MS),
            waiting: now.minus_millis(limits::RETENTION_MS),
            remembered: now.minus_millis(limits::RETENTION_MS + limits::ID_MEMORY_MS),
        }
    }
}

/// What a round of trimming did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Inbox entries that went.
    pub entries: u64,
    /// Message ids that were forgotten.
    pub messages: u64,
    /// Bodies that nothing points to any more: to be deleted from where they live.
    pub unreferenced: Vec<BodyId>,
    /// Whether the limit was reached: there may be more.
    pub more: bool,
}
