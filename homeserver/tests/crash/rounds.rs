//! Rounds of messages, with servers killed in between.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use posthouse_federation::zone::Zone;
use posthouse_protocol::id::ServerName;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use crate::{
    device::Device,
    server::{At, Place, Server},
};

/// Pairs of people who write to each other at the same time.
const PAIRS: usize = 5;
/// Messages of a round, over all people.
const MESSAGES: usize = 2_000;
/// How long a round may take, restarts included.
const PATIENCE: Duration = Duration::from_secs(90);

/// How much is done.
pub(crate) struct Rounds {
    pub(crate) rounds: usize,
    /// Kills in each round.
    pub(crate) kills: usize,
}

impl Rounds {
    /// Runs them against as many servers of each region. With two regions every pair has one person
    /// in each; `dns` tells the regions where they are.
    pub(crate) fn run(&self, places: &[Place], servers: usize, dns: Option<UdpSocket>) {
        // Each run differs from the others; the seed in the output makes it come again.
        let seed = rand::random_range(0..u64::MAX);
        println!("seed {seed}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let start = |place| (0..servers).map(move |_| (place, Place::start(place, At::any())));
            let servers: Vec<(&Place, Server)> = places.iter().flat_map(start).collect();
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                if let Some(dns) = dns {
                    tokio::spawn(
                        zone(&servers).serve(tokio::net::UdpSocket::from_std(dns).unwrap()),
                    );
                }
                self.play(servers, StdRng::seed_from_u64(seed)).await;
            });
        }));
        if let Err(panic) = outcome {
            for place in places {
                println!("{}:\n{}", place.domain, place.log());
            }
            std::panic::resume_unwind(panic);
        }
    }

    async fn play(&self, mut servers: Vec<(&Place, Server)>, mut rng: StdRng) {
        let domains: Vec<&str> = servers.iter().map(|(place, _)| place.domain.as_str()).collect();
        let at = |domain: &str| -> Vec<SocketAddr> {
            let own = servers.iter().filter(|(place, _)| place.domain == domain);
            own.map(|(_, server)| server.at.client).collect()
        };
        let homes = [at(domains[0]), at(domains[domains.len() - 1])];
        let mut devices = register(&homes, &mut rng).await;
        let each = MESSAGES / devices.len();
        for round in 1..=self.rounds {
            let answers = Arc::new(AtomicUsize::new(0));
            let mut tasks = JoinSet::new();
            for (number, mut device) in devices.drain(..).enumerate() {
                let answers = Arc::clone(&answers);
                tasks.spawn(async move {
                    device.write_until(each * round, &answers).await;
                    (number, device)
                });
            }
            let mut moments: Vec<usize> =
                (0..self.kills).map(|_| rng.random_range(0..MESSAGES * 9 / 10)).collect();
            moments.sort_unstable();
            let everything = async {
                for moment in &moments {
                    reach(&answers, *moment).await;
                    // Between two answers too, not only right behind one.
                    tokio::time::sleep(Duration::from_micros(rng.random_range(0..20_000))).await;
                    let victim = rng.random_range(0..servers.len());
                    let (place, server) = &mut servers[victim];
                    server.kill();
                    *server = place.start(server.at);
                }
                let mut back = tasks.join_all().await;
                back.sort_unstable_by_key(|(number, _)| *number);
                back.into_iter().map(|(_, device)| device).collect()
            };
            let late = || panic!("round {round} is not over: {answers:?} of {MESSAGES} answered");
            devices = timeout(PATIENCE, everything).await.unwrap_or_else(|_| late());
            println!("round {round}: killed at {moments:?} of {MESSAGES}");
            for couple in devices.chunks_exact(2) {
                couple[0].received.holds_exactly(&couple[1].sent);
                couple[1].received.holds_exactly(&couple[0].sent);
            }
        }
        for device in &devices {
            device.compare_inbox().await;
        }
    }
}

/// Waits until so many messages have been told `sent`.
async fn reach(answers: &AtomicUsize, moment: usize) {
    while answers.load(Ordering::Relaxed) < moment {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Where the regions are.
fn zone(servers: &[(&Place, Server)]) -> Zone {
    Zone::new(
        servers.iter().map(|(place, server)| {
            (ServerName::parse(&place.domain).unwrap(), server.at.federation)
        }),
    )
}

async fn register(homes: &[Vec<SocketAddr>; 2], rng: &mut StdRng) -> Vec<Device> {
    let mut devices = Vec::new();
    for pair in 0..PAIRS {
        let mut couple = Vec::new();
        for (name, addresses) in ["one", "other"].into_iter().zip(homes) {
            let own = StdRng::from_rng(rng);
            let tag: u32 = rng.random_range(0..u32::MAX);
            couple.push(Device::register(&format!("{name}{pair}.{tag:x}"), addresses, own).await);
        }
        if let [one, other] = couple.as_mut_slice() {
            one.befriend(other);
        }
        devices.append(&mut couple);
    }
    devices
}
