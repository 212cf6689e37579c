//! What is known of peers' keys: in memory, in the store, and, where that does not do, from the
//! peers themselves (docs/spec/federation-keys.md, "Trust").

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use posthouse_protocol::{
    federation::{
        document::{DocumentError, Freshness, SignedDocument, VerifiedDocument},
        key_log::{self, KeyLogError, TrustedHead},
    },
    id::ServerName,
    time::{Clock, Timestamp},
};
use posthouse_storage::{error::StoreError, peers::Peers};

use crate::ports::{FetchError, KeyDirectory, KeySource, KeysError, PeerFacts};

/// Most peers that are held in memory; those that nobody waits for go when it is full.
const MAX_PEERS: usize = 10_000;
/// The shortest time between two questions to one peer, in milliseconds (10 s).
const ASK_EVERY_MS: u64 = 10_000;

/// What the directory has counted since the start.
#[derive(Debug, Default)]
pub struct DirectoryCounters {
    /// Documents that were fetched.
    pub fetched: AtomicU64,
    /// Peers that could not be asked.
    pub unreachable: AtomicU64,
    /// Documents or key logs that were not believed: each is an alarm.
    pub not_believed: AtomicU64,
}

/// Peers' keys.
pub struct PeerKeyDirectory {
    me: Weak<Self>,
    source: Arc<dyn KeySource>,
    store: Arc<dyn Peers>,
    clock: Arc<dyn Clock>,
    peers: Mutex<HashMap<ServerName, Arc<Peer>>>,
    counters: DirectoryCounters,
}

/// One peer.
#[derive(Default)]
struct Peer {
    known: Mutex<Known>,
    /// Held by the one that asks; the others wait for what it learns.
    asking: tokio::sync::Mutex<Asked>,
}

#[derive(Default, Clone)]
struct Known {
    head: Option<Arc<TrustedHead>>,
    facts: Option<Arc<PeerFacts>>,
    /// When the document is to be fetched anew.
    renew_at: Timestamp,
}

#[derive(Default)]
struct Asked {
    at: Option<Timestamp>,
    /// How the last question ended, if it failed.
    failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy)]
enum Failure {
    Unreachable,
    NoSuchName,
    NotBelieved,
}

impl From<Failure> for KeysError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable => Self::Unreachable,
            Failure::NoSuchName => Self::NoSuchName,
            Failure::NotBelieved => Self::NotBelieved,
        }
    }
}

impl Peer {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is whole or has not begun.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerKeyDirectory {
    /// A directory that asks `source` and remembers in `store`.
    pub fn new(
        source: Arc<dyn KeySource>,
        store: Arc<dyn Peers>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let (peers, counters) = (Mutex::default(), DirectoryCounters::default());
        let make = |me: &Weak<Self>| Self { me: me.clone(), source, store, clock, peers, counters };
        Arc::new_cyclic(make)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &DirectoryCounters {
        &self.counters
    }

    fn peer(&self, name: &ServerName) -> Arc<Peer> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_PEERS && !peers.contains_key(name) {
            // Those that somebody holds are being asked.
            peers.retain(|_, peer| Arc::strong_count(peer) > 1);
        }
        Arc::clone(peers.entry(name.clone()).or_default())
    }

    /// Asks the peer, unless it was asked a moment ago; `was` is what the caller has seen.
    async fn ask(
        &self,
        name: &ServerName,
        peer: &Peer,
        was: Option<&Arc<TrustedHead>>,
        renew: bool,
    ) -> Result<Arc<TrustedHead>, KeysError> {
        let mut asked = peer.asking.lock().await;
        let now = self.clock.now();
        let known = peer.known().head.clone();
        let is_new = known.as_ref().map(|head| head.hash()) != was.map(|head| head.hash());
        if let Some(known) = known.filter(|_| is_new) {
            // Somebody else has just learnt it.
            return Ok(known);
        }
        if !renew && let Some(stored) = self.stored(name).await? {
            let stored = Arc::new(stored);
            peer.known().head = Some(Arc::clone(&stored));
            return Ok(stored);
        }
        let lately = asked.at.is_some_and(|at| now.0.abs_diff(at.0) < ASK_EVERY_MS);
        if lately {
            return match (asked.failure, was) {
                (Some(failure), _) => Err(failure.into()),
                (None, Some(was)) => Ok(Arc::clone(was)),
                (None, None) => Err(KeysError::Unreachable),
            };
        }
        asked.at = Some(now);
        asked.failure = None;
        match self.learn(name, peer, now).await? {
            Ok(head) => Ok(head),
            Err(failure) => {
                asked.failure = Some(failure);
                Err(failure.into())
            }
        }
    }

    async fn stored(&self, name: &ServerName) -> Result<Option<TrustedHead>, KeysError> {
        let Some(bytes) = self.store.key_head(name).await? else { return Ok(None) };
        TrustedHead::from_storage(&bytes).map(Some).map_err(|err| {
            KeysError::Store(StoreError::Corrupt {
                table: "peers",
                column: "key_head",
                fact: err.to_string(),
            })
        })
    }

