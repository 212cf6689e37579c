//! Watching across regions, without regions.

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn elsewhere(number: u128) -> AccountId {
    AccountId { uuid: Uuid::from_u128(number), server: ServerName::parse("south.test").unwrap() }
}

fn frame(of: &AccountId) -> PresenceFrame {
    let status = Presence::Online;
    PresenceFrame { user_id: of.clone(), status, last_seen: None, expires_in: None }
}

/// A watch that nobody renews ends, and only changes are told.
#[test]
fn a_lease_ends_by_itself_and_tells_changes_only() {
    let mut remote = Remote::default();
    let (target, watcher) = (Uuid::from_u128(1), elsewhere(2));
    let until = NOW.plus_millis(1_000);
    remote.lease((target, &watcher), until, (Attendance::Offline, LastSeen::Hour));
    assert!(remote.is_watched(target));
    assert_eq!(remote.tellable(target, Attendance::Offline, NOW), []);
    let told = remote.tellable(target, Attendance::Online, NOW);
    assert_eq!(told, [(watcher.clone(), LastSeen::Hour)]);
    assert_eq!(remote.tellable(target, Attendance::Online, NOW), []);
    assert_eq!(remote.tellable(target, Attendance::Away, until), [], "it is over");
    remote.expire(until);
    assert!(!remote.is_watched(target));
    assert_eq!(remote.leases, 0);
}

#[test]
fn the_watchers_of_one_person_are_bounded() {
    let mut remote = Remote::default();
    for number in 0..2_000 {
        let lease = (Uuid::from_u128(1), &elsewhere(number));
        remote.lease(lease, NOW, (Attendance::Offline, LastSeen::Exact));
    }
    assert_eq!(remote.watchers(Uuid::from_u128(1)).count(), MAX_LEASES_OF_ONE);
    assert_eq!(remote.leases, MAX_LEASES_OF_ONE);
    remote.end(Uuid::from_u128(1), &elsewhere(0));
    assert_eq!(remote.leases, MAX_LEASES_OF_ONE - 1);
}

/// Whoever is watched already takes no second place.
#[test]
fn only_new_ones_count() {
    let mut remote = Remote::default();
    let mailbox = Arc::new(Mailbox::new());
    let key = Key::of(&mailbox);
    let (one, other) = (elsewhere(1), elsewhere(2));
    remote.watch((key, &mailbox), (Uuid::from_u128(9), &one), NOW);
    assert_eq!(remote.new_to_socket(key, &[one.clone(), other]), 1);
    remote.unwatch(key, &one);
    assert_eq!((remote.of_socket(key), remote.new_to_socket(key, &[one])), (0, 1));
}

/// Who asked is answered; what nobody asked for goes nowhere.
#[tokio::test]
async fn an_answer_is_for_who_asked() {
    let mut remote = Remote::default();
    let (ada, ben) = (Uuid::from_u128(1), elsewhere(2));
    remote.told(ada, &frame(&ben));
    let asked = remote.ask(ada, &ben).unwrap();
    remote.told(Uuid::from_u128(9), &frame(&ben));
    remote.told(ada, &frame(&elsewhere(3)));
    remote.told(ada, &frame(&ben));
    assert_eq!(asked.await.unwrap(), frame(&ben));
    assert!(remote.asked.is_empty());
}

/// Who waited for a region that was away asks again at once when it answers; others do not.
#[test]
fn who_is_watched_in_a_region_is_asked_for_when_it_answers() {
    let mut remote = Remote::default();
    let mailbox = Arc::new(Mailbox::new());
    let (ada, ben) = (Uuid::from_u128(1), elsewhere(2));
    let far = AccountId { uuid: ben.uuid, server: ServerName::parse("west.test").unwrap() };
    for target in [&ben, &far] {
        remote.watch((Key::of(&mailbox), &mailbox), (ada, target), NOW);
    }
    let late = NOW.plus_millis(100_000);
    assert_eq!(remote.due(late, 10).len(), 2);
    assert_eq!(remote.due(late, 10), []);
    let _asked = remote.ask(ada, &far).unwrap();
    drop(remote.ask(Uuid::from_u128(3), &ben).unwrap());
    assert_eq!(remote.met(&ben.server, late, 10), [], "nobody waits for an answer");
    assert_eq!(remote.due(late, 10), [(ada, ben)]);
    assert_eq!(remote.met(&far.server, late, 10), [(ada, far.clone())]);
    assert_eq!(remote.due(late, 10), [(ada, far)]);
}
