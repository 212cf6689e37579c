//! What fails on its way to another region, and what is accepted around it.

use posthouse_protocol::{
    federation::stream::Lane, id::MessageId, limits::RETENTION_MS, status::FailReason,
};

use super::{
    Subject,
    outbox::lane::{Abroad, REGION, lease, mark, number},
    world::{START, World, name},
};
use crate::{
    bodies::Bodies,
    ledger::{Accept, Destination, Ledger},
    outbox::{Outbox, OutboxItem, Settled},
    retention::Cutoffs,
};

/// Whatever failed, now or before, in whatever way, is never covered.
pub async fn accepted_watermarks_leave_out_what_failed<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    abroad.send(&alice, 8).await;
    abroad.load(Lane::Messages, 0).await;
    abroad.refuse(2).await;
    // The last one of a receipt fails: the next receipt must not cover it.
    let settled = abroad.settle(4, &[(4, FailReason::TooLarge)]).await;
    assert_eq!(settled.risen[0].watermark.except, [2, 4]);
    assert_eq!(settled.failed.len(), 1);
    // A receipt of nothing but a failure tells the failure alone.
    let settled = abroad.settle(5, &[(5, FailReason::Refused)]).await;
    assert_eq!((settled.risen, settled.failed.len()), (vec![], 1));
    let settled = abroad.settle(7, &[]).await;
    let risen = &settled.risen[0].watermark;
    assert_eq!((risen.through, &risen.except[..]), (7, &[2, 4, 5][..]));
    // Sent again to a destination that was restored, an accepted one may fail.
    abroad.rewind(5).await;
    let settled = abroad.settle(7, &[(6, FailReason::UnknownUser)]).await;
    assert_eq!(settled.failed.len(), 1);
    assert_eq!(abroad.statuses(&alice).await, [(7, vec![2, 4, 5, 6])]);
    assert_eq!(abroad.failures(&alice).await.len(), 4);
    subject.close(abroad.world.store).await;
}

/// A message to several accounts of a region has no status of its own; if it fails, it fails for
/// all of them.
pub async fn messages_to_several_fail_as_one<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    let mut sent = Vec::new();
    for _ in 0..2 {
        let recipients = vec![abroad.world.id(), abroad.world.id()];
        let destinations = vec![Destination { server: abroad.region.clone(), recipients }];
        let accept = abroad.world.message_abroad(&alice, &abroad.region, START);
        let accept = Accept { destinations, ..accept };
        abroad.world.accept(&accept).await;
        sent.push(accept.id);
    }
    abroad.load(Lane::Messages, 0).await;
    let settled = abroad.settle(2, &[(2, FailReason::Unsupported)]).await;
    assert_eq!(settled.risen, []);
    let failures = abroad.failures(&alice).await;
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].id, &failures[0].user), (sent[1], &None));
    assert_eq!(failures[0].reason, FailReason::Unsupported);
    subject.close(abroad.world.store).await;
}

