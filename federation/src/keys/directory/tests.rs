//! First contact, changes that are followed, changes that are refused, and how often a peer is asked.

use std::time::Instant;

use bytes::Bytes;
use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_protocol::{
    federation::{
        document::ServerDocument,
        key_log::{KeyLogEntry, KeyLogError, SignedEntry, encode_log},
        limits, version,
    },
    id::HandleName,
};
use posthouse_storage::peers::RememberedHandle;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::testing::{Hands, NOW};

fn south() -> ServerName {
    ServerName::parse("south.test").unwrap()
}

fn signing(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

/// Entry `number`, whose key is `key`, signed by it and by `by`.
fn entry(number: u64, previous: Option<&SignedEntry>, key: u8, by: u8) -> SignedEntry {
    let mut rng = StdRng::seed_from_u64(1);
    let entry = KeyLogEntry {
        server: south(),
        number,
        previous: previous.map(SignedEntry::hash),
        at: NOW,
        signing: vec![signing(key).verifying_key()],
        next_signing: Vec::new(),
        sealing: vec![SealingKey::generate(Encapsulation::X25519, &mut rng).public_key()],
        retired: Vec::new(),
        recovery: signing(200).verifying_key(),
    };
    SignedEntry::sign(entry, &[&signing(key), &signing(by)])
}

/// A log in which key n signs key n + 1; `first` is the first key.
fn log(first: u8, len: u8) -> Vec<SignedEntry> {
    let mut log: Vec<SignedEntry> = Vec::new();
    for n in 0..len {
        let by = if n == 0 { first } else { first + n - 1 };
        let next = entry(n.into(), log.last(), first + n, by);
        log.push(next);
    }
    log
}

fn document(newest: &SignedEntry, key: u8, issued: Timestamp) -> Vec<u8> {
    let document = ServerDocument {
        server: south(),
        issued,
        valid_until: issued.plus_millis(limits::MAX_DOCUMENT_LIFE_MS),
        keys: newest.hash(),
        pins: Vec::new(),
        max_envelope: 100_000,
        max_records: 7,
        envelope_versions: version::ENVELOPES.to_vec(),
        payload_versions: vec![version::PAYLOAD],
        features: Vec::new(),
    };
    SignedDocument::sign(document, newest.clone(), &signing(key)).encode()
}

/// What a peer publishes, and how often it was asked for it.
struct Source {
    published: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
    documents: AtomicU64,
    logs: AtomicU64,
    /// Answers wait until it is given free.
    gate: Semaphore,
}

impl Source {
    /// The log with its newest entry's document.
    fn publish(&self, log: &[SignedEntry], key: u8, issued: Timestamp) {
        let document = document(log.last().unwrap(), key, issued);
        *self.published.lock().unwrap() = Some((document, encode_log(log)));
    }

    fn be_away(&self) {
        *self.published.lock().unwrap() = None;
    }

    fn asked(&self) -> (u64, u64) {
        (self.documents.load(Ordering::SeqCst), self.logs.load(Ordering::SeqCst))
    }

    async fn answer(&self, count: &AtomicU64) -> Result<(Vec<u8>, Vec<u8>), FetchError> {
        count.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await.unwrap());
        let published = self.published.lock().unwrap().clone();
        published.ok_or_else(|| FetchError::Unreachable("away".to_owned()))
    }
}

#[async_trait]
impl KeySource for Source {
    async fn document(&self, _: &ServerName) -> Result<Vec<u8>, FetchError> {
        self.answer(&self.documents).await.map(|(document, _)| document)
    }

    async fn key_log(&self, _: &ServerName) -> Result<Vec<u8>, FetchError> {
        self.answer(&self.logs).await.map(|(_, log)| log)
    }
}

/// Heads as another process sees them too.
#[derive(Default)]
struct Heads {
    heads: Mutex<HashMap<ServerName, Bytes>>,
    /// What another process keeps just before the next change.
    rival: Mutex<Option<Bytes>>,
}

#[async_trait]
impl Peers for Heads {
    async fn key_head(&self, peer: &ServerName) -> Result<Option<Bytes>, StoreError> {
        Ok(self.heads.lock().unwrap().get(peer).cloned())
    }

    async fn advance_key_head(
        &self,
        peer: &ServerName,
        expected: Option<&[u8]>,
        head: &[u8],
    ) -> Result<bool, StoreError> {
        let mut heads = self.heads.lock().unwrap();
        if let Some(rival) = self.rival.lock().unwrap().take() {
            heads.insert(peer.clone(), rival);
        }
        let as_expected = heads.get(peer).map(AsRef::as_ref) == expected;
        if as_expected {
            heads.insert(peer.clone(), Bytes::copy_from_slice(head));
        }
        Ok(as_expected)
    }

