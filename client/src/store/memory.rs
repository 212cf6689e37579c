//! A store in memory: for tests, and for devices that are to forget.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{Batch, Scan, Store, StoreError, Table, Value};

/// Keeps records until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<(Table, Vec<u8>), Value>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(records.get(&(table, key.to_vec())).cloned())
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = Bound::Included((scan.table, scan.from.clone()));
        let all = records.range((from, Bound::Unbounded));
        let mut found: Vec<_> = all
            .take_while(|((table, key), _)| {
                *table == scan.table && (scan.to.is_empty() || *key < scan.to)
            })
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        if scan.backwards {
            found.reverse();
        }
        found.truncate(scan.limit);
        Ok(found)
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, value) in batch.0 {
            match value {
                Some(value) => records.insert(at, value),
                None => records.remove(&at),
            };
        }
        Ok(())
    }
}
