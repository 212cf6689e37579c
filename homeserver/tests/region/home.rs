//! A region in this process: store, decisions and edge, on a port of loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use posthouse_client::{Api, Connector, Endpoint, Trust};
use posthouse_client_api::{
    Edge, Listener, Ports, config::RequestRates, ports::Health, rate::Rate, serve,
};
use posthouse_crypto::sign::SigningKey;
use posthouse_homeserver::{
    accounts::Registration,
    clock::SystemClock,
    delivery::{CommitConfig, accept::Policy},
    operator::Operator,
    people::PeopleStores,
    random::Random,
    region::{Region, RegionConfig, Stores, Surroundings},
    regions::Alone,
};
use posthouse_protocol::{
    id::ServerName,
    problem::Rejection,
    time::{Clock, Timestamp},
};
use posthouse_storage_sql::SqlStore;
use rand::{SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The system's clock, and what a test adds to it.
#[derive(Default)]
pub(crate) struct ShiftedClock(AtomicU64);

impl ShiftedClock {
    /// Lets time pass.
    pub(crate) fn pass(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Puts the clock back, by no more than was let pass.
    pub(crate) fn put_back(&self, millis: u64) {
        self.0.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_millis(self.0.load(Ordering::SeqCst))
    }
}

struct AlwaysReady;

#[async_trait]
impl Health for AlwaysReady {
    async fn ready(&self) -> Result<(), Rejection> {
        Ok(())
    }
}

/// A region that can be stopped and started again on its data.
pub(crate) struct Home {
    dir: TempDir,
    pub(crate) clock: Arc<ShiftedClock>,
    pub(crate) settings: Settings,
    running: Option<Running>,
}

/// What a test may want to be otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) registration: Registration,
    pub(crate) policy: Policy,
}

struct Running {
    store: SqlStore,
    edge: Edge,
    region: Region,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    address: SocketAddr,
}

impl Home {
    pub(crate) async fn start() -> Self {
        let policy = Policy {
            allow_unencrypted: true,
            messages_per_second: 100_000,
            message_burst: 100_000,
            new_people_per_day: 100_000,
        };
        Self::start_with(Settings { registration: Registration::Open, policy }).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let mut home = Self { dir, clock: Arc::default(), settings, running: None };
        home.run().await;
        home
    }

    /// Starts again after [`Home::stop`].
    pub(crate) async fn run(&mut self) {
        let path = self.dir.path().join("posthouse.db");
        let store = SqlStore::open(path.to_str().unwrap(), Uuid::from_u128(7)).await.unwrap();
        let shared = Arc::new(store.clone());
        let stores = Stores {
            accounts: Arc::<SqlStore>::clone(&shared),
            sessions: Arc::<SqlStore>::clone(&shared),
            keys: Arc::<SqlStore>::clone(&shared),
            links: Arc::<SqlStore>::clone(&shared),
            invites: Arc::<SqlStore>::clone(&shared),
            factors: Arc::<SqlStore>::clone(&shared),
            erasure: Arc::<SqlStore>::clone(&shared),
            people: PeopleStores {
                people: Arc::<SqlStore>::clone(&shared),
                profiles: Arc::<SqlStore>::clone(&shared),
                reports: Arc::<SqlStore>::clone(&shared),
            },
            groups: Arc::<SqlStore>::clone(&shared),
            lists: Arc::<SqlStore>::clone(&shared),
            messages: store.message_store(),
            receptions: Arc::<SqlStore>::clone(&shared),
            wakes: shared,
        };
        let server = server();
        let config = RegionConfig {
            server: server.clone(),
            registration: self.settings.registration,
            policy: self.settings.policy,
            commit: CommitConfig::default(),
            password_workers: 2,
        };
        let stop = CancellationToken::new();
        let clock: Arc<dyn Clock> = Arc::<ShiftedClock>::clone(&self.clock);
        let surroundings = Surroundings {
            clock: Arc::clone(&clock),
            random: Arc::new(Random::from_seed(system_seed())),
            connections: Arc::default(),
            regions: Arc::new(Alone),
            shutdown: stop.clone(),
        };
        let key = SigningKey::from_seed(&[7; 32]);
        let region = Region::start(&config, stores, &key, surroundings).unwrap();
        let ports = Ports {
            accounts: region.accounts(),
            security: region.security(),
            messaging: region.messaging(),
            people: region.people(),
            groups: region.groups(),
            presence: region.presence(),
            devices: region.devices(),
            keys: region.keys(),
            links: region.links(),
            health: Arc::new(AlwaysReady),
        };
        let mut edge_config = posthouse_client_api::Config::new(server);
        edge_config.allow_unencrypted = self.settings.policy.allow_unencrypted;
        edge_config.requests = unlimited();
        let edge = Edge::new(ports, edge_config, clock, StdRng::from_seed(system_seed()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving =
            tokio::spawn(serve(Listener::plain(listener), edge.clone(), core::future::pending()));
        self.running = Some(Running { store, edge, region, stop, serving, address });
    }

    /// Stops in good order, as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.edge.drain();
        running.serving.await.unwrap();
        running.stop.cancel();
        running.region.stopped().await;
        running.store.close().await;
    }

    /// Where all of the region's files are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> &SqlStore {
        &self.running.as_ref().unwrap().store
    }

    pub(crate) fn region(&self) -> &Region {
        &self.running.as_ref().unwrap().region
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    /// What protects accounts, as device linking sees it.
    pub(crate) fn security(&self) -> Arc<dyn posthouse_client_api::ports::Security> {
        self.running.as_ref().unwrap().region.security()
    }

    /// What the operator's listener carries orders out with.
    pub(crate) fn operator(&self) -> Operator {
        let running = self.running.as_ref().unwrap();
        let store = Arc::new(running.store.clone());
        let service = Some(running.region.accounts_service());
        let clock = Arc::<ShiftedClock>::clone(&self.clock);
        let random = Arc::new(Random::from_seed(system_seed()));
        Operator::on(&store, server(), service, (clock, random))
    }

    /// Which accounts exist here, as the reception of other regions' messages asks.
    pub(crate) async fn knows(&self, account: Uuid) -> bool {
        let directory = self.running.as_ref().unwrap().region.directory();
        directory.existing(&[account]).await.unwrap() == [true]
    }

    pub(crate) fn connector(&self) -> Connector {
        let address = self.running.as_ref().unwrap().address;
        let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
        Connector::new(endpoint, Trust::System).unwrap()
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.connector())
    }
}

pub(crate) fn server() -> ServerName {
    ServerName::parse("eu.example").unwrap()
}

fn system_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    seed
}

fn unlimited() -> RequestRates {
    let off = Rate::UNLIMITED;
    RequestRates {
        register: off,
        log_in: off,
        refresh: off,
        account: off,
        messages: off,
        lookup: off,
    }
}
