//! What the SQLite store promises beyond the contract: the file, its schema version, counted costs.

#![expect(clippy::unwrap_used, reason = "test code: it fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Lane, PerLane},
    id::HandleName,
};
use posthouse_storage::{
    contract::{
        Subject,
        abroad::{Envelope, Region, received},
        world::{START, World, name},
    },
    error::StoreError,
    leases::Leases,
    ledger::{Accept, Ledger},
    outbox::{LoadRange, Mark, Outbox, OutboxStream, Settlement},
    peers::{MAX_REMEMBERED_HANDLES, Peers, RememberedHandle},
    reception::Receptions,
};
use posthouse_storage_sql::{Counts, SqlStore};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

struct Sqlite(TempDir);

impl Sqlite {
    fn path(&self) -> String {
        self.0.path().join("posthouse.db").display().to_string()
    }
}

#[async_trait]
impl Subject for Sqlite {
    type Store = SqlStore;

    async fn open(&self) -> SqlStore {
        // Both spellings of a path are used.
        SqlStore::open(&format!("sqlite://{}", self.path()), Uuid::nil()).await.unwrap()
    }

    async fn close(&self, store: SqlStore) {
        store.close().await;
    }

    fn shared(&self) -> bool {
        false
    }
}

fn fresh() -> Sqlite {
    Sqlite(TempDir::new().unwrap())
}

