//! Encapsulated keys that origins' envelopes share, decapsulated once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use posthouse_crypto::seal::SharedOpening;
use posthouse_protocol::{federation::keys::KeyId, id::ServerName};

/// Most origins whose keys are kept; beyond, one is forgotten for each that comes. What is not kept
/// is decapsulated again: it costs time, and no envelope.
const MAX_ORIGINS: usize = 10_000;

/// The two newest keys of each origin: while it changes from one to the next, its lanes use both.
#[derive(Default)]
pub(super) struct SharedOpenings(Mutex<HashMap<ServerName, [Option<Kept>; 2]>>);

struct Kept {
    key: KeyId,
    encapsulated: Vec<u8>,
    opening: Arc<SharedOpening>,
}

impl SharedOpenings {
    /// What `origin` encapsulated in these bytes to our key of that id, if it is kept.
    pub(super) fn get(
        &self,
        origin: &ServerName,
        key: KeyId,
        encapsulated: &[u8],
    ) -> Option<Arc<SharedOpening>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_origin = kept.get(origin)?.iter().flatten();
        let mut same = of_origin.filter(|k| k.key == key && k.encapsulated == encapsulated);
        same.next().map(|kept| Arc::clone(&kept.opening))
    }

    /// Keeps it in the place of the older one. To be called once a body has opened with it.
    pub(super) fn keep(
        &self,
        origin: &ServerName,
        key: KeyId,
        encapsulated: &[u8],
        opening: Arc<SharedOpening>,
    ) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_ORIGINS && !kept.contains_key(origin) {
            let any = kept.keys().next().cloned();
            any.and_then(|any| kept.remove(&any));
        }
        let [newest, older] = kept.entry(origin.clone()).or_default();
        *older = newest.take();
        *newest = Some(Kept { key, encapsulated: encapsulated.to_vec(), opening });
    }
}
