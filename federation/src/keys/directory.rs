//! What is known of peers' keys: in memory, in the store, and, where that does not do, from the
//! peers themselves (docs/spec/federation-keys.md, "Trust").

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use posthouse_protocol::{
    federation::{
        cbor::CborError,
        document::{
            DocumentError, Freshness, SHARED_ENCAPSULATION, SignedDocument, VerifiedDocument,
        },
        key_log::{self, TrustedHead},
    },
    id::ServerName,
    time::{Clock, Timestamp},
};
use posthouse_storage::{error::StoreError, peers::Peers};
use tokio::sync::Semaphore;

use crate::ports::{FetchError, KeyDirectory, KeySource, KeysError, KnownKeys, PeerFacts};

/// Most peers that are held in memory; a part of them, those used longest ago, goes when it is full.
const MAX_PEERS: usize = 10_000;
/// How many go.
const FORGET_AT_ONCE: usize = MAX_PEERS / 16;
/// The shortest time between two questions to one peer, in milliseconds (10 s).
const ASK_EVERY_MS: u64 = 10_000;
/// How soon a document that could not be renewed in the background is asked for again, in
/// milliseconds (1 min).
const RENEW_EVERY_MS: u64 = 60_000;
/// Most documents that are renewed in the background at a time.
const RENEWING: usize = 64;
/// How often a peer's head is looked up again because another process kept a newer one.
const MAX_CONFLICTS: usize = 3;

/// What the directory has counted since the start.
#[derive(Debug, Default)]
pub struct DirectoryCounters {
    /// Documents that were fetched.
    pub fetched: AtomicU64,
    /// Peers that could not be asked.
    pub unreachable: AtomicU64,
    /// Documents or key logs that were not believed: each is an alarm.
    pub not_believed: AtomicU64,
    /// Times that keys were used although the document's time was over.
    pub expired: AtomicU64,
}

/// Who hears of a peer whose keys are not believed, and why; once for each reason.
pub type KeysAlarm = Box<dyn Fn(&ServerName, &DocumentError) + Send + Sync>;

/// Peers' keys.
pub struct PeerKeyDirectory {
    me: Weak<Self>,
    source: Arc<dyn KeySource>,
    store: Arc<dyn Peers>,
    clock: Arc<dyn Clock>,
    peers: Mutex<Table>,
    renewing: Arc<Semaphore>,
    alarm: OnceLock<KeysAlarm>,
    counters: DirectoryCounters,
}

/// The peers in memory.
#[derive(Default)]
struct Table {
    peers: HashMap<ServerName, (Arc<Peer>, u64)>,
    /// Counts uses.
    uses: u64,
}

/// One peer.
#[derive(Default)]
struct Peer {
    known: Mutex<Known>,
    /// Held by the one that asks; the others wait for what it learns.
    asking: tokio::sync::Mutex<Asked>,
    /// What the last alarm was about.
    alarmed: Mutex<Option<DocumentError>>,
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

#[derive(Debug, Clone)]
enum Failure {
    Unreachable(String),
    NoSuchName,
    Unreadable(String),
    NotBelieved(String),
    Expired,
}

impl From<Failure> for KeysError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(reason) => Self::Unreachable(reason),
            Failure::NoSuchName => Self::NoSuchName,
            Failure::Unreadable(reason) => Self::Unreadable(reason),
            Failure::NotBelieved(reason) => Self::NotBelieved(reason),
            Failure::Expired => Self::Expired,
        }
    }
}

impl Peer {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is whole or has not begun.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn get(&mut self, name: &ServerName) -> Arc<Peer> {
        self.uses += 1;
        if let Some((peer, used)) = self.peers.get_mut(name) {
            *used = self.uses;
            return Arc::clone(peer);
        }
        if self.peers.len() >= MAX_PEERS {
            self.forget();
        }
        let peer = Arc::<Peer>::default();
        self.peers.insert(name.clone(), (Arc::clone(&peer), self.uses));
        peer
    }

    /// Forgets those used longest ago. Those that somebody holds are being asked, and stay.
    fn forget(&mut self) {
        let mut uses: Vec<u64> = self.peers.values().map(|(_, used)| *used).collect();
        let (_, latest, _) = uses.select_nth_unstable(FORGET_AT_ONCE - 1);
        let latest = *latest;
        self.peers.retain(|_, (peer, used)| *used > latest || Arc::strong_count(peer) > 1);
    }
}

