//! The sending end of a stream: what is sent when, and what an answer means.
//!
//! One machine per destination, run by the one worker that holds the destination's lease. Each lane
//! has at most one envelope in flight. Whatever must be durable is an [`Action`] whose completion
//! comes back as an [`Input`]; until then the lane waits. If an action fails, the worker throws the
//! machine away and starts a new one from the store: everything here can be found out again.

mod answer;
mod lane;

use posthouse_protocol::{
    federation::{
        cbor::Writer,
        header::Place,
        limits,
        receipt::{Outcome, Rejection, VerifiedReceipt},
        record::{Void, VoidReason, write_event, write_void},
        stream::{Lane, PerLane, Standing},
    },
    id::ServerName,
    time::Timestamp,
};
use rand_core::Rng;

use self::lane::{LaneSender, Phase};
use super::{
    backoff::Backoff,
    outbound::{LogEntry, LogItem, Mark, OutboundStream, TakeUp},
};

/// How long a stream may be silent before the sender asks the destination for its position, in
/// milliseconds (15 min): so a destination that was restored is noticed although nothing is new.
pub const PROBE_EVERY_MS: u64 = 15 * 60_000;
/// How long a destination is left alone that said incarnations follow too fast, in milliseconds (5 s).
/// It counts its minute from the first envelope of the last incarnation, which came a little after
/// that one was opened here: most often a little more is missing, and not another minute.
const TOO_SOON_MS: u64 = 5_000;
/// Room in an envelope for what is not records: header, signature, tag, framing.
pub const ENVELOPE_OVERHEAD: usize = 8 * 1024;

/// What happens to the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// Something may wait in this lane. A hint: it may be wrong, and may be lost if there is a
    /// slow poll beside it.
    Wake(Lane),
    /// Time has passed; see [`StreamSender::next_tick`].
    Tick,
    /// The destination made authenticated contact, or has a new address, or the operator says so.
    SignOfLife,
    /// The answer to [`Action::Load`].
    Loaded {
        /// The lane.
        lane: Lane,
        /// After this index.
        after: u64,
        /// The entries, in order.
        entries: Vec<LogEntry>,
        /// The last index that the lane's log has.
        end: u64,
    },
    /// What became of an [`Action::Send`].
    Answered {
        /// The lane.
        lane: Lane,
        /// Which sending.
        attempt: u64,
        /// The answer.
        answer: Answer,
    },
    /// [`Action::Settle`], [`Action::Rewind`] or [`Action::Refuse`] of this lane is durable.
    Stored(Lane),
    /// The lane's oldest entries, whose grace is over, in order.
    Overdue {
        /// The lane.
        lane: Lane,
        /// The entries; the first is the oldest that the log has.
        entries: Vec<LogEntry>,
    },
    /// [`Action::Open`] is durable.
    Opened,
}

/// What became of an envelope.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The destination signed for it.
    Receipt(Box<Signed>),
    /// The destination refuses exactly this envelope, as malformed or too large: sending it again
    /// is of no use, sending it in parts may be.
    Refused,
    /// No answer, or one that promises better luck later.
    Failed {
        /// The wait that the destination asks for, in milliseconds.
        retry_after_ms: Option<u64>,
    },
}

/// What a receipt says, once its signature and its envelope have been checked.
#[derive(Debug, Clone)]
pub struct Signed {
    outcome: Outcome,
    standing: Option<Standing>,
    rejections: Vec<Rejection>,
}

impl From<&VerifiedReceipt> for Signed {
    fn from(receipt: &VerifiedReceipt) -> Self {
        let receipt = receipt.receipt();
        Self {
            outcome: receipt.outcome,
            standing: receipt.standing,
            rejections: receipt.rejections.clone(),
        }
    }
}

impl Signed {
    /// What became of the envelope.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// A receipt without a signature, for the simulator.
    #[cfg(test)]
    pub(crate) fn simulated(
        outcome: Outcome,
        standing: Option<Standing>,
        rejections: Vec<Rejection>,
    ) -> Self {
        Self { outcome, standing, rejections }
    }
}

/// What the worker has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give indices to what waits, durably, then read the lane's entries after `after`.
    Load {
        /// The lane.
        lane: Lane,
        /// After this index.
        after: u64,
        /// At most so many entries.
        limit: usize,
        /// At most so many bytes of events, but at least one entry.
        max_bytes: usize,
    },
    /// Seal, sign and post an envelope.
    Send(Box<Outgoing>),
    /// In one transaction: the destination has signed up to the mark. Events up to there are
    /// accepted, those among `rejected` have failed for good.
    Settle {
        /// The lane.
        lane: Lane,
        /// The new receipted mark.
        to: Mark,
        /// Indices that were rejected, and why.
        rejected: Vec<(u64, Rejection)>,
    },
    /// The destination was restored and asks again: the receipted mark goes back.
    Rewind {
        /// The lane.
        lane: Lane,
        /// The new receipted mark.
        to: Mark,
    },
    /// The destination refuses this one event whenever it comes: it has failed for good, and a void
    /// takes its place.
    Refuse {
        /// The lane.
        lane: Lane,
        /// The event.
        index: u64,
    },
    /// Remove the entries up to the mark, and store it as the lane's floor. Nothing comes back.
    Forget {
        /// The lane.
        lane: Lane,
        /// The new floor.
        floor: Mark,
    },
    /// Replace the stream's state: the next incarnation.
    Open(Box<OutboundStream>),
    /// Tell senders and operators that the destination does not answer.
    Unreachable {
        /// Since when.
        since: Timestamp,
    },
    /// Tell them that it answers again.
    Reachable,
    /// Tell the operator.
    Alarm(Alarm),
}

