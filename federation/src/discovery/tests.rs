//! Discovery against a real DNS server on loopback that can lie, keep silent, truncate and move.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    proto::{
        op::{HeaderCounts, Metadata, ResponseCode},
        rr::{
            Name, RData, Record,
            rdata::{A, AAAA, SOA, SRV},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// What the server says about a name.
#[derive(Clone)]
pub(super) enum Says {
    /// These records with this TTL.
    Records(u32, Vec<RData>),
    /// As `Records`, but over UDP only that it did not fit.
    TruncatedOverUdp(Vec<RData>),
    /// Records of another name.
    AnotherName(Vec<RData>),
    ServFail,
    Silence,
}

/// Names and what is said about them; a name that is not there does not exist.
#[derive(Clone, Default)]
pub(super) struct Zone {
    names: Arc<Mutex<HashMap<String, Says>>>,
    asked: Arc<AtomicUsize>,
}

impl Zone {
    pub(super) fn set(&self, name: &str, says: Says) {
        self.names.lock().unwrap().insert(format!("{name}."), says);
    }

    pub(super) fn host(&self, name: &str, address: &str) {
        self.set(name, Says::Records(60, vec![address_data(address)]));
    }

    fn services(&self, domain: &str, services: &[(u16, u16, u16, &str)]) {
        let records = services.iter().map(|(priority, weight, port, host)| {
            RData::SRV(SRV::new(*priority, *weight, *port, dns_name(host)))
        });
        self.set(&format!("_posthouse._tcp.{domain}"), Says::Records(60, records.collect()));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn dns_name(text: &str) -> Name {
    Name::from_ascii(if text == "." { "." } else { text })
        .map(|mut name| {
            name.set_fqdn(true);
            name
        })
        .unwrap()
}

fn address_data(text: &str) -> RData {
    match text.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

#[async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let info = request.request_info().unwrap();
        let name = info.query.name().to_string().to_lowercase();
        let kind = info.query.query_type();
        let says = self.names.lock().unwrap().get(&name).cloned();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        let mut answers = Vec::new();
        let mut negative = Vec::new();
        let owner = Name::from_ascii(&name).unwrap();
        let mut put = |owner: &Name, ttl, records: &[RData]| {
            let fit = records.iter().filter(|data| data.record_type() == kind);
            answers.extend(fit.map(|data| Record::from_rdata(owner.clone(), ttl, data.clone())));
        };
        match &says {
            Some(Says::Records(ttl, records)) => put(&owner, *ttl, records),
            Some(Says::TruncatedOverUdp(records)) if request.protocol() == Protocol::Udp => {
                metadata.truncation = true;
                let _ = records;
            }
            Some(Says::TruncatedOverUdp(records)) => put(&owner, 60, records),
            Some(Says::AnotherName(records)) => put(&dns_name("elsewhere.test"), 60, records),
            Some(Says::ServFail) => metadata.response_code = ResponseCode::ServFail,
            Some(Says::Silence) => {
                let counts = HeaderCounts::default();
                return hickory_server::proto::op::Header { metadata, counts }.into();
            }
            None => metadata.response_code = ResponseCode::NXDomain,
        }
        if answers.is_empty() && !metadata.truncation {
            let soa = SOA::new(dns_name("ns.test"), dns_name("admin.test"), 1, 60, 60, 60, 45);
            negative.push(Record::from_rdata(dns_name("test"), 45, RData::SOA(soa)));
        }
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            answers.iter(),
            [],
            negative.iter(),
            [],
        );
        handle.send_response(response).await.unwrap()
    }
}

/// The well-known documents of a test.
#[derive(Default)]
struct Documents(Mutex<HashMap<ServerName, Result<String, WellKnownError>>>);

#[async_trait]
impl WellKnownSource for Documents {
    async fn fetch(&self, domain: &ServerName) -> Result<Vec<u8>, WellKnownError> {
        let documents = self.0.lock().unwrap();
        let found = documents.get(domain).cloned();
        found.unwrap_or(Err(WellKnownError::Absent)).map(String::into_bytes)
    }
}

/// The server on loopback.
pub(super) struct Lying {
    pub(super) zone: Zone,
    server: Server<Zone>,
    address: SocketAddr,
}

impl Lying {
    pub(super) async fn new() -> Self {
        let zone = Zone::default();
        let mut server = Server::new(zone.clone());
        // The same port for both; another process may hold it for one of them.
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = tcp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Self { zone, server, address }
    }

    pub(super) fn client(&self) -> Dns {
        let servers = vec![self.address];
        let config = DnsConfig { servers, timeout: Duration::from_millis(300), attempts: 1 };
        Dns::new(&config).unwrap()
    }
}

struct Bench {
    zone: Zone,
    documents: Arc<Documents>,
    discovery: Discovery,
    server: Server<Zone>,
    address: SocketAddr,
    rng: StdRng,
}

impl Bench {
    async fn new(addresses: AddressPolicy) -> Self {
        Self::with(Config { addresses, ..Config::default() }, None).await
    }

    async fn with(config: Config, store: Option<Store>) -> Self {
        let lying = Lying::new().await;
        let dns = lying.client();
        let Lying { zone, server, address } = lying;
        let documents = Arc::new(Documents::default());
        let source: Arc<dyn WellKnownSource> = Arc::clone(&documents) as _;
        let discovery = Discovery::new(config, dns, source, store).unwrap();
        Self { zone, documents, discovery, server, address, rng: StdRng::seed_from_u64(1) }
    }

    async fn find(&mut self, domain: &str, now: Timestamp) -> Result<Answer, DiscoveryError> {
        self.discovery.find(&name(domain), now, &mut self.rng).await
    }

    async fn addresses(&mut self, domain: &str, now: Timestamp) -> Vec<String> {
        let answer = self.find(domain, now).await.unwrap();
        let all = answer.discovered.targets.into_iter().flat_map(|target| target.addresses);
        all.map(|address| address.to_string()).collect()
    }
}

pub(super) fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus_millis(seconds * 1_000)
}

