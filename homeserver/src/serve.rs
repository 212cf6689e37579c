//! `posthouse serve`: puts the region together, serves it, and stops it in good order. Together with
//! `cli` this is the composition root.

mod certificate;
pub(crate) mod federation;
mod listen;
mod metrics;
mod operator;
mod readiness;
mod signals;
mod streams;
mod tenure;

use std::{sync::Arc, thread};

use posthouse_client_api::{
    self as client_api, Edge, Ports, Tls,
    config::{Registration as Shown, RequestRates},
    rate::Rate,
};
use posthouse_protocol::time::Clock;
use posthouse_storage_sql::SqlStore;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, runtime::Runtime, signal::unix::Signal, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Registration,
    clock::{SystemClock, system_random},
    config::Config,
    console::Console,
    database,
    delivery::{CommitConfig, Connections},
    failure::{Exit, Failure},
    keys, logging,
    operator::Operator,
    people::PeopleStores,
    random::Random,
    region::{Region, RegionConfig, Stores, Surroundings},
    regions::{Alone, Regions},
    tls::{self, CurrentCertificate},
};
use federation::{Outward, Running as Abroad};
use readiness::Readiness;
use signals::{Signals, Stop};
use tenure::Tenure;

/// Serves until a signal ends it.
///
/// # Errors
/// A [`Failure`]: before the first client, or a stop at once by a second signal.
pub fn run(config: Config, console: Console) -> Result<(), Failure> {
    logging::start(&config)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    raise_descriptor_limit(&config);
    let runtime = Runtime::new().map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("The threads of the server cannot be started: {err}."),
            "Check the limits of the process (ulimit -u) and the memory of the machine.",
        )
    })?;
    let outcome = runtime.block_on(serve(config, console));
    // Whatever still runs after an orderly stop is not worth waiting for.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config, console: Console) -> Result<(), Failure> {
    let Signals { mut stop, hang_up } = Signals::listen()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random = Arc::new(Random::from_seed(system_random()?));
    let key = keys::load_signing_key(&config.signing_key)?;
    // Also where the region keeps to itself: under wrong keys or a wrong name it would hand out
    // tokens and ids that are another region's.
    let own_keys = Arc::new(federation::setup::own_keys(&config, &key)?);
    let certificate = client_certificate(&config, &clock)?;
    let database = database::open(&config.database, &config.domain, random.uuid()).await?;
    let store = &database.store;
    let clients = listen::clients(&config).await?;
    let operators = listen::operator(&config).await?;

    let (draining, stop_tasks) = (CancellationToken::new(), CancellationToken::new());
    let connections: Arc<Connections> = Arc::default();
    let tenure = Tenure::begin(&config, store, &random).await?;
    let shared = federation::Shared {
        config: &config,
        store,
        signing: &key,
        keys: &own_keys,
        connections: &connections,
        clock: &clock,
        random: &random,
        holder: tenure.holder,
    };
    let listener = listen::federation(&config).await?;
    let outward = listener.map(|it| Outward::open(it, &shared)).transpose()?;
    let surroundings = Surroundings {
        clock: Arc::clone(&clock),
        random: Arc::clone(&random),
        connections: Arc::clone(&connections),
        regions: regions(outward.as_ref()),
        shutdown: stop_tasks.clone(),
    };
    let region = Arc::new(start_region(&config, store, &key, surroundings)?);
    let readiness = Arc::new(Readiness::of(store.clone(), Arc::clone(&clock)).await);
    let edge = open_edge(ports(&region, &readiness), &config, &clock)?;

    let mut tasks = JoinSet::new();
    let stop_operator = CancellationToken::new();
    announce(console, &clients, operators.as_ref(), &config);
    let mut peers = JoinSet::new();
    let abroad = serve_regions(outward, &region, (&draining, console), &mut peers)?;
    let facts = Arc::new(metrics::Facts {
        edge: edge.clone(),
        store: store.clone(),
        readiness,
        region: Arc::clone(&region),
        certificate: certificate.clone(),
        abroad: abroad.clone(),
        domain: config.domain.clone(),
        operator: orders(&shared, &region),
        operator_key: key.verifying_key(),
        draining: draining.clone(),
    });
    if let Some(listener) = operators {
        tasks.spawn(operator::serve(listener, facts, stop_operator.clone()));
    }
    let watching = Watching { clock: &clock, stop: &stop_operator, tasks: &mut tasks };
    watch_certificates(certificate.clone(), hang_up, abroad.clone(), watching)?;
    let mut serving = serve_clients(clients, &edge, certificate)?;
    console.line(format_args!("ready {}", config.domain));
    tracing::info!(domain = %config.domain, version = env!("CARGO_PKG_VERSION"), "ready");

    let signal = stop.next().await;
    tracing::info!(signal, "stopping: clients are told to reconnect");
    draining.cancel();
    edge.drain();
    let orderly = async {
        while serving.join_next().await.is_some() {}
        while peers.join_next().await.is_some() {}
        stop_tasks.cancel();
        region.stopped().await;
        if let Some(abroad) = &abroad {
            abroad.stop().await;
        }
        stop_operator.cancel();
        while tasks.join_next().await.is_some() {}
        store.close().await;
    };
    end(orderly, &mut stop).await
}

