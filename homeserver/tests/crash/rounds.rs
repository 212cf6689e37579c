//! Rounds of messages, with servers killed in between.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use crate::{
    device::Device,
    server::{Place, Server},
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
    /// Runs them against as many servers of one region.
    pub(crate) fn run(&self, place: &Place, servers: usize) {
        // Each run differs from the others; the seed in the output makes it come again.
        let seed = rand::random_range(0..u64::MAX);
        println!("seed {seed}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let servers: Vec<Server> = (0..servers).map(|_| place.start(any)).collect();
            let runtime = Runtime::new().unwrap();
            runtime.block_on(self.play(place, servers, StdRng::seed_from_u64(seed)));
        }));
        if let Err(panic) = outcome {
            println!("{}", place.log());
            std::panic::resume_unwind(panic);
        }
    }

    async fn play(&self, place: &Place, mut servers: Vec<Server>, mut rng: StdRng) {
        let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        let mut devices = register(&addresses, &mut rng).await;
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
                    let address = servers[victim].address;
                    servers[victim].kill();
                    servers[victim] = place.start(address);
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

async fn register(addresses: &[SocketAddr], rng: &mut StdRng) -> Vec<Device> {
    let mut devices = Vec::new();
    for pair in 0..PAIRS {
        let mut couple = Vec::new();
        for name in ["one", "other"] {
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
