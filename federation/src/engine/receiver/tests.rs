//! Every way in which an envelope can stand to what is held.

use posthouse_protocol::federation::{
    event::{Event, EventClass, EventKind},
    record::{EventRecord, Void, VoidReason},
    stream::{Incarnation, Lane, RunningHash},
};
use uuid::Uuid;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LANE: Lane = Lane::Messages;

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn incarnation(number: u64, random: u8) -> Incarnation {
    Incarnation { number, random: [random; 16] }
}

fn event(id: u128) -> Record {
    let event = Event::new(EventKind::Other(900), EventClass::Control);
    Record::Event(EventRecord { id: Uuid::from_u128(id), sender: None, event: Ok(event) })
}

struct Peer {
    stream: InboundStream,
}

impl Peer {
    /// One that has taken the events 1 to 3 of incarnation 2.
    fn new() -> Self {
        let mut peer = Self { stream: InboundStream::default() };
        let life = incarnation(2, 0);
        let taken = peer.offer(life, 1, None, &[event(1), event(2), event(3)], None, NOW);
        assert_eq!(taken, Ok(0));
        peer
    }

    fn held(&self) -> Position {
        *self.stream.standing.unwrap().lanes.of(LANE)
    }

    /// Gives how many records were skipped, or the answer.
    #[expect(clippy::too_many_arguments, reason = "a row of a table")]
    fn offer(
        &mut self,
        incarnation: Incarnation,
        first: u64,
        before: Option<RunningHash>,
        records: &[Record],
        resumes: Option<Standing>,
        now: Timestamp,
    ) -> Result<usize, Outcome> {
        let (origin, own) = (name("north.test"), name("south.test"));
        let start = RunningHash::start(&origin, &own, &incarnation, LANE);
        let place = Place {
            lane: LANE,
            incarnation,
            first,
            count: records.iter().map(Record::covers).sum(),
            before: before.unwrap_or(start),
            resumes,
        };
        match self.stream.decide((&origin, &own), &place, records, now) {
            Decision::Take { skip, stream } => {
                self.stream = stream;
                Ok(skip)
            }
            Decision::Answer(outcome) => Err(outcome),
        }
    }
}

#[test]
fn what_follows_is_taken_and_what_came_before_is_skipped() {
    let mut peer = Peer::new();
    let life = incarnation(2, 0);
    let all = [event(1), event(2), event(3), event(4)];
    assert_eq!(peer.offer(life, 1, None, &all[..2], None, NOW), Err(Outcome::Accepted));
    assert_eq!(peer.offer(life, 1, None, &all[..3], None, NOW), Err(Outcome::Accepted));
    assert_eq!(peer.offer(life, 1, None, &all, None, NOW), Ok(3));
    assert_eq!(peer.held().through, 4);
    let before = Some(peer.held().hash);
    assert_eq!(peer.offer(life, 5, before, &[event(5)], None, NOW), Ok(0));
    let before = Some(peer.held().hash);
    assert_eq!(peer.offer(life, 6, before, &[], None, NOW), Err(Outcome::Accepted));
}

#[test]
fn gaps_and_other_histories_are_refused() {
    let mut peer = Peer::new();
    let life = incarnation(2, 0);
    let before = Some(peer.held().hash);
    assert_eq!(peer.offer(life, 5, before, &[event(5)], None, NOW), Err(Outcome::Gap));
    let other = Some(RunningHash([9; 32]));
    assert_eq!(peer.offer(life, 4, other, &[event(4)], None, NOW), Err(Outcome::Diverged));
    // The same place, but other events on the way there.
    let records = [event(1), event(9), event(3), event(4)];
    assert_eq!(peer.offer(life, 1, None, &records, None, NOW), Err(Outcome::Diverged));
    // A void that reaches over the place where the receiver stands.
    let void = Record::Void(Void { from: 1, to: 4, reason: VoidReason::NotKept });
    assert_eq!(peer.offer(life, 1, None, &[void], None, NOW), Err(Outcome::Diverged));
    assert_eq!(peer.held().through, 3);
}

#[test]
fn incarnations_only_rise_and_one_identity_has_one() {
    let mut peer = Peer::new();
    let late = NOW.plus_millis(INCARNATION_EVERY_MS);
    let one = [event(1)];
    let old = incarnation(1, 0);
    assert_eq!(peer.offer(old, 1, None, &one, None, late), Err(Outcome::Stale));
    let twin = incarnation(2, 7);
    assert_eq!(peer.offer(twin, 1, None, &one, None, late), Err(Outcome::Conflict));
    let next = incarnation(3, 0);
    assert_eq!(peer.offer(next, 1, None, &one, None, NOW), Err(Outcome::TooSoon));
    assert_eq!(peer.offer(next, 2, None, &one, None, late), Err(Outcome::Gap));
    assert_eq!(peer.offer(next, 1, None, &[], None, late), Err(Outcome::Gap), "only a question");
    assert_eq!(peer.offer(next, 1, None, &one, None, late), Ok(0));
    assert_eq!(peer.offer(incarnation(2, 0), 4, None, &one, None, late), Err(Outcome::Stale));
    // A clock that was set back does not hold the next one up for ever.
    let back = NOW.minus_millis(3_600_000);
    assert_eq!(peer.offer(incarnation(4, 0), 1, None, &one, None, back), Ok(0));
}

#[test]
fn an_incarnation_that_resumes_more_than_is_held_is_refused() {
    let mut peer = Peer::new();
    let late = NOW.plus_millis(INCARNATION_EVERY_MS);
    let held = peer.stream.standing.unwrap();
    let next = incarnation(3, 0);
    let expected = |through, hash| {
        let mut standing = held;
        *standing.lanes.of_mut(LANE) = Position { through, hash };
        Some(standing)
    };
    let one = [event(4)];
    let more = expected(4, RunningHash([1; 32]));
    assert_eq!(peer.offer(next, 1, None, &one, more, late), Err(Outcome::Behind));
    let other = expected(3, RunningHash([1; 32]));
    assert_eq!(peer.offer(next, 1, None, &one, other, late), Err(Outcome::Behind));
    let less = expected(2, RunningHash([1; 32]));
    assert_eq!(peer.offer(next, 1, None, &one, less, late), Ok(0));
    let mut empty = Peer { stream: InboundStream::default() };
    assert_eq!(empty.offer(next, 1, None, &one, less, late), Err(Outcome::Behind));
    assert_eq!(empty.offer(next, 5, None, &one, None, late), Err(Outcome::Gap));
    assert_eq!(empty.offer(next, 1, None, &[], None, late), Err(Outcome::Accepted));
    assert_eq!(empty.stream, InboundStream::default());
}
