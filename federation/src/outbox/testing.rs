//! Two servers for the tests of workers: north sends, south receives, over a link that can be cut,
//! slowed and made to lie.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_protocol::{
    federation::{
        event::{Event, EventClass, EventKind},
        key_log::{KeyLogEntry, SignedEntry, TrustedHead, follow},
        receipt::RejectionReason,
        record::EventRecord,
        stream::Lane,
    },
    id::ServerName,
    time::{Clock, Timestamp},
};
use posthouse_storage::{error::StoreError, leases::Fence, outbox::Settled};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::Semaphore, time};
use uuid::Uuid;

use super::WorkerParts;
use crate::{
    engine::sender::Alarm,
    inbound::{Inbound, Own, Parts, SealingKeys},
    ports::{
        EphemeralSink, KeyDirectory, KeysError, Observer, PeerFacts, PostError, Setback, Transport,
        memory::{Fate, MemoryInboundStore, MemoryOutboundStore},
    },
    tls::PeerNames,
};

pub(super) fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// The keys of both servers.
pub(super) struct Keys {
    heads: Vec<Arc<TrustedHead>>,
    /// What is said of south.
    pub(super) facts: Mutex<Option<PeerFacts>>,
    /// Every name is missing from DNS.
    pub(super) nameless: AtomicBool,
    /// How often anybody's keys were asked for.
    pub(super) asked: AtomicU64,
}

#[async_trait]
impl KeyDirectory for Keys {
    async fn keys(&self, peer: &ServerName, _: bool) -> Result<Arc<TrustedHead>, KeysError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.nameless.load(Ordering::SeqCst) {
            return Err(KeysError::NoSuchName);
        }
        let head = self.heads.iter().find(|head| head.entry().server == *peer);
        head.cloned().ok_or_else(|| KeysError::Unreachable("nobody knows them".into()))
    }

    fn facts(&self, _: &ServerName) -> Option<Arc<PeerFacts>> {
        self.facts.lock().unwrap().clone().map(Arc::new)
    }

    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError> {
        let known = self.heads.iter().any(|head| head.entry().server == *peer);
        Ok(known && !self.nameless.load(Ordering::SeqCst))
    }
}

fn head(server: &str, signing: &SigningKey, sealing: &SealingKey) -> Arc<TrustedHead> {
    let entry = KeyLogEntry {
        server: name(server),
        number: 0,
        previous: None,
        at: Timestamp(0),
        signing: vec![signing.verifying_key()],
        next_signing: Vec::new(),
        sealing: vec![sealing.public_key()],
        retired: Vec::new(),
        recovery: signing.verifying_key(),
    };
    let log = [SignedEntry::sign(entry, &[signing])];
    Arc::new(follow(&name(server), None, &log).unwrap())
}

/// A link that hands envelopes to the other side in memory.
pub(super) struct Link {
    inbound: Inbound,
    clock: Arc<Ticking>,
    pub(super) cut: AtomicBool,
    /// Answers are lost or exchanged for an older one, in turn.
    pub(super) lies: AtomicBool,
    old: Mutex<Option<Vec<u8>>>,
    pub(super) posts: AtomicU64,
    /// Every envelope waits for a permit.
    pub(super) gate: Semaphore,
}

#[async_trait]
impl Transport for Link {
    async fn post(&self, _: &ServerName, envelope: Vec<u8>) -> Result<Vec<u8>, PostError> {
        let n = self.posts.fetch_add(1, Ordering::SeqCst);
        if self.cut.load(Ordering::SeqCst) {
            return Err(PostError::Unreachable("cut".to_owned()));
        }
        drop(self.gate.acquire().await.unwrap());
        let peer = PeerNames::proved(vec![name("north.test")]);
        let receipt = self.inbound.receive(&envelope, &peer, self.clock.now()).await?.encode();
        let old = self.old.lock().unwrap().replace(receipt.clone());
        match (self.lies.load(Ordering::SeqCst), n % 3, old) {
            (true, 0, _) => Err(PostError::Unreachable("the answer was lost".to_owned())),
            (true, 1, Some(old)) => Ok(old),
            _ => Ok(receipt),
        }
    }
}

/// Runs faster than real time, so that back-off costs the test little, and can be moved.
pub(super) struct Ticking {
    start: Instant,
    ahead: AtomicU64,
}

impl Ticking {
    pub(super) fn pass(&self, millis: u64) {
        self.ahead.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.start.elapsed().as_micros()).unwrap();
        Timestamp(1_700_000_000_000 + passed * 2 + self.ahead.load(Ordering::SeqCst))
    }
}

/// What was told, in order.
#[derive(Default)]
pub(super) struct Told {
    pub(super) said: Mutex<Vec<String>>,
    pub(super) ephemerals: Mutex<Vec<Uuid>>,
    /// Why nothing was delivered, each time.
    pub(super) why: Mutex<Vec<String>>,
}

