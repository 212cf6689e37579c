//! The federation, put together: before the region, what it reaches others by; behind it, what others
//! reach it by.

pub(crate) mod setup;

mod contacts;
mod greeting;

use std::{sync::Arc, time::Duration};

use posthouse_crypto::sign::SigningKey;
use posthouse_federation::{
    discovery::Discovery,
    doctor::{Doctor, DoctorParts},
    inbound::{Inbound, Own, Parts as InboundParts},
    keys::{DirectoryCounters, OwnKeys, PeerKeyDirectory},
    outbox::{Randomness, Supervisor, SupervisorConfig, SupervisorParts, WorkerParts},
    peer::{PeerClient, PeerParts},
    policy::PolicyStore,
    server,
    store::StreamStore,
    tls::{Identity, IdentityStore, TrustStore, spki_digest},
};
use posthouse_protocol::{id::ServerName, time::Clock};
use posthouse_storage::{outbox::Outbox, peers::Peers};
use posthouse_storage_sql::SqlStore;
use rand::{SeedableRng, rngs::StdRng};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::contacts::Relay;
use crate::{
    clock::{SystemClock, system_random},
    config::Config,
    delivery::Connections,
    doctor::known_nobody,
    failure::{Exit, Failure},
    federation::{Gateway, GatewayParts, LocalHandles, Observer},
    random::Random,
    region::Region,
    tls::CurrentCertificate,
};

/// The federation, from the region's side.
pub(crate) struct Outward {
    listener: TcpListener,
    domain: ServerName,
    clock: Arc<dyn Clock>,
    keys: Arc<OwnKeys>,
    certificate: Arc<CurrentCertificate>,
    identity: Arc<IdentityStore>,
    trust: Arc<TrustStore>,
    policy: Arc<PolicyStore>,
    directory: Arc<PeerKeyDirectory>,
    contacts: Arc<Relay>,
    client: Arc<PeerClient>,
    peers: Arc<dyn Peers>,
    supervisor: Arc<Supervisor>,
    observer: Arc<Observer>,
    gateway: Arc<Gateway>,
    doctor: Doctor,
    max_connections: usize,
    drain: Duration,
}

/// What both sides of the composition share.
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) store: &'a SqlStore,
    pub(crate) signing: &'a SigningKey,
    /// The keys, held against the key log.
    pub(crate) keys: &'a Arc<OwnKeys>,
    pub(crate) connections: &'a Arc<Connections>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) random: &'a Arc<Random>,
    /// This process's name in leases.
    pub(crate) holder: Uuid,
}

/// The running federation.
pub(crate) struct Running {
    supervisor: Arc<Supervisor>,
    client: Arc<PeerClient>,
    observer: Arc<Observer>,
    counters: Arc<server::Counters>,
    certificate: Arc<CurrentCertificate>,
    identity: Arc<IdentityStore>,
    keys: Arc<OwnKeys>,
    domain: ServerName,
    directory: Arc<PeerKeyDirectory>,
    doctor: Doctor,
}