#[tokio::test]
async fn only_its_owner_reads_the_file() {
    let subject = fresh();
    let world = World::new(&subject).await;
    world.person("alice").await;
    for suffix in ["", "-wal", "-shm"] {
        let metadata = std::fs::metadata(format!("{}{suffix}", subject.path())).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "posthouse.db{suffix}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let subject = fresh();
    let store = subject.open().await;
    subject.close(store).await;
    let mut connection = SqliteConnection::connect(&subject.path()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (99, 'of the future', TRUE, x'', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let opened = SqlStore::open(&subject.path(), Uuid::nil()).await;
    assert!(matches!(opened, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn damage_is_told_by_its_place() {
    let subject = fresh();
    let world = World::new(&subject).await;
    let alice = world.person("alice").await;
    let mut connection = SqliteConnection::connect(&subject.path()).await.unwrap();
    sqlx::query("UPDATE accounts SET state = 7").execute(&mut connection).await.unwrap();
    let read = posthouse_storage::accounts::Accounts::account(&world.store, alice.uuid()).await;
    let Err(StoreError::Corrupt { table, column, .. }) = read else { panic!("{read:?}") };
    assert_eq!((table, column), ("accounts", "state"));
}

#[tokio::test]
async fn what_is_not_a_directory_or_is_closed_is_not_available() {
    let opened = SqlStore::open("/nowhere/at/all/posthouse.db", Uuid::nil()).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))));
    let subject = fresh();
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    world.store.close().await;
    let closed = world.store.commit(&[world.message(&alice, &bob, START)], &[]).await;
    assert!(matches!(closed, Err(StoreError::Unavailable(_))));
}

/// The oldest go first, and there are never more.
#[tokio::test]
async fn remembered_handles_are_bounded() {
    let subject = fresh();
    let store = subject.open().await;
    let us = name("us.example");
    let handle = |n: usize| HandleName::parse(&format!("h{n}")).unwrap();
    let nobody = RememberedHandle { account: None, until: START };
    store.remember_handle(&us, &handle(0), nobody).await.unwrap();
    let mut connection = SqliteConnection::connect(&subject.path()).await.unwrap();
    sqlx::query(
        "WITH RECURSIVE n(n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM n WHERE n < ?)
        INSERT INTO remote_handles (server, handle, until, number)
        SELECT (SELECT id FROM servers), 'h' || (n - 1), 0, n FROM n",
    )
    .bind(i64::try_from(MAX_REMEMBERED_HANDLES).unwrap())
    .execute(&mut connection)
    .await
    .unwrap();
    // The first one is renewed, so that the next ones are older.
    for n in [0, MAX_REMEMBERED_HANDLES, MAX_REMEMBERED_HANDLES + 1] {
        store.remember_handle(&us, &handle(n), nobody).await.unwrap();
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM remote_handles")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert!(usize::try_from(count).unwrap() <= MAX_REMEMBERED_HANDLES, "{count}");
    }
    for (n, is_known) in [(0, true), (1, false), (2, false), (3, true), (4, true)] {
        let known = store.remembered_handle(&us, &handle(n)).await.unwrap();
        assert_eq!(known.is_some(), is_known, "handle {n}");
    }
    let all: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM remote_handles")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(usize::try_from(all).unwrap(), MAX_REMEMBERED_HANDLES);
    store.close().await;
}

/// Names that are only asked for leave nothing behind.
#[tokio::test]
async fn reads_write_no_names() {
    let subject = fresh();
    let store = subject.open().await;
    let (us, handle) = (name("us.example"), HandleName::parse("alice").unwrap());
    store.inbound(&us).await.unwrap();
    store.voids(&us, 9).await.unwrap();
    store.rejections(&us, &[(None, Uuid::nil())]).await.unwrap();
    store.key_head(&us).await.unwrap();
    store.remembered_handle(&us, &handle).await.unwrap();
    assert_eq!(store.counters().read().transactions, 0);
    store.close().await;
}

/// As a commit; the table of docs/spec/durability.md.
#[tokio::test]
async fn a_reception_has_the_same_statements_for_any_size() {
    let subject = fresh();
    let world = World::new(&subject).await;
    let alice = world.person("alice").await;
    let mut us = Region::new("us.example");
    let friend = us.account(1);
    us.take(&world, &Envelope::of([received(&world, &friend, &alice, 1)])).await;
    for size in [1_u64, 2, 3, 10, 64, 100, 128] {
        let messages = (0..size).map(|n| received(&world, &friend, &alice, n + 2));
        let envelope = Envelope::of(messages.collect::<Vec<_>>());
        let before = world.store.counters().read();
        us.take(&world, &envelope).await;
        let after = world.store.counters().read();
        let want = Counts {
            statements: before.statements + 14,
            round_trips: before.round_trips + 2,
            transactions: before.transactions + 1,
            ..before
        };
        assert_eq!(after, want, "{size} messages");
    }
}

/// The table of docs/spec/durability.md.
#[tokio::test]
async fn a_commit_has_the_same_statements_for_any_size() {
    let subject = fresh();
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    world.accept(&world.message(&alice, &bob, START)).await;
    for size in [1_u64, 2, 3, 10, 64, 100, 128] {
        let batch: Vec<Accept> = (0..size).map(|_| world.message(&alice, &bob, START)).collect();
        let bodies: Vec<_> =
            batch.iter().map(|accept| (accept.body, Bytes::from_static(b"body"))).collect();
        let before = world.store.counters().read();
        world.store.commit(&batch, &bodies).await.unwrap();
        let after = world.store.counters().read();
        let want = Counts {
            statements: before.statements + 12,
            round_trips: before.round_trips + 2,
            transactions: before.transactions + 1,
            commits: before.commits + 1,
            submissions: before.submissions + size,
            largest_commit: before.largest_commit.max(size),
            retries: 0,
        };
        assert_eq!(after, want, "{size} submissions");
    }
}

/// The table of docs/spec/durability.md on queues to other regions.
#[tokio::test]
async fn a_load_and_a_receipt_are_as_many_round_trips_for_any_size() {
    let subject = fresh();
    let world = World::new(&subject).await;
    let (alice, region) = (world.person("alice").await, name("us.example"));
    let fence = world.store.acquire("us", Uuid::nil(), START, 1_000).await.unwrap().unwrap();
    let fresh = OutboxStream { state: Bytes::new(), lanes: PerLane::default() };
    world.store.stream(&fence, &region, &fresh).await.unwrap();
    let (mut done, lane) = (0, Lane::Messages);
    for size in [1_u64, 10, 100] {
        let batch: Vec<Accept> =
            (0..size).map(|_| world.message_abroad(&alice, &region, START)).collect();
        let bodies: Vec<_> =
            batch.iter().map(|accept| (accept.body, Bytes::from_static(b"body"))).collect();
        world.store.commit(&batch, &bodies).await.unwrap();
        let range = LoadRange { after: done, limit: 1_000, max_bytes: 1 << 20 };
        done += size;
        let cost = |before: Counts, after: Counts| {
            (after.round_trips - before.round_trips, after.transactions - before.transactions)
        };
        // Few entries come with the first question.
        let asked = if size == 1 { 1 } else { 2 };
        for want in [(asked, 0), (asked, 0)] {
            let before = world.store.counters().read();
            let loaded = world.store.load(&fence, &region, lane, range).await.unwrap();
            assert_eq!(loaded.offered, done);
            assert_eq!(cost(before, world.store.counters().read()), want);
        }
        let to = Mark { index: done, ..Mark::default() };
        let settlement = Settlement { to, rejected: &[], now: START };
        let before = world.store.counters().read();
        let settled = world.store.settle(&fence, &region, lane, settlement).await.unwrap();
        assert_eq!(settled.risen.len(), 1);
        assert_eq!(cost(before, world.store.counters().read()), (3, 1));
    }
}

/// A caller that gives up while a commit runs leaves no transaction open behind it.
#[tokio::test]
async fn a_dropped_commit_does_not_block_the_next() {
    let subject = fresh();
    let world = World::new(&subject).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    for polls in 0..40 {
        let accept = world.message(&alice, &bob, START);
        let batch = [accept.clone()];
        let mut commit = Box::pin(world.store.commit(&batch, &[]));
        for _ in 0..polls {
            if futures_util::poll!(&mut commit).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        // Whether it was committed or not: now it is, once.
        world.commit(&accept).await;
        assert_eq!(world.store.messages(&[accept.id]).await.unwrap().len(), 1);
    }
    assert_eq!(world.inbox_ids(&bob).await.len(), 40);
}