#[async_trait]
impl EphemeralSink for Told {
    async fn pass(&self, _: &ServerName, events: &[EventRecord]) {
        self.ephemerals.lock().unwrap().extend(events.iter().map(|event| event.id));
    }
}

impl Observer for Told {
    fn unreachable(&self, _: &ServerName, _: Timestamp, why: &Setback) {
        self.said.lock().unwrap().push("unreachable".to_owned());
        self.why.lock().unwrap().push(why.to_string());
    }
    fn failed_again(&self, _: &ServerName, why: &Setback) {
        self.why.lock().unwrap().push(why.to_string());
    }
    fn at_rest(&self, _: &ServerName) {}
    fn reachable(&self, _: &ServerName) {
        self.said.lock().unwrap().push("reachable".to_owned());
    }
    fn met(&self, peer: &ServerName) {
        self.said.lock().unwrap().push(format!("met {peer}"));
    }
    fn alarm(&self, _: &ServerName, alarm: Alarm) {
        self.said.lock().unwrap().push(format!("{alarm:?}"));
    }
    fn settled(&self, _: &ServerName, _: Settled) {}
}

/// Both servers.
pub(super) struct Bench {
    pub(super) parts: WorkerParts,
    pub(super) keys: Arc<Keys>,
    pub(super) link: Arc<Link>,
    pub(super) clock: Arc<Ticking>,
    pub(super) told: Arc<Told>,
    pub(super) outbox: Arc<MemoryOutboundStore>,
    pub(super) arrived: Arc<MemoryInboundStore>,
}

impl Bench {
    /// A link without faults; south rejects the event with the id 5.
    pub(super) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let (north, south) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let sealing = SealingKey::generate(Encapsulation::XWing, &mut rng);
        let heads =
            vec![head("north.test", &north, &sealing), head("south.test", &south, &sealing)];
        let (facts, nameless) = (Mutex::default(), AtomicBool::new(false));
        let keys = Arc::new(Keys { heads, facts, nameless, asked: AtomicU64::new(0) });
        let clock = Arc::new(Ticking { start: Instant::now(), ahead: AtomicU64::new(0) });
        let reject = |event: &EventRecord| {
            (event.id == Uuid::from_u128(5)).then_some(RejectionReason::UnknownRecipient)
        };
        let arrived = Arc::new(MemoryInboundStore::new(reject));
        let told = Arc::new(Told::default());
        let sealing = SealingKeys::new([sealing]);
        let own = Own { name: name("south.test"), signing: south, sealing };
        let inbound = Parts {
            store: Arc::clone(&arrived) as _,
            keys: Arc::clone(&keys) as _,
            ephemerals: Arc::clone(&told) as _,
        };
        let link = Arc::new(Link {
            inbound: Inbound::new(own, inbound),
            clock: Arc::clone(&clock),
            cut: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            old: Mutex::new(None),
            posts: AtomicU64::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let outbox = Arc::new(MemoryOutboundStore::default());
        let parts = WorkerParts {
            own: name("north.test"),
            signing: north,
            store: Arc::clone(&outbox) as _,
            keys: Arc::clone(&keys) as _,
            transport: Arc::clone(&link) as _,
            observer: Arc::clone(&told) as _,
            clock: Arc::clone(&clock) as _,
            keep_ms: posthouse_protocol::limits::GRACE_MS,
        };
        Self { parts, keys, link, clock, told, outbox, arrived }
    }

    /// The right to serve a destination.
    pub(super) fn fence(destination: &str) -> Fence {
        Fence { name: destination.to_owned(), number: 1 }
    }

    /// An event waits for south; the stream must be there.
    pub(super) fn enqueue(&self, n: u128) {
        let mut event = Event::new(EventKind::Other(900), EventClass::Control);
        event.recipients = vec![Uuid::from_u128(9)];
        let event = Bytes::from(event.encode());
        let there = self.outbox.with(&name("south.test"), |stream| {
            stream.enqueue(Lane::Messages, Uuid::from_u128(n), None, event);
        });
        assert!(there.is_some(), "no stream");
    }

    /// How many were accepted, have failed, and wait.
    pub(super) fn fates(&self) -> (usize, usize, usize) {
        let fates: HashMap<Uuid, Fate> =
            self.outbox.with(&name("south.test"), |stream| stream.fates.clone()).unwrap();
        let of = |wanted| fates.values().filter(|fate| **fate == wanted).count();
        (of(Fate::Accepted), of(Fate::Failed), of(Fate::Waiting))
    }

    /// What was told so far.
    pub(super) fn said(&self) -> Vec<String> {
        self.told.said.lock().unwrap().clone()
    }

    /// Why nothing was delivered, each time.
    pub(super) fn why(&self) -> Vec<String> {
        self.told.why.lock().unwrap().clone()
    }

    /// How many envelopes were posted.
    pub(super) fn posts(&self) -> u64 {
        self.link.posts.load(Ordering::SeqCst)
    }
}

/// Waits for something, and says what it was if it does not come.
pub(super) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        time::sleep(Duration::from_millis(2)).await;
    }
}
