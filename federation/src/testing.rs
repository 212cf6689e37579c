//! Whole homeservers for tests of the edges: real sockets, real TLS, stores in memory.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
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
        document::{SHARED_ENCAPSULATION, ServerDocument, SignedDocument},
        key_log::{KeyLogEntry, SignedEntry, TrustedHead, encode_log, follow},
        query::{
            ProfileAnswer,
            groups::{GroupAnswer, GroupOutcome, GroupQuestion},
            keys::{BundlesAnswer, BundlesOf, DevicesAnswer, DevicesOf},
        },
        receipt::RejectionReason,
        record::EventRecord,
        version,
    },
    id::{AccountId, HandleName, ServerName},
    rest::keys::UserDevices,
    time::{Clock, Timestamp},
};
use posthouse_storage::error::StoreError;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{
    discovery::{self, Discovery, Dns, DnsConfig, WellKnownError, WellKnownSource},
    inbound::{Inbound, Own, Parts, SealingKeys},
    peer::{PeerClient, PeerParts},
    policy::PolicyStore,
    ports::{
        Contacts, EphemeralSink, Handles, KeyDirectory, KeysError, PeerFacts, PeerGroups, Profiles,
        Published, Unanswered, UserKeys, memory::MemoryInboundStore,
    },
    server::{self, Counters, Server},
    tls::{
        IdentityStore, Trust, TrustStore,
        tests::{Authority, Leaf, identity, name, public},
    },
};

/// What the tests call now: as in `tls::tests`.
pub(crate) const NOW: Timestamp = Timestamp(crate::tls::tests::NOW * 1_000);

/// A clock that a test moves.
pub(crate) struct Hands(AtomicU64);

impl Hands {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW.0)))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.0, SeqCst);
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(SeqCst))
    }
}

/// The keys of all servers of a test; how often somebody asked for a fresh look.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) known: Mutex<HashMap<ServerName, Arc<TrustedHead>>>,
    /// What a fresh look finds.
    pub(crate) newest: Mutex<HashMap<ServerName, Arc<TrustedHead>>>,
}

#[async_trait]
impl KeyDirectory for Keys {
    async fn keys(&self, peer: &ServerName, renew: bool) -> Result<Arc<TrustedHead>, KeysError> {
        let mut known = self.known.lock().unwrap();
        if renew && let Some(newest) = self.newest.lock().unwrap().get(peer) {
            known.insert(peer.clone(), Arc::clone(newest));
        }
        known.get(peer).cloned().ok_or_else(|| KeysError::Unreachable("nobody knows them".into()))
    }

    fn facts(&self, _: &ServerName) -> Option<Arc<PeerFacts>> {
        None
    }

    async fn is_known(&self, peer: &ServerName) -> Result<bool, StoreError> {
        Ok(self.known.lock().unwrap().contains_key(peer))
    }
}

/// Who was heard, in order.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<ServerName>>);

impl Contacts for Heard {
    fn heard(&self, peer: &ServerName) {
        self.0.lock().unwrap().push(peer.clone());
    }
}

#[async_trait]
impl EphemeralSink for Heard {
    async fn pass(&self, _: &ServerName, _: &[EventRecord]) {}
}

/// Handles of a test; asking for `slow` waits until it is let go.
#[derive(Default)]
pub(crate) struct Phonebook {
    pub(crate) accounts: HashMap<String, Uuid>,
    pub(crate) waiting: AtomicU64,
    pub(crate) go: Notify,
}

#[async_trait]
impl Handles for Phonebook {
    async fn account(&self, handle: &HandleName) -> Result<Option<Uuid>, StoreError> {
        match handle.as_str() {
            "broken" => Err(StoreError::Unavailable("no database".into())),
            "slow" => {
                self.waiting.fetch_add(1, SeqCst);
                self.go.notified().await;
                Ok(None)
            }
            other => Ok(self.accounts.get(other).copied()),
        }
    }
}

#[async_trait]
impl Profiles for Phonebook {
    async fn profile(&self, account: Uuid) -> Result<Option<ProfileAnswer>, StoreError> {
        let known = self.accounts.values().any(|one| *one == account);
        Ok(known.then(|| ProfileAnswer {
            account: Some(account),
            version: 2,
            name: Some("sealed name".into()),
            updated_at: Some(Timestamp(7)),
            remember_for: 60,
            ..ProfileAnswer::default()
        }))
    }
}

