//! The SDK over two regions, where every link breaks all the time: those of the devices to their
//! regions, and those of the regions to each other.

use std::{net::SocketAddr, time::Duration};

use tokio::{runtime::Handle, task::block_in_place};

use crate::{
    chaos::{Chaos, Weather},
    person::Pair,
    sdk::Sdk,
    talk::{Talker, greet, seed, talk},
};

/// Somebody who is registered while the link is good.
async fn talker(at: SocketAddr, name: &str, seed: u64) -> Talker {
    let link = Chaos::to(at, seed).await;
    let Sdk { client, updates } = Sdk::register_at(link.address, name).await;
    Talker { client, updates, link }
}

/// A region whose connection broke is tried again after a second, then after longer: so the links of
/// the regions last longer than those of devices.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_two_regions_through_chaos_are_shown_once_and_in_order() {
    let seed = seed();
    let mut between = Vec::new();
    let pair = Pair::start_with(&[], |_, at, _| {
        let number = u64::try_from(between.len()).unwrap();
        let link = block_in_place(|| {
            Handle::current().block_on(Chaos::to(at, seed.rotate_left(8).wrapping_add(number)))
        });
        between.push(link);
        between[between.len() - 1].address
    });
    let mut both = [
        talker(pair.north.at.client, "ada", seed).await,
        talker(pair.south.at.client, "ben", !seed).await,
    ];
    greet(&mut both).await;
    for link in &between {
        link.begin(Weather { doublings: 4, silence_ms: 100, late_ms: 100 });
    }
    let weather = Weather { doublings: 6, silence_ms: 100, late_ms: 200 };
    talk(both, 60, weather, Duration::from_mins(1)).await;
    let tallies: Vec<_> = between.iter().map(|link| &link.tally).collect();
    println!("between the regions: {tallies:?}");
    let events = tallies.iter().map(|tally| tally.events()).sum::<usize>();
    assert!(events >= 1, "the regions had good weather");
}
