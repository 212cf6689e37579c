//! What the SQLite store promises beyond the contract: the file, its schema version, counted costs.

#![expect(clippy::unwrap_used, reason = "test code: it fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_storage::{
    contract::{
        Subject,
        world::{START, World},
    },
    error::StoreError,
    ledger::{Accept, Ledger},
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
