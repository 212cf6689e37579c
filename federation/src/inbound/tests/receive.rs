//! From posted bytes to a signed receipt, over the reference store.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use posthouse_protocol::federation::{
    key_log::{SignedEntry, TrustedHead, follow},
    payload::Typing,
    receipt::{Outcome, Receipt, Rejection, RejectionReason, SignedReceipt},
};

use posthouse_storage::error::StoreError;

use super::*;
use crate::{
    inbound::{Inbound, Own, Parts},
    ports::{
        EphemeralSink, InboundStore, KeyDirectory, KeysError, PeerFacts, TakeError, Taking,
        memory::MemoryInboundStore,
    },
};

/// North's keys: an older entry at first, the newer one after a renewal.
struct Directory {
    known: Mutex<Arc<TrustedHead>>,
    newest: Arc<TrustedHead>,
}

#[async_trait]
impl KeyDirectory for Directory {
    async fn keys(&self, _: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, KeysError> {
        let mut known = self.known.lock().unwrap();
        if renew {
            *known = Arc::clone(&self.newest);
        }
        Ok(Arc::clone(&known))
    }
    fn facts(&self, _: &ServerName) -> Option<Arc<PeerFacts>> {
        None
    }
    async fn is_known(&self, _: &ServerName) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[derive(Default)]
struct Passed(Mutex<usize>);

#[async_trait]
impl EphemeralSink for Passed {
    async fn pass(&self, _: &ServerName, events: &[EventRecord]) {
        *self.0.lock().unwrap() += events.len();
    }
}

struct South {
    bench: Bench,
    inbound: Inbound,
    store: Arc<MemoryInboundStore>,
    passed: Arc<Passed>,
    signing: SigningKey,
    keys: Arc<Directory>,
    reads: Arc<AtomicUsize>,
}

/// Counts what is read.
struct Counting {
    store: Arc<MemoryInboundStore>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl InboundStore for Counting {
    async fn stream(&self, origin: &ServerName) -> Result<InboundStream, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.stream(origin).await
    }

    async fn take(
        &self,
        origin: &ServerName,
        expected: &InboundStream,
        next: &InboundStream,
        taking: Taking<'_>,
        now: Timestamp,
    ) -> Result<Vec<Rejection>, TakeError> {
        InboundStore::take(self.store.as_ref(), origin, expected, next, taking, now).await
    }

    async fn rejections(
        &self,
        origin: &ServerName,
        taking: Taking<'_>,
    ) -> Result<Vec<Rejection>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        InboundStore::rejections(self.store.as_ref(), origin, taking).await
    }
}

impl South {
    fn new() -> Self {
        let bench = Bench::new();
        let old = SigningKey::from_seed(&[5; 32]);
        let mut entry = bench.keys();
        entry.signing = vec![old.verifying_key()];
        entry.next_signing = vec![bench.signing.verifying_key()];
        let first = SignedEntry::sign(entry, &[&old]);
        let mut entry = bench.keys();
        (entry.number, entry.previous) = (1, Some(first.hash()));
        // The first entry announces no next key, so that a renewal is needed.
        let second = SignedEntry::sign(entry, &[&bench.signing]);
        let log = [first, second];
        let head = |log: &[SignedEntry]| Arc::new(follow(&name("north.test"), None, log).unwrap());
        let mut stale = bench.keys();
        stale.signing = vec![old.verifying_key()];
        let known = head(&[SignedEntry::sign(stale, &[&old])]);
        let directory = Directory { known: Mutex::new(known), newest: head(&log) };
        let reject_two = |event: &EventRecord| {
            (event.id == Uuid::from_u128(2)).then_some(RejectionReason::UnknownRecipient)
        };
        let store = Arc::new(MemoryInboundStore::new(reject_two));
        let passed = Arc::new(Passed::default());
        let signing = SigningKey::from_seed(&[3; 32]);
        let (keys, reads) = (Arc::new(directory), Arc::<AtomicUsize>::default());
        let counting = Counting { store: Arc::clone(&store), reads: Arc::clone(&reads) };
        let own = Own {
            name: name("south.test"),
            signing: signing.clone(),
            sealing: SealingKeys::new([bench.sealing.clone()]),
        };
        let parts = Parts {
            store: Arc::new(counting),
            keys: Arc::clone(&keys) as _,
            ephemerals: Arc::clone(&passed) as _,
        };
        let inbound = Inbound::new(own, parts);
        Self { bench, inbound, store, passed, signing, keys, reads }
    }

    /// Another process of the same region.
    fn another(&self) -> Inbound {
        let own = Own {
            name: name("south.test"),
            signing: self.signing.clone(),
            sealing: SealingKeys::new([self.bench.sealing.clone()]),
        };
        let parts = Parts {
            store: Arc::clone(&self.store) as _,
            keys: Arc::clone(&self.keys) as _,
            ephemerals: Arc::clone(&self.passed) as _,
        };
        Inbound::new(own, parts)
    }

    async fn post(&self, bytes: &[u8]) -> Result<Receipt, RefusalCode> {
        let peer = PeerNames::proved(vec![name("north.test")]);
        let receipt = self.inbound.receive(bytes, &peer, NOW).await.map_err(|err| err.code)?;
        let receipt = SignedReceipt::decode(&receipt.encode()).unwrap();
        Ok(receipt.verify(&self.signing.verifying_key()).unwrap().receipt().clone())
    }

