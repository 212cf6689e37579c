//! Examinations of real listeners, one for each stage that can fail.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use async_trait::async_trait;
use posthouse_protocol::federation::key_log::{SignedEntry, TrustedHead, follow};
use posthouse_storage::error::StoreError;
use tokio::net::TcpListener;

use super::*;
use crate::{
    policy::Policy,
    server,
    testing::{Hands, NOW, Region, World},
    tls::tests::{Leaf, name, public},
};

/// What is known of south; whoever tries to change it fails the test.
#[derive(Default)]
struct Known(Option<TrustedHead>, AtomicUsize);

#[async_trait]
impl KnownKeys for Known {
    async fn head(&self, _: &ServerName) -> Result<Option<TrustedHead>, StoreError> {
        self.1.fetch_add(1, SeqCst);
        Ok(self.0.clone())
    }
}

fn doctor(north: &Region, south: &Region, at: SocketAddr, known: Option<TrustedHead>) -> Doctor {
    let parts = DoctorParts {
        own: north.name.clone(),
        signing: north.signing.clone(),
        identity: Arc::clone(&north.identity),
        trust: Arc::clone(&north.trust),
        policy: Arc::clone(&north.policy),
        discovery: Arc::new(Region::discovery(&[(south, at)])),
        known: Arc::new(Known(known, AtomicUsize::new(0))),
        clock: Arc::clone(&north.clock) as _,
    };
    Doctor::new(parts, &mut StdRng::seed_from_u64(1))
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    report.stages.iter().map(|stage| stage.outcome).collect()
}

/// The stage at which the examination stopped.
fn stopped(report: &Report) -> &Stage {
    let last = report.stages.last().unwrap();
    assert_eq!(last.outcome, Outcome::Failed, "{report:#?}");
    assert!(!report.reachable);
    assert_eq!(report.stages.len() + report.not_reached.len(), StageName::ALL.len());
    last
}

fn fact<'a>(report: &'a Report, stage: StageName, fact: &str) -> &'a str {
    let stage = report.stages.iter().find(|one| one.name == stage).unwrap();
    let found = stage.facts.iter().find(|one| one.name == fact);
    &found.unwrap_or_else(|| panic!("{fact}: {stage:#?}")).value
}

#[tokio::test]
async fn a_healthy_peer_passes_every_stage() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let running = south.serve(server::Config::default()).await;
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    assert_eq!(outcomes(&report), [Outcome::Ok; 7], "{report:#?}");
    assert!(report.reachable && report.not_reached.is_empty());
    assert_eq!(fact(&report, StageName::Tls, "certificate_days_left"), "30");
    assert_eq!(fact(&report, StageName::Tls, "certificate_names"), "south.test");
    assert_eq!(fact(&report, StageName::Document, "key_log_entry"), "0");
    assert_eq!(fact(&report, StageName::Document, "keys_changed"), "false");
    assert_eq!(fact(&report, StageName::Echo, "signature"), "good");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["stages"][6]["name"], "echo");
    assert_eq!(json["stages"][6]["outcome"], "ok");
}

#[tokio::test]
async fn each_stage_can_fail() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let east = world.region("east.test");
    let mut running = south.serve(server::Config::default()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    let report = doctor(&north, &south, running.address, None).examine(&east.name).await;
    assert_eq!(stopped(&report).name, StageName::Dns);
    assert_eq!(report.not_reached[0], StageName::Tcp);

    let report = doctor(&north, &south, closed, None).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Tcp);
    assert!(stage.advice.contains("nothing listens"), "{}", stage.advice);

    let report = doctor(&north, &east, running.address, None).examine(&east.name).await;
    assert_eq!(stopped(&report).name, StageName::Tls);
    assert_eq!(fact(&report, StageName::Tls, "certificate_names"), "south.test");

    // South does not believe our certificate any more.
    south.trust_nobody();
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Document);
    assert!(stage.advice.contains("our certificate"), "{stage:#?}");
    south.trust.replace(world.authority.trust());

    let deny = vec!["*.test".parse().unwrap()];
    south.policy.replace(Policy { deny, ..Policy::default() });
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Document);
    assert!(stage.advice.contains("ask to be allowed"), "{stage:#?}");
    south.policy.replace(Policy::default());

    // South has never heard of our key.
    let other = Arc::clone(&world.keys.known.lock().unwrap()[&name("east.test")]);
    let known = world.keys.known.lock().unwrap().insert(north.name.clone(), other);
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Echo);
    assert!(stage.advice.contains("our signing key"), "{stage:#?}");
    assert_eq!(fact(&report, StageName::Clock, "skew_ms"), "not measured");
    world.keys.known.lock().unwrap().insert(north.name.clone(), known.unwrap());
    running.stop();
}