/// What an operator must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alarm {
    /// The destination knows this incarnation with another random part: two servers hold our
    /// identity.
    TwoServers,
    /// The destination is ahead of our own log: our database was restored.
    WeWereRestored,
    /// The destination fell back behind what it had signed for: its database was restored.
    TheyWereRestored,
    /// Both hold different histories of one incarnation.
    Diverged,
    /// The destination refuses a void, which every homeserver has to take: nothing behind it in the
    /// lane can be delivered.
    VoidRefused,
    /// The store's log has a hole.
    LogDamaged,
    /// The destination speaks no version of envelopes that is spoken here: nothing is sent.
    NoCommonVersion,
    /// The destination names an incarnation after which none is left.
    NoIncarnationLeft,
}

/// An envelope to be sealed, signed and posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Comes back with the answer.
    pub attempt: u64,
    /// Its place in the stream.
    pub place: Place,
    /// A void at its front.
    pub void: Option<Void>,
    /// The entries after it.
    pub entries: Vec<LogEntry>,
}

impl Outgoing {
    /// The entries with their sequences.
    pub fn sequenced(&self) -> impl Iterator<Item = (u64, &LogEntry)> {
        let first = self.place.first + self.place.count - self.entries.len() as u64;
        (first..).zip(&self.entries)
    }

    /// The records, as they are sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.array(self.entries.len() + usize::from(self.void.is_some()));
        if let Some(void) = &self.void {
            write_void(&mut writer, void);
        }
        for (sequence, entry) in self.sequenced() {
            match &entry.item {
                LogItem::Event { id, sender, event } => {
                    write_event(&mut writer, *id, *sender, event);
                }
                LogItem::Refused => {
                    let reason = VoidReason::Refused;
                    write_void(&mut writer, &Void { from: sequence, to: sequence, reason });
                }
            }
        }
        writer.finish()
    }
}

/// A stream's new incarnation that is wanted.
#[derive(Debug, Clone, Copy)]
struct Plan {
    take_up: TakeUp,
    above: u64,
}

/// The machine.
pub struct StreamSender {
    origin: ServerName,
    destination: ServerName,
    stream: OutboundStream,
    lanes: PerLane<LaneSender>,
    backoff: Backoff,
    plan: Option<Plan>,
    opening: Option<Box<OutboundStream>>,
    attempts: u64,
    probe_at: Timestamp,
    told_unreachable: bool,
    max_records: usize,
    max_bytes: usize,
    actions: Vec<Action>,
}

impl StreamSender {
    /// A machine for the stream as the store has it. Every lane is looked at once, and the
    /// destination is asked for its position even if nothing waits.
    pub fn new(
        origin: ServerName,
        destination: ServerName,
        stream: OutboundStream,
        now: Timestamp,
    ) -> Self {
        Self {
            origin,
            destination,
            stream,
            lanes: PerLane::from_fn(|_| LaneSender::default()),
            backoff: Backoff::default(),
            plan: None,
            opening: None,
            attempts: 0,
            probe_at: now,
            told_unreachable: false,
            max_records: limits::MAX_RECORDS,
            max_bytes: limits::MAX_ENVELOPE - ENVELOPE_OVERHEAD,
            actions: Vec::new(),
        }
    }

    /// Sets what the destination's document says that it takes.
    pub fn set_limits(&mut self, max_records: usize, max_envelope: usize) {
        self.max_records = max_records.clamp(1, limits::MAX_RECORDS);
        let most = limits::MAX_ENVELOPE - ENVELOPE_OVERHEAD;
        self.max_bytes = max_envelope.saturating_sub(ENVELOPE_OVERHEAD).min(most);
    }

    /// The stream as the machine knows it; the store has the same, or is about to.
    pub fn stream(&self) -> &OutboundStream {
        &self.stream
    }