#[tokio::test]
async fn services_are_ordered_and_a_dead_one_spoils_nothing() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    bench.zone.services(
        "eu.test",
        &[(20, 0, 3, "c.test"), (10, 0, 1, "a.test"), (5, 0, 9, "dead.test"), (15, 0, 2, "b.test")],
    );
    bench.zone.host("a.test", "9.9.9.1");
    bench.zone.set(
        "b.test",
        Says::Records(60, ["9.9.9.2", "9.9.9.3", "2620:fe::9"].map(address_data).to_vec()),
    );
    bench.zone.host("c.test", "9.9.9.4");
    let found = bench.addresses("eu.test", NOW).await;
    let expected = ["9.9.9.1:1", "[2620:fe::9]:2", "9.9.9.2:2", "9.9.9.3:2", "9.9.9.4:3"];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_steps_follow_each_other() {
    let fixed = vec![("fixed.test".to_owned(), 1), ("127.0.0.1".to_owned(), 2)];
    let config = Config { overrides: [(name("own.test"), fixed)].into(), ..Config::default() };
    let mut bench = Bench::with(config, None).await;
    bench.zone.host("fixed.test", "127.0.0.9");
    let found = bench.addresses("own.test", NOW).await;
    assert_eq!(found, ["127.0.0.9:1", "127.0.0.1:2"], "the operator's word, private or not");

    let document = r#"{"federation":"fed.eu.test:8448"}"#.to_owned();
    bench.documents.0.lock().unwrap().insert(name("eu.test"), Ok(document));
    bench.zone.host("fed.eu.test", "9.9.9.9");
    let answer = bench.find("eu.test", NOW).await.unwrap();
    assert_eq!(answer.discovered.source, Source::WellKnown);
    assert_eq!(answer.discovered.targets[0].addresses, ["9.9.9.9:8448".parse().unwrap()]);

    // NODATA for SRV (the name exists with another type), no document: the domain itself.
    bench.zone.host("_posthouse._tcp.us.test", "9.9.9.9");
    bench.zone.host("us.test", "9.9.9.8");
    let answer = bench.find("us.test", NOW).await.unwrap();
    assert_eq!(answer.discovered.source, Source::Fallback);
    assert_eq!(answer.discovered.targets[0].addresses, ["9.9.9.8:7443".parse().unwrap()]);

    bench.zone.services("none.test", &[(0, 0, 1, ".")]);
    assert_eq!(bench.find("none.test", NOW).await, Err(DiscoveryError::NotOffered));
    assert_eq!(bench.find("nowhere.test", NOW).await, Err(DiscoveryError::NoSuchName));
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    bench.zone.services("eu.test", &[(1, 0, 1, "inner.test"), (2, 0, 2, "outer.test")]);
    let both = ["10.0.0.1", "9.9.9.1"].map(address_data).to_vec();
    bench.zone.host("inner.test", "169.254.169.254");
    bench.zone.set("outer.test", Says::Records(60, both));
    assert_eq!(bench.addresses("eu.test", NOW).await, ["9.9.9.1:2"]);
    bench.zone.host("us.test", "127.0.0.1");
    assert_eq!(bench.find("us.test", NOW).await, Err(DiscoveryError::Forbidden));
    let mut open = Bench::new(AddressPolicy::Any).await;
    open.zone.host("us.test", "127.0.0.1");
    assert_eq!(open.addresses("us.test", NOW).await, ["127.0.0.1:7443"]);
}

