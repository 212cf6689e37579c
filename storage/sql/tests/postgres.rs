//! The storage contract on PostgreSQL, in several processes' shoes at once.
//!
//! `storage/sql/tests/postgres.sh cargo test -p posthouse-storage-sql --features postgres-tests`
//! starts a server for it. Every case has a database of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails there and then"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Lane, PerLane},
    id::{ConversationId, MessageId, SessionId},
    status::Reached,
};
use posthouse_storage::{
    contract::{
        Subject,
        abroad::{Envelope, Region, received, reported},
        world::{Person, START, World, name, server},
    },
    error::StoreError,
    leases::Leases,
    ledger::{Accept, Ledger},
    outbox::{LoadRange, Mark, Outbox, OutboxStream, Settlement},
    receipts::{Forward, Watermark, WatermarkRise},
    wakes::{Wake, Wakes},
};
use posthouse_storage_sql::SqlStore;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

struct Postgres {
    url: String,
    node: AtomicU64,
}

#[async_trait]
impl Subject for Postgres {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        let node = Uuid::from_u64_pair(1, self.node.fetch_add(1, Relaxed));
        SqlStore::open(&self.url, node).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        true
    }
}

/// Where the database server is.
#[expect(clippy::disallowed_methods, reason = "the script that starts the server tells us so")]
fn address() -> String {
    std::env::var("POSTHOUSE_TEST_POSTGRES").expect("run by storage/sql/tests/postgres.sh")
}