    /// Since when the destination does not answer.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.backoff.failing_since()
    }

    /// Whether nothing waits, flies or is being stored, as far as is known.
    pub fn is_idle(&self) -> bool {
        let idle = |lane: &LaneSender| matches!(lane.phase, Phase::Idle) && !lane.waiting;
        self.plan.is_none() && self.opening.is_none() && self.lanes.iter().all(|(_, l)| idle(l))
    }

    /// When [`Input::Tick`] is wanted next, after everything that was told up to `now`.
    pub fn next_tick(&self, now: Timestamp) -> Timestamp {
        let open = self.plan.and_then(|_| self.stream.may_open(now).err());
        let later = [self.backoff.retry_at(), open, Some(self.probe_at)].into_iter().flatten();
        later.filter(|at| *at > now).fold(now.plus_millis(PROBE_EVERY_MS), Ord::min)
    }

    /// Takes one input, gives what is to be done.
    pub fn handle(&mut self, input: Input, now: Timestamp, rng: &mut impl Rng) -> Vec<Action> {
        // The clock may have been set back.
        self.probe_at = self.probe_at.min(now.plus_millis(PROBE_EVERY_MS));
        self.backoff.heed_clock(now);
        let overtaken = matches!(
            input,
            Input::Loaded { .. }
                | Input::Answered { .. }
                | Input::Stored(_)
                | Input::Overdue { .. }
        );
        if overtaken && self.opening.is_some() {
            // It belongs to the incarnation that is being left: acting on it would write an old mark
            // into the new one.
            return Vec::new();
        }
        match input {
            Input::Wake(lane) => self.lanes.of_mut(lane).waiting = true,
            Input::Tick => {}
            // With nothing to send, only a question shows that the destination takes envelopes again.
            Input::SignOfLife => {
                if self.backoff.sign_of_life(now) {
                    self.probe_at = now;
                }
            }
            Input::Loaded { lane, after, entries, end } => {
                let whole = entries.iter().zip(after + 1..).all(|(entry, at)| entry.index == at);
                if whole {
                    self.loaded(lane, after, entries, end);
                } else {
                    self.lanes.of_mut(lane).phase = Phase::Idle;
                    self.actions.push(Action::Alarm(Alarm::LogDamaged));
                    self.fail(None, now, rng);
                }
            }
            Input::Answered { lane, attempt, answer } => {
                self.answered(lane, attempt, answer, now, rng);
            }
            Input::Stored(lane) => self.stored(lane),
            Input::Overdue { lane, entries } => self.forget(lane, &entries),
            Input::Opened => self.opened(),
        }
        self.open(now, rng);
        self.pump(now);
        core::mem::take(&mut self.actions)
    }

    /// Starts what can be started.
    fn pump(&mut self, now: Timestamp) {
        if self.plan.is_some() || self.opening.is_some() || !self.backoff.allows(now) {
            return;
        }
        for lane in Lane::ALL {
            // A peer that failed gets one try at a time until it answers.
            if self.backoff.is_failing() && self.lanes.iter().any(|(_, l)| l.is_busy()) {
                return;
            }
            let own = self.lanes.of(lane);
            if matches!(own.phase, Phase::Idle) && own.waiting {
                self.load(lane);
            }
        }
        let quiet = self.lanes.iter().all(|(_, lane)| !lane.is_busy());
        // Without anything to send, only a question tells whether a peer that failed is back.
        if quiet && (now >= self.probe_at || self.backoff.is_failing()) {
            self.probe_at = now.plus_millis(PROBE_EVERY_MS);
            if self.stream.lanes.iter().any(|(_, lane)| lane.end > 0) {
                self.send(Lane::Control, None, Vec::new());
            }
        }
    }

    /// Wants another incarnation; the first wish stands.
    fn want(&mut self, take_up: TakeUp, above: u64) {
        self.plan.get_or_insert(Plan { take_up, above });
    }

    /// Opens the wanted incarnation, once nothing is being stored and the last one is old enough.
    fn open(&mut self, now: Timestamp, rng: &mut impl Rng) {
        let storing = self.lanes.iter().any(|(_, lane)| matches!(lane.phase, Phase::Storing(_)));
        let Some(plan) = self.plan.filter(|_| !storing && self.opening.is_none()) else { return };
        if self.stream.may_open(now).is_err() {
            return;
        }
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let ends = (&self.origin, &self.destination);
        let next = self.stream.next_incarnation(ends, plan.take_up, plan.above, random, now);
        let Some(next) = next else {
            self.plan = None;
            self.actions.push(Action::Alarm(Alarm::NoIncarnationLeft));
            self.fail(None, now, rng);
            return;
        };
        self.opening = Some(Box::new(next.clone()));
        self.actions.push(Action::Open(Box::new(next)));
    }

    fn opened(&mut self) {
        let Some(next) = self.opening.take() else { return };
        self.stream = *next;
        self.plan = None;
        for lane in Lane::ALL {
            let own = self.lanes.of_mut(lane);
            *own = LaneSender { touched: own.touched + 1, waiting: true, ..LaneSender::default() };
        }
    }

    fn fail(&mut self, retry_after_ms: Option<u64>, now: Timestamp, rng: &mut impl Rng) {
        self.backoff.failed(now, retry_after_ms, rng);
        if let Some(since) = self.backoff.failing_since()
            && !self.told_unreachable
        {
            self.told_unreachable = true;
            self.actions.push(Action::Unreachable { since });
        }
    }

    fn succeed(&mut self, now: Timestamp) {
        self.backoff.succeeded();
        self.probe_at = now.plus_millis(PROBE_EVERY_MS);
        if core::mem::take(&mut self.told_unreachable) {
            self.actions.push(Action::Reachable);
        }
    }
}

#[cfg(test)]
mod tests;