/// Whichever way a message fails first, that is what its sender is told, once; later acceptance
/// changes nothing.
pub async fn a_failure_is_final<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    let mut sent = abroad.send(&alice, 3).await;
    let accept = abroad.world.message_abroad(&alice, &abroad.region, START);
    let accept = Accept { expires: Some(START.plus_millis(100)), ..accept };
    abroad.world.accept(&accept).await;
    sent.push(accept.id);
    sent.extend(abroad.send(&alice, 2).await);
    abroad.load(Lane::Messages, 0).await;

    assert_eq!(abroad.settle(1, &[(1, FailReason::Malformed)]).await.failed.len(), 1);
    assert_eq!(abroad.refuse(2).await.failed.len(), 1);
    assert_eq!(abroad.refuse(2).await, Settled::default());
    assert_eq!(abroad.expire(100).await, Settled::default(), "not before 100");
    assert_eq!(abroad.expire(101).await.failed.len(), 1);
    assert_eq!(abroad.expire(101).await, Settled::default());
    // Without an expiry, the end of retention counts.
    assert_eq!(abroad.expire(RETENTION_MS).await, Settled::default());
    assert_eq!(abroad.refuse(4).await, Settled::default(), "it has expired before");
    let settled = abroad.settle(5, &[(2, FailReason::TooLarge), (4, FailReason::TooLarge)]).await;
    assert_eq!(settled.failed, []);
    assert_eq!(settled.risen[0].watermark.except, [1, 2, 4]);
    assert_eq!(abroad.fail_all(9).await.failed.len(), 1, "the sixth alone still waited");
    assert_eq!(abroad.fail_all(9).await, Settled::default());
    assert_eq!(abroad.expire(2 * RETENTION_MS).await, Settled::default());

    let failures = abroad.failures(&alice).await;
    let told: Vec<(MessageId, FailReason)> =
        failures.iter().map(|failed| (failed.id, failed.reason)).collect();
    let want = [
        (sent[0], FailReason::Malformed),
        (sent[1], FailReason::Refused),
        (sent[3], FailReason::Expired),
        (sent[5], FailReason::NoSuchRegion),
    ];
    assert_eq!(told, want);
    let user = failures[0].user.as_ref().unwrap();
    assert_eq!((&user.server, user.uuid), (&abroad.region, uuid::Uuid::from_u128(7)));
    let loaded = abroad.load(Lane::Messages, 0).await;
    let gone: Vec<(bool, bool)> = loaded
        .entries
        .iter()
        .map(|entry| {
            (matches!(entry.item, OutboxItem::Failed), matches!(entry.item, OutboxItem::Refused))
        })
        .collect();
    let (kept, failed, refused) = ((false, false), (true, false), (false, true));
    assert_eq!(gone, [failed, refused, kept, refused, kept, failed]);
    assert_eq!(loaded.entries[0].id, sent[0].0, "its place and names stay");
    subject.close(abroad.world.store).await;
}

/// In small rounds, without a stream as well: a region that never existed never answered.
pub async fn everything_fails_in_small_rounds<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, region) = (world.person("alice").await, name(REGION));
    for _ in 0..5 {
        world.accept(&world.message_abroad(&alice, &region, START)).await;
    }
    let fence = lease(&world, 1, 0).await;
    let mut told = 0;
    for want in [2, 2, 1, 0] {
        let failure = (FailReason::NoSuchRegion, START);
        let settled = world.store.fail_all(&fence, &region, failure, 2).await.unwrap();
        assert_eq!(settled.failed.len(), want);
        for (arrival, _) in settled.failed {
            assert_eq!(arrival.previous.0, told);
            told += 1;
        }
    }
    assert_eq!(world.inbox(&alice).await.len(), 5);
    assert_eq!(world.store.unreceipted(&region, 9).await.unwrap(), []);
    assert_eq!(
        world.store.waiting(None, 9).await.unwrap(),
        [region],
        "their places are to be told"
    );
    subject.close(world.store).await;
}

/// An entry holds its message's body as long as it can be sent, and no longer.
pub async fn forgetting_and_failing_release_bodies<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let alice = abroad.world.person("alice").await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let accept = abroad.world.message_abroad(&alice, &abroad.region, START);
        abroad.world.accept(&accept).await;
        bodies.push(accept.body);
    }
    abroad.load(Lane::Messages, 0).await;
    abroad.settle(3, &[(2, FailReason::Refused)]).await;
    let trim = async || {
        let trimmed = abroad.world.store.trim(&Cutoffs::at(START), 100).await.unwrap();
        trimmed.unreferenced
    };
    assert_eq!(trim().await, [bodies[1]], "what failed is not sent again");
    abroad.forget(2).await;
    assert_eq!(trim().await, [bodies[0]]);
    assert_eq!(trim().await, [], "each is released once");
    assert_eq!(abroad.lane(Lane::Messages).await.floor, mark(2));
    assert_eq!(number(&abroad.load(Lane::Messages, 2).await), [3, 4]);
    let gone = &bodies[2..3];
    abroad.world.store.delete(gone).await.unwrap();
    let loaded = abroad.load(Lane::Messages, 2).await;
    assert_eq!(loaded.entries[0].item, OutboxItem::Failed, "its body was lost");
    abroad.forget(4).await;
    assert_eq!(trim().await.len(), 2);
    subject.close(abroad.world.store).await;
}