impl Outward {
    /// Sets up what reaches other regions; workers start at once.
    ///
    /// # Errors
    /// Certificate, authorities or DNS are not as they should be.
    pub(crate) fn open(listener: TcpListener, shared: &Shared<'_>) -> Result<Self, Failure> {
        let Shared { config, clock, .. } = shared;
        let settings = &config.federation;
        let keys = Arc::clone(shared.keys);
        let certificate =
            CurrentCertificate::open(settings.tls.clone(), config.domain.clone(), clock.now())?;
        let identity =
            Arc::new(IdentityStore::new(identity(&config.domain, certificate.certified())?));
        keys.set_pins(pins(&certificate.certified()));
        let trust = Arc::new(TrustStore::new(setup::trust(settings)?));
        let policy = Arc::new(PolicyStore::new(setup::policy(settings)?));
        let discovery = Arc::new(setup::discovery(settings, Arc::clone(clock))?);
        let contacts = Arc::new(Relay::default());
        let client = Arc::new(client(shared, &identity, &trust, &policy, &discovery, &contacts)?);
        let store = Arc::new(shared.store.clone());
        let peers: Arc<dyn Peers> = Arc::<SqlStore>::clone(&store);
        let directory = PeerKeyDirectory::new(
            Arc::<PeerClient>::clone(&client),
            Arc::clone(&peers),
            Arc::clone(clock),
        );
        let outbox: Arc<dyn Outbox> = Arc::<SqlStore>::clone(&store);
        let observer = Arc::new(Observer::new(Arc::clone(shared.connections), Arc::clone(&outbox)));
        let worker = WorkerParts {
            own: config.domain.clone(),
            signing: shared.signing.clone(),
            store: Arc::new(StreamStore::new(outbox)),
            keys: Arc::<PeerKeyDirectory>::clone(&directory),
            transport: Arc::<PeerClient>::clone(&client),
            observer: Arc::<Observer>::clone(&observer),
            clock: Arc::clone(clock),
            keep_ms: u64::try_from(config.federation.keep.as_millis()).unwrap_or(u64::MAX),
        };
        let parts = SupervisorParts { worker, leases: store, random: generators(shared.random) };
        let supervisor = Supervisor::start(parts, SupervisorConfig::new(shared.holder));
        contacts.lead_to(&supervisor);
        let parts = DoctorParts {
            own: config.domain.clone(),
            signing: shared.signing.clone(),
            identity: Arc::clone(&identity),
            trust: Arc::clone(&trust),
            policy: Arc::clone(&policy),
            discovery,
            known: Arc::<PeerKeyDirectory>::clone(&directory),
            clock: Arc::clone(clock),
        };
        let doctor = Doctor::new(parts, &mut StdRng::from_seed(system_random()?));
        let gateway = Arc::new(Gateway::new(GatewayParts {
            policy: Arc::clone(&policy),
            supervisor: Arc::clone(&supervisor),
            client: Arc::clone(&client),
            peers: Arc::clone(&peers),
            observer: Arc::clone(&observer),
            clock: Arc::clone(clock),
        }));
        Ok(Self {
            listener,
            domain: config.domain.clone(),
            clock: Arc::clone(clock),
            keys,
            certificate: Arc::new(certificate),
            identity,
            trust,
            policy,
            directory,
            contacts,
            client,
            peers,
            supervisor,
            observer,
            gateway,
            doctor,
            max_connections: settings.max_connections,
            drain: config.drain,
        })
    }

    /// Where it listens, with the port that is really open.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().map_or_else(|err| err.to_string(), |at| at.to_string())
    }

    /// Other regions, for the region's decisions.
    pub(crate) fn regions(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// Serves other regions until `draining`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn serve(
        self,
        region: &Region,
        draining: CancellationToken,
        tasks: &mut tokio::task::JoinSet<()>,
    ) -> Result<Running, Failure> {
        let own = Own {
            name: self.domain.clone(),
            signing: self.keys.signing().clone(),
            sealing: self.keys.sealing(),
        };
        let parts = InboundParts {
            store: region.reception(),
            keys: Arc::<PeerKeyDirectory>::clone(&self.directory),
            ephemerals: region.ephemerals(),
        };
        let config = server::Config {
            max_connections: self.max_connections,
            drain_timeout: self.drain,
            ..server::Config::default()
        };
        let watchers = region.watchers();
        self.observer.set_answers(Box::new(move |region| watchers.met(region)));
        let (domain, keys) = (self.domain.clone(), Arc::clone(&self.keys));
        let parts = server::Parts {
            own: self.domain,
            signing: self.keys.signing().clone(),
            identity: Arc::clone(&self.identity),
            trust: self.trust,
            policy: self.policy,
            clock: self.clock,
            inbound: Arc::new(Inbound::new(own, parts)),
            published: self.keys,
            handles: Arc::new(LocalHandles(region.directory())),
            groups: region.peer_groups(),
            profiles: region.profiles(),
            user_keys: region.user_keys(),
            keys: Arc::<PeerKeyDirectory>::clone(&self.directory),
            contacts: self.contacts,
        };
        let server = server::Server::new(config, parts).map_err(|err| defect(&err.to_string()))?;
        let counters = server.counters();
        let rng = StdRng::from_seed(system_random()?);
        let client = Arc::clone(&self.client);
        tasks.spawn(greeting::greet(client, self.peers, rng, draining.clone()));
        tasks.spawn(server.serve(self.listener, async move { draining.cancelled().await }));
        Ok(Running {
            supervisor: self.supervisor,
            client: self.client,
            observer: self.observer,
            counters,
            certificate: self.certificate,
            identity: self.identity,
            keys,
            domain,
            directory: self.directory,
            doctor: self.doctor,
        })
    }
}