/// A new, empty database.
async fn fresh() -> Postgres {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("case_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let server = address();
    let mut admin = PgConnection::connect(&server).await.unwrap();
    admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    admin.close().await.unwrap();
    Postgres {
        url: server.replacen("/postgres?", &format!("/{name}?"), 1),
        node: AtomicU64::new(0),
    }
}

posthouse_storage::contract_tests!(fresh);

/// The next hint that says something.
async fn next(store: &SqlStore) -> Wake {
    let hint = tokio::time::timeout(std::time::Duration::from_secs(20), store.next());
    hint.await.expect("no hint within 20 s").unwrap()
}

#[tokio::test]
async fn other_processes_are_told_of_commits_and_ended_sessions() {
    let subject = fresh().await;
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let other = subject.open().await;
    assert_eq!(next(&other).await, Wake::Missed, "it did not listen before");
    assert_eq!(next(&world.store).await, Wake::Missed);
    world.accept(&world.message(&alice, &bob, START)).await;
    assert_eq!(next(&other).await, Wake::Inboxes(vec![bob.uuid()]));
    let ended = [SessionId(world.id()), SessionId(world.id())];
    world.store.ended(&ended).await.unwrap();
    assert_eq!(next(&other).await, Wake::Ended(ended.to_vec()));
    world.store.gone(&[alice.uuid()]).await.unwrap();
    assert_eq!(next(&other).await, Wake::Gone(vec![alice.uuid()]));
    // Its own hints are passed over: what it hears next is the other's.
    other.ended(&ended[..1]).await.unwrap();
    assert_eq!(next(&world.store).await, Wake::Ended(ended[..1].to_vec()));
    // Many recipients are told in several notifications.
    let many: Vec<Uuid> = (0..700).map(|_| world.id()).collect();
    let group = Accept { recipients: many.clone(), ..world.message(&alice, &bob, START) };
    world.accept(&group).await;
    let mut told = Vec::new();
    while told.len() < many.len() {
        let Wake::Inboxes(accounts) = next(&other).await else { panic!("inboxes only") };
        told.extend(accounts);
    }
    told.sort_unstable();
    let mut want = many;
    want.sort_unstable();
    assert_eq!(told, want);
}

/// Whatever puts entries into queues to other regions: acceptance, and receipts for their origin.
#[tokio::test]
async fn other_processes_are_told_of_grown_queues() {
    let subject = fresh().await;
    let world = World::new(&subject).await;
    let alice = world.person("alice").await;
    let other = subject.open().await;
    assert_eq!(next(&other).await, Wake::Missed, "it did not listen before");
    let (asia, us) = (name("asia.example"), name("us.example"));
    let batch = [&us, &asia, &us].map(|region| world.message_abroad(&alice, region, START));
    world.store.commit(&batch, &[]).await.unwrap();
    assert_eq!(next(&other).await, Wake::Outboxes(vec![asia, us.clone()]));
    let rise = |through, recipient| WatermarkRise {
        watermark: Watermark {
            conversation: ConversationId([3; 16]),
            reader: alice.account.clone(),
            origin: us.clone(),
            reached: Reached::Read,
            through,
            except: Vec::new(),
            at: START,
        },
        tell: Vec::new(),
        forward: Some(Forward { id: world.id(), recipients: vec![Uuid::from_u128(recipient)] }),
    };
    world.store.record(&[], &[rise(1, 7)]).await.unwrap();
    assert_eq!(next(&other).await, Wake::Outboxes(vec![us.clone()]));
    // One that joins an entry that waits is no reason to look again.
    world.store.record(&[], &[rise(2, 7)]).await.unwrap();
    let ended = [SessionId(world.id())];
    world.store.ended(&ended).await.unwrap();
    assert_eq!(next(&other).await, Wake::Ended(ended.to_vec()));
}

/// Commits, receipts with forwards, loads and settlements of one destination lock in one order.
#[tokio::test]
async fn workers_and_committers_do_not_collide() {
    const ROUNDS: u64 = 40;
    let subject = fresh().await;
    let one = World::new(&subject).await;
    let two = World::beside(&subject, 1_000_000).await;
    let alice = one.person("alice").await;
    let us = name("us.example");
    let fence = two.store.acquire("us", Uuid::nil(), START, 1_000).await.unwrap().unwrap();
    let fresh = OutboxStream { state: Bytes::new(), lanes: PerLane::default() };
    two.store.stream(&fence, &us, &fresh).await.unwrap();
    one.accept(&one.message_abroad(&alice, &us, START)).await;
    let commit = async {
        for _ in 0..ROUNDS {
            one.accept(&one.message_abroad(&alice, &us, START)).await;
        }
    };
    let record = async {
        for through in 1..=ROUNDS {
            // Told to the same inbox as what is settled, and to the same destination.
            let watermark = Watermark {
                conversation: ConversationId([3; 16]),
                reader: alice.account.clone(),
                origin: us.clone(),
                reached: Reached::Read,
                through,
                except: Vec::new(),
                at: START,
            };
            let recipients = vec![Uuid::from_u128(7)];
            let forward = Some(Forward { id: one.id(), recipients });
            let rise = WatermarkRise { watermark, tell: vec![alice.uuid()], forward };
            one.store.record(&[], &[rise]).await.unwrap();
        }
    };
    let work = async {
        let mut settled = 0;
        while settled <= ROUNDS {
            for lane in [Lane::Receipts, Lane::Messages] {
                let range = LoadRange { after: 0, limit: 1_000, max_bytes: 1 << 20 };
                let index = two.store.load(&fence, &us, lane, range).await.unwrap().offered;
                let to = Mark { index, ..Mark::default() };
                let settlement = Settlement { to, rejected: &[], now: START };
                two.store.settle(&fence, &us, lane, settlement).await.unwrap();
                settled = index;
            }
        }
    };
    let all = async { tokio::join!(commit, record, work) };
    tokio::time::timeout(std::time::Duration::from_mins(1), all).await.expect("within 60 s");
    // New rows cannot be locked; besides those, nobody begins again.
    assert!(one.store.counters().read().retries <= 2);
    assert!(two.store.counters().read().retries <= 1);
}

/// What exists is locked, in one order: committers wait for each other and do not begin again.
#[tokio::test]
async fn committers_wait_and_do_not_collide() {
    let subject = fresh().await;
    let one = World::new(&subject).await;
    let two = World::beside(&subject, 1_000_000).await;
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    let carol = one.person("carol").await;
    // Two conversations, so that only Bob's inbox is shared.
    one.accept(&one.message(&alice, &bob, START)).await;
    two.accept(&two.message(&carol, &bob, START)).await;
    for _ in 0..60 {
        let (left, right) = (one.message(&alice, &bob, START), two.message(&carol, &bob, START));
        tokio::join!(one.accept(&left), two.accept(&right));
    }
    for store in [&one.store, &two.store] {
        assert_eq!(store.counters().read().retries, 0);
    }
}

/// Receptions lock the same rows in the same order as commits and receipts.
#[tokio::test]
async fn receptions_wait_and_do_not_collide() {
    let subject = fresh().await;
    let one = World::new(&subject).await;
    let two = World::beside(&subject, 1_000_000).await;
    let three = World::beside(&subject, 2_000_000).await;
    let (alice, bob) = (one.person("alice").await, one.person("bob").await);
    let mut us = Region::new("us.example");
    let friend = us.account(1);
    let abroad = one.message_abroad(&alice, &us.name, START);
    let conversation = ConversationId::direct(&friend, &alice.account);
    let rise = |through, tell: [&Person; 2]| WatermarkRise {
        watermark: Watermark {
            conversation,
            reader: friend.clone(),
            origin: server(),
            reached: Reached::Delivered,
            through,
            except: Vec::new(),
            at: START,
        },
        tell: tell.map(Person::uuid).to_vec(),
        forward: None,
    };
    let both = |person: [&Person; 2]| person.map(Person::uuid).to_vec();
    let mut round = async |n: u64| {
        let mut hello = received(&one, &friend, &alice, n);
        hello.recipients = both([&bob, &alice]);
        let envelope = Envelope {
            messages: vec![hello],
            watermarks: vec![reported(&one, rise(n, [&alice, &bob]))],
            ..Envelope::default()
        };
        let own = Accept { recipients: both([&alice, &bob]), ..two.message(&bob, &alice, START) };
        let out = Accept {
            id: MessageId(two.id()),
            conversation,
            recipients: both([&alice, &bob]),
            body: two.body(START),
            ..abroad.clone()
        };
        let batch = [own, out];
        let read = [rise(n, [&bob, &alice])];
        tokio::join!(
            us.take(&one, &envelope),
            async { two.store.commit(&batch, &[]).await.unwrap() },
            async { three.store.record(&[], &read).await.unwrap() },
        );
    };
    // The rows are there from here on.
    round(1).await;
    round(2).await;
    let stores = [&one.store, &two.store, &three.store];
    let before = stores.map(|store| store.counters().read().retries);
    for n in 3..100 {
        round(n).await;
    }
    assert_eq!(stores.map(|store| store.counters().read().retries), before);
}

/// Other processes are told of what came from abroad.
#[tokio::test]
async fn receptions_are_told_to_other_processes() {
    let subject = fresh().await;
    let world = World::new(&subject).await;
    let alice = world.person("alice").await;
    let other = subject.open().await;
    assert_eq!(next(&other).await, Wake::Missed);
    let mut us = Region::new("us.example");
    let one = received(&world, &us.account(1), &alice, 1);
    us.take(&world, &Envelope::of([one])).await;
    assert_eq!(next(&other).await, Wake::Inboxes(vec![alice.uuid()]));
}

#[tokio::test]
async fn a_lost_connection_is_told_as_missed_hints() {
    let subject = fresh().await;
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let other = subject.open().await;
    assert_eq!(next(&other).await, Wake::Missed);
    let mut admin = PgConnection::connect(&subject.url).await.unwrap();
    admin
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .await
        .unwrap();
    // Told once it is noticed, or as an error to be followed by another try.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        match tokio::time::timeout_at(deadline, other.next()).await.expect("within 20 s") {
            Ok(Wake::Missed) => break,
            Ok(hint) => panic!("{hint:?}"),
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // The new connection says so too before it listens on.
    assert_eq!(next(&other).await, Wake::Missed);
    world.accept(&world.message(&alice, &bob, START)).await;
    assert_eq!(next(&other).await, Wake::Inboxes(vec![bob.uuid()]));
}
