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
use posthouse_protocol::id::SessionId;
use posthouse_storage::{
    contract::{
        Subject,
        world::{START, World},
    },
    error::StoreError,
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

/// Where the server is.
#[expect(clippy::disallowed_methods, reason = "the script that starts the server tells us so")]
fn server() -> String {
    std::env::var("POSTHOUSE_TEST_POSTGRES").expect("run by storage/sql/tests/postgres.sh")
}

/// A new, empty database.
async fn fresh() -> Postgres {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("case_{}_{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let server = server();
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
    let group = posthouse_storage::ledger::Accept {
        recipients: many.clone(),
        ..world.message(&alice, &bob, START)
    };
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