/// What the operator's orders are carried out with.
fn orders(shared: &federation::Shared<'_>, region: &Region) -> Operator {
    let with = (Arc::clone(shared.clock), Arc::clone(shared.random));
    let store = Arc::new(shared.store.clone());
    Operator::on(&store, shared.config.domain.clone(), Some(region.accounts_service()), with)
}

/// Ends in good order, or at once by a second signal.
async fn end(orderly: impl Future<Output = ()>, stop: &mut Stop) -> Result<(), Failure> {
    tokio::select! {
        () = orderly => {
            tracing::info!("stopped");
            Ok(())
        }
        second = stop.next() => Err(Failure::new(
            Exit::Other,
            format!("Stopped at once by a second signal ({second})."),
            "Nothing that was acknowledged is lost; clients reconnect.",
        )),
    }
}

/// The certificate of the client listener, if it speaks TLS.
fn client_certificate(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<CurrentCertificate>>, Failure> {
    let Some(files) = &config.client.tls else { return Ok(None) };
    let domain = config.domain.clone();
    Ok(Some(Arc::new(CurrentCertificate::open(files.clone(), domain, clock.now())?)))
}

/// Other regions, as the region's decisions see them.
fn regions(outward: Option<&Outward>) -> Arc<dyn Regions> {
    match outward {
        Some(outward) => outward.regions(),
        None => Arc::new(Alone),
    }
}

/// Serves other regions, if the region federates.
fn serve_regions(
    outward: Option<Outward>,
    region: &Region,
    (draining, console): (&CancellationToken, Console),
    tasks: &mut JoinSet<()>,
) -> Result<Option<Arc<Abroad>>, Failure> {
    let Some(outward) = outward else { return Ok(None) };
    console.line(format_args!("listening federation {}", outward.address()));
    Ok(Some(Arc::new(outward.serve(region, draining.clone(), tasks)?)))
}

/// What watching certificates needs.
struct Watching<'a> {
    clock: &'a Arc<dyn Clock>,
    stop: &'a CancellationToken,
    tasks: &'a mut JoinSet<()>,
}

/// Watches the certificates that clients and other regions are shown.
fn watch_certificates(
    clients: Option<Arc<CurrentCertificate>>,
    hang_up: Signal,
    abroad: Option<Arc<Abroad>>,
    watching: Watching<'_>,
) -> Result<(), Failure> {
    let Watching { clock, stop, tasks } = watching;
    if let Some(certificate) = clients {
        let (clock, stop) = (Arc::clone(clock), stop.clone());
        tasks.spawn(certificate::watch(certificate, clock, hang_up, stop, |_| {}));
    }
    if let Some(abroad) = abroad {
        let (certificate, clock, stop) = (abroad.certificate(), Arc::clone(clock), stop.clone());
        let hang_up = Signals::hang_up()?;
        let replaced = move |new: &CurrentCertificate| abroad.replaced(new);
        tasks.spawn(certificate::watch(certificate, clock, hang_up, stop, replaced));
    }
    Ok(())
}

