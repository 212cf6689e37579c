//! Regions as processes, the names that lead to them, and the people who write.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use posthouse_protocol::id::{Address, MessageId};
use posthouse_protocol::status::Status;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    time::timeout,
};

use crate::{
    data::{Backup, Data},
    names::Names,
    person::Person,
    server::{At, Place, Server},
};

/// How long anything may take that waits for no clock of the protocol: a peer that came back is tried
/// after a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often something is looked at that tells of no change by itself.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an answer of an operator's listener may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Regions and their names.
pub(crate) struct Stage {
    pub(crate) names: Names,
    pub(crate) regions: Vec<Region>,
    pub(crate) rng: StdRng,
}

/// A region and its running server.
pub(crate) struct Region {
    // Dropped in this order: a database goes after the server that uses it.
    pub(crate) server: Server,
    pub(crate) place: Place,
    data: Data,
}

impl Region {
    /// Where others are to find it.
    pub(crate) fn named(&self) -> (&str, SocketAddr) {
        (&self.place.domain, self.server.at.federation)
    }

    /// Starts the server again, where it was.
    pub(crate) fn start(&mut self) {
        self.start_at(self.server.at);
    }

    /// Starts the server again, somewhere else.
    pub(crate) fn start_at(&mut self, at: At) {
        self.server = self.place.start(at);
    }

    /// Copies the database; the server is down.
    pub(crate) fn back_up(&self) -> Backup {
        self.data.back_up(self.place.dir.path())
    }

    /// Puts the copy in the database's place; the server is down.
    pub(crate) fn restore(&self, backup: &Backup) {
        self.data.restore(self.place.dir.path(), backup);
    }

    /// The streams to and from another region, as the operator sees them.
    pub(crate) async fn streams(&self, with: &str) -> Value {
        let all = timeout(ANSWER, get(self.server.at.operator, "/federation")).await.unwrap();
        let peers = all.as_array().unwrap();
        let found = peers.iter().find(|peer| peer["region"] == with);
        found.cloned().unwrap_or_default()
    }

    /// How many echoes other regions have asked this one for.
    pub(crate) async fn echoes(&self) -> u64 {
        let page = timeout(ANSWER, get_text(self.server.at.operator, "/metrics")).await.unwrap();
        let name = "posthouse_federation_requests_total{route=\"echo\"} ";
        page.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for region in &self.regions {
                println!("{}:\n{}", region.place.domain, region.place.log());
            }
        }
    }
}

impl Stage {
    /// Starts the regions and plays the story, in which they know where they all are.
    pub(crate) fn play(domains: &[&str], story: impl AsyncFnOnce(&mut Self)) {
        let seed = rand::random_range(0..u64::MAX);
        println!("seed {seed}");
        Runtime::new().unwrap().block_on(async {
            let names = Names::silent();
            let data: Vec<Data> = domains.iter().map(|_| Data::new()).collect();
            let flags: Vec<Vec<String>> = data.iter().map(Data::flags).collect();
            let flags: Vec<Vec<&str>> =
                flags.iter().map(|flags| flags.iter().map(String::as_str).collect()).collect();
            let regions: Vec<(&str, &[&str])> =
                domains.iter().zip(&flags).map(|(name, flags)| (*name, flags.as_slice())).collect();
            let places = Place::federated(names.address(), &regions);
            let start = |(place, data): (Place, Data)| Region {
                server: place.start(At::any()),
                place,
                data,
            };
            let regions: Vec<Region> = places.into_iter().zip(data).map(start).collect();
            let mut stage = Self { names, regions, rng: StdRng::seed_from_u64(seed) };
            stage.publish();
            story(&mut stage).await;
        });
    }

    /// DNS says where every region listens.
    pub(crate) fn publish(&mut self) {
        self.names.answer(self.regions.iter().map(Region::named));
    }

    /// A person of a region.
    pub(crate) async fn person(&mut self, name: &str, region: usize) -> Person {
        let own = StdRng::from_rng(&mut self.rng);
        let tag: u32 = self.rng.random_range(0..u32::MAX);
        let client = self.regions[region].server.at.client;
        Person::register(&format!("{name}.{tag:x}"), client, own).await
    }

    /// Waits until both ends of both streams between two regions stand at the same running hash in
    /// every lane: nothing was lost, added or exchanged.
    pub(crate) async fn equal_hashes(&self, one: usize, other: usize) {
        let deadline = Instant::now() + PATIENCE;
        let (one, other) = (&self.regions[one], &self.regions[other]);
        loop {
            let here = one.streams(&other.place.domain).await;
            let there = other.streams(&one.place.domain).await;
            if sent(&here) == taken(&there) && sent(&there) == taken(&here) {
                return;
            }
            assert!(Instant::now() < deadline, "hashes differ: {here}\n{there}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Writes `count` messages, and waits until they were told `sent`.
pub(crate) async fn write(from: &mut Person, to: &Person, count: usize) -> Vec<MessageId> {
    let to = Address::Account(to.account.clone());
    let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let ids = from.write(&to, &texts).await;
    from.until("`sent`", PATIENCE, |from| from.was_told_sent(&ids)).await;
    ids
}

/// Writes `count` messages, and waits until they have come and were told `delivered`.
pub(crate) async fn deliver(from: &mut Person, to: &mut Person, count: usize) -> Vec<MessageId> {
    let before = to.received();
    let ids = write(from, to, count).await;
    arrive(from, to, before, &ids).await;
    ids
}

/// Waits until the messages have come, after the `before` that were there, in their order; and until
/// their sender was told so.
pub(crate) async fn arrive(from: &mut Person, to: &mut Person, before: usize, ids: &[MessageId]) {
    let count = ids.len();
    to.until("messages", PATIENCE, |to| to.received() >= before + count).await;
    assert_eq!(to.ids().split_off(before), ids, "each once, in order");
    from.until("`delivered`", PATIENCE, |from| {
        from.reached(ids, Status::Accepted) && from.reached(ids, Status::Delivered)
    })
    .await;
}

/// The hashes by lane of what goes out.
fn sent(streams: &Value) -> BTreeMap<&str, &str> {
    lanes(&streams["sends"])
}

/// The hashes by lane of what came in.
fn taken(streams: &Value) -> BTreeMap<&str, &str> {
    lanes(&streams["receives"]["lanes"])
}

fn lanes(of: &Value) -> BTreeMap<&str, &str> {
    let lanes = of.as_array().into_iter().flatten();
    lanes.map(|one| (one["lane"].as_str().unwrap(), one["hash"].as_str().unwrap())).collect()
}

/// `GET path` in the clear, of which the answer is JSON.
async fn get(address: SocketAddr, path: &str) -> Value {
    let body = get_text(address, path).await;
    serde_json::from_str(&body).unwrap_or_else(|err| panic!("{err}: {body}"))
}

/// `GET path` in the clear.
async fn get_text(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: region\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}
