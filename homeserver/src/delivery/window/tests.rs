//! The window: examples, and properties of any order of acknowledgements.

use posthouse_protocol::id::ServerName;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn message(n: u64) -> Flying {
    let server = ServerName::parse("eu.example").unwrap();
    Flying {
        id: id(n),
        sender: AccountId { uuid: Uuid::from_u128(1), server },
        conversation: ConversationId([0; 16]),
        origin_number: n,
        is_group: false,
    }
}

fn id(n: u64) -> MessageId {
    MessageId(Uuid::from_u128(u128::from(n)))
}

#[test]
fn the_position_moves_over_a_contiguous_prefix_only() {
    let mut window = Window::new(Cursor(10));
    for n in 11..=13 {
        window.send(Cursor(n), message(n));
    }
    let second = window.acknowledge(&[id(12)], None);
    assert_eq!(second.position, None);
    assert_eq!(second.newly, vec![message(12)]);
    let first = window.acknowledge(&[id(11)], None);
    assert_eq!(first.position, Some(Cursor(12)));
    assert_eq!(first.passed, vec![(message(11), true), (message(12), true)]);
    assert_eq!(window.acknowledge(&[id(11)], None).unknown, vec![id(11)]);
}

#[test]
fn other_entries_are_passed_with_the_next_message_or_by_through() {
    let mut window = Window::new(Cursor(0));
    window.advance(Cursor(1));
    window.send(Cursor(2), message(2));
    window.advance(Cursor(3));
    assert_eq!(window.acknowledge(&[id(2)], None).position, Some(Cursor(2)));
    assert_eq!(window.acknowledge_through(Cursor(3)).position, Some(Cursor(3)));
}

#[test]
fn what_was_not_sent_cannot_be_acknowledged() {
    let mut window = Window::new(Cursor(5));
    window.send(Cursor(6), message(6));
    assert_eq!(window.acknowledge_through(Cursor(99)).position, Some(Cursor(6)));
    assert_eq!(window.acknowledge_through(Cursor(4)).position, None);
}

#[test]
fn skipped_messages_are_passed_unseen() {
    let mut window = Window::new(Cursor(0));
    window.skip(Cursor(1), message(1));
    window.send(Cursor(2), message(2));
    let progressed = window.acknowledge(&[id(2)], None);
    assert_eq!(progressed.passed, vec![(message(1), false), (message(2), true)]);
}

#[test]
fn skipped_messages_that_through_covers_are_passed_with_it() {
    let mut window = Window::new(Cursor(0));
    window.send(Cursor(1), message(1));
    window.skip(Cursor(2), message(2));
    let first = window.acknowledge_through(Cursor(2));
    assert_eq!(first.position, Some(Cursor(2)));
    assert_eq!(first.passed, vec![(message(1), true), (message(2), false)]);
    window.skip(Cursor(3), message(3));
    let second = window.acknowledge_through(Cursor(3));
    assert_eq!((second.position, second.passed), (Some(Cursor(3)), vec![(message(3), false)]));
}

#[test]
fn a_full_window_has_no_room() {
    let mut window = Window::new(Cursor(0));
    let all = limits::WINDOW as u64;
    for n in 1..=all {
        window.send(Cursor(n), message(n));
    }
    assert_eq!(window.room(), 0);
    window.acknowledge_through(Cursor(all));
    assert_eq!(window.room(), limits::WINDOW);
}

#[test]
fn many_skipped_messages_leave_room_and_the_newest_are_remembered() {
    let mut window = Window::new(Cursor(0));
    window.send(Cursor(1), message(1));
    let bound = limits::WINDOW as u64 * 8;
    for n in 2..=bound {
        window.skip(Cursor(n), message(n));
    }
    assert_eq!(window.room(), 0, "behind a message in flight they count");
    window.acknowledge(&[id(1)], None);
    assert_eq!(window.room(), limits::WINDOW - MAX_SKIPPED / 8);
    for n in bound + 1..=bound * 3 {
        window.skip(Cursor(n), message(n));
    }
    assert_eq!(window.room(), limits::WINDOW - MAX_SKIPPED / 8);
    let last = bound * 3 + 1;
    window.send(Cursor(last), message(last));
    let progressed = window.acknowledge(&[id(last)], None);
    assert_eq!(progressed.position, Some(Cursor(last)));
    assert_eq!(progressed.passed.len(), MAX_SKIPPED + 1);
    assert_eq!(progressed.passed.first(), Some(&(message(last - MAX_SKIPPED as u64), false)));
}

#[test]
fn many_ids_are_found_as_few_are() {
    let sender = |n| AccountId { uuid: Uuid::from_u128(n), ..message(0).sender };
    let mut window = Window::new(Cursor(0));
    for n in 1..=20 {
        window.send(Cursor(n), Flying { sender: sender(2), ..message(n) });
    }
    window.send(Cursor(21), message(5));
    let ids: Vec<_> = (1..=10).map(id).collect();
    let theirs = window.acknowledge(&ids, Some(&message(0).sender));
    assert_eq!(theirs.newly, [message(5)]);
    assert_eq!(theirs.unknown.len(), 9);
    let all = window.acknowledge(&ids, Some(&sender(2)));
    assert_eq!((all.newly.len(), all.position), (10, Some(Cursor(10))));
}

proptest! {
    /// Whatever is acknowledged in whatever order: the position never passes a message that the
    /// device does not hold, and every message is told as new exactly once.
    #[test]
    fn nothing_unacknowledged_is_passed(order in prop::collection::vec(1_u64..60, 0..200), through in 0_u64..80) {
        let mut window = Window::new(Cursor(0));
        for n in 1..60 {
            if n % 7 == 0 { window.skip(Cursor(n), message(n)) } else { window.send(Cursor(n), message(n)) }
        }
        let (mut held, mut told, mut position) = (std::collections::HashSet::new(), 0, Cursor(0));
        let mut check = |progressed: Progressed, held: &std::collections::HashSet<u64>| {
            told += progressed.newly.len();
            if let Some(moved) = progressed.position {
                assert!(moved > position);
                position = moved;
            }
            for n in (1..=position.0).filter(|n| n % 7 != 0) {
                assert!(held.contains(&n), "passed {n}");
            }
            assert!(progressed.passed.iter().all(|(m, seen)| *seen == (m.origin_number % 7 != 0)));
        };
        for n in order {
            if n % 7 != 0 { held.insert(n); }
            check(window.acknowledge(&[id(n)], None), &held);
        }
        held.extend((1..=through.min(59)).filter(|n| n % 7 != 0));
        check(window.acknowledge_through(Cursor(through)), &held);
        prop_assert_eq!(told, held.len());
    }
}