fn start_region(
    config: &Config,
    store: &SqlStore,
    key: &posthouse_crypto::sign::SigningKey,
    surroundings: Surroundings,
) -> Result<Region, Failure> {
    let settings = RegionConfig {
        server: config.domain.clone(),
        registration: config.registration,
        policy: config.policy,
        commit: CommitConfig::default(),
        password_workers: thread::available_parallelism().map_or(1, usize::from),
    };
    let store = Arc::new(store.clone());
    let stores = Stores {
        accounts: Arc::<SqlStore>::clone(&store),
        sessions: Arc::<SqlStore>::clone(&store),
        keys: Arc::<SqlStore>::clone(&store),
        links: Arc::<SqlStore>::clone(&store),
        invites: Arc::<SqlStore>::clone(&store),
        factors: Arc::<SqlStore>::clone(&store),
        erasure: Arc::<SqlStore>::clone(&store),
        people: PeopleStores {
            people: Arc::<SqlStore>::clone(&store),
            profiles: Arc::<SqlStore>::clone(&store),
            reports: Arc::<SqlStore>::clone(&store),
        },
        groups: Arc::<SqlStore>::clone(&store),
        lists: Arc::<SqlStore>::clone(&store),
        messages: store.message_store(),
        receptions: Arc::<SqlStore>::clone(&store),
        wakes: store,
    };
    Region::start(&settings, stores, key, surroundings).map_err(|err| {
        Failure::new(
            Exit::Other,
            format!("The region cannot be started: {}.", err.detail),
            "This is a defect of the program: please report it.",
        )
    })
}

fn ports(region: &Region, readiness: &Arc<Readiness>) -> Ports {
    Ports {
        accounts: region.accounts(),
        security: region.security(),
        messaging: region.messaging(),
        people: region.people(),
        groups: region.groups(),
        presence: region.presence(),
        devices: region.devices(),
        keys: region.keys(),
        links: region.links(),
        health: Arc::<Readiness>::clone(readiness),
    }
}

fn open_edge(ports: Ports, config: &Config, clock: &Arc<dyn Clock>) -> Result<Edge, Failure> {
    let rng = StdRng::from_seed(system_random()?);
    Ok(Edge::new(ports, edge_config(config), Arc::clone(clock), rng))
}

fn edge_config(config: &Config) -> client_api::Config {
    let mut edge = client_api::Config::new(config.domain.clone());
    edge.registration = match config.registration {
        Registration::Open => Shown::Open,
        Registration::Invite => Shown::Invite,
        Registration::Closed => Shown::Closed,
    };
    edge.allow_unencrypted = config.policy.allow_unencrypted;
    edge.trusted_proxies.clone_from(&config.client.trusted_proxies);
    edge.exempt.clone_from(&config.client.exempt);
    edge.max_connections = config.client.max_connections;
    edge.max_connections_per_address = config.client.max_connections_per_address;
    edge.drain_timeout = config.drain;
    if !config.client.rate_limits {
        let off = Rate::UNLIMITED;
        edge.frames = off;
        edge.requests = RequestRates {
            register: off,
            log_in: off,
            refresh: off,
            account: off,
            messages: off,
            lookup: off,
        };
    }
    edge
}

/// Starts a server for each client listener.
fn serve_clients(
    listeners: Vec<TcpListener>,
    edge: &Edge,
    certificate: Option<Arc<CurrentCertificate>>,
) -> Result<JoinSet<()>, Failure> {
    let tls = match certificate {
        Some(certificate) => Some(Arc::new(Tls::new(Arc::new(tls::server_config(certificate)?)))),
        None => None,
    };
    let mut serving = JoinSet::new();
    for tcp in listeners {
        let listener = match &tls {
            Some(tls) => client_api::Listener::tls(tcp, Arc::clone(tls)),
            None => client_api::Listener::plain(tcp),
        };
        // The edge's own drain ends it.
        serving.spawn(client_api::serve(listener, edge.clone(), core::future::pending()));
    }
    Ok(serving)
}

/// One line for each listener, with the port that is really open.
fn announce(
    console: Console,
    clients: &[TcpListener],
    operator: Option<&TcpListener>,
    config: &Config,
) {
    let scheme = if config.client.tls.is_some() { "https" } else { "http" };
    for address in clients.iter().filter_map(|listener| listener.local_addr().ok()) {
        console.line(format_args!("listening client {scheme}://{address}"));
    }
    if let Some(address) = operator.and_then(|listener| listener.local_addr().ok()) {
        console.line(format_args!("listening operator http://{address}"));
    }
}

/// Connections are file descriptors: takes as many as the system lets this process have.
fn raise_descriptor_limit(config: &Config) {
    // What files, the database and the operator's listener need beside connections.
    const OTHERS: u64 = 256;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => {
            tracing::info!(limit, "file descriptors");
            let wanted = config.client.max_connections as u64 + OTHERS;
            if limit < wanted {
                tracing::warn!(
                    limit,
                    wanted,
                    "fewer file descriptors than client.max_connections needs: raise the hard \
                     limit (LimitNOFILE in systemd, ulimit -Hn)"
                );
            }
        }
        Err(err) => tracing::warn!(error = %err, "the limit of file descriptors is not known"),
    }
}
