//! What is remembered of domains: fresh, stale, negative; in memory and on disk.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::Write,
    path::PathBuf,
};

use posthouse_protocol::{id::ServerName, time::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Discovered, DiscoveryError, MAX_REMEMBERED, NEGATIVE_TTL_SECONDS, STALE_RETRY_SECONDS,
    TTL_SECONDS, UNAVAILABLE_RETRY_SECONDS, steps::Walked,
};

/// What is kept on disk: the last good result of each domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Remembered {
    /// By domain.
    pub domains: BTreeMap<ServerName, Discovered>,
}

/// A file that holds [`Remembered`] as JSON.
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
}

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not what this program writes.
    #[error("{path} is damaged; move it away to start without it")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Store {
    /// The file at `path`; its directory exists.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the file; a missing one holds nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(&self) -> Result<Remembered, StoreError> {
        match fs::read(&self.path) {
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|_| StoreError::Damaged { path: self.path.clone() }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Remembered::default()),
            Err(source) => Err(StoreError::Io { path: self.path.clone(), source }),
        }
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old file stays.
    pub fn save(&self, remembered: &Remembered) -> Result<(), StoreError> {
        let write = || {
            let json = serde_json::to_vec_pretty(remembered)?;
            let next = self.path.with_extension("next");
            let mut file = fs::File::create(&next)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&next, &self.path)
        };
        write().map_err(|source| StoreError::Io { path: self.path.clone(), source })
    }
}

/// What is known of one domain.
struct Entry {
    /// The last good result.
    good: Option<Discovered>,
    /// Why the last attempt found nothing, if it did not.
    problem: Option<DiscoveryError>,
    /// Until when this is not asked for again.
    until: Timestamp,
    used: Timestamp,
}

pub(super) struct Cache {
    entries: HashMap<ServerName, Entry>,
}

impl Cache {
    pub(super) fn new(remembered: Remembered) -> Self {
        let long_ago = Timestamp(0);
        let entries = remembered.domains.into_iter().take(MAX_REMEMBERED).map(|(name, good)| {
            (name, Entry { good: Some(good), problem: None, until: long_ago, used: long_ago })
        });
        Self { entries: entries.collect() }
    }

    /// What is known and need not be asked for at `now`.
    pub(super) fn fresh(
        &mut self,
        domain: &ServerName,
        now: Timestamp,
    ) -> Option<Result<Answer, DiscoveryError>> {
        let entry = self.entries.get_mut(domain)?;
        // A clock that was set back must not keep an answer alive for longer than its TTL allows.
        let latest = now.plus_millis(u64::from(TTL_SECONDS.1) * 1_000);
        if now >= entry.until || entry.until > latest {
            return None;
        }
        entry.used = now;
        Some(entry.answer())
    }

    /// Records what the steps came to; gives the answer, and whether what is worth keeping changed.
    pub(super) fn record(
        &mut self,
        domain: &ServerName,
        outcome: Walked,
        now: Timestamp,
    ) -> (Result<Answer, DiscoveryError>, bool) {
        self.make_room(domain);
        let after = |seconds: u32| now.plus_millis(u64::from(seconds) * 1_000);
        let entry = self.entries.entry(domain.clone()).or_insert(Entry {
            good: None,
            problem: None,
            until: now,
            used: now,
        });
        entry.used = now;
        let before = entry.good.clone();
        match outcome {
            Ok((discovered, ttl)) => {
                entry.until = after(ttl.clamp(TTL_SECONDS.0, TTL_SECONDS.1));
                entry.good = Some(discovered);
                entry.problem = None;
            }
            // DNS is down: what was good stays in use.
            Err((problem @ DiscoveryError::Unavailable, _)) => {
                let is_stale = entry.good.is_some();
                entry.until =
                    after(if is_stale { STALE_RETRY_SECONDS } else { UNAVAILABLE_RETRY_SECONDS });
                entry.problem = Some(problem);
            }
            // DNS has spoken: what was good is no longer.
            Err((problem, ttl)) => {
                let (least, most) = NEGATIVE_TTL_SECONDS;
                entry.until = after(ttl.clamp(least, most));
                entry.good = None;
                entry.problem = Some(problem);
            }
        }
        // The order of targets is drawn anew each time and is no change.
        let set = |good: &Option<Discovered>| {
            let mut good = good.clone()?;
            good.targets.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
            Some(good)
        };
        (entry.answer(), set(&before) != set(&entry.good))
    }

    /// Whether there is a good result, however old.
    pub(super) fn remembers(&self, domain: &ServerName) -> bool {
        self.entries.get(domain).is_some_and(|entry| entry.good.is_some())
    }

    pub(super) fn doubt(&mut self, domain: &ServerName) {
        if let Some(entry) = self.entries.get_mut(domain) {
            entry.until = Timestamp(0);
        }
    }

    pub(super) fn remembered(&self) -> Remembered {
        let good = |(name, entry): (&ServerName, &Entry)| Some((name.clone(), entry.good.clone()?));
        Remembered { domains: self.entries.iter().filter_map(good).collect() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn make_room(&mut self, domain: &ServerName) {
        if self.entries.len() < MAX_REMEMBERED || self.entries.contains_key(domain) {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
            self.entries.remove(&oldest);
        }
    }
}

impl Entry {
    fn answer(&self) -> Result<Answer, DiscoveryError> {
        match (&self.good, &self.problem) {
            (Some(good), problem) => {
                Ok(Answer { discovered: good.clone(), stale: problem.is_some(), until: self.until })
            }
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err(DiscoveryError::Unavailable),
        }
    }
}
