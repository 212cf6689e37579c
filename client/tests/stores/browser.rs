//! The store of a browser; the tests run in one (`.ci/run browser`).

use futures_util::FutureExt as _;
use posthouse_client::{Batch, IndexedDbStore, MemoryStore, Scan, Store, StoreError, Table};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

use crate::contract::{is_held_up_by_nobody, keeps_records};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn memory_keeps_records() {
    keeps_records(&MemoryStore::new()).await;
}

#[wasm_bindgen_test]
async fn a_database_keeps_records_and_is_one_pages_alone() {
    let store = IndexedDbStore::open("records").await.unwrap();
    keeps_records(&store).await;
    assert!(matches!(IndexedDbStore::open("records").await, Err(StoreError::InUse)));
    // Another name is another store.
    let other = IndexedDbStore::open("others").await.unwrap();
    assert!(other.get(Table::Timeline, &[1, 1]).await.unwrap().is_none());
    drop(store);
    let again = IndexedDbStore::open("records").await.unwrap();
    let got = again.get(Table::Timeline, &[1, 1]).await.unwrap().unwrap();
    assert_eq!(got.as_slice(), b"new");
}

#[wasm_bindgen_test]
async fn who_leaves_a_future_alone_holds_nobody_up() {
    is_held_up_by_nobody(&IndexedDbStore::open("resting").await.unwrap()).await;
}

#[wasm_bindgen_test]
async fn a_batch_is_made_as_a_whole() {
    let store = IndexedDbStore::open("batches").await.unwrap();
    let mut batch = Batch::default();
    for number in 0..=u8::MAX {
        batch.put(Table::Queue, vec![number], vec![number; 10_000]);
    }
    // The future is dropped before it is done: all of it or nothing.
    drop(store.commit(batch).now_or_never());
    let scan = Scan::prefix(Table::Queue, &[], usize::MAX);
    let found = store.scan(&scan).await.unwrap().len();
    assert!(found == 0 || found == 256, "{found}");
}