    fn envelope(&mut self, place: Option<Place>, ids: &[u128]) -> Vec<u8> {
        let mut event = Event::new(EventKind::Typing, EventClass::Ephemeral);
        event.bodies = vec![posthouse_protocol::federation::event::EventBody::for_all(
            Typing { active: true }.encode(),
        )];
        let records = ids.iter().map(|id| {
            let (id, event) = (Uuid::from_u128(*id), Ok(event.clone()));
            Record::Event(EventRecord { id, sender: None, event })
        });
        let records = record::encode(&records.collect::<Vec<_>>()).unwrap();
        let addressing = Addressing {
            origin: name("north.test"),
            destination: name("south.test"),
            created: NOW,
            place,
        };
        let to = self.bench.sealing.public_key();
        Envelope::make(addressing, &records, &to, &self.bench.signing, &mut self.bench.rng)
            .unwrap()
            .encode()
    }

    fn place(first: u64, count: u64, before: Option<RunningHash>) -> Place {
        let incarnation = Incarnation { number: 1, random: [1; 16] };
        let ends = (name("north.test"), name("south.test"));
        let start = RunningHash::start(&ends.0, &ends.1, &incarnation, Lane::Messages);
        let before = before.unwrap_or(start);
        Place { lane: Lane::Messages, incarnation, first, count, before, resumes: None }
    }
}

#[tokio::test]
async fn events_are_taken_once_and_rejections_are_told_every_time() {
    let mut south = South::new();
    let bytes = south.envelope(Some(South::place(1, 3, None)), &[1, 2, 3]);
    for _ in 0..2 {
        let receipt = south.post(&bytes).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Accepted);
        assert_eq!(receipt.standing.unwrap().lanes.of(Lane::Messages).through, 3);
        let rejected: Vec<u64> = receipt.rejections.iter().map(|one| one.sequence).collect();
        assert_eq!(rejected, [2]);
    }
    assert_eq!(south.store.from(&name("north.test")).effects.len(), 2);
}

#[tokio::test]
async fn gaps_move_nothing_and_the_receipt_tells_where_we_stand() {
    let mut south = South::new();
    let bytes = south.envelope(Some(South::place(4, 1, Some(RunningHash([1; 32])))), &[4]);
    let receipt = south.post(&bytes).await.unwrap();
    assert_eq!((receipt.outcome, receipt.standing), (Outcome::Gap, None));
    assert!(south.store.from(&name("north.test")).effects.is_empty());
}

#[tokio::test]
async fn ephemerals_pass_once_and_move_no_stream() {
    let mut south = South::new();
    let bytes = south.envelope(None, &[7, 8]);
    let receipt = south.post(&bytes).await.unwrap();
    assert_eq!((receipt.outcome, receipt.standing), (Outcome::Accepted, None));
    assert_eq!(south.post(&bytes).await, Err(RefusalCode::Replayed));
    assert_eq!(*south.passed.0.lock().unwrap(), 2);
}

#[tokio::test]
async fn envelopes_at_the_same_time_are_taken_once() {
    let mut south = South::new();
    let bytes = south.envelope(Some(South::place(1, 2, None)), &[1, 3]);
    let south = Arc::new(south);
    let posts = (0..20).map(|_| {
        let (south, bytes) = (Arc::clone(&south), bytes.clone());
        tokio::spawn(async move { south.post(&bytes).await.unwrap().outcome })
    });
    for post in posts.collect::<Vec<_>>() {
        assert_eq!(post.await.unwrap(), Outcome::Accepted);
    }
    assert_eq!(south.store.from(&name("north.test")).effects.len(), 2);
}

/// The lane's hash after events with these ids, from sequence 1.
fn hash(ids: &[u128]) -> RunningHash {
    let start = South::place(1, 0, None).before;
    let named = (1..).zip(ids);
    named.fold(start, |hash, (n, id)| hash.event(n, None, Uuid::from_u128(*id)))
}

#[tokio::test]
async fn a_stream_that_goes_on_is_not_read_again() {
    let mut south = South::new();
    let ids: Vec<u128> = (10..20).collect();
    for n in 0..ids.len() {
        let place = South::place(n as u64 + 1, 1, Some(hash(&ids[..n])));
        let bytes = south.envelope(Some(place), &ids[n..=n]);
        let receipt = south.post(&bytes).await.unwrap();
        let position = *receipt.standing.unwrap().lanes.of(Lane::Messages);
        assert_eq!((position.through, position.hash), (n as u64 + 1, hash(&ids[..=n])));
    }
    assert_eq!(south.reads.load(Ordering::SeqCst), 1, "read once, at the beginning");
}

#[tokio::test]
async fn what_another_process_took_is_noticed() {
    let mut south = South::new();
    let other = south.another();
    let peer = PeerNames::proved(vec![name("north.test")]);
    let first = south.envelope(Some(South::place(1, 1, None)), &[10]);
    south.post(&first).await.unwrap();
    let second = south.envelope(Some(South::place(2, 1, Some(hash(&[10])))), &[11]);
    other.receive(&second, &peer, NOW).await.unwrap();
    // Out of its old memory this process would see a gap, and tell an old position.
    let third = south.envelope(Some(South::place(3, 1, Some(hash(&[10, 11])))), &[2]);
    let receipt = south.post(&third).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Accepted);
    assert_eq!(receipt.standing.unwrap().lanes.of(Lane::Messages).through, 3);
    assert_eq!(receipt.rejections.len(), 1);
    // A repetition, which the other process does not remember: taken once, told alike.
    let outcome = |receipt: SignedReceipt| {
        let receipt = SignedReceipt::decode(&receipt.encode()).unwrap();
        receipt.verify(&south.signing.verifying_key()).unwrap().receipt().clone()
    };
    let again = outcome(other.receive(&third, &peer, NOW).await.unwrap());
    assert_eq!((again.outcome, again.rejections.len()), (Outcome::Accepted, 1));
    assert_eq!(south.store.from(&name("north.test")).effects.len(), 2);
}
