//! A process of a region: the engines in memory, the database on disk.

use std::collections::{BTreeMap, VecDeque};

use posthouse_protocol::{
    federation::{
        receipt::{Outcome, Rejection, RejectionReason},
        record::{EventRecord, Record},
        stream::Lane,
    },
    id::ServerName,
    time::{Stamp, Timestamp},
};
use uuid::Uuid;

use super::network::{Parcel, Sending, write};
use crate::{
    engine::{
        outbound::{Mark, OutboundStream},
        receiver::Decision,
        sender::{Input, Signed, StreamSender},
    },
    ports::{
        LoadRange, Taking,
        memory::{MemoryInbound, MemoryOutbound},
    },
};

/// What a region keeps on disk; a copy is a backup.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pub(super) outbound: BTreeMap<usize, MemoryOutbound>,
    pub(super) inbound: BTreeMap<usize, MemoryInbound>,
    /// Messages accepted here, by their number in the world.
    pub(super) accepted: Vec<usize>,
    /// The highest stamp of the conversation that is known here.
    pub(super) highest: Stamp,
}

/// A process.
pub(super) struct Node {
    pub(super) region: usize,
    /// Rises with every start.
    pub(super) life: u64,
    pub(super) up: bool,
    /// A process that was a copy and has been stopped for good, or was stopped in favour of one.
    pub(super) gone: bool,
    pub(super) db: Database,
    pub(super) backup: Option<Database>,
    pub(super) engines: BTreeMap<usize, StreamSender>,
    /// Work of the store that is not finished, in order.
    pub(super) pending: VecDeque<Work>,
    pub(super) store_free_at: u64,
}

/// Work of the store: durable once finished, and perhaps durable if the process dies before.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Accept { message: usize },
    Load { to: usize, lane: Lane, range: LoadRange },
    Settle { to: usize, lane: Lane, mark: Mark, rejected: Vec<(u64, Rejection)> },
    Rewind { to: usize, lane: Lane, mark: Mark },
    Refuse { to: usize, lane: Lane, index: u64 },
    Open { to: usize, next: Box<OutboundStream> },
    Take { sending: Sending, parcel: Box<Parcel> },
    Overdue { to: usize, lane: Lane, before: Timestamp },
    Forget { to: usize, lane: Lane, floor: Mark },
}

/// What finished work tells the process.
pub(super) enum Done {
    /// To one engine.
    Engine(usize, Input),
    /// A message was accepted: to all engines and the user.
    Accepted(usize),
    /// An envelope was decided about.
    Taken(Sending, Box<Signed>),
    Nothing,
}

/// What accepting a message needs to know of it.
pub(super) struct Draft {
    pub(super) id: Uuid,
    pub(super) sender: Uuid,
    pub(super) lane: Lane,
    pub(super) now: Timestamp,
}

impl Database {
    /// Does the work. `draft` is filled in with the stamp of an accepted message.
    pub(super) fn apply(
        &mut self,
        names: &[ServerName],
        own: usize,
        work: Work,
        now: Timestamp,
        draft: Option<&Draft>,
    ) -> (Done, Option<Stamp>) {
        match work {
            Work::Accept { message } => {
                let Some(draft) = draft else { return (Done::Nothing, None) };
                let stamp = Stamp::next(draft.now, None, Some(self.highest));
                self.highest = stamp;
                self.accepted.push(message);
                for stream in self.outbound.values_mut() {
                    stream.enqueue(draft.lane, draft.id, Some(draft.sender), write(stamp));
                }
                return (Done::Accepted(message), Some(stamp));
            }
            Work::Take { sending, parcel } => {
                return (self.take(names, own, sending, &parcel, now), None);
            }
            _ => {}
        }
        (self.serve(work, now), None)
    }

    /// Work for one engine.
    fn serve(&mut self, work: Work, now: Timestamp) -> Done {
        let to = match &work {
            Work::Load { to, .. }
            | Work::Settle { to, .. }
            | Work::Rewind { to, .. }
            | Work::Refuse { to, .. }
            | Work::Overdue { to, .. }
            | Work::Forget { to, .. }
            | Work::Open { to, .. } => *to,
            _ => return Done::Nothing,
        };
        let Some(stream) = self.outbound.get_mut(&to) else { return Done::Nothing };
        let input = match work {
            Work::Load { lane, range, .. } => {
                let loaded = stream.load(lane, range);
                let (entries, end) = (loaded.entries, loaded.end);
                Input::Loaded { lane, after: range.after, entries, end }
            }
            Work::Settle { lane, mark, rejected, .. } => {
                stream.settle(lane, mark, &rejected, now);
                Input::Stored(lane)
            }
            Work::Rewind { lane, mark, .. } => {
                stream.rewind(lane, mark);
                Input::Stored(lane)
            }
            Work::Refuse { lane, index, .. } => {
                stream.refuse(lane, index);
                Input::Stored(lane)
            }
            Work::Overdue { lane, before, .. } => {
                Input::Overdue { lane, entries: stream.overdue(lane, before, 4) }
            }
            Work::Forget { lane, floor, .. } => {
                stream.forget(lane, floor);
                return Done::Nothing;
            }
            Work::Open { next, .. } => {
                stream.open(&next);
                Input::Opened
            }
            _ => return Done::Nothing,
        };
        Done::Engine(to, input)
    }

    fn take(
        &mut self,
        names: &[ServerName],
        own: usize,
        sending: Sending,
        parcel: &Parcel,
        now: Timestamp,
    ) -> Done {
        let (Some(origin), Some(destination)) = (names.get(sending.region), names.get(own)) else {
            return Done::Nothing;
        };
        let inbound = self.inbound.entry(sending.region).or_default();
        let place = &parcel.place;
        let before = inbound.stream;
        let whole = Taking { lane: place.lane, first: place.first, records: &parcel.records };
        let outcome = match before.decide((origin, destination), place, &parcel.records, now) {
            Decision::Take { skip, stream } => {
                let (old, fresh) = parcel.records.split_at(skip);
                let skipped: u64 = old.iter().map(Record::covers).sum();
                let taking = Taking { first: place.first + skipped, records: fresh, ..whole };
                assert!(inbound.take(&before, &stream, taking, judge));
                let stamps = fresh.iter().filter_map(|record| match record {
                    Record::Event(event) => event.event.as_ref().ok()?.stamp,
                    Record::Void(_) => None,
                });
                self.highest = stamps.fold(self.highest, Ord::max);
                Outcome::Accepted
            }
            Decision::Answer(outcome) => outcome,
        };
        let rejections =
            if outcome == Outcome::Accepted { inbound.rejections(whole) } else { Vec::new() };
        Done::Taken(
            sending,
            Box::new(Signed::simulated(outcome, inbound.stream.standing, rejections)),
        )
    }
}

/// Some events are always rejected: those that cannot be read, and those of some ids.
fn judge(event: &EventRecord) -> Option<RejectionReason> {
    if event.event.is_err() {
        Some(RejectionReason::Malformed)
    } else if is_unwelcome(event.id) {
        Some(RejectionReason::UnknownRecipient)
    } else {
        None
    }
}

/// Ids are drawn so that their lowest byte says how they fare.
pub(super) fn is_unwelcome(id: Uuid) -> bool {
    id.as_bytes().last() == Some(&1)
}

/// An envelope with such an event is refused whole.
pub(super) fn is_poison(id: Uuid) -> bool {
    id.as_bytes().last() == Some(&2)
}
