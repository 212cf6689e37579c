//! Bodies in memory: the reference implementation of the port, and the other store of
//! [`MessageStore::apart`](crate::message_store::MessageStore::apart) in the cases.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    bodies::{Bodies, BodyId},
    error::StoreError,
};

/// Bodies in a map.
#[derive(Debug, Default)]
pub struct MemoryBodies(Mutex<BTreeMap<BodyId, Bytes>>);

impl MemoryBodies {
    fn map(&self) -> MutexGuard<'_, BTreeMap<BodyId, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.map().is_empty()
    }
}

#[async_trait]
impl Bodies for MemoryBodies {
    async fn put(&self, bodies: &[(BodyId, Bytes)]) -> Result<(), StoreError> {
        let mut map = self.map();
        for (id, body) in bodies {
            map.entry(*id).or_insert_with(|| body.clone());
        }
        Ok(())
    }

    async fn get(&self, ids: &[BodyId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let map = self.map();
        Ok(ids.iter().map(|id| map.get(id).cloned()).collect())
    }

    async fn delete(&self, ids: &[BodyId]) -> Result<(), StoreError> {
        let mut map = self.map();
        for id in ids {
            map.remove(id);
        }
        Ok(())
    }

    async fn delete_before(&self, end: BodyId, limit: u32) -> Result<u64, StoreError> {
        let mut map = self.map();
        let old: Vec<BodyId> = map.range(..end).take(limit as usize).map(|(id, _)| *id).collect();
        for id in &old {
            map.remove(id);
        }
        Ok(old.len() as u64)
    }
}