impl Running {
    /// Ends workers and connections in good order.
    pub(crate) async fn stop(&self) {
        self.supervisor.stop().await;
        self.client.close().await;
    }

    /// The workers.
    pub(crate) fn workers(&self) -> usize {
        self.supervisor.workers()
    }

    /// What became of queues.
    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// What the listener counts.
    pub(crate) fn counters(&self) -> &server::Counters {
        &self.counters
    }

    /// The certificate's files, to be watched.
    pub(crate) fn certificate(&self) -> Arc<CurrentCertificate> {
        Arc::clone(&self.certificate)
    }

    /// The certificate was replaced: other regions see it from the next handshake on.
    pub(crate) fn replaced(&self, certificate: &CurrentCertificate) {
        match identity(&self.domain, certificate.certified()) {
            Ok(identity) => {
                self.identity.replace(identity);
                self.keys.set_pins(pins(&certificate.certified()));
            }
            Err(failure) => tracing::error!(
                reason = failure.fact(),
                advice = failure.advice(),
                "other regions go on seeing the old certificate"
            ),
        }
    }

    /// What the key directory counts.
    pub(crate) fn keys(&self) -> &DirectoryCounters {
        self.directory.counters()
    }

    /// Examines other regions.
    pub(crate) fn doctor(&self) -> &Doctor {
        &self.doctor
    }

    /// The certificate in use.
    pub(crate) fn identity(&self) -> &IdentityStore {
        &self.identity
    }
}

/// An examiner for a process that serves nothing.
///
/// # Errors
/// Certificate, authorities or DNS are not as they should be.
pub(crate) fn standalone_doctor(config: &Config, signing: &SigningKey) -> Result<Doctor, Failure> {
    let settings = &config.federation;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let certificate =
        CurrentCertificate::open(settings.tls.clone(), config.domain.clone(), clock.now())?;
    let parts = DoctorParts {
        own: config.domain.clone(),
        signing: signing.clone(),
        identity: Arc::new(IdentityStore::new(identity(&config.domain, certificate.certified())?)),
        trust: Arc::new(TrustStore::new(setup::trust(settings)?)),
        policy: Arc::new(PolicyStore::new(setup::policy(settings)?)),
        discovery: Arc::new(setup::discovery(settings, Arc::clone(&clock))?),
        known: known_nobody(),
        clock,
    };
    Ok(Doctor::new(parts, &mut StdRng::from_seed(system_random()?)))
}

/// What a certificate is to other regions.
pub(crate) fn identity(
    domain: &ServerName,
    certificate: Arc<CertifiedKey>,
) -> Result<Identity, Failure> {
    Identity::from_certified(domain, certificate).map_err(|err| {
        let advice = "Put a certificate for the domain there: federation.certificate.";
        Failure::new(Exit::Keys, format!("Other regions cannot be shown it: {err}."), advice)
    })
}

fn pins(certificate: &CertifiedKey) -> Vec<[u8; 32]> {
    let leaf = certificate.cert.first();
    leaf.and_then(|leaf| spki_digest(leaf).ok()).into_iter().collect()
}

fn client(
    shared: &Shared<'_>,
    identity: &Arc<IdentityStore>,
    trust: &Arc<TrustStore>,
    policy: &Arc<PolicyStore>,
    discovery: &Arc<Discovery>,
    contacts: &Arc<Relay>,
) -> Result<PeerClient, Failure> {
    let parts = PeerParts {
        own: shared.config.domain.clone(),
        signing: shared.signing.clone(),
        identity: Arc::clone(identity),
        trust: Arc::clone(trust),
        policy: Arc::clone(policy),
        discovery: Arc::clone(discovery),
        clock: Arc::clone(shared.clock),
        contacts: Arc::<Relay>::clone(contacts),
    };
    let mut rng = StdRng::from_seed(system_random()?);
    PeerClient::new(parts, &mut rng).map_err(|err| defect(&err.to_string()))
}

fn generators(random: &Arc<Random>) -> Randomness {
    let random = Arc::clone(random);
    Arc::new(move || Box::new(StdRng::from_seed(random.bytes())))
}

fn defect(fact: &str) -> Failure {
    Failure::new(
        Exit::Other,
        format!("The federation cannot be set up: {fact}."),
        "This is a defect of the program: please report it.",
    )
}
