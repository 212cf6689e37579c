//! What a step sees of the store.

use super::*;

#[tokio::test]
async fn a_step_sees_what_it_wrote_and_nobody_else_does() {
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    for key in [[1, 1], [1, 255], [2, 0]] {
        batch.put(Table::Timeline, key.to_vec(), key.to_vec());
    }
    store.commit(batch).await.unwrap();
    let mut tx = Tx::new(&store);
    tx.put(Table::Timeline, vec![1, 3], Value::default());
    tx.delete(Table::Timeline, vec![1, 1]);
    let seen: Vec<_> = tx.scan(&Scan::prefix(Table::Timeline, &[1], 2)).await.unwrap();
    assert_eq!(seen.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [[1, 3], [1, 255]]);
    assert!(tx.get(Table::Timeline, &[1, 1]).await.unwrap().is_none());
    drop(tx);
    assert!(store.get(Table::Timeline, &[1, 3]).await.unwrap().is_none(), "nothing was committed");
}
