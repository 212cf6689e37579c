//! What an origin keeps of its stream to one destination: the durable part of the sender.
//!
//! Each lane has a *log*: everything that was ever given a place for the destination, numbered by an
//! *index* that no incarnation resets. A sequence is an index counted from the incarnation's *base*:
//! `sequence = index - base`. So opening an incarnation renumbers nothing; it only sets a new base.
//!
//! ```text
//! index      1 … floor   floor+1 … receipted   receipted+1 … end
//!            gone        kept for the grace     waiting
//!                ^ base may lie anywhere from 0 to receipted
//! ```

use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Incarnation, PerLane, Position, RunningHash, Standing},
    id::ServerName,
    time::Timestamp,
};
use uuid::Uuid;

/// A place in a lane's log with the running hash there, in the present incarnation.
pub use posthouse_storage::outbox::Mark;

/// Most earlier incarnations that are remembered: enough for a peer to be led on from an old backup.
pub const MAX_PAST: usize = 16;
/// Most bytes that a record has beside its event: its number, id, sender, and heads.
pub const RECORD_OVERHEAD: usize = 48;
/// The shortest time between two incarnations of one stream, in milliseconds (1 min).
pub const INCARNATION_EVERY_MS: u64 = 60_000;

/// An entry of a lane's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index; entries follow each other without a hole.
    pub index: u64,
    /// What stands there.
    pub item: LogItem,
}

/// What stands in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogItem {
    /// An event.
    Event {
        /// Its id.
        id: Uuid,
        /// The sender's account here.
        sender: Option<Uuid>,
        /// The event, encoded.
        event: Bytes,
    },
    /// An event that the destination refused for good, and whose sender knows.
    Refused,
}

impl LogEntry {
    /// The running hash after this entry, which has `sequence` in the present incarnation.
    pub fn follow(&self, before: RunningHash, sequence: u64) -> RunningHash {
        match &self.item {
            LogItem::Event { id, sender, .. } => before.event(sequence, *sender, *id),
            LogItem::Refused => before.void(sequence, sequence),
        }
    }
}

/// The durable state of the stream to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundStream {
    /// The present life.
    pub incarnation: Incarnation,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it takes up; see `Place::resumes` of the protocol.
    pub resumes: Option<Standing>,
    /// The lanes.
    pub lanes: PerLane<OutboundLane>,
    /// Earlier lives, the oldest first, at most [`MAX_PAST`].
    pub past: Vec<PastLife>,
}

/// The durable state of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboundLane {
    /// The index before sequence 1.
    pub base: u64,
    /// Entries up to here are gone. The hash counts only if the index is at or above `base`.
    pub floor: Mark,
    /// The destination has signed for everything up to here.
    pub receipted: Mark,
    /// The last index that was given.
    pub end: u64,
}

/// An earlier incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastLife {
    /// Which.
    pub incarnation: Incarnation,
    /// Its lanes.
    pub lanes: PerLane<PastLane>,
}

/// A lane of an earlier incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PastLane {
    /// The index before sequence 1.
    pub base: u64,
    /// The last index that may have been sent.
    pub end: u64,
    /// How far the destination signed for it.
    pub receipted: Position,
}

/// Where a new incarnation takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeUp {
    /// After what the destination has signed for: this server's database was restored.
    Receipts,
    /// Where the destination says it stands: its database was restored.
    Standing(Standing),
    /// At the beginning: the destination holds nothing, or nobody can tell what it holds. What is gone
    /// is named as void.
    Beginning,
    /// With everything that is still kept: this server's own past was lost or doubled, so the
    /// destination may hold more than is known here, but no less than it signed for.
    Kept,
}

impl OutboundStream {
    /// A stream that has carried nothing.
    pub fn new(
        origin: &ServerName,
        destination: &ServerName,
        random: [u8; 16],
        now: Timestamp,
    ) -> Self {
        let incarnation = Incarnation { number: 1, random };
        let lanes = PerLane::from_fn(|lane| {
            let hash = RunningHash::start(origin, destination, &incarnation, lane);
            let start = Mark { index: 0, hash };
            OutboundLane { base: 0, floor: start, receipted: start, end: 0 }
        });
        Self { incarnation, opened_at: now, resumes: None, lanes, past: Vec::new() }
    }

    /// Whether another incarnation may be opened at `now`, or when.
    pub fn may_open(&self, now: Timestamp) -> Result<(), Timestamp> {
        // A clock that was set back must not hold the stream up.
        match now.0.checked_sub(self.opened_at.0) {
            Some(passed) if passed < INCARNATION_EVERY_MS => {
                Err(self.opened_at.plus_millis(INCARNATION_EVERY_MS))
            }
            _ => Ok(()),
        }
    }