impl PeerKeyDirectory {
    /// A directory that asks `source` and remembers in `store`.
    pub fn new(
        source: Arc<dyn KeySource>,
        store: Arc<dyn Peers>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            source,
            store,
            clock,
            peers: Mutex::default(),
            renewing: Arc::new(Semaphore::new(RENEWING)),
            alarm: OnceLock::new(),
            counters: DirectoryCounters::default(),
        })
    }

    /// Who hears of peers whose keys are not believed; the first one stays. The log has it anyway.
    pub fn set_alarm(&self, alarm: KeysAlarm) {
        _ = self.alarm.set(alarm);
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &DirectoryCounters {
        &self.counters
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Each change is whole or has not begun.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self, name: &ServerName) -> Arc<Peer> {
        self.table().get(name)
    }

    fn present(&self, name: &ServerName) -> Option<Known> {
        let peer = self.table().peers.get(name).map(|(peer, _)| Arc::clone(peer))?;
        let known = peer.known().clone();
        Some(known)
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
            return match (&asked.failure, was) {
                (Some(failure), _) => Err(failure.clone().into()),
                (None, Some(was)) => Ok(Arc::clone(was)),
                (None, None) => Err(KeysError::Unreachable("it was asked a moment ago".into())),
            };
        }
        asked.at = Some(now);
        asked.failure = None;
        match self.learn(name, peer, now).await? {
            Ok(head) => Ok(head),
            Err(failure) => {
                asked.failure = Some(failure.clone());
                Err(failure.into())
            }
        }
    }

    async fn stored(&self, name: &ServerName) -> Result<Option<TrustedHead>, StoreError> {
        let Some(bytes) = self.store.key_head(name).await? else { return Ok(None) };
        TrustedHead::from_storage(&bytes).map(Some).map_err(|err| StoreError::Corrupt {
            table: "peers",
            column: "key_head",
            fact: err.to_string(),
        })
    }

    /// Fetches the document, follows the log where needed, and keeps what is believed.
    async fn learn(
        &self,
        name: &ServerName,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Result<Arc<TrustedHead>, Failure>, KeysError> {
        let document = match self.fetch(name).await {
            Ok(document) => document,
            Err(failure) => return Ok(Err(failure)),
        };
        self.counters.fetched.fetch_add(1, Ordering::Relaxed);
        for _ in 0..MAX_CONFLICTS {
            let before = self.stored(name).await?;
            let verified = match self.believe(name, peer, document.clone(), before.as_ref()).await {
                Ok(verified) => verified,
                Err(failure) => return Ok(Err(failure)),
            };
            let head = verified.head();
            if before.as_ref().map(TrustedHead::hash) != Some(head.hash()) {
                let expected = before.as_ref().map(TrustedHead::encode);
                let new = head.encode();
                if !self.store.advance_key_head(name, expected.as_deref(), &new).await? {
                    // Another process was quicker: what it kept is the known head now.
                    continue;
                }
                if before.is_some() {
                    tracing::info!(peer = %name, entry = head.entry().number, "the peer has new keys");
                }
            }
            return Ok(Ok(remember(name, peer, &verified, now)));
        }
        Ok(Err(Failure::Unreachable("its keys change while they are read".into())))
    }

    async fn fetch(&self, name: &ServerName) -> Result<SignedDocument, Failure> {
        let bytes = self.source.document(name).await.map_err(|err| self.not_asked(name, &err))?;
        SignedDocument::decode(&bytes).map_err(|err| self.nonsense(name, &err))
    }

    async fn believe(
        &self,
        name: &ServerName,
        peer: &Peer,
        document: SignedDocument,
        known: Option<&TrustedHead>,
    ) -> Result<VerifiedDocument, Failure> {
        let now = self.clock.now();
        let err = match document.clone().verify(name, known) {
            // With nothing to hold it against, an old document may be held out by anybody who was
            // once believed for the domain.
            Ok(verified)
                if known.is_none() && verified.document().freshness(now) == Freshness::Expired =>
            {
                DocumentError::Expired
            }
            Ok(verified) => return Ok(verified),
            Err(err) => err,
        };
        if err != DocumentError::LogNeeded {
            return Err(self.not_believed(name, peer, &err));
        }
        let bytes = self.source.key_log(name).await.map_err(|err| self.not_asked(name, &err))?;
        let (whose, before) = (name.clone(), known.cloned());
        // A long log has thousands of signatures.
        let followed = tokio::task::spawn_blocking(move || {
            let log = key_log::decode_log(&bytes)?;
            Ok(key_log::follow(&whose, before.as_ref(), &log))
        });
        let followed: Result<_, CborError> = match followed.await {
            Ok(followed) => followed,
            Err(err) => return Err(self.nonsense(name, &err)),
        };
        let head = followed
            .map_err(|err| self.nonsense(name, &err))?
            .map_err(|err| self.not_believed(name, peer, &err.into()))?;
        document.verify(name, Some(&head)).map_err(|err| {
            self.nonsense(name, &err);
            // Its keys may have changed between the two answers: the next question finds them in step.
            Failure::Unreachable("its document and its key log are not in step".into())
        })
    }

    fn not_asked(&self, name: &ServerName, err: &FetchError) -> Failure {
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(peer = %name, error = %err, "the peer's keys cannot be fetched");
        match err {
            FetchError::NoSuchName => Failure::NoSuchName,
            FetchError::Unreachable(reason) => Failure::Unreachable(reason.clone()),
        }
    }

    fn nonsense(&self, name: &ServerName, err: &dyn core::fmt::Display) -> Failure {
        self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(peer = %name, error = %err, "what the peer publishes cannot be read");
        Failure::Unreadable(err.to_string())
    }

    fn not_believed(&self, name: &ServerName, peer: &Peer, err: &DocumentError) -> Failure {
        self.counters.not_believed.fetch_add(1, Ordering::Relaxed);
        let mut alarmed = peer.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        if alarmed.as_ref() != Some(err) {
            tracing::error!(
                peer = %name, reason = %err,
                "what the peer says of its keys is not believed; known ones stay in force"
            );
            if let Some(alarm) = self.alarm.get() {
                alarm(name, err);
            }
            *alarmed = Some(err.clone());
        }
        match err {
            DocumentError::Expired => Failure::Expired,
            err => Failure::NotBelieved(err.to_string()),
        }
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
            known.renew_at = now.plus_millis(RENEW_EVERY_MS);
        }
        let Some(me) = self.me.upgrade() else { return };
        let Ok(permit) = Arc::clone(&self.renewing).try_acquire_owned() else { return };
        let (name, peer) = (name.clone(), Arc::clone(peer));
        tokio::spawn(async move {
            let was = peer.known().head.clone();
            // The known keys stay usable, whatever comes of it.
            _ = me.ask(&name, &peer, was.as_ref(), true).await;
            drop(permit);
        });
    }
}

