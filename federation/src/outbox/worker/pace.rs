//! What a worker puts off for a moment, so that a thin stream does not pay a transaction or an
//! envelope for every event.
//!
//! * *Settlements*: a receipt need not be durable before the next envelope leaves. A worker that
//!   dies before asks the destination again, which repeats what it signed. So the receipts of a
//!   moment are settled together. What else writes the lane comes after them.
//! * *Receipts to the peer*: watermarks replace each other in the log as long as they are not sent,
//!   and what they say has gone ahead as an ephemeral. So their lane is looked at less often.
//!
//! Whatever comes alone is not put off: only what follows shortly on another waits.

use std::time::Duration;

use posthouse_protocol::federation::{
    receipt::Rejection,
    stream::{Lane, PerLane},
};
use tokio::time::Instant;

use crate::engine::outbound::Mark;

/// How long a settlement waits for others.
const SETTLE_WITHIN: Duration = Duration::from_millis(50);
/// Indices that a settlement covers at most before it is made at once: what a crash leaves to be
/// asked for again stays small.
const SETTLE_AT_ONCE: u64 = 4_000;
/// How long watermarks for the peer wait for others.
const RECEIPTS_WITHIN: Duration = Duration::from_millis(250);

/// A settlement that waits: the newest mark, and the rejections of all receipts up to it.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    from: u64,
    /// The mark to settle to.
    pub(super) to: Mark,
    /// Indices that were rejected, and why.
    pub(super) rejected: Vec<(u64, Rejection)>,
}

/// What is put off, and until when.
#[derive(Debug)]
pub(super) struct Pace {
    settlements: PerLane<Option<Pending>>,
    settling: Turn,
    receipts: Turn,
}

/// When something is done that need not be done each time.
#[derive(Debug, Default)]
struct Turn {
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Turn {
    /// It is to be done: at once, if the last time is so long ago.
    fn ask(&mut self, within: Duration, now: Instant) {
        let earliest = self.last.map_or(now, |last| (last + within).max(now));
        self.next.get_or_insert(earliest);
    }

    /// Whether it is due; then it counts as done.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.take_if(|at| *at <= now).is_some();
        if due {
            self.last = Some(now);
        }
        due
    }
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            settlements: PerLane::from_fn(|_| None),
            settling: Turn::default(),
            receipts: Turn::default(),
        }
    }

    /// Puts a settlement off; gives it back, with what waited, if it is to be made now. `before` is
    /// the lane's mark until then.
    pub(super) fn settle(
        &mut self,
        lane: Lane,
        before: u64,
        (to, rejected): (Mark, Vec<(u64, Rejection)>),
        now: Instant,
    ) -> Option<Pending> {
        let own = self.settlements.of_mut(lane);
        let pending = own.get_or_insert(Pending { from: before, to, rejected: Vec::new() });
        pending.to = to;
        pending.rejected.extend(rejected);
        // Somebody waits to hear of a rejection, and they are rare.
        if !pending.rejected.is_empty() || to.index.saturating_sub(pending.from) >= SETTLE_AT_ONCE {
            return own.take();
        }
        self.settling.ask(SETTLE_WITHIN, now);
        None
    }

    /// The settlement of a lane that waits, because something else is to be written there.
    pub(super) fn take(&mut self, lane: Lane) -> Option<Pending> {
        self.settlements.of_mut(lane).take()
    }

    /// Whether the settlements are due.
    pub(super) fn is_settling_due(&mut self, now: Instant) -> bool {
        self.settling.is_due(now)
    }

    /// The lane of receipts has something new.
    pub(super) fn note_receipts(&mut self, now: Instant) {
        self.receipts.ask(RECEIPTS_WITHIN, now);
    }

    /// Whether the lane of receipts is to be looked at.
    pub(super) fn are_receipts_due(&mut self, now: Instant) -> bool {
        self.receipts.is_due(now)
    }

    /// Whether something is put off.
    pub(super) fn is_waiting(&self) -> bool {
        self.next().is_some()
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.settling.next, self.receipts.next].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::federation::{receipt::RejectionReason, stream::RunningHash};
    use uuid::Uuid;

    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { index, hash: RunningHash([1; 32]) }
    }

    #[test]
    fn settlements_of_a_moment_become_one() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        assert!(pace.settle(Lane::Messages, 0, (mark(1), vec![]), start).is_none());
        assert!(pace.is_settling_due(start), "one that comes alone is not put off");
        assert_eq!(pace.take(Lane::Messages).unwrap().to.index, 1);
        for index in 2..=20 {
            assert!(pace.settle(Lane::Messages, index - 1, (mark(index), vec![]), start).is_none());
        }
        assert!(!pace.is_settling_due(start + SETTLE_WITHIN / 2));
        assert_eq!(pace.next(), Some(start + SETTLE_WITHIN));
        assert!(pace.is_settling_due(start + SETTLE_WITHIN));
        assert_eq!(pace.take(Lane::Messages).unwrap().to.index, 20);
        assert!(pace.take(Lane::Messages).is_none() && !pace.is_waiting());
    }

    #[test]
    fn rejections_and_long_stretches_are_settled_at_once() {
        let (mut pace, start) = (Pace::new(), Instant::now());
        let rejection =
            Rejection { sequence: 2, id: Uuid::from_u128(2), reason: RejectionReason::Refused };
        assert!(pace.settle(Lane::Messages, 0, (mark(1), vec![]), start).is_none());
        let told = pace.settle(Lane::Messages, 1, (mark(3), vec![(2, rejection)]), start).unwrap();
        assert_eq!((told.to.index, told.rejected.len()), (3, 1));
        assert!(pace.settle(Lane::Messages, 3, (mark(9), vec![]), start).is_none());
        let end = mark(3 + SETTLE_AT_ONCE);
        assert!(pace.settle(Lane::Messages, 9, (end, vec![]), start).is_some());
    }
}