    async fn known_peers(
        &self,
        _: Option<&ServerName>,
        _: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.heads.lock().unwrap().keys().cloned().collect())
    }

    async fn remembered_handle(
        &self,
        _: &ServerName,
        _: &HandleName,
    ) -> Result<Option<RememberedHandle>, StoreError> {
        Ok(None)
    }

    async fn remember_handle(
        &self,
        _: &ServerName,
        _: &HandleName,
        _: RememberedHandle,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Bench {
    source: Arc<Source>,
    heads: Arc<Heads>,
    clock: Arc<Hands>,
    directory: Arc<PeerKeyDirectory>,
    alarms: Arc<Mutex<Vec<DocumentError>>>,
}

impl Bench {
    fn new() -> Self {
        let source = Arc::new(Source {
            published: Mutex::default(),
            documents: AtomicU64::new(0),
            logs: AtomicU64::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let (heads, clock) = (Arc::<Heads>::default(), Hands::new());
        let alarms = Arc::<Mutex<Vec<_>>>::default();
        let directory = PeerKeyDirectory::new(
            Arc::clone(&source) as _,
            Arc::clone(&heads) as _,
            Arc::clone(&clock) as _,
        );
        let bench = Self { source, heads, clock, directory, alarms };
        bench.listen();
        bench
    }

    fn listen(&self) {
        let alarms = Arc::clone(&self.alarms);
        self.directory.set_alarm(Box::new(move |peer, err| {
            assert_eq!(*peer, south());
            alarms.lock().unwrap().push(err.clone());
        }));
    }

    /// The process starts anew.
    fn restart(&mut self) {
        self.directory = PeerKeyDirectory::new(
            Arc::clone(&self.source) as _,
            Arc::clone(&self.heads) as _,
            Arc::clone(&self.clock) as _,
        );
        self.listen();
    }

    async fn keys(&self, renew: bool) -> Result<u64, KeysError> {
        self.directory.keys(&south(), renew).await.map(|head| head.entry().number)
    }

    fn pass(&self, millis: u64) {
        self.clock.advance(std::time::Duration::from_millis(millis));
    }

    fn kept(&self) -> TrustedHead {
        TrustedHead::from_storage(self.heads.heads.lock().unwrap().get(&south()).unwrap()).unwrap()
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn first_contact_believes_what_the_peer_says_and_keeps_it() {
    let bench = Bench::new();
    assert!(!bench.directory.is_known(&south()).await.unwrap());
    assert_eq!(bench.directory.facts(&south()), None);
    bench.source.publish(&log(1, 3), 3, NOW);
    assert_eq!(bench.keys(false).await.unwrap(), 2);
    assert_eq!(bench.keys(false).await.unwrap(), 2);
    assert_eq!(bench.source.asked(), (1, 0), "asked once, and for no log");
    let facts = bench.directory.facts(&south()).unwrap();
    assert_eq!((facts.max_records, facts.max_envelope), (7, 100_000));
    assert_eq!(facts.valid_until, NOW.plus_millis(limits::MAX_DOCUMENT_LIFE_MS));
    assert!(bench.directory.is_known(&south()).await.unwrap());
    assert_eq!(bench.kept().hash(), log(1, 3).last().unwrap().hash());
}

#[tokio::test]
async fn changes_are_followed_over_one_entry_and_over_many() {
    let bench = Bench::new();
    bench.source.publish(&log(1, 1), 1, NOW);
    bench.keys(false).await.unwrap();
    bench.pass(ASK_EVERY_MS);
    bench.source.publish(&log(1, 2), 2, NOW);
    assert_eq!(bench.keys(true).await.unwrap(), 1);
    assert_eq!(bench.source.asked(), (2, 0));
    bench.pass(ASK_EVERY_MS);
    bench.source.publish(&log(1, 9), 9, NOW);
    assert_eq!(bench.keys(true).await.unwrap(), 8);
    assert_eq!(bench.source.asked(), (3, 1), "the log is needed for more than one step");
    assert_eq!(bench.kept().entry().number, 8);
    assert!(bench.alarms.lock().unwrap().is_empty());
}

#[tokio::test]
async fn changes_that_the_known_keys_do_not_allow_are_refused_and_told_once() {
    let unsigned = |base: &[SignedEntry], len: u64| {
        let mut log = base.to_vec();
        for number in 3..3 + len {
            // Signed by nobody who was known before.
            let next = entry(number, log.last(), 90, 90);
            log.push(next);
        }
        log
    };
    let base = log(1, 3);
    let cases: [(&str, Vec<SignedEntry>, u8, KeyLogError); 5] = [
        ("forked at the head", log(50, 3), 52, KeyLogError::Forked { number: 2 }),
        ("forked before it", log(50, 6), 55, KeyLogError::Forked { number: 2 }),
        ("shortened", log(1, 2), 2, KeyLogError::Shortened { found: 1, known: 2 }),
        ("not signed", unsigned(&base, 1), 90, KeyLogError::NotSigned { number: 3 }),
        ("not signed, far ahead", unsigned(&base, 4), 90, KeyLogError::NotSigned { number: 3 }),
    ];
    for (what, log, key, expected) in cases {
        let bench = Bench::new();
        bench.source.publish(&base, 3, NOW);
        bench.keys(false).await.unwrap();
        bench.source.publish(&log, key, NOW);
        for _ in 0..3 {
            bench.pass(ASK_EVERY_MS);
            let refused = bench.keys(true).await;
            assert!(matches!(refused, Err(KeysError::NotBelieved(_))), "{what}: {refused:?}");
        }
        assert_eq!(*bench.alarms.lock().unwrap(), [DocumentError::Keys(expected)], "{what}");
        assert_eq!(bench.directory.counters().not_believed.load(Ordering::SeqCst), 3, "{what}");
        assert_eq!(bench.keys(false).await.unwrap(), 2, "{what}: the known keys stay in force");
        assert_eq!(bench.kept().hash(), base.last().unwrap().hash(), "{what}");
    }
}

#[tokio::test]
async fn a_document_that_no_key_in_force_signed_is_refused() {
    let bench = Bench::new();
    bench.source.publish(&log(1, 3), 2, NOW);
    assert!(matches!(bench.keys(false).await, Err(KeysError::NotBelieved(_))));
    assert_eq!(*bench.alarms.lock().unwrap(), [DocumentError::BadSignature]);
    assert!(!bench.directory.is_known(&south()).await.unwrap());
}

#[tokio::test]
async fn an_expired_document_is_not_believed_at_first_contact() {
    let bench = Bench::new();
    let base = log(1, 1);
    let long_ago = NOW.minus_millis(limits::MAX_DOCUMENT_LIFE_MS + 1);
    bench.source.publish(&base, 1, long_ago);
    for _ in 0..3 {
        assert!(matches!(bench.keys(false).await, Err(KeysError::Expired)));
        bench.pass(ASK_EVERY_MS);
    }
    assert!(!bench.directory.is_known(&south()).await.unwrap());
    assert_eq!(*bench.alarms.lock().unwrap(), [DocumentError::Expired], "told once");
    // A fresh one is. From then on an expired one is better than none.
    bench.source.publish(&base, 1, bench.clock.now());
    assert_eq!(bench.keys(false).await.unwrap(), 0);
    bench.pass(limits::MAX_DOCUMENT_LIFE_MS + 1);
    assert_eq!(bench.keys(true).await.unwrap(), 0);
    assert_eq!(bench.alarms.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_went_on_between_the_two_answers_is_no_alarm() {
    let bench = Bench::new();
    bench.source.publish(&log(1, 1), 1, NOW);
    bench.keys(false).await.unwrap();
    bench.pass(ASK_EVERY_MS);
    let older = document(log(1, 4).last().unwrap(), 4, NOW);
    *bench.source.published.lock().unwrap() = Some((older, encode_log(&log(1, 5))));
    assert!(matches!(bench.keys(true).await, Err(KeysError::Unreachable(_))));
    assert!(bench.alarms.lock().unwrap().is_empty());
    bench.pass(ASK_EVERY_MS);
    bench.source.publish(&log(1, 5), 5, NOW);
    assert_eq!(bench.keys(true).await.unwrap(), 4);
}

#[tokio::test]
async fn a_peer_is_asked_at_most_every_ten_seconds() {
    let bench = Bench::new();
    for _ in 0..5 {
        assert!(matches!(bench.keys(false).await, Err(KeysError::Unreachable(_))));
        assert!(matches!(bench.keys(true).await, Err(KeysError::Unreachable(_))));
    }
    assert_eq!(bench.source.asked(), (1, 0), "failures count as long");
    bench.source.publish(&log(1, 1), 1, NOW);
    bench.pass(ASK_EVERY_MS - 1);
    assert!(bench.keys(false).await.is_err());
    bench.pass(1);
    for _ in 0..5 {
        assert_eq!(bench.keys(true).await.unwrap(), 0);
    }
    assert_eq!(bench.source.asked(), (2, 0));
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_wait_for_one_answer() {
    let mut bench = Bench::new();
    bench.source = Arc::new(Source {
        published: Mutex::default(),
        documents: AtomicU64::new(0),
        logs: AtomicU64::new(0),
        gate: Semaphore::new(0),
    });
    bench.restart();
    bench.source.publish(&log(1, 1), 1, NOW);
    let questions: Vec<_> = (0..50)
        .map(|n| {
            let directory = Arc::clone(&bench.directory);
            tokio::spawn(async move { directory.keys(&south(), n % 2 == 0).await.map(drop) })
        })
        .collect();
    until("the peer is asked", || bench.source.asked().0 == 1).await;
    bench.source.gate.add_permits(1_000);
    for question in questions {
        question.await.unwrap().unwrap();
    }
    assert_eq!(bench.source.asked(), (1, 0));
}

#[tokio::test]
async fn a_restart_goes_on_with_the_kept_head_while_the_peer_is_away() {
    let mut bench = Bench::new();
    bench.source.publish(&log(1, 3), 3, NOW);
    bench.keys(false).await.unwrap();
    bench.source.be_away();
    bench.restart();
    assert!(bench.directory.is_known(&south()).await.unwrap());
    assert_eq!(bench.keys(false).await.unwrap(), 2);
    // A peer that shows other keys after a restart is refused as before.
    bench.source.publish(&log(50, 3), 52, NOW);
    bench.pass(ASK_EVERY_MS);
    assert!(matches!(bench.keys(true).await, Err(KeysError::NotBelieved(_))));
    assert_eq!(bench.keys(false).await.unwrap(), 2);
}

#[tokio::test]
async fn a_document_is_renewed_behind_the_scenes_when_half_its_life_is_over() {
    let mut bench = Bench::new();
    bench.source.publish(&log(1, 1), 1, NOW);
    bench.keys(false).await.unwrap();
    bench.pass(limits::MAX_DOCUMENT_LIFE_MS / 2 - 1);
    bench.keys(false).await.unwrap();
    assert_eq!(bench.source.asked(), (1, 0));
    bench.pass(1);
    let issued = bench.clock.now();
    bench.source.publish(&log(1, 2), 2, issued);
    assert_eq!(bench.keys(false).await.unwrap(), 0, "nobody waits for it");
    let until_then = issued.plus_millis(limits::MAX_DOCUMENT_LIFE_MS);
    let renewed = || bench.directory.facts(&south()).unwrap().valid_until == until_then;
    until("the document is renewed", renewed).await;
    assert_eq!(bench.keys(false).await.unwrap(), 1);
    // After a restart, a peer that is used is asked for its document.
    bench.restart();
    bench.keys(false).await.unwrap();
    until("the document is fetched", || bench.directory.facts(&south()).is_some()).await;
}

#[tokio::test]
async fn an_expired_document_leaves_the_keys_usable_and_is_counted() {
    let bench = Bench::new();
    bench.source.publish(&log(1, 1), 1, NOW);
    bench.keys(false).await.unwrap();
    bench.source.be_away();
    bench.pass(limits::MAX_DOCUMENT_LIFE_MS + 1);
    assert_eq!(bench.keys(false).await.unwrap(), 0);
    let facts = bench.directory.facts(&south()).unwrap();
    assert!(facts.is_expired(bench.clock.now()));
    assert_eq!(bench.directory.counters().expired.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn whoever_loses_the_race_holds_the_answer_against_what_the_other_kept() {
    let bench = Bench::new();
    let head =
        |log: &[SignedEntry]| Bytes::from(key_log::follow(&south(), None, log).unwrap().encode());
    // The other process kept the entry before: this one's is its successor.
    bench.source.publish(&log(1, 2), 2, NOW);
    *bench.heads.rival.lock().unwrap() = Some(head(&log(1, 1)));
    assert_eq!(bench.keys(false).await.unwrap(), 1);
    assert_eq!(bench.kept().entry().number, 1);
    // The other process kept other keys: first contact came first there.
    let bench = Bench::new();
    bench.source.publish(&log(1, 2), 2, NOW);
    *bench.heads.rival.lock().unwrap() = Some(head(&log(50, 2)));
    assert!(matches!(bench.keys(false).await, Err(KeysError::NotBelieved(_))));
    assert_eq!(bench.kept().hash(), log(50, 2).last().unwrap().hash());
}

#[test]
fn the_table_forgets_those_used_longest_ago() {
    let mut table = Table::default();
    let name = |n: usize| ServerName::parse(&format!("r{n}.test")).unwrap();
    let held = table.get(&name(1));
    for n in 0..MAX_PEERS + 100 {
        table.get(&name(n));
        table.get(&name(0));
        assert!(table.peers.len() <= MAX_PEERS);
    }
    assert!(table.peers.contains_key(&name(0)), "used all the time");
    assert!(Arc::ptr_eq(&held, &table.get(&name(1))), "held by somebody");
    assert!(!table.peers.contains_key(&name(2)));
    assert!(table.peers.contains_key(&name(MAX_PEERS + 99)));
}
