//! The sender alone, against answers made by hand. What many faults do together is the simulator's.

use bytes::Bytes;
use posthouse_protocol::federation::stream::{Incarnation, Position};
use rand::{SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::*;
use crate::engine::{backoff, outbound::INCARNATION_EVERY_MS};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LANE: Lane = Lane::Messages;

struct Bench {
    sender: StreamSender,
    log: Vec<LogEntry>,
    rng: StdRng,
    now: Timestamp,
}

impl Bench {
    fn new(events: u64) -> Self {
        let (origin, destination) =
            (ServerName::parse("north.test").unwrap(), ServerName::parse("south.test").unwrap());
        let stream = OutboundStream::new(&origin, &destination, [1; 16], NOW);
        let log = (1..=events).map(|index| LogEntry {
            index,
            item: LogItem::Event {
                id: Uuid::from_u128(index.into()),
                sender: None,
                event: Bytes::new(),
            },
        });
        Self {
            sender: StreamSender::new(origin, destination, stream, NOW),
            log: log.collect(),
            rng: StdRng::seed_from_u64(1),
            now: NOW,
        }
    }

    /// Feeds one input, plays the store, and gives what is left to do.
    fn feed(&mut self, input: Input) -> Vec<Action> {
        let mut left = Vec::new();
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in self.sender.handle(input, self.now, &mut self.rng) {
                match action {
                    Action::Load { lane, after, limit, .. } => {
                        let mine = self.log.iter().filter(|e| lane == LANE && e.index > after);
                        let entries = mine.take(limit).cloned().collect();
                        let last = self.log.last().map_or(0, |entry| entry.index);
                        let end = if lane == LANE { last } else { 0 };
                        inputs.push(Input::Loaded { lane, after, entries, end });
                    }
                    Action::Settle { lane, .. } | Action::Rewind { lane, .. } => {
                        inputs.push(Input::Stored(lane));
                        left.push(action);
                    }
                    Action::Refuse { lane, index } => {
                        self.log[usize::try_from(index).unwrap() - 1].item = LogItem::Refused;
                        inputs.push(Input::Stored(lane));
                        left.push(action);
                    }
                    Action::Open(_) => {
                        inputs.push(Input::Opened);
                        left.push(action);
                    }
                    other => left.push(other),
                }
            }
        }
        left
    }

    fn answer(&mut self, sent: &Outgoing, answer: Answer) -> Vec<Action> {
        self.feed(Input::Answered { lane: sent.place.lane, attempt: sent.attempt, answer })
    }

    /// A receipt for everything up to the end of an envelope.
    fn accepted(&self, sent: &Outgoing) -> Answer {
        let mut position = Position { through: sent.place.first - 1, hash: sent.place.before };
        for (sequence, entry) in sent.sequenced() {
            position = Position { through: sequence, hash: entry.follow(position.hash, sequence) };
        }
        self.receipt(Outcome::Accepted, sent.place.incarnation, position)
    }

    fn receipt(&self, outcome: Outcome, life: Incarnation, position: Position) -> Answer {
        let ends = (&self.sender.origin, &self.sender.destination);
        let mut standing = Standing::start(ends.0, ends.1, life);
        *standing.lanes.of_mut(LANE) = position;
        Answer::Receipt(Box::new(Signed::simulated(outcome, Some(standing), Vec::new())))
    }
}

fn sent(actions: &[Action]) -> Outgoing {
    let sent = actions.iter().find_map(|action| match action {
        Action::Send(outgoing) => Some(outgoing.as_ref().clone()),
        _ => None,
    });
    sent.unwrap_or_else(|| panic!("nothing was sent: {actions:?}"))
}

#[test]
fn what_waits_goes_as_one_envelope_and_is_settled_by_its_receipt() {
    let mut bench = Bench::new(3);
    let one = sent(&bench.feed(Input::Tick));
    assert_eq!((one.place.first, one.place.count), (1, 3));
    let accepted = bench.accepted(&one);
    let after = bench.answer(&one, accepted.clone());
    assert!(matches!(after[..], [Action::Settle { to: Mark { index: 3, .. }, .. }]), "{after:?}");
    assert!(bench.sender.is_idle());
    assert!(bench.answer(&one, accepted).is_empty(), "an answer counts once");
}

#[test]
fn a_poison_event_is_found_by_halving_and_blocks_nothing() {
    let mut bench = Bench::new(9);
    let poison = Uuid::from_u128(6);
    let mut refused = None;
    let mut actions = bench.feed(Input::Tick);
    for _ in 0..40 {
        if let Some(Action::Refuse { index, .. }) =
            actions.iter().find(|action| matches!(action, Action::Refuse { .. }))
        {
            refused = Some(*index);
        }
        let Some(Action::Send(out)) =
            actions.iter().find(|action| matches!(action, Action::Send(_))).cloned()
        else {
            break;
        };
        let bad = out
            .entries
            .iter()
            .any(|entry| matches!(entry.item, LogItem::Event { id, .. } if id == poison));
        let answer = if bad { Answer::Refused } else { bench.accepted(&out) };
        actions = bench.answer(&out, answer);
    }
    assert_eq!(refused, Some(6));
    assert_eq!(bench.sender.stream().lanes.of(LANE).receipted.index, 9);
    assert!(bench.sender.is_idle());
}

