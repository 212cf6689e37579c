//! What is kept of other regions' events besides their effects, and how long.

use posthouse_protocol::{
    federation::{
        receipt::RejectionReason,
        record::{Void, VoidReason},
        stream::Lane,
    },
    limits::{ID_MEMORY_MS, MAX_INBOX_BYTES, RETENTION_MS},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Store, Subject,
    abroad::{Envelope, Region, received, rejected},
    world::{START, World},
};
use crate::{
    bodies::Bodies,
    inbox::StoredMessage,
    ledger::{Accept, Ledger, Outcome, Refusal},
    reception::{MAX_VOIDS, Received, Receptions, Rejected, Taken},
    retention::{Cutoffs, Trimmed},
};

/// The newest first; older ones than so many are gone.
pub async fn voids_are_listed<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (mut us, mut ap) = (Region::new("us.example"), Region::new("ap.example"));
    assert_eq!(world.store.voids(&us.name, 9).await.unwrap(), []);
    let void = |from, reason| Void { from, to: from + 2, reason };
    let reasons = [VoidReason::NotKept, VoidReason::Refused, VoidReason::Other(77)];
    for (n, reason) in reasons.into_iter().enumerate() {
        let voids = vec![void(n as u64 * 10 + 1, reason), void(n as u64 * 10 + 4, reason)];
        us.take_at(&world, &Envelope { voids, ..Envelope::default() }, Timestamp(n as u64)).await;
    }
    let listed = world.store.voids(&us.name, 9).await.unwrap();
    let of = |from, reason, at| (Lane::Messages, void(from, reason), Timestamp(at));
    let want = [
        of(24, reasons[2], 2),
        of(21, reasons[2], 2),
        of(14, reasons[1], 1),
        of(11, reasons[1], 1),
        of(4, reasons[0], 0),
        of(1, reasons[0], 0),
    ];
    assert_eq!(listed, want);
    assert_eq!(world.store.voids(&us.name, 2).await.unwrap(), want[..2]);
    let many = MAX_VOIDS as u64 + 1_500;
    for start in (1..=many).step_by(1_000) {
        let end = (start + 1_000).min(many + 1);
        let voids = (start..end).map(|n| Void { from: n, to: n, reason: VoidReason::NotKept });
        ap.take(&world, &Envelope { voids: voids.collect(), ..Envelope::default() }).await;
    }
    let listed = world.store.voids(&ap.name, 20_000).await.unwrap();
    assert_eq!(listed.len(), MAX_VOIDS);
    assert_eq!((listed[0].1.from, listed[MAX_VOIDS - 1].1.from), (many, 1_501));
    assert_eq!(world.store.voids(&us.name, 9).await.unwrap().len(), 6, "of each origin");
    subject.close(world.store).await;
}

/// What other regions sent goes with ids, by the clock of this region: theirs neither keeps anything
/// nor takes it away.
pub async fn verdicts_are_forgotten_with_ids<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let dated = |accepted_at| {
        let one = received(&world, &us.account(1), &alice, 1);
        Received { message: StoredMessage { accepted_at, ..one.message }, ..one }
    };
    let (ahead, past) = (dated(Timestamp(u64::MAX >> 1)), dated(Timestamp(1)));
    let refused: Vec<Rejected> = (0..5)
        .map(|_| Rejected { sender: None, id: world.id(), reason: RejectionReason::Refused })
        .collect();
    let void = |from| Void { from, to: from, reason: VoidReason::NotKept };
    let envelope = Envelope {
        messages: vec![ahead.clone(), past.clone()],
        rejected: refused.clone(),
        voids: (1..=5).map(void).collect(),
        ..Envelope::default()
    };
    us.take(&world, &envelope).await;
    let own = world.message(&alice, &bob, START);
    world.accept(&own).await;
    let end = START.plus_millis(RETENTION_MS + ID_MEMORY_MS);
    let young = Envelope {
        rejected: vec![rejected(
            &received(&world, &us.account(1), &bob, 9),
            RejectionReason::Expired,
        )],
        voids: vec![void(6)],
        ..Envelope::default()
    };
    us.take_at(&world, &young, end).await;
    let events: Vec<(Option<Uuid>, Uuid)> = refused
        .iter()
        .map(|one| (one.sender, one.id))
        .chain(young.rejected.iter().map(|one| (one.sender, one.id)))
        .collect();
    let left = async || {
        let ids = [ahead.message.id, past.message.id, own.id];
        let messages = world.store.messages(&ids).await.unwrap().len();
        let rejections = world.store.rejections(&us.name, &events).await.unwrap().len();
        (messages, rejections, world.store.voids(&us.name, 99).await.unwrap().len())
    };
    trim(&world, end).await;
    assert_eq!(left().await, (3, 6, 6), "one ms too early");
    trim(&world, end.plus_millis(1)).await;
    assert_eq!(left().await, (0, 1, 1));
    subject.close(world.store).await;
}

