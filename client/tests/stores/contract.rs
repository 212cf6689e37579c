//! What every store must do.

use futures_util::FutureExt as _;
use posthouse_client::{Batch, Scan, Store, Table};

async fn keys(store: &dyn Store, scan: Scan) -> Vec<Vec<u8>> {
    store.scan(&scan).await.unwrap().into_iter().map(|(key, _)| key).collect()
}

/// The contract, on an empty store; afterwards the timeline has three records, of them `[1, 1]`
/// with the value `new`.
pub(crate) async fn keeps_records(store: &dyn Store) {
    let mut batch = Batch::default();
    for key in [[1, 1], [1, 2], [1, 255], [2, 0]] {
        batch.put(Table::Timeline, key.to_vec(), key.to_vec());
    }
    batch.put(Table::Index, vec![1, 7], b"other".to_vec());
    batch.put(Table::Sent, vec![], vec![]);
    batch.put(Table::Profiles, vec![1, 1], b"profile".to_vec());
    store.commit(batch).await.unwrap();
    let all = Scan::prefix(Table::Timeline, &[1], 10);
    assert_eq!(keys(store, all.clone()).await, [[1, 1], [1, 2], [1, 255]]);
    assert_eq!(keys(store, all.backwards()).await, [[1, 255], [1, 2], [1, 1]]);
    let whole = Scan::prefix(Table::Timeline, &[], 9);
    assert_eq!(keys(store, whole.clone()).await, [[1, 1], [1, 2], [1, 255], [2, 0]]);
    let two = Scan { limit: 2, ..whole.clone().backwards() };
    assert_eq!(keys(store, two).await, [[2, 0], [1, 255]]);
    let none = Scan { limit: 0, ..whole.clone() };
    assert!(keys(store, none).await.is_empty());
    let nowhere = Scan { from: vec![9], to: vec![1], ..whole };
    assert!(keys(store, nowhere).await.is_empty());
    assert_eq!(store.get(Table::Sent, &[]).await.unwrap().unwrap().as_slice(), b"");

    // The table with the highest number has its own records, as every table has.
    let last = Scan::prefix(Table::Profiles, &[], 9);
    assert_eq!(keys(store, last).await, [[1, 1]]);
    assert_eq!(store.get(Table::Profiles, &[1, 1]).await.unwrap().unwrap().as_slice(), b"profile");

    let mut batch = Batch::default();
    batch.put(Table::Timeline, vec![1, 1], b"new".to_vec());
    batch.delete(Table::Timeline, vec![1, 2]);
    batch.delete(Table::Timeline, vec![9]);
    store.commit(batch).await.unwrap();
    let got = store.get(Table::Timeline, &[1, 1]).await.unwrap().unwrap();
    assert_eq!(got.as_slice(), b"new");
    assert!(store.get(Table::Timeline, &[1, 2]).await.unwrap().is_none());
    assert!(store.get(Table::Open, &[1, 1]).await.unwrap().is_none());
}

/// A future that somebody began and does not poll any more holds nobody up.
pub(crate) async fn is_held_up_by_nobody(store: &dyn Store) {
    let scan = Scan::prefix(Table::Timeline, &[], 9);
    let mut batch = Batch::default();
    batch.put(Table::Index, vec![3], b"resting".to_vec());
    let mut resting = (store.get(Table::Timeline, &[1]), store.scan(&scan), store.commit(batch));
    assert!((&mut resting.0).now_or_never().is_none_or(|got| got.unwrap().is_none()));
    assert!((&mut resting.1).now_or_never().is_none_or(|got| got.unwrap().is_empty()));
    let is_done = (&mut resting.2).now_or_never().map(Result::unwrap).is_some();
    for round in 0..8 {
        let mut batch = Batch::default();
        batch.put(Table::Index, vec![4], vec![round]);
        store.commit(batch).await.unwrap();
        assert_eq!(store.get(Table::Index, &[4]).await.unwrap().unwrap().as_slice(), [round]);
        assert!(store.scan(&scan).await.unwrap().is_empty());
    }
    if !is_done {
        resting.2.await.unwrap();
    }
    assert_eq!(store.get(Table::Index, &[3]).await.unwrap().unwrap().as_slice(), b"resting");
}