    /// Fetches the document, follows the log where needed, and keeps what is believed.
    async fn learn(
        &self,
        name: &ServerName,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Result<Arc<TrustedHead>, Failure>, KeysError> {
        let before = self.stored(name).await?;
        let verified = match self.fetch(name, before.as_ref()).await {
            Ok(verified) => verified,
            Err(failure) => return Ok(Err(failure)),
        };
        self.counters.fetched.fetch_add(1, Ordering::Relaxed);
        let head = verified.head();
        if before.as_ref().map(TrustedHead::hash) != Some(head.hash()) {
            let expected = before.as_ref().map(TrustedHead::encode);
            let new = head.encode();
            let kept = self.store.advance_key_head(name, expected.as_deref(), &new).await?;
            if !kept {
                // Another process was quicker; what it kept is looked at by the next question.
                return Ok(Err(Failure::Unreachable));
            }
            if before.is_some() {
                tracing::info!(peer = %name, entry = head.entry().number, "the peer has new keys");
            }
        }
        let document = verified.document();
        if document.freshness(now) != Freshness::Fresh {
            tracing::warn!(
                peer = %name, freshness = ?document.freshness(now),
                "the peer's document is expired or from the future: one of the two clocks is wrong"
            );
        }
        let facts = PeerFacts {
            max_records: document.max_records.into(),
            max_envelope: usize::try_from(document.max_envelope).unwrap_or(usize::MAX),
            envelope_versions: document.envelope_versions.clone(),
            payload_versions: document.payload_versions.clone(),
            valid_until: document.valid_until,
        };
        let half = document.valid_until.0.saturating_sub(document.issued.0) / 2;
        let head = Arc::new(head.clone());
        *peer.known() = Known {
            head: Some(Arc::clone(&head)),
            facts: Some(Arc::new(facts)),
            renew_at: now.plus_millis(half.max(ASK_EVERY_MS)),
        };
        Ok(Ok(head))
    }

    async fn fetch(
        &self,
        name: &ServerName,
        known: Option<&TrustedHead>,
    ) -> Result<VerifiedDocument, Failure> {
        let bytes = self.source.document(name).await.map_err(|err| self.not_asked(name, &err))?;
        let document = SignedDocument::decode(&bytes).map_err(|err| self.nonsense(name, &err))?;
        match document.clone().verify(name, known) {
            Ok(verified) => Ok(verified),
            Err(DocumentError::LogNeeded) => {
                let bytes =
                    self.source.key_log(name).await.map_err(|err| self.not_asked(name, &err))?;
                let log = key_log::decode_log(&bytes).map_err(|err| self.nonsense(name, &err))?;
                let head = key_log::follow(name, known, &log)
                    .map_err(|err: KeyLogError| self.not_believed(name, &err))?;
                document.verify(name, Some(&head)).map_err(|err| self.not_believed(name, &err))
            }
            Err(err) => Err(self.not_believed(name, &err)),
        }
    }

    fn not_asked(&self, name: &ServerName, err: &FetchError) -> Failure {
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(peer = %name, error = %err, "the peer's keys cannot be fetched");
        match err {
            FetchError::NoSuchName => Failure::NoSuchName,
            FetchError::Unreachable(_) => Failure::Unreachable,
        }
    }

    fn nonsense(&self, name: &ServerName, err: &dyn core::fmt::Display) -> Failure {
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(peer = %name, error = %err, "what the peer publishes cannot be read");
        Failure::Unreachable
    }

    fn not_believed(&self, name: &ServerName, err: &dyn core::fmt::Display) -> Failure {
        self.counters.not_believed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            peer = %name, reason = %err,
            "the peer's keys have changed in a way that the known ones do not allow; the known ones \
             stay in force"
        );
        Failure::NotBelieved
    }

    /// Fetches the document in the background once half of its life is over, or if none was seen
    /// since the start.
    fn refresh_if_due(&self, name: &ServerName, peer: &Arc<Peer>, now: Timestamp) {
        {
            let mut known = peer.known();
            // A clock that was put back must not keep it for as long as it was ahead.
            let far = now.plus_millis(7 * 24 * 3_600_000);
            if now < known.renew_at && known.renew_at < far {
                return;
            }
            // Whoever comes within the next moments does not start another one.
            known.renew_at = now.plus_millis(ASK_EVERY_MS);
        }
        let Some(me) = self.me.upgrade() else { return };
        let (name, peer) = (name.clone(), Arc::clone(peer));
        tokio::spawn(async move {
            let was = peer.known().head.clone();
            // The known keys stay usable, whatever comes of it.
            _ = me.ask(&name, &peer, was.as_ref(), true).await;
        });
    }
}

#[async_trait]
impl KeyDirectory for PeerKeyDirectory {
    async fn keys(&self, peer: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, KeysError> {
        let (name, peer) = (peer, self.peer(peer));
        let was = peer.known().head.clone();
        if !renew && let Some(known) = was {
            self.refresh_if_due(name, &peer, self.clock.now());
            return Ok(known);
        }
        let head = self.ask(name, &peer, was.as_ref(), renew).await?;
        self.refresh_if_due(name, &peer, self.clock.now());
        Ok(head)
    }

    fn facts(&self, peer: &ServerName) -> Option<Arc<PeerFacts>> {
        self.peer(peer).known().facts.clone()
    }

    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError> {
        if self.peer(peer).known().head.is_some() {
            return Ok(true);
        }
        Ok(self.store.key_head(peer).await?.is_some())
    }
}