#[async_trait]
impl PeerGroups for Phonebook {
    async fn group(&self, _: &ServerName, _: GroupQuestion) -> Result<GroupAnswer, Unanswered> {
        Ok(GroupAnswer::of(GroupOutcome::Nothing, None))
    }
}

/// Alice has no keys; whoever is asked for in the name of the nil account was asked for too often.
#[async_trait]
impl UserKeys for Phonebook {
    async fn devices(&self, DevicesOf(account): DevicesOf) -> Result<DevicesAnswer, Unanswered> {
        let known = self.accounts.values().any(|known| *known == account);
        let server = ServerName::parse("south.test").unwrap();
        let devices = known.then(|| UserDevices {
            account_id: AccountId { uuid: account, server },
            identity_key: None,
            version: 0,
            device_list: None,
            devices: Vec::new(),
        });
        Ok(DevicesAnswer { devices, gone_since: None, remember_for: 60 })
    }

    async fn bundles(
        &self,
        origin: &ServerName,
        question: BundlesOf,
    ) -> Result<BundlesAnswer, Unanswered> {
        assert_eq!(origin.as_str(), "north.test");
        match self.accounts.values().any(|known| *known == question.account) {
            _ if question.requester.is_nil() => Err(Unanswered::TooOften(7)),
            _ if question.request.is_nil() => Err(Unanswered::Failed("no database".into())),
            true => Ok(BundlesAnswer::NoIdentity),
            false => Ok(BundlesAnswer::NoAccount),
        }
    }
}

struct Static {
    document: Bytes,
    key_log: Bytes,
}

impl Published for Static {
    fn document(&self, _: Timestamp) -> Bytes {
        self.document.clone()
    }

    fn key_log(&self) -> Bytes {
        self.key_log.clone()
    }
}

struct NoDocument;

#[async_trait]
impl WellKnownSource for NoDocument {
    async fn fetch(&self, _: &ServerName) -> Result<Vec<u8>, WellKnownError> {
        Err(WellKnownError::Absent)
    }
}

/// One homeserver.
pub(crate) struct Region {
    pub(crate) name: ServerName,
    pub(crate) signing: SigningKey,
    pub(crate) sealing: SealingKey,
    pub(crate) log: Vec<SignedEntry>,
    pub(crate) identity: Arc<IdentityStore>,
    pub(crate) trust: Arc<TrustStore>,
    pub(crate) policy: Arc<PolicyStore>,
    pub(crate) clock: Arc<Hands>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) phonebook: Arc<Phonebook>,
    pub(crate) store: Arc<MemoryInboundStore>,
}

/// What all regions of a test share.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<Hands>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::new(), keys: Arc::default(), clock: Hands::new() }
    }

    /// A region with a certificate for its name alone.
    pub(crate) fn region(&self, domain: &str) -> Region {
        self.region_with(domain, &public(&[domain]))
    }

    pub(crate) fn region_with(&self, domain: &str, leaf: &Leaf<'_>) -> Region {
        let mut seed = [0; 32];
        seed[..domain.len()].copy_from_slice(domain.as_bytes());
        let signing = SigningKey::from_seed(&seed);
        let mut rng = StdRng::from_seed(seed);
        let sealing = SealingKey::generate(Encapsulation::X25519, &mut rng);
        let entry = KeyLogEntry {
            server: name(domain),
            number: 0,
            previous: None,
            at: Timestamp(0),
            signing: vec![signing.verifying_key()],
            next_signing: Vec::new(),
            sealing: vec![sealing.public_key()],
            retired: Vec::new(),
            recovery: signing.verifying_key(),
        };
        let log = vec![SignedEntry::sign(entry, &[&signing])];
        let head = Arc::new(follow(&name(domain), None, &log).unwrap());
        self.keys.known.lock().unwrap().insert(name(domain), head);
        let mut phonebook = Phonebook::default();
        phonebook.accounts.insert("alice".to_owned(), Uuid::from_u128(0xa11ce));
        let reject = |event: &EventRecord| {
            (event.id == Uuid::from_u128(5)).then_some(RejectionReason::UnknownRecipient)
        };
        Region {
            name: name(domain),
            signing,
            sealing,
            log,
            identity: identity(domain, &self.authority, leaf),
            trust: Arc::new(TrustStore::new(self.authority.trust())),
            policy: Arc::default(),
            clock: Arc::clone(&self.clock),
            keys: Arc::clone(&self.keys),
            heard: Arc::default(),
            phonebook: Arc::new(phonebook),
            store: Arc::new(MemoryInboundStore::new(reject)),
        }
    }
}