/// Keeps what a document says in memory.
fn remember(
    name: &ServerName,
    peer: &Peer,
    verified: &VerifiedDocument,
    now: Timestamp,
) -> Arc<TrustedHead> {
    let document = verified.document();
    let freshness = document.freshness(now);
    if freshness != Freshness::Fresh {
        tracing::warn!(
            peer = %name, ?freshness,
            "the peer's document is expired or from the future: one of the two clocks is wrong"
        );
    }
    let facts = PeerFacts {
        max_records: document.max_records.into(),
        max_envelope: usize::try_from(document.max_envelope).unwrap_or(usize::MAX),
        envelope_versions: document.envelope_versions.clone(),
        payload_versions: document.payload_versions.clone(),
        shares_encapsulation: document.features.iter().any(|name| name == SHARED_ENCAPSULATION),
        valid_until: document.valid_until,
    };
    let half = document.valid_until.0.saturating_sub(document.issued.0) / 2;
    let head = Arc::new(verified.head().clone());
    *peer.known() = Known {
        head: Some(Arc::clone(&head)),
        facts: Some(Arc::new(facts)),
        renew_at: now.plus_millis(half.max(ASK_EVERY_MS)),
    };
    *peer.alarmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    head
}

#[async_trait]
impl KeyDirectory for PeerKeyDirectory {
    async fn keys(&self, peer: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, KeysError> {
        let (name, peer) = (peer, self.peer(peer));
        let known = peer.known().clone();
        let head = match known.head {
            Some(head) if !renew => head,
            was => self.ask(name, &peer, was.as_ref(), renew).await?,
        };
        let now = self.clock.now();
        if known.facts.is_some_and(|facts| facts.is_expired(now)) {
            self.counters.expired.fetch_add(1, Ordering::Relaxed);
        }
        self.refresh_if_due(name, &peer, now);
        Ok(head)
    }

    fn facts(&self, peer: &ServerName) -> Option<Arc<PeerFacts>> {
        self.present(peer)?.facts
    }

    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError> {
        if self.present(peer).is_some_and(|known| known.head.is_some()) {
            return Ok(true);
        }
        Ok(self.store.key_head(peer).await?.is_some())
    }
}

#[async_trait]
impl KnownKeys for PeerKeyDirectory {
    async fn head(&self, peer: &ServerName) -> Result<Option<TrustedHead>, StoreError> {
        self.stored(peer).await
    }
}

#[cfg(test)]
mod tests;
