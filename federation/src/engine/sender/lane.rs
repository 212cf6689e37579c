//! One lane of a sender: loading, flying, verifying, storing.

use posthouse_protocol::federation::{
    header::Place,
    limits,
    receipt::Rejection,
    record::{Void, VoidReason},
    stream::{Lane, PerLane, RunningHash},
};

use super::{Action, Outgoing, StreamSender};
use crate::engine::outbound::{LogEntry, LogItem, Mark};

/// A lane in memory.
#[derive(Debug, Clone)]
pub(super) struct LaneSender {
    /// What it is doing.
    pub(super) phase: Phase,
    /// Something may wait beyond the receipted mark.
    pub(super) waiting: bool,
    /// Most entries of the next envelope: halved when one is refused, doubled when one is taken.
    pub(super) limit: usize,
    /// The alarm was given that the destination takes no void; until it takes an envelope.
    pub(super) void_refused: bool,
    /// Rises with whatever changes the lane, so that a receipt for another lane's envelope is only
    /// believed about this one if nothing happened here since that envelope left.
    pub(super) touched: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Nothing.
    Idle,
    /// Waits for the store's entries after this index.
    Loading(u64),
    /// An envelope is on its way.
    Flying(Flight),
    /// The destination is elsewhere than expected: the hashes up to there are computed from the
    /// log, to see whether it tells the same history.
    Verifying(Verification),
    /// Waits for the store to make something durable.
    Storing(Storing),
}

/// An envelope on its way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) attempt: u64,
    /// The marks after each record; at most [`limits::MAX_RECORDS`].
    pub(super) marks: Vec<Mark>,
    /// The event, if there is exactly one and nothing else.
    pub(super) single: Option<u64>,
    /// Each lane's `touched` when it left.
    pub(super) touched: PerLane<u64>,
}

/// Hashes being computed.
#[derive(Debug, Clone)]
pub(super) struct Verification {
    pub(super) at: Mark,
    pub(super) target: Mark,
    /// What may be settled if the histories agree: no further than what was sent, since only that
    /// was answered event by event.
    pub(super) settle: Mark,
    /// Entries after this index are wanted.
    pub(super) after: u64,
    pub(super) rejections: Vec<Rejection>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Storing {
    /// The receipted mark moves.
    Mark(Mark),
    /// An event gives its place to a void.
    Refusal,
}

impl Default for LaneSender {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            waiting: true,
            limit: limits::MAX_RECORDS,
            void_refused: false,
            touched: 0,
        }
    }
}

impl LaneSender {
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Idle)
    }
}

impl StreamSender {
    /// The running hash before the lane's sequence 1.
    pub(super) fn start_hash(&self, lane: Lane) -> RunningHash {
        let incarnation = &self.stream.incarnation;
        RunningHash::start(&self.origin, &self.destination, incarnation, lane)
    }

    /// Asks for what comes after the receipted mark, or after what is gone.
    pub(super) fn load(&mut self, lane: Lane) {
        let durable = self.stream.lanes.of(lane);
        let after = durable.receipted.index.max(durable.floor.index);
        let own = self.lanes.of_mut(lane);
        own.phase = Phase::Loading(after);
        own.waiting = false;
        let limit = own.limit.min(self.max_records);
        self.actions.push(Action::Load { lane, after, limit, max_bytes: self.max_bytes });
    }

    /// Asks for what is needed to go on with a verification.
    pub(super) fn load_to_verify(&mut self, lane: Lane, after: u64) {
        let (limit, max_bytes) = (limits::MAX_RECORDS, self.max_bytes);
        self.actions.push(Action::Load { lane, after, limit, max_bytes });
    }

    pub(super) fn loaded(&mut self, lane: Lane, after: u64, entries: Vec<LogEntry>, end: u64) {
        let durable = self.stream.lanes.of_mut(lane);
        durable.end = durable.end.max(end);
        let durable = *durable;
        let own = self.lanes.of_mut(lane);
        match core::mem::replace(&mut own.phase, Phase::Idle) {
            Phase::Loading(wanted) if wanted == after && self.plan.is_some() => {
                own.waiting = true;
            }
            Phase::Loading(wanted) if wanted == after => {
                let gone = durable.floor.index.saturating_sub(durable.receipted.index);
                let void = (gone > 0).then(|| Void {
                    from: durable.sequence(durable.receipted.index) + 1,
                    to: durable.sequence(durable.floor.index),
                    reason: VoidReason::NotKept,
                });
                if void.is_some() || !entries.is_empty() {
                    self.send(lane, void, entries);
                }
            }
            Phase::Verifying(verification) if verification.after == after => {
                self.verify(lane, verification, &entries);
            }
            // An answer that an incarnation has overtaken.
            other => own.phase = other,
        }
    }

    /// Sends entries that follow the receipted mark; none asks for the destination's position.
    pub(super) fn send(&mut self, lane: Lane, void: Option<Void>, mut entries: Vec<LogEntry>) {
        let durable = *self.stream.lanes.of(lane);
        let mut at = durable.receipted;
        let mut marks = Vec::with_capacity(entries.len() + 1);
        if let Some(void) = &void {
            at = Mark { index: durable.floor.index, hash: at.hash.void(void.from, void.to) };
            marks.push(at);
            entries.truncate(self.max_records.saturating_sub(1));
        }
        for entry in &entries {
            let hash = entry.follow(at.hash, durable.sequence(entry.index));
            at = Mark { index: entry.index, hash };
            marks.push(at);
        }
        self.attempts += 1;
        let attempt = self.attempts;
        let single = match entries.as_slice() {
            [one] if void.is_none() && one.item != LogItem::Refused => Some(one.index),
            _ => None,
        };
        let touched = PerLane::from_fn(|lane| self.lanes.of(lane).touched);
        let place = Place {
            lane,
            incarnation: self.stream.incarnation,
            first: durable.sequence(durable.receipted.index) + 1,
            count: at.index - durable.receipted.index,
            before: durable.receipted.hash,
            resumes: self.stream.resumes,
        };
        let own = self.lanes.of_mut(lane);
        own.phase = Phase::Flying(Flight { attempt, marks, single, touched });
        let outgoing = Outgoing { attempt, place, void, entries };
        self.actions.push(Action::Send(Box::new(outgoing)));
    }

    /// Gives up entries whose grace is over; while hashes are being computed over them, they stay.
    pub(super) fn forget(&mut self, lane: Lane, entries: &[LogEntry]) {
        let verifying = matches!(self.lanes.of(lane).phase, Phase::Verifying(_));
        if verifying || self.plan.is_some() || self.opening.is_some() {
            return;
        }
        let start = self.start_hash(lane);
        let durable = self.stream.lanes.of_mut(lane);
        let before = durable.floor;
        durable.forget(entries, start);
        let floor = durable.floor;
        if floor != before {
            self.actions.push(Action::Forget { lane, floor });
        }
    }

    pub(super) fn stored(&mut self, lane: Lane) {
        let own = self.lanes.of_mut(lane);
        let Phase::Storing(storing) = own.phase else { return };
        own.phase = Phase::Idle;
        own.waiting = true;
        own.touched += 1;
        if let Storing::Mark(mark) = storing {
            self.stream.lanes.of_mut(lane).receipted = mark;
        }
    }
}