#[tokio::test]
async fn ttls_are_kept_within_bounds_and_a_move_is_noticed() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    let says = |ttl, address| Says::Records(ttl, vec![address_data(address)]);
    bench.zone.set("short.test", says(1, "9.9.9.1"));
    bench.zone.set("long.test", says(1_000_000, "9.9.9.1"));
    for domain in ["short.test", "long.test"] {
        assert_eq!(bench.addresses(domain, NOW).await, ["9.9.9.1:7443"]);
        bench.zone.set(domain, says(60, "9.9.9.2"));
    }
    let asked = bench.zone.asked();
    assert_eq!(bench.addresses("short.test", later(29)).await, ["9.9.9.1:7443"]);
    assert_eq!(bench.addresses("long.test", later(3_599)).await, ["9.9.9.1:7443"]);
    assert_eq!(bench.zone.asked(), asked, "nothing was asked");
    assert_eq!(bench.addresses("short.test", later(30)).await, ["9.9.9.2:7443"]);
    assert_eq!(bench.addresses("long.test", later(3_600)).await, ["9.9.9.2:7443"]);
    // A peer that cannot be reached any more is looked up at once.
    bench.zone.set("long.test", says(60, "9.9.9.3"));
    bench.discovery.doubt(&name("long.test"));
    assert_eq!(bench.addresses("long.test", later(3_601)).await, ["9.9.9.3:7443"]);
}

#[tokio::test]
async fn what_does_not_exist_is_remembered_for_a_while() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    assert_eq!(bench.find("new.test", NOW).await, Err(DiscoveryError::NoSuchName));
    bench.zone.host("new.test", "9.9.9.1");
    let asked = bench.zone.asked();
    assert_eq!(bench.find("new.test", later(44)).await, Err(DiscoveryError::NoSuchName));
    assert_eq!(bench.zone.asked(), asked);
    assert_eq!(bench.addresses("new.test", later(45)).await, ["9.9.9.1:7443"], "the SOA's time");
}

