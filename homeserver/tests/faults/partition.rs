//! The link between two regions is cut, and stalls, while messages flow both ways.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    device::Device,
    link::{Link, State},
    stage::{PATIENCE, Stage},
};

/// Pairs of people who write to each other at the same time.
const PAIRS: usize = 3;
/// Messages of each of them.
const MESSAGES: usize = 200;
/// How often something happens to the link.
const TROUBLES: usize = 12;
/// The longest trouble, and the longest time without, in milliseconds.
const LONGEST_MS: u64 = 400;

#[test]
fn a_partition_in_mid_flow_loses_doubles_and_reorders_nothing() {
    Stage::play(&["north.test", "south.test"], async |stage| {
        let links = [
            Link::to(stage.regions[0].server.at.federation).await,
            Link::to(stage.regions[1].server.at.federation).await,
        ];
        let named = stage.regions.iter().zip(&links);
        let named: Vec<_> =
            named.map(|(region, link)| (region.place.domain.clone(), link.address)).collect();
        stage.names.answer(named.iter().map(|(name, at)| (name.as_str(), *at)));
        let mut writing = JoinSet::new();
        for (number, device) in couples(stage).await.into_iter().enumerate() {
            let answers = Arc::<AtomicUsize>::default();
            writing.spawn(async move {
                let mut device = device;
                device.write_until(MESSAGES, &answers).await;
                (number, device)
            });
        }
        for _ in 0..TROUBLES {
            let pause = |rng: &mut StdRng| Duration::from_millis(rng.random_range(0..LONGEST_MS));
            // The moment is the trouble: nothing is waited for.
            tokio::time::sleep(pause(&mut stage.rng)).await;
            let state = if stage.rng.random() { State::Cut } else { State::Stalled };
            let both = stage.rng.random();
            links[0].set(state);
            if both {
                links[1].set(state);
            }
            tokio::time::sleep(pause(&mut stage.rng)).await;
            for link in &links {
                link.set(State::Up);
            }
        }
        let mut devices = timeout(PATIENCE, writing.join_all()).await.expect("all arrive");
        devices.sort_unstable_by_key(|(number, _)| *number);
        for couple in devices.chunks_exact(2) {
            couple[0].1.received.holds_exactly(&couple[1].1.sent);
            couple[1].1.received.holds_exactly(&couple[0].1.sent);
        }
        for (_, device) in &devices {
            device.compare_inbox().await;
        }
        stage.equal_hashes(0, 1).await;
    });
}

/// Devices, the two of each pair beside each other.
async fn couples(stage: &mut Stage) -> Vec<Device> {
    let mut devices = Vec::new();
    for pair in 0..PAIRS {
        let mut couple = Vec::new();
        for (name, region) in [("one", 0), ("other", 1)] {
            let own = StdRng::from_rng(&mut stage.rng);
            let at = stage.regions[region].server.at.client;
            couple.push(Device::register(&format!("{name}{pair}"), &[at], own).await);
        }
        if let [one, other] = couple.as_mut_slice() {
            one.befriend(other);
        }
        devices.append(&mut couple);
    }
    devices
}
