//! Worker to receiver with real envelopes, over a link that can be cut and lie.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_crypto::seal::{Encapsulation, SealingKey};
use posthouse_protocol::{
    federation::{
        event::{Event, EventClass, EventKind},
        key_log::{KeyLogEntry, SignedEntry, follow},
        receipt::RejectionReason,
        record::EventRecord,
        stream::Lane,
    },
    time::Timestamp,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::{
    engine::sender::Alarm,
    inbound::{Inbound, Own, Parts, SealingKeys},
    ports::{
        EphemeralSink, PeerFacts, PostError,
        memory::{Fate, MemoryInboundStore, MemoryOutboundStore},
    },
    tls::PeerNames,
};

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// The keys of both servers.
struct Keys(Vec<Arc<TrustedHead>>);

#[async_trait]
impl KeyDirectory for Keys {
    async fn keys(&self, peer: &ServerName, _: bool) -> Result<Arc<TrustedHead>, KeysError> {
        let head = self.0.iter().find(|head| head.entry().server == *peer);
        head.cloned().ok_or(KeysError::Unreachable)
    }
    fn facts(&self, _: &ServerName) -> Option<Arc<PeerFacts>> {
        None
    }
    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError> {
        Ok(self.0.iter().any(|head| head.entry().server == *peer))
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
struct Link {
    inbound: Inbound,
    clock: Arc<Ticking>,
    cut: AtomicBool,
    /// Answers are lost or exchanged for an older one, in turn.
    lies: AtomicBool,
    old: Mutex<Option<Vec<u8>>>,
    posts: AtomicU64,
}

#[async_trait]
impl Transport for Link {
    async fn post(&self, _: &ServerName, envelope: Vec<u8>) -> Result<Vec<u8>, PostError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(PostError::Unreachable("cut".to_owned()));
        }
        let n = self.posts.fetch_add(1, Ordering::SeqCst);
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

/// Runs two thousand times as fast as real time, so that back-off costs the test little.
struct Ticking(Instant);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_micros()).unwrap();
        Timestamp(1_700_000_000_000 + passed * 2)
    }
}

#[derive(Default)]
struct Nobody(Mutex<Vec<String>>);

#[async_trait]
impl EphemeralSink for Nobody {
    async fn pass(&self, _: &ServerName, _: &[EventRecord]) {}
}

impl Observer for Nobody {
    fn unreachable(&self, _: &ServerName, _: Timestamp) {
        self.0.lock().unwrap().push("unreachable".to_owned());
    }
    fn reachable(&self, _: &ServerName) {
        self.0.lock().unwrap().push("reachable".to_owned());
    }
    fn alarm(&self, _: &ServerName, alarm: Alarm) {
        self.0.lock().unwrap().push(format!("{alarm:?}"));
    }
    fn settled(&self, _: &ServerName, _: Settled) {}
}

#[tokio::test]
async fn everything_arrives_once_in_order_over_a_bad_link() {
    let mut rng = StdRng::seed_from_u64(1);
    let (north, south) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let sealing = SealingKey::generate(Encapsulation::XWing, &mut rng);
    let keys =
        Keys(vec![head("north.test", &north, &sealing), head("south.test", &south, &sealing)]);
    let keys: Arc<dyn KeyDirectory> = Arc::new(keys);
    let clock = Arc::new(Ticking(Instant::now()));
    let reject = |event: &EventRecord| {
        (event.id == Uuid::from_u128(5)).then_some(RejectionReason::UnknownRecipient)
    };
    let arrived = Arc::new(MemoryInboundStore::new(reject));
    let nobody = Arc::new(Nobody::default());
    let own =
        Own { name: name("south.test"), signing: south, sealing: SealingKeys::new([sealing]) };
    let parts = Parts {
        store: Arc::clone(&arrived) as _,
        keys: Arc::clone(&keys),
        ephemerals: Arc::clone(&nobody) as _,
    };
    let link = Arc::new(Link {
        inbound: Inbound::new(own, parts),
        clock: Arc::clone(&clock),
        cut: AtomicBool::new(true),
        lies: AtomicBool::new(true),
        old: Mutex::new(None),
        posts: AtomicU64::new(0),
    });
    let outbox = Arc::new(MemoryOutboundStore::default());
    let parts = WorkerParts {
        own: name("north.test"),
        signing: north,
        store: Arc::clone(&outbox) as _,
        keys,
        transport: Arc::clone(&link) as _,
        observer: Arc::clone(&nobody) as _,
        clock: Arc::clone(&clock) as _,
    };
    let fence = Fence { name: "south.test".to_owned(), number: 1 };
    let hints = Arc::new(Hints::default());
    let told = Arc::clone(&hints);
    let worker = Worker::new(parts, name("south.test"), fence, told, rng).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(worker.run(async move { stopped.await.unwrap_or(()) }));
    for n in 1..=100_u128 {
        let mut event = Event::new(EventKind::Other(900), EventClass::Control);
        event.recipients = vec![Uuid::from_u128(9)];
        let event = Bytes::from(event.encode());
        outbox.with(&name("south.test"), |stream| {
            stream.enqueue(Lane::Messages, Uuid::from_u128(n), None, event);
        });
        hints.wake(Lane::Messages);
        if n == 50 {
            link.cut.store(false, Ordering::SeqCst);
        }
    }
    let fates = || {
        let fates = outbox.with(&name("south.test"), |stream| stream.fates.clone()).unwrap();
        let of = |wanted| fates.values().filter(|fate| **fate == wanted).count();
        (of(Fate::Accepted), of(Fate::Failed), of(Fate::Waiting))
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while fates() != (99, 1, 0) {
        assert!(Instant::now() < deadline, "{:?} {:?}", fates(), nobody.0.lock().unwrap());
        hints.sign_of_life();
        time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    let inbound = arrived.from(&name("north.test"));
    let ids: Vec<u128> = inbound.effects.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (1..=100).filter(|n| *n != 5).collect::<Vec<_>>());
    let standing = outbox.with(&name("south.test"), |own| own.stream.receipted_standing());
    assert_eq!(inbound.stream.standing, standing, "equal hashes on both sides");
    let told = nobody.0.lock().unwrap().clone();
    assert_eq!(told.first().map(String::as_str), Some("unreachable"));
}