#[tokio::test]
async fn while_dns_is_down_what_was_known_is_used_and_flagged() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    bench.zone.services("eu.test", &[(1, 0, 1, "a.test")]);
    bench.zone.host("a.test", "9.9.9.1");
    assert!(!bench.find("eu.test", NOW).await.unwrap().stale);
    for (round, outage) in [Says::ServFail, Says::Silence].into_iter().enumerate() {
        bench.zone.set("_posthouse._tcp.eu.test", outage);
        let now = later(1_000 * (round as u64 + 1));
        let answer = bench.find("eu.test", now).await.unwrap();
        assert!(answer.stale);
        assert_eq!(answer.until, now.plus_millis(30_000), "asked again soon");
    }
    // Of a name never seen nothing can be served.
    bench.zone.set("_posthouse._tcp.us.test", Says::ServFail);
    assert_eq!(bench.find("us.test", NOW).await, Err(DiscoveryError::Unavailable));
    bench.zone.services("us.test", &[(1, 0, 1, "a.test")]);
    assert_eq!(bench.find("us.test", later(4)).await, Err(DiscoveryError::Unavailable));
    assert!(!bench.find("us.test", later(5)).await.unwrap().stale, "asked again very soon");
    // DNS is back and says that the domain is gone: then it is gone.
    bench.zone.names.lock().unwrap().clear();
    assert_eq!(bench.find("eu.test", later(9_000)).await, Err(DiscoveryError::NoSuchName));
}

/// However patient the resolver is: whoever wants to connect has waited long enough after 2 s.
#[tokio::test]
async fn what_is_known_is_used_before_the_resolver_gives_up() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    bench.zone.services("eu.test", &[(1, 0, 1, "a.test")]);
    bench.zone.host("a.test", "9.9.9.1");
    bench.find("eu.test", NOW).await.unwrap();
    let servers = vec![bench.address];
    let patient = DnsConfig { servers, timeout: Duration::from_hours(1), attempts: 1 };
    bench.discovery.steps.dns = Dns::new(&patient).unwrap();
    bench.zone.set("_posthouse._tcp.eu.test", Says::Silence);
    bench.discovery.doubt(&name("eu.test"));
    let answer = timeout(PATIENCE, bench.find("eu.test", later(1))).await.unwrap().unwrap();
    assert!(answer.stale);
    assert_eq!(answer.until, later(31), "asked again soon, and not before");
    let again = timeout(Duration::from_secs(1), bench.find("eu.test", later(2))).await;
    assert!(again.unwrap().unwrap().stale, "at once");
}

#[tokio::test]
async fn truncated_answers_come_over_tcp_and_answers_about_others_count_for_nothing() {
    let mut bench = Bench::new(AddressPolicy::PublicOnly).await;
    bench.zone.set("big.test", Says::TruncatedOverUdp(vec![address_data("9.9.9.1")]));
    assert_eq!(bench.addresses("big.test", NOW).await, ["9.9.9.1:7443"]);
    bench.zone.set("liar.test", Says::AnotherName(vec![address_data("9.9.9.6")]));
    let answer = bench.find("liar.test", NOW).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn the_last_good_result_survives_a_restart_without_dns() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("discovery.json"));
    let config = Config { addresses: AddressPolicy::PublicOnly, ..Config::default() };
    let mut bench = Bench::with(config.clone(), Some(store.clone())).await;
    bench.zone.host("eu.test", "9.9.9.1");
    bench.addresses("eu.test", NOW).await;
    drop(bench);

    let mut bench = Bench::with(config.clone(), Some(store.clone())).await;
    bench.server.shutdown_gracefully().await.unwrap();
    let answer = bench.find("eu.test", later(86_400)).await.unwrap();
    assert!(answer.stale);
    assert_eq!(answer.discovered.targets[0].addresses, ["9.9.9.1:7443".parse().unwrap()]);

    std::fs::write(directory.path().join("discovery.json"), "{").unwrap();
    assert!(matches!(store.load(), Err(StoreError::Damaged { .. })), "said, not overwritten");
}

#[test]
fn a_flood_of_names_does_not_grow_the_memory() {
    let mut cache = Cache::new(Remembered::default());
    for n in 0..MAX_REMEMBERED as u64 + 100 {
        let domain = name(&format!("n{n}.test"));
        let (answer, _) = cache.record(&domain, Err((DiscoveryError::NoSuchName, 60)), later(n));
        assert!(answer.is_err());
    }
    assert!(cache.fresh(&name("n0.test"), later(1)).is_none(), "the oldest went");
    assert!(cache.len() <= MAX_REMEMBERED);
}
