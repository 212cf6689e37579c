//! The stores of a system.

use posthouse_client::{MemoryStore, SqliteStore, Store, StoreError, Table};

use std::time::Duration;

use crate::contract::{is_held_up_by_nobody, keeps_records};

#[tokio::test]
async fn memory_keeps_records() {
    keeps_records(&MemoryStore::new()).await;
}

#[tokio::test]
async fn a_file_keeps_records_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("device.db");
    let store = SqliteStore::open(&path).await.unwrap();
    keeps_records(&store).await;
    assert!(matches!(SqliteStore::open(&path).await, Err(StoreError::InUse)));
    #[cfg(unix)]
    for file in std::fs::read_dir(dir.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(store);
    // The connection's own thread lets the file go a moment later.
    let again = loop {
        match SqliteStore::open(&path).await {
            Err(StoreError::InUse) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    let got = again.get(Table::Timeline, &[1, 1]).await.unwrap().unwrap();
    assert_eq!(got.as_slice(), b"new");
}

#[tokio::test]
async fn who_leaves_a_future_alone_holds_nobody_up() {
    is_held_up_by_nobody(&MemoryStore::new()).await;
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("device.db")).await.unwrap();
    let done = tokio::time::timeout(Duration::from_mins(1), is_held_up_by_nobody(&store)).await;
    done.expect("a future that rests holds the store");
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    use sqlx::Connection;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("device.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("PRAGMA user_version = 2").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(SqliteStore::open(&path).await, Err(StoreError::Version(2))));
}
