//! What every store must do.

use super::*;

async fn keys(store: &dyn Store, scan: Scan) -> Vec<Vec<u8>> {
    store.scan(&scan).await.unwrap().into_iter().map(|(key, _)| key).collect()
}

/// The contract.
async fn keeps_records(store: &dyn Store) {
    let mut batch = Batch::default();
    for key in [[1, 1], [1, 2], [1, 255], [2, 0]] {
        batch.put(Table::Timeline, key.to_vec(), key.to_vec());
    }
    batch.put(Table::Index, vec![1, 7], b"other".to_vec());
    store.commit(batch).await.unwrap();
    let all = Scan::prefix(Table::Timeline, &[1], 10);
    assert_eq!(keys(store, all.clone()).await, [[1, 1], [1, 2], [1, 255]]);
    assert_eq!(keys(store, all.backwards()).await, [[1, 255], [1, 2], [1, 1]]);
    let two = Scan { limit: 2, ..Scan::prefix(Table::Timeline, &[], 9).backwards() };
    assert_eq!(keys(store, two).await, [[2, 0], [1, 255]]);
    let mut batch = Batch::default();
    batch.put(Table::Timeline, vec![1, 1], b"new".to_vec());
    batch.delete(Table::Timeline, vec![1, 2]);
    batch.delete(Table::Timeline, vec![9]);
    store.commit(batch).await.unwrap();
    let got = store.get(Table::Timeline, &[1, 1]).await.unwrap().unwrap();
    assert_eq!(got.as_slice(), b"new");
    assert!(store.get(Table::Timeline, &[1, 2]).await.unwrap().is_none());
    assert!(store.get(Table::Open, &[1, 1]).await.unwrap().is_none());

    let mut tx = Tx::new(store);
    tx.put(Table::Timeline, vec![1, 3], Value::default());
    tx.delete(Table::Timeline, vec![1, 1]);
    let seen: Vec<_> = tx.scan(&Scan::prefix(Table::Timeline, &[1], 2)).await.unwrap();
    assert_eq!(seen.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [[1, 3], [1, 255]]);
    assert!(tx.get(Table::Timeline, &[1, 1]).await.unwrap().is_none());
    drop(tx);
    assert!(store.get(Table::Timeline, &[1, 3]).await.unwrap().is_none(), "nothing was committed");
}

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
