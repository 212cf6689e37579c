//! Profiles and reports.

use posthouse_protocol::rest::ReportReason;

use super::{
    Store, Subject,
    world::{Person, START, World},
};
use crate::{
    erasure::{Erasure, Next, SETTLE_MS},
    people::Added,
    profiles::{Profile, Profiles},
    reports::{Report, Reports},
};

fn profile(version: u64, name: &str) -> Profile {
    Profile {
        version,
        name: Some(name.to_owned()),
        about: None,
        avatar: Some("picture".repeat(100)),
        updated_at: START.plus_millis(version),
    }
}

/// A profile replaces the version that its writer knew, and no other.
pub async fn a_profile_replaces_the_version_before<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await.uuid(), world.person("bob").await.uuid());
    let store = &world.store;
    assert_eq!(store.profile(alice).await.unwrap(), None);
    assert!(!store.put_profile(alice, &profile(2, "second")).await.unwrap(), "there is no first");
    assert!(store.put_profile(alice, &profile(1, "first")).await.unwrap());
    assert!(!store.put_profile(alice, &profile(1, "other")).await.unwrap());
    assert!(!store.put_profile(world.id(), &profile(1, "nobody")).await.unwrap());
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..6 {
        let store = store.clone();
        writing.spawn(async move {
            store.put_profile(alice, &profile(2, &format!("by {n}"))).await.unwrap()
        });
    }
    assert_eq!(writing.join_all().await.into_iter().filter(|put| *put).count(), 1);
    let bare = Profile { name: None, avatar: None, ..profile(3, "") };
    assert!(store.put_profile(alice, &bare).await.unwrap());
    assert_eq!(store.profile(alice).await.unwrap(), Some(bare));
    assert_eq!(store.profile(bob).await.unwrap(), None);
    store.begin_erasure(alice, START).await.unwrap();
    assert_eq!(store.profile(alice).await.unwrap(), None, "it is gone at once");
    subject.close(world.store).await;
}

fn report<S: Store>(world: &World<S>, from: &Person, about: &Person, at: u64) -> Report {
    Report {
        id: world.id(),
        reporter: from.uuid(),
        reported: about.account.clone(),
        reason: ReportReason::Spam,
        comment: Some("look at this".to_owned()),
        evidence: "[]".to_owned(),
        at: START.plus_millis(at),
        resolved_at: None,
        note: None,
    }
}

/// Reports wait in the order of their times until they are resolved, and go with who filed them.
pub async fn reports_wait_for_the_operator<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let carol = world.person("carol").await;
    let store = &world.store;
    let of_alice: Vec<_> = (1..=3).map(|at| report(&world, &alice, &bob, at)).collect();
    for one in &of_alice {
        assert_eq!(store.file_report(one, 3).await.unwrap(), Added::Done);
    }
    let fourth = report(&world, &alice, &bob, 4);
    assert_eq!(store.file_report(&fourth, 3).await.unwrap(), Added::TooMany);
    let of_bob = report(&world, &bob, &carol, 2);
    assert_eq!(store.file_report(&of_bob, 3).await.unwrap(), Added::Done, "Bob's own bound");
    let nobody = Report { id: world.id(), reporter: world.id(), ..of_bob.clone() };
    assert_eq!(store.file_report(&nobody, 3).await.unwrap(), Added::NoAccount);

    let first = store.waiting_reports(None, 2).await.unwrap();
    assert_eq!(first[0], of_alice[0]);
    let place = first.last().map(|last| (last.at, last.id));
    let rest = store.waiting_reports(place, 10).await.unwrap();
    assert_eq!(first.len() + rest.len(), 4);
    assert_eq!(rest.last(), Some(&of_alice[2]));
    let done = START.plus_millis(50);
    assert!(store.resolve_report(of_alice[0].id, Some("warned"), done).await.unwrap());
    assert!(!store.resolve_report(of_alice[0].id, None, done).await.unwrap());
    let resolved = store.report(of_alice[0].id).await.unwrap().unwrap();
    assert_eq!((resolved.resolved_at, resolved.note.as_deref()), (Some(done), Some("warned")));
    assert_eq!(store.file_report(&fourth, 3).await.unwrap(), Added::Done, "there is room again");
    assert_eq!(store.forget_reports(done, 10).await.unwrap(), 0);
    assert_eq!(store.forget_reports(done.plus_millis(1), 10).await.unwrap(), 1);
    assert_eq!(store.report(of_alice[0].id).await.unwrap(), None);

    store.begin_erasure(bob.uuid(), START).await.unwrap();
    let now = START.plus_millis(SETTLE_MS);
    while store.erase_some(&bob.account, 10, now).await.unwrap().next != Next::Done {}
    let left = store.waiting_reports(None, 10).await.unwrap();
    assert!(!left.is_empty(), "those about Bob stay");
    assert!(left.iter().all(|one| one.reported == bob.account && one.reporter != bob.uuid()));
    subject.close(world.store).await;
}