#[test]
fn a_peer_that_refuses_the_void_of_a_refused_event_is_not_asked_again_at_once() {
    let mut bench = Bench::new(1);
    let event = sent(&bench.feed(Input::Tick));
    let void = sent(&bench.answer(&event, Answer::Refused));
    assert!(void.entries.iter().all(|entry| entry.item == LogItem::Refused));
    let told = bench.answer(&void, Answer::Refused);
    assert_eq!(told, [Action::Unreachable { since: NOW }, Action::Alarm(Alarm::VoidRefused)]);
    assert!(bench.sender.next_tick(bench.now) > NOW, "it waits");
    bench.now = bench.sender.next_tick(bench.now);
    let again = sent(&bench.feed(Input::Tick));
    assert_eq!(again.entries, void.entries);
    let told = bench.answer(&again, Answer::Refused);
    assert_eq!(told, [], "told once");
    bench.now = bench.sender.next_tick(bench.now);
    let again = sent(&bench.feed(Input::Tick));
    let accepted = bench.accepted(&again);
    assert!(bench.answer(&again, accepted).contains(&Action::Reachable));
    assert!(bench.sender.is_idle());
}

#[test]
fn a_failing_peer_gets_one_try_at_a_time_and_tells_once() {
    let mut bench = Bench::new(1);
    let one = sent(&bench.feed(Input::Tick));
    let failed = Answer::Failed { retry_after_ms: Some(60_000) };
    let told = bench.answer(&one, failed.clone());
    assert_eq!(told, [Action::Unreachable { since: NOW }]);
    assert!(bench.feed(Input::Wake(LANE)).is_empty());
    let at = bench.sender.next_tick(bench.now);
    assert_eq!(at, NOW.plus_millis(60_000));
    bench.now = at;
    let two = sent(&bench.feed(Input::Tick));
    assert!(bench.answer(&two, failed).is_empty());
    bench.now = at.plus_millis(backoff::RESET_EVERY_MS);
    let three = sent(&bench.feed(Input::SignOfLife));
    let accepted = bench.accepted(&three);
    let after = bench.answer(&three, accepted);
    assert!(after.contains(&Action::Reachable));
}

#[test]
fn receipts_that_move_nothing_are_answered_ever_more_slowly() {
    let mut bench = Bench::new(1);
    let mut out = sent(&bench.feed(Input::Tick));
    let start = Position { through: 0, hash: out.place.before };
    let mut told = Vec::new();
    for _ in 0..100 {
        let same = bench.receipt(Outcome::Accepted, out.place.incarnation, start);
        told.extend(bench.answer(&out, same));
        bench.now = bench.sender.next_tick(bench.now);
        out = sent(&bench.feed(Input::Tick));
    }
    assert_eq!(told, [Action::Unreachable { since: NOW }], "told once, and never that it answers");
    let passed = bench.now.0 - NOW.0;
    assert!(passed > 300_000, "100 attempts in {passed} ms");
    let accepted = bench.accepted(&out);
    assert!(bench.answer(&out, accepted).contains(&Action::Reachable));
}

#[test]
fn a_peer_that_shows_itself_is_asked_although_nothing_waits() {
    let mut bench = Bench::new(1);
    let event = sent(&bench.feed(Input::Tick));
    let accepted = bench.accepted(&event);
    bench.answer(&event, accepted.clone());
    bench.now = bench.sender.next_tick(bench.now);
    let question = sent(&bench.feed(Input::Tick));
    assert!(question.entries.is_empty());
    let failed = Answer::Failed { retry_after_ms: Some(60_000) };
    let told = bench.answer(&question, failed.clone());
    assert_eq!(told, [Action::Unreachable { since: bench.now }]);
    // It is asked again, at the pace at which something that waits would be sent.
    let at = bench.now.plus_millis(60_000);
    assert_eq!(bench.sender.next_tick(bench.now), at);
    bench.now = at;
    let question = sent(&bench.feed(Input::Tick));
    assert!(question.entries.is_empty());
    bench.answer(&question, failed);
    bench.now = bench.now.plus_millis(1_000);
    let question = sent(&bench.feed(Input::SignOfLife));
    assert!(question.entries.is_empty());
    assert!(bench.answer(&question, accepted).contains(&Action::Reachable));
    assert!(bench.feed(Input::Tick).is_empty(), "nothing is left to ask");
}