    /// The stream's next incarnation; its number lies above `above` as well. `None` if no number is
    /// left.
    pub fn next_incarnation(
        &self,
        ends: (&ServerName, &ServerName),
        take_up: TakeUp,
        above: u64,
        random: [u8; 16],
        now: Timestamp,
    ) -> Option<Self> {
        let number = self.incarnation.number.max(above).checked_add(1)?;
        let incarnation = Incarnation { number, random };
        let (bases, resumes) = self.bases(take_up);
        let lanes = PerLane::from_fn(|lane| {
            let old = self.lanes.of(lane);
            let start = RunningHash::start(ends.0, ends.1, &incarnation, lane);
            let base = *bases.of(lane);
            let gone = old.floor.index.saturating_sub(base);
            let hash = if gone > 0 { start.void(1, gone) } else { start };
            OutboundLane {
                base,
                floor: Mark { index: old.floor.index, hash },
                receipted: Mark { index: base, hash: start },
                end: old.end,
            }
        });
        let mut past = self.past.clone();
        past.push(PastLife { incarnation: self.incarnation, lanes: self.reach() });
        past.drain(..past.len().saturating_sub(MAX_PAST));
        Some(Self { incarnation, opened_at: now, resumes, lanes, past })
    }

    /// The base of each lane, and what the new incarnation says that it resumes.
    fn bases(&self, take_up: TakeUp) -> (PerLane<u64>, Option<Standing>) {
        let floors = PerLane::from_fn(|lane| self.lanes.of(lane).floor.index);
        match take_up {
            TakeUp::Beginning => (PerLane::default(), None),
            TakeUp::Kept => (floors, None),
            TakeUp::Receipts => {
                let bases = PerLane::from_fn(|lane| self.lanes.of(lane).receipted.index);
                let signed = self.receipted_standing();
                // If the destination has signed for nothing of this incarnation, it may never have
                // seen it: the new one takes up where this one did.
                let any = signed.lanes.iter().any(|(_, position)| position.through > 0);
                (bases, if any { Some(signed) } else { self.resumes })
            }
            TakeUp::Standing(standing) => match self.bases_at(&standing) {
                Some(bases) => (bases, Some(standing)),
                // Older than what is remembered, or of a history that is not this server's.
                None => (PerLane::default(), None),
            },
        }
    }

    /// Where each lane goes on for a destination that stands at `standing`, in this or an earlier
    /// incarnation; `None` if the incarnation is unknown or the standing lies beyond what it can
    /// have sent.
    ///
    /// A position that the destination once signed for says what it holds. Any other may belong to
    /// a history of which this server knows nothing (it was doubled, say), so everything kept is
    /// sent again: events take effect once.
    fn bases_at(&self, standing: &Standing) -> Option<PerLane<u64>> {
        let reach = if standing.incarnation == self.incarnation {
            self.reach()
        } else {
            self.past.iter().find(|life| life.incarnation == standing.incarnation)?.lanes
        };
        let mut bases = PerLane::default();
        for (lane, past) in reach.iter() {
            let position = standing.lanes.of(lane);
            let index = past.base.checked_add(position.through).filter(|at| *at <= past.end)?;
            let signed = position.through == 0 || *position == past.receipted;
            let own = self.lanes.of(lane);
            let most = if signed { own.receipted.index } else { own.floor.index };
            *bases.of_mut(lane) = index.min(most);
        }
        Some(bases)
    }

    /// What the present incarnation can have sent.
    fn reach(&self) -> PerLane<PastLane> {
        let receipted = self.receipted_standing().lanes;
        PerLane::from_fn(|lane| {
            let own = self.lanes.of(lane);
            PastLane { base: own.base, end: own.end, receipted: *receipted.of(lane) }
        })
    }

    /// How far the destination has signed, in the present incarnation.
    pub fn receipted_standing(&self) -> Standing {
        let lanes = PerLane::from_fn(|lane| {
            let own = self.lanes.of(lane);
            let through = own.receipted.index.saturating_sub(own.base);
            Position { through, hash: own.receipted.hash }
        });
        Standing { incarnation: self.incarnation, lanes }
    }

    /// Whether the destination can hold nothing without missing anything: the first incarnation, or
    /// one that starts at the beginning.
    pub fn starts_at_the_beginning(&self) -> bool {
        self.resumes.is_none() && self.lanes.iter().all(|(_, lane)| lane.base == 0)
    }
}

impl OutboundLane {
    /// The lowest mark from which the present incarnation's hashes can be computed.
    pub fn chain_start(&self, start: RunningHash) -> Mark {
        if self.floor.index > self.base {
            self.floor
        } else {
            Mark { index: self.base, hash: start }
        }
    }

    /// The sequence of an index in the present incarnation.
    pub fn sequence(&self, index: u64) -> u64 {
        index.saturating_sub(self.base)
    }

    /// Moves the floor up over entries that have been receipted and whose grace is over; `entries`
    /// follow the floor. The adapter removes them in the same transaction.
    pub fn forget(&mut self, entries: &[LogEntry], start: RunningHash) {
        for entry in entries {
            if entry.index != self.floor.index + 1 || entry.index > self.receipted.index {
                return;
            }
            self.floor = if entry.index <= self.base {
                Mark { index: entry.index, hash: start }
            } else {
                let before = self.chain_start(start).hash;
                Mark { index: entry.index, hash: entry.follow(before, self.sequence(entry.index)) }
            };
        }
    }
}