#[tokio::test]
async fn clocks_are_compared() {
    let world = World::new();
    let (mut north, south) = (world.region("north.test"), world.region("south.test"));
    let running = south.serve(server::Config::default()).await;
    north.clock = Hands::new();
    for (ahead, outcome) in [(20, Outcome::Ok), (60, Outcome::Warning)] {
        north.clock.set(NOW.plus_millis(ahead * 1_000));
        let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
        assert!(report.reachable);
        assert_eq!(report.stages[5].outcome, outcome, "{report:#?}");
        let skew: i64 = fact(&report, StageName::Clock, "skew_ms").parse().unwrap();
        let expected = -i64::try_from(ahead * 1_000).unwrap();
        assert!((expected - 1_000..=expected).contains(&skew), "{skew}");
    }
    north.clock.set(NOW.plus_millis(10 * 60_000));
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Clock);
    assert!(stage.advice.contains("NTP"));
}

#[tokio::test]
async fn changed_and_rewritten_keys_are_told_apart() {
    let world = World::new();
    let (north, mut south) = (world.region("north.test"), world.region("south.test"));
    let first = follow(&south.name, None, &south.log).unwrap();
    for _ in 0..2 {
        let before = south.log.last().unwrap();
        let mut entry = before.entry().clone();
        (entry.number, entry.previous) = (entry.number + 1, Some(before.hash()));
        south.log.push(SignedEntry::sign(entry, &[&south.signing]));
    }
    let running = south.serve(server::Config::default()).await;
    // Two steps ahead of what is known: the whole log is needed.
    let known = Some(first.clone());
    let report = doctor(&north, &south, running.address, known).examine(&south.name).await;
    assert!(report.reachable, "{report:#?}");
    assert_eq!(fact(&report, StageName::Document, "key_log_entry"), "2");
    assert_eq!(fact(&report, StageName::Document, "key_log_entry_known"), "0");
    assert_eq!(fact(&report, StageName::Document, "keys_changed"), "true");
    // Another first entry than the one that is known.
    let mut other = south.log[0].entry().clone();
    other.at = Timestamp(7);
    let other = [SignedEntry::sign(other, &[&south.signing])];
    let known = Some(follow(&south.name, None, &other).unwrap());
    let report = doctor(&north, &south, running.address, known).examine(&south.name).await;
    let stage = stopped(&report);
    assert_eq!(stage.name, StageName::Document);
    assert!(stage.advice.contains("rewritten"), "{stage:#?}");
}

#[tokio::test]
async fn what_is_near_its_end_or_denied_by_us_is_a_warning() {
    let world = World::new();
    let north = world.region("north.test");
    let leaf = Leaf { days: (-80, 5), ..public(&["south.test"]) };
    let south = world.region_with("south.test", &leaf);
    let running = south.serve(server::Config::default()).await;
    let deny = vec!["south.test".parse().unwrap()];
    north.policy.replace(Policy { deny, ..Policy::default() });
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    assert!(report.reachable);
    assert_eq!(report.stages[0].outcome, Outcome::Warning);
    assert_eq!(report.stages[3].outcome, Outcome::Warning);
    assert_eq!(fact(&report, StageName::Tls, "certificate_days_left"), "5");
    // Four days later its document is over, and so nearly is the certificate.
    world.clock.advance(Duration::from_hours(4 * 24));
    let report = doctor(&north, &south, running.address, None).examine(&south.name).await;
    assert_eq!(report.stages[4].outcome, Outcome::Warning);
    assert!(report.stages[4].advice.contains("expired"), "{report:#?}");
}
