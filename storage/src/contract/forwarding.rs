//! Watermarks over another region's numbers, told to that region.

use posthouse_protocol::{federation::stream::Lane, id::ConversationId, status::Reached};
use uuid::Uuid;

use super::{
    Store, Subject,
    concurrency::{close, worlds},
    outbox::lane::{Abroad, number},
    world::{Person, START, World},
};
use crate::{
    ledger::Ledger,
    outbox::OutboxItem,
    receipts::{Forward, Watermark, WatermarkRise},
};

fn rise<S: Store>(abroad: &Abroad<S>, reader: &Person, through: u64, to: &[u128]) -> WatermarkRise {
    WatermarkRise {
        watermark: Watermark {
            conversation: ConversationId([3; 16]),
            reader: reader.account.clone(),
            origin: abroad.region.clone(),
            reached: Reached::Delivered,
            through,
            except: Vec::new(),
            at: START.plus_millis(through),
        },
        tell: Vec::new(),
        forward: Some(Forward {
            id: abroad.world.id(),
            recipients: to.iter().copied().map(Uuid::from_u128).collect(),
        }),
    }
}

/// The watermarks that wait, as a load after `after` gives them: through and recipients.
async fn told<S: Store>(abroad: &Abroad<S>, after: u64) -> Vec<(u64, usize)> {
    let loaded = abroad.load(Lane::Receipts, after).await;
    let told = loaded.entries.into_iter().map(|entry| match entry.item {
        OutboxItem::Watermark { watermark, recipients, .. } => {
            (watermark.through, recipients.len())
        }
        other => panic!("{other:?}"),
    });
    told.collect()
}

/// One entry tells the newest state until it may have been sent.
pub async fn a_forwarded_watermark_collapses_while_unsent<S: Subject>(subject: &S) {
    let abroad = Abroad::new(World::new(subject).await).await;
    let bob = abroad.world.person("bob").await;
    let record = async |rises: &[WatermarkRise]| abroad.world.store.record(&[], rises).await;
    let first = rise(&abroad, &bob, 3, &[7]);
    let risen = record(&[first.clone(), rise(&abroad, &bob, 5, &[7])]).await.unwrap();
    assert_eq!(risen.len(), 2);
    record(&[rise(&abroad, &bob, 6, &[7])]).await.unwrap();
    // What did not rise makes no entry, whoever is to be told.
    assert_eq!(record(&[rise(&abroad, &bob, 6, &[7, 8])]).await.unwrap(), []);
    let loaded = abroad.load(Lane::Receipts, 0).await;
    let [entry] = &loaded.entries[..] else { panic!("{loaded:?}") };
    assert_eq!((entry.index, entry.id), (1, first.forward.as_ref().unwrap().id));
    assert_eq!(entry.sender, Some(bob.uuid()));
    let OutboxItem::Watermark { watermark, recipients, .. } = &entry.item else {
        panic!("{entry:?}")
    };
    assert_eq!(**watermark, rise(&abroad, &bob, 6, &[]).watermark);
    assert_eq!(recipients, &[Uuid::from_u128(7)]);

    // It may have been sent: the next rise is an entry of its own.
    record(&[rise(&abroad, &bob, 8, &[7])]).await.unwrap();
    record(&[rise(&abroad, &bob, 9, &[7])]).await.unwrap();
    // Others are to be told: so is this one.
    record(&[rise(&abroad, &bob, 10, &[7, 8])]).await.unwrap();
    assert_eq!(told(&abroad, 1).await, [(10, 1), (10, 2)]);
    // Entries that tell a watermark fail for nobody.
    let rejected = [(2, posthouse_protocol::status::FailReason::Other)];
    let settled = abroad.settle_in(Lane::Receipts, 3, &rejected).await;
    assert_eq!(settled, crate::outbox::Settled::default());
    assert_eq!(abroad.fail_all(9).await, crate::outbox::Settled::default());
    assert_eq!(abroad.world.inbox(&bob).await, []);
    subject.close(abroad.world.store).await;
}

/// Before a stream exists, nothing can have been sent; several kinds and readers are told apart.
pub async fn forwards_wait_for_their_stream<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (bob, carol) = (world.person("bob").await, world.person("carol").await);
    let early = World::same(&world, 5_000);
    let abroad = Abroad::new(world).await;
    for (through, reader) in [(1, &bob), (2, &bob), (1, &carol)] {
        let rise = rise(&abroad, reader, through, &[7]);
        early.store.record(&[], &[rise]).await.unwrap();
    }
    let mut read = rise(&abroad, &bob, 1, &[7]);
    read.watermark.reached = Reached::Read;
    early.store.record(&[], &[read]).await.unwrap();
    assert_eq!(told(&abroad, 0).await, [(2, 1), (1, 1), (1, 1)]);
    assert_eq!(number(&abroad.load(Lane::Receipts, 0).await), [1, 2, 3]);
    subject.close(abroad.world.store).await;
}

/// However a load and a rise meet: either the load gives the risen watermark, or the next one does.
pub async fn no_rise_is_lost_to_a_load<S: Subject>(subject: &S) {
    let (one, two) = worlds(subject).await;
    let bob = one.person("bob").await;
    let abroad = Abroad::new(World::same(&one, 5_000_000)).await;
    let other = Abroad { world: two, fence: abroad.fence.clone(), region: abroad.region.clone() };
    let mut after = 0;
    for round in 0..150_u8 {
        let rise = |through| {
            let mut rise = rise(&other, &bob, through, &[7]);
            rise.watermark.conversation = ConversationId([round; 16]);
            [rise]
        };
        other.world.store.record(&[], &rise(1)).await.unwrap();
        let second = rise(2);
        // The one sets out a little later in each round, so that they meet everywhere.
        let record = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            other.world.store.record(&[], &second).await.unwrap();
        };
        let ((), mut seen) = tokio::join!(record, told(&abroad, after));
        after += seen.len() as u64;
        let rest = told(&abroad, after).await;
        after += rest.len() as u64;
        seen.extend(rest);
        assert_eq!(seen.last(), Some(&(2, 1)), "round {round}: {seen:?}");
    }
    close(subject, one, other.world).await;
}