impl Region {
    pub(crate) fn document(&self) -> SignedDocument {
        let document = ServerDocument {
            server: self.name.clone(),
            issued: NOW.minus_millis(3_600_000),
            valid_until: NOW.plus_millis(3 * 24 * 3_600_000),
            keys: self.log[0].hash(),
            pins: Vec::new(),
            max_envelope: 4 * 1024 * 1024,
            max_records: 1_000,
            envelope_versions: version::ENVELOPES.to_vec(),
            payload_versions: vec![version::PAYLOAD],
            features: vec![SHARED_ENCAPSULATION.to_owned()],
        };
        SignedDocument::sign(document, self.log.last().unwrap().clone(), &self.signing)
    }

    pub(crate) fn trust_nobody(&self) {
        self.trust.replace(Trust::default());
    }

    pub(crate) fn parts(&self) -> server::Parts {
        let own = Own {
            name: self.name.clone(),
            signing: self.signing.clone(),
            sealing: SealingKeys::new([self.sealing.clone()]),
        };
        let inbound = Parts {
            store: Arc::clone(&self.store) as _,
            keys: Arc::clone(&self.keys) as _,
            ephemerals: Arc::clone(&self.heard) as _,
        };
        server::Parts {
            own: self.name.clone(),
            signing: self.signing.clone(),
            identity: Arc::clone(&self.identity),
            trust: Arc::clone(&self.trust),
            policy: Arc::clone(&self.policy),
            clock: Arc::clone(&self.clock) as _,
            inbound: Arc::new(Inbound::new(own, inbound)),
            published: Arc::new(Static {
                document: self.document().encode().into(),
                key_log: encode_log(&self.log).into(),
            }),
            handles: Arc::clone(&self.phonebook) as _,
            groups: Arc::clone(&self.phonebook) as _,
            profiles: Arc::clone(&self.phonebook) as _,
            user_keys: Arc::clone(&self.phonebook) as _,
            keys: Arc::clone(&self.keys) as _,
            contacts: Arc::clone(&self.heard) as _,
        }
    }

    /// Listens on loopback.
    pub(crate) async fn serve(&self, config: server::Config) -> Running {
        self.serve_at("127.0.0.1:0".parse().unwrap(), config).await
    }

    pub(crate) async fn serve_at(&self, address: SocketAddr, config: server::Config) -> Running {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(config, self.parts()).unwrap();
        let counters = server.counters();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(listener, async { stopped.await.unwrap_or(()) }));
        Running { address, counters, stop: Some(stop), task }
    }

    /// A client that finds others at these addresses.
    pub(crate) fn client(&self, peers: &[(&Region, SocketAddr)]) -> Arc<PeerClient> {
        let parts = self.peer_parts(peers);
        Arc::new(PeerClient::new(parts, &mut StdRng::seed_from_u64(1)).unwrap())
    }

    pub(crate) fn peer_parts(&self, peers: &[(&Region, SocketAddr)]) -> PeerParts {
        PeerParts {
            own: self.name.clone(),
            signing: self.signing.clone(),
            identity: Arc::clone(&self.identity),
            trust: Arc::clone(&self.trust),
            policy: Arc::clone(&self.policy),
            discovery: Arc::new(Self::discovery(peers)),
            clock: Arc::clone(&self.clock) as _,
            contacts: Arc::clone(&self.heard) as _,
        }
    }

    /// Discovery by overrides alone; nobody else is found, since no DNS answers.
    pub(crate) fn discovery(peers: &[(&Region, SocketAddr)]) -> Discovery {
        let over = peers.iter().map(|(region, address)| {
            (region.name.clone(), vec![(address.ip().to_string(), address.port())])
        });
        let config = discovery::Config { overrides: over.collect(), ..Default::default() };
        let dns = DnsConfig {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            timeout: Duration::from_millis(100),
            attempts: 1,
        };
        Discovery::new(config, Dns::new(&dns).unwrap(), Arc::new(NoDocument), None).unwrap()
    }
}

/// A server that listens.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    /// Tells it to drain.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub(crate) fn refusals(&self, code: &str) -> u64 {
        self.counters.refusals().find(|(known, _)| *known == code).unwrap().1
    }
}

/// Waits until `condition` holds; fails the test after ten seconds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
