//! What waits, without a database.

use std::sync::Arc;

use super::*;
use crate::commit::plan::{Head, Known};
use foldhash::HashSet;

const AT: Timestamp = Timestamp(1_800_000_000_000);

fn id(n: usize) -> Uuid {
    Uuid::from_u128(n as u128)
}

/// Decides for one message to `to`, whose inboxes have `held` messages each if they have to be read,
/// and lets it wait as far as it may. Gives the inboxes that are written at once.
fn send(fanouts: &Arc<Fanouts>, message: i64, to: &[Uuid], held: u64) -> Vec<Uuid> {
    let mut deferral = choose(Some(fanouts), [(to, true)].into_iter(), core::iter::empty());
    let mut known = Known::default();
    for account in deferral.unknown() {
        known.inboxes.insert(account, Head { last: held, stored: true });
        known.loads.insert(account, Load { entries: held, bytes: held });
        known.accounts.insert(account);
    }
    deferral.complete(Some(fanouts), &mut known);
    let (waiting, written): (Vec<Uuid>, Vec<Uuid>) =
        to.iter().partition(|account| deferral.is_deferred(account));
    let entry = |account: &Uuid| (*account, Cursor(known.inboxes[account].last + 1));
    let entries = waiting.iter().map(entry).collect();
    fanouts.stage(vec![NewFanout { message, arrived_at: AT, size: 1, entries }]);
    fanouts.committed();
    written
}

fn arrivals(fanouts: &Fanouts, account: Uuid) -> Vec<(u64, i64)> {
    fanouts.waiting_in(account).iter().map(|one| (one.cursor.0, one.message)).collect()
}

#[test]
fn what_is_rolled_back_does_not_wait() {
    let fanouts = Arc::new(Fanouts::new(1));
    let to = [id(1), id(2)];
    assert!(send(&fanouts, 7, &to, 3).is_empty());
    let lost = NewFanout { message: 8, arrived_at: AT, size: 1, entries: vec![(id(1), Cursor(5))] };
    fanouts.stage(vec![lost]);
    fanouts.rolled_back();
    fanouts.committed();
    assert!(send(&fanouts, 9, &to, 0).is_empty());
    assert_eq!(arrivals(&fanouts, id(1)), [(4, 7), (5, 9)]);
    assert_eq!(fanouts.waiting(), 4);
}

#[test]
fn a_message_to_few_and_one_beside_other_writes_have_rows_at_once() {
    let fanouts = Arc::new(Fanouts::new(3));
    let many: Vec<Uuid> = (0..5).map(id).collect();
    assert_eq!(send(&fanouts, 1, &many[..2], 0), many[..2]);
    let all = [(&many[..], true), (&many[..1], false)];
    let deferral = choose(Some(&fanouts), all.into_iter(), core::iter::once(id(4)));
    assert_eq!(deferral.written, [id(0), id(4)]);
    let unknown: HashSet<Uuid> = deferral.unknown().into_iter().collect();
    assert_eq!(unknown, many.iter().copied().collect());
}

#[test]
fn a_full_inbox_and_one_where_much_waits_are_written() {
    let fanouts = Arc::new(Fanouts::new(1));
    let high = posthouse_protocol::limits::MAX_INBOX_ENTRIES;
    assert_eq!(send(&fanouts, 1, &[id(1)], high), [id(1)], "its load is counted anew");
    for message in 0..MOST_IN_AN_INBOX {
        assert!(send(&fanouts, i64::try_from(message).unwrap(), &[id(2)], 0).is_empty());
    }
    assert_eq!(send(&fanouts, 9_999, &[id(2)], 0), [id(2)]);
    assert_eq!(fanouts.waiting(), MOST_IN_AN_INBOX);
}

#[test]
fn no_more_wait_than_memory_is_meant_for() {
    let fanouts = Arc::new(Fanouts::new(1));
    let many: Vec<Uuid> = (0..1_000).map(id).collect();
    let mut message = 0;
    while send(&fanouts, message, &many, 0).is_empty() {
        message += 1;
    }
    assert_eq!(fanouts.waiting(), MOST_WAITING / 1_000 * 1_000);
}

#[test]
fn inboxes_where_nothing_waits_are_forgotten_when_they_are_many() {
    let fanouts = Arc::new(Fanouts::new(1));
    let mut index = fanouts.index();
    for n in 0..=MOST_KNOWN {
        let tail = Tail { head: 0, load: Load::default(), waiting: Vec::new() };
        index.tails.insert(id(1_000 + n), tail);
    }
    drop(index);
    assert!(send(&fanouts, 1, &[id(1)], 0).is_empty());
    assert!(send(&fanouts, 2, &[id(2)], 0).is_empty());
    assert_eq!(fanouts.index().tails.len(), 2);
    assert_eq!(arrivals(&fanouts, id(1)), [(1, 1)]);
}
