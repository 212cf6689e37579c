//! One step's view of the store: reads see what the step has written, and all of it is committed
//! together.

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{Batch, Scan, Store, StoreError, Table, Value};

/// Reads through, writes into a batch.
pub(crate) struct Tx<'a> {
    store: &'a dyn Store,
    batch: Batch,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(store: &'a dyn Store) -> Self {
        Self { store, batch: Batch::default() }
    }

    pub(crate) async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        match self.batch.0.get(&(table, key.to_vec())) {
            Some(written) => Ok(written.clone()),
            None => self.store.get(table, key).await,
        }
    }

    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        self.get(table, key).await?.map(|value| decode(table, &value)).transpose()
    }

    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Value) {
        self.batch.0.insert((table, key), Some(value));
    }

    pub(crate) fn write(&mut self, table: Table, key: Vec<u8>, record: &impl Serialize) {
        self.put(table, key, encode(record));
    }

    pub(crate) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.batch.delete(table, key);
    }

    /// What the store has, with what this step wrote in its place.
    pub(crate) async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        let inside = |key: &[u8]| {
            key >= scan.from.as_slice() && (scan.to.is_empty() || key < scan.to.as_slice())
        };
        let written: Vec<_> = self
            .batch
            .0
            .iter()
            .filter(|((table, key), _)| *table == scan.table && inside(key))
            .map(|((_, key), value)| (key, value))
            .collect();
        if written.is_empty() {
            return self.store.scan(scan).await;
        }
        // Each of them can hide one that the store gives.
        let wider = Scan { limit: scan.limit.saturating_add(written.len()), ..scan.clone() };
        let stored = self.store.scan(&wider).await?;
        let mut all: std::collections::BTreeMap<_, _> =
            stored.into_iter().map(|(key, value)| (key, Some(value))).collect();
        for (key, value) in written {
            all.insert(key.clone(), value.clone());
        }
        let mut all: Vec<_> =
            all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if scan.backwards {
            all.reverse();
        }
        all.truncate(scan.limit);
        Ok(all)
    }

    /// Whether there is something to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.0.is_empty()
    }

    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        if self.is_empty() { Ok(()) } else { self.store.commit(self.batch).await }
    }
}

/// A record that is no secret state of its own: JSON.
pub(crate) fn encode(record: &impl Serialize) -> Value {
    // Plain data with text keys: serialising to memory has no way to fail.
    Zeroizing::new(serde_json::to_vec(record).unwrap_or_default())
}

pub(crate) fn decode<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Corrupt(table))
}
