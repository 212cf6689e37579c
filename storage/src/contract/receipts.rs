//! Positions and watermarks.

use posthouse_protocol::{cursor::Cursor, id::ConversationId, status::Reached};

use super::{
    Store, Subject,
    world::{Person, START, World, name, server},
};
use crate::accounts::Accounts;
use crate::ledger::Ledger;
use crate::{
    inbox::EntryKind,
    receipts::{MAX_EXCEPT, PositionAdvance, Watermark, WatermarkRise},
};

fn mark(reader: &Person, through: u64, except: &[u64]) -> Watermark {
    Watermark {
        conversation: ConversationId([7; 16]),
        reader: reader.account.clone(),
        origin: server(),
        reached: Reached::Delivered,
        through,
        except: except.to_vec(),
        at: START.plus_millis(through),
    }
}

/// Records one rise; what it is then, if it rose.
async fn rise<S: Store>(world: &World<S>, watermark: Watermark) -> Option<Watermark> {
    let rise = WatermarkRise { watermark, tell: Vec::new(), forward: None };
    let mut risen = world.store.record(&[], &[rise]).await.unwrap();
    assert!(risen.len() <= 1);
    risen.pop().map(|risen| risen.watermark)
}

/// Position and last activity each rise on their own, also within one call.
pub async fn positions_only_rise<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let alice = world.person("alice").await;
    let to = |position, ms| PositionAdvance {
        device: alice.device.id,
        position: Cursor(position),
        active_at: START.plus_millis(ms),
    };
    let now = async || {
        let devices = world.store.devices(alice.uuid()).await.unwrap();
        (devices[0].position.0, devices[0].active_at.0 - START.0)
    };
    assert_eq!(now().await, (0, 0));
    world.store.record(&[to(5, 10)], &[]).await.unwrap();
    assert_eq!(now().await, (5, 10));
    world.store.record(&[to(4, 9)], &[]).await.unwrap();
    assert_eq!(now().await, (5, 10));
    world.store.record(&[to(3, 20), to(7, 1), to(6, 2)], &[]).await.unwrap();
    assert_eq!(now().await, (7, 20));
    let unknown =
        PositionAdvance { device: posthouse_protocol::id::DeviceId(world.id()), ..to(9, 9) };
    assert_eq!(world.store.record(&[unknown], &[]).await.unwrap(), []);
    subject.close(world.store).await;
    let world = World::beside(subject, 10_000).await;
    let devices = world.store.devices(alice.uuid()).await.unwrap();
    assert_eq!(devices[0].position, Cursor(7));
    subject.close(world.store).await;
}

/// What is not higher is left out; each conversation, reader, origin and kind has its own.
pub async fn watermarks_only_rise<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let first = mark(&bob, 5, &[]);
    assert_eq!(rise(&world, first.clone()).await, Some(first.clone()));
    assert_eq!(rise(&world, first).await, None);
    assert_eq!(rise(&world, mark(&bob, 4, &[])).await, None);
    let higher = mark(&bob, 6, &[]);
    assert_eq!(rise(&world, higher.clone()).await, Some(higher));
    let others = [
        Watermark { conversation: ConversationId([8; 16]), ..mark(&bob, 1, &[]) },
        Watermark { reached: Reached::Read, ..mark(&bob, 1, &[]) },
        Watermark { origin: name("us.example"), ..mark(&bob, 1, &[]) },
        mark(&alice, 1, &[]),
    ];
    let rises = others.clone().map(|watermark| WatermarkRise {
        watermark,
        tell: Vec::new(),
        forward: None,
    });
    let answer = world.store.record(&[], &rises).await.unwrap();
    let marks: Vec<Watermark> = answer.into_iter().map(|risen| risen.watermark).collect();
    assert_eq!(marks, others);
    subject.close(world.store).await;
}

/// A number that was passed over once stays passed over.
pub async fn exceptions_are_united<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let bob = world.person("bob").await;
    rise(&world, mark(&bob, 9, &[3, 5])).await;
    let now = rise(&world, mark(&bob, 12, &[11])).await.unwrap();
    assert_eq!((now.through, &now.except[..]), (12, &[3, 5, 11][..]));
    let now = rise(&world, mark(&bob, 7, &[4, 5])).await.unwrap();
    assert_eq!((now.through, &now.except[..]), (12, &[3, 4, 5, 11][..]));
    assert_eq!(rise(&world, mark(&bob, 12, &[])).await, None);
    subject.close(world.store).await;
}

/// Whoever is told finds one entry, the newest state, behind everything else.
pub async fn a_risen_watermark_is_one_entry_at_the_end<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let told = |through| WatermarkRise {
        watermark: mark(&bob, through, &[]),
        tell: vec![alice.uuid()],
        forward: None,
    };
    let one = world.store.record(&[], &[told(3)]).await.unwrap();
    assert_eq!(one[0].arrivals[0].cursor, Cursor(1));
    world.accept(&world.message(&bob, &alice, START)).await;
    // Two rises in one call, and one that is none.
    let more = world.store.record(&[], &[told(5), told(4), told(6)]).await.unwrap();
    assert_eq!(more.iter().map(|risen| risen.watermark.through).collect::<Vec<_>>(), [5, 6]);
    let last = more[1].arrivals[0];
    assert_eq!(last.account, alice.uuid());
    let inbox = world.inbox(&alice).await;
    assert_eq!(inbox.len(), 2);
    assert!(matches!(inbox[0].kind, EntryKind::Message(_)));
    assert_eq!(inbox[1].cursor, last.cursor);
    let EntryKind::Status(status) = &inbox[1].kind else { panic!("{:?}", inbox[1]) };
    assert_eq!(**status, mark(&bob, 6, &[]));
    // Another kind is an entry of its own; nobody else was told.
    let read = WatermarkRise {
        watermark: Watermark { reached: Reached::Read, ..mark(&bob, 2, &[]) },
        tell: vec![alice.uuid()],
        forward: None,
    };
    world.store.record(&[], &[read]).await.unwrap();
    assert_eq!(world.inbox(&alice).await.len(), 3);
    assert_eq!(world.inbox(&bob).await, []);
    subject.close(world.store).await;
}

/// A reader cannot make a watermark grow without bound.
pub async fn too_many_exceptions_drop_the_lowest<S: Subject>(subject: &S) {
    let world = World::new(subject).await;
    let bob = world.person("bob").await;
    let many: Vec<u64> = (1..=MAX_EXCEPT as u64).collect();
    rise(&world, mark(&bob, 100, &many)).await;
    let now = rise(&world, mark(&bob, 200, &[150, 160])).await.unwrap();
    let want: Vec<u64> = (3..=MAX_EXCEPT as u64).chain([150, 160]).collect();
    assert_eq!((now.through, now.except), (200, want));
    subject.close(world.store).await;
}