/// Trims in small rounds until nothing more goes.
async fn trim<S: Store>(world: &World<S>, now: Timestamp) {
    for _ in 0..100 {
        if !world.store.trim(&Cutoffs::at(now), 2).await.unwrap().more {
            // Ids of messages whose entries went in this pass go in the next one.
            let all = world.store.trim(&Cutoffs::at(now), 100).await.unwrap();
            assert_eq!(Trimmed { messages: 0, ..all }, Trimmed::default());
            return;
        }
    }
    panic!("trimming never ends");
}

/// As with local senders, but it is the origin that tells its sender.
pub async fn a_full_inbox_rejects_what_comes_from_abroad<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut us = Region::new("us.example");
    let sized =
        |number, size| Received { size, ..received(&world, &us.account(1), &alice, number) };
    let (large, small) = (sized(1, MAX_INBOX_BYTES - 50), sized(2, 50));
    let (over, also) = (sized(3, 1), sized(4, 7));
    // What waits for two goes to the one whose inbox has room.
    let recipients = vec![alice.uuid(), bob.uuid()];
    let both = Received { recipients, ..sized(5, 9) };
    let full = |one: &Received| rejected(one, RejectionReason::QueueFull);
    let envelope = Envelope::of([large.clone(), small.clone(), over.clone(), both.clone()]);
    let next = us.next();
    let Taken::Done { arrivals, rejected: told, .. } =
        us.offer_at(&world, &envelope, (&next, START)).await
    else {
        panic!("the stream is as expected")
    };
    us.stream = next;
    assert_eq!(arrivals.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert_eq!(told, [full(&over)]);
    assert_eq!(world.inbox_ids(&bob).await, [both.message.id]);
    let name = |one: &Received| (Some(one.message.sender.uuid), one.message.id.0);
    let told = world.store.rejections(&us.name, &[name(&over), name(&small)]).await.unwrap();
    assert_eq!(told, [(0, RejectionReason::QueueFull)]);
    assert_eq!(world.store.get(&[over.message.body]).await.unwrap(), [None]);
    // Local senders see the same inbox.
    let own = Accept { size: 1, ..world.message(&bob, &alice, START) };
    assert_eq!(world.commit(&own).await, Outcome::Refused(Refusal::QueueFull));
    // The verdict stands when there is room again, and also in another incarnation.
    let later = START.plus_millis(RETENTION_MS + 1);
    while world.store.trim(&Cutoffs::at(later), 100).await.unwrap().more {}
    let next = us.reopened(later);
    let again = Envelope::of([over.clone(), also.clone()]);
    let Taken::Done { arrivals, rejected: told, .. } =
        us.offer_at(&world, &again, (&next, later)).await
    else {
        panic!("the stream is as expected")
    };
    assert_eq!((arrivals[0].len(), arrivals[1].len()), (0, 1));
    assert_eq!(told, [full(&over)]);
    assert_eq!(world.inbox_ids(&alice).await, [also.message.id]);
    subject.close(world.store).await;
}

/// Nobody is told both.
pub async fn a_taken_event_is_not_rejected_later<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let one = received(&world, &us.account(1), &alice, 1);
    let both = received(&world, &us.account(1), &alice, 2);
    us.take(&world, &Envelope::of([one.clone()])).await;
    let refusals = |all: [&Received; 2]| all.map(|one| rejected(one, RejectionReason::Refused));
    let envelope = Envelope {
        messages: vec![both.clone()],
        rejected: refusals([&one, &both]).to_vec(),
        ..Envelope::default()
    };
    let (arrivals, _) = us.take(&world, &envelope).await;
    assert_eq!(arrivals[0].len(), 1);
    let events = [&one, &both].map(|one| (Some(one.message.sender.uuid), one.message.id.0));
    assert_eq!(world.store.rejections(&us.name, &events).await.unwrap(), []);
    assert_eq!(world.inbox_ids(&alice).await, [one.message.id, both.message.id]);
    subject.close(world.store).await;
}