#[test]
fn an_incarnation_that_came_too_soon_comes_again_shortly() {
    let mut bench = Bench::new(1);
    let one = sent(&bench.feed(Input::Tick));
    let start = Position { through: 0, hash: one.place.before };
    let soon = bench.receipt(Outcome::TooSoon, one.place.incarnation, start);
    let told = bench.answer(&one, soon);
    assert!(told.is_empty(), "no failure, and nothing for the operator: {told:?}");
    assert!(bench.feed(Input::Wake(LANE)).is_empty(), "not at once");
    bench.now = bench.sender.next_tick(bench.now);
    assert_eq!(bench.now, NOW.plus_millis(TOO_SOON_MS));
    let again = sent(&bench.feed(Input::Tick));
    assert_eq!(again.place, one.place);
}

#[test]
fn a_restored_peer_is_led_on_from_where_it_stands() {
    let mut bench = Bench::new(5);
    let one = sent(&bench.feed(Input::Tick));
    let accepted = bench.accepted(&one);
    bench.answer(&one, accepted);
    // It comes back with the first two only, and the sender asks after a while.
    let life = one.place.incarnation;
    let two = one
        .entries
        .iter()
        .take(2)
        .fold(one.place.before, |hash, entry| entry.follow(hash, entry.index));
    bench.now = bench.sender.next_tick(bench.now);
    let probe = sent(&bench.feed(Input::Tick));
    assert_eq!((probe.place.count, probe.entries.len()), (0, 0));
    let position = Position { through: 2, hash: two };
    let answer = bench.receipt(Outcome::Gap, life, position);
    let after = bench.answer(&probe, answer);
    assert!(after.contains(&Action::Alarm(Alarm::TheyWereRestored)), "{after:?}");
    let again = sent(&after);
    assert_eq!((again.place.first, again.place.count, again.place.before), (3, 3, two));
}

/// Two copies of the destination, of which one took a void where the other had the event: what is
/// gone here may be nowhere, so it is named.
#[test]
fn a_twin_of_the_peer_is_told_what_is_gone() {
    let mut bench = Bench::new(5);
    let one = sent(&bench.feed(Input::Tick));
    let accepted = bench.accepted(&one);
    bench.answer(&one, accepted);
    let gone: Vec<LogEntry> = bench.log.drain(..2).collect();
    let forgotten = bench.feed(Input::Overdue { lane: LANE, entries: gone });
    assert!(matches!(forgotten[..], [Action::Forget { .. }]), "{forgotten:?}");

    bench.now = bench.sender.next_tick(bench.now);
    let probe = sent(&bench.feed(Input::Tick));
    let voided = one.place.before.void(1, 2);
    let hash = one.entries.get(2).unwrap().follow(voided, 3);
    let twin = bench.receipt(Outcome::Gap, one.place.incarnation, Position { through: 3, hash });
    let after = bench.answer(&probe, twin);
    assert!(after.contains(&Action::Alarm(Alarm::Diverged)), "{after:?}");
    let next = sent(&after);
    assert_eq!((next.place.incarnation.number, next.place.resumes), (2, None));
    assert_eq!((next.place.first, next.place.count), (1, 5));
    assert_eq!(next.void, Some(Void { from: 1, to: 2, reason: VoidReason::NotKept }));
}

#[test]
fn a_peer_that_is_ahead_makes_us_open_the_next_incarnation() {
    let mut bench = Bench::new(2);
    let one = sent(&bench.feed(Input::Tick));
    let ahead = Position { through: 7, ..Position::default() };
    let answer = bench.receipt(Outcome::Accepted, one.place.incarnation, ahead);
    let after = bench.answer(&one, answer);
    assert_eq!(after, [Action::Alarm(Alarm::WeWereRestored)], "not more than one a minute");
    bench.now = bench.sender.next_tick(bench.now);
    assert_eq!(bench.now, NOW.plus_millis(INCARNATION_EVERY_MS));
    let after = bench.feed(Input::Tick);
    let next = sent(&after);
    assert_eq!((next.place.incarnation.number, next.place.first, next.place.count), (2, 1, 2));
}

#[test]
fn an_identity_with_two_holders_is_an_alarm() {
    let mut bench = Bench::new(1);
    let one = sent(&bench.feed(Input::Tick));
    let twin = Incarnation { number: 1, random: [9; 16] };
    let answer = bench.receipt(Outcome::Conflict, twin, Position::default());
    let after = bench.answer(&one, answer);
    assert!(after.contains(&Action::Alarm(Alarm::TwoServers)));
}

#[test]
fn no_incarnation_follows_the_last_one() {
    let mut bench = Bench::new(1);
    let one = sent(&bench.feed(Input::Tick));
    let last = Incarnation { number: u64::MAX, random: [9; 16] };
    let answer = bench.receipt(Outcome::Stale, last, Position::default());
    bench.answer(&one, answer);
    bench.now = NOW.plus_millis(INCARNATION_EVERY_MS);
    let after = bench.feed(Input::Tick);
    assert!(after.contains(&Action::Alarm(Alarm::NoIncarnationLeft)), "{after:?}");
    assert!(!after.iter().any(|action| matches!(action, Action::Open(_))));
}
