//! Who gets a worker, for how long, and under whose lease. Tokio's time is virtual here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::federation::event::{Event, EventClass, EventKind};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    engine::{ephemeral::EphemeralKey, outbound::OutboundStream},
    outbox::testing::{Bench, name, until},
};

/// Leases of one process and of others.
#[derive(Default)]
struct Table {
    held: Mutex<HashMap<String, Uuid>>,
    numbers: AtomicU64,
    /// Renewals find that the lease has passed on.
    passed_on: AtomicBool,
}

#[async_trait]
impl Leases for Table {
    async fn acquire(
        &self,
        name: &str,
        holder: Uuid,
        _: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Fence>, StoreError> {
        assert_eq!(ttl_ms, 30_000);
        let mut held = self.held.lock().unwrap();
        if *held.entry(name.to_owned()).or_insert(holder) != holder {
            return Ok(None);
        }
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Fence { name: name.to_owned(), number }))
    }

    async fn renew(&self, _: &Fence, _: Timestamp, _: u64) -> Result<bool, StoreError> {
        Ok(!self.passed_on.load(Ordering::SeqCst))
    }

    async fn release_all(&self, holder: Uuid) -> Result<(), StoreError> {
        self.held.lock().unwrap().retain(|_, other| *other != holder);
        Ok(())
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        self.held.lock().unwrap().remove(&fence.name);
        Ok(())
    }
}

struct World {
    bench: Bench,
    leases: Arc<Table>,
    supervisor: Arc<Supervisor>,
}

const SOUTH_LEASE: &str = "outbox south.test";

impl World {
    fn new(max_workers: usize) -> Self {
        Self::with(Bench::new(), Arc::default(), max_workers, Arc::new(AtomicBool::new(false)))
    }

    /// The first generator that is made while `break_once` is set breaks.
    fn with(
        bench: Bench,
        leases: Arc<Table>,
        max_workers: usize,
        break_once: Arc<AtomicBool>,
    ) -> Self {
        let random: Randomness = Arc::new(move || {
            assert!(!break_once.swap(false, Ordering::SeqCst), "broken on purpose");
            Box::new(StdRng::seed_from_u64(3))
        });
        let parts = SupervisorParts {
            worker: bench.parts.clone(),
            leases: Arc::clone(&leases) as _,
            random,
        };
        let config = SupervisorConfig { max_workers, ..SupervisorConfig::new(Uuid::from_u128(1)) };
        let supervisor = Supervisor::start(parts, config);
        Self { bench, leases, supervisor }
    }

    /// The stream is there, as after an earlier run, and something waits in it.
    fn enqueue(&self, destination: &str, n: u128) {
        create(&self.bench, destination);
        self.bench.outbox.with(&name(destination), |stream| {
            stream.enqueue(Lane::Messages, Uuid::from_u128(n), None, event());
        });
    }

    fn is_held(&self, lease: &str) -> bool {
        self.leases.held.lock().unwrap().contains_key(lease)
    }

    async fn arrive(&self, count: usize) {
        until("everything arrives", || self.bench.fates() == (count, 0, 0)).await;
    }
}

fn create(bench: &Bench, destination: &str) {
    let ends = (name("north.test"), name(destination));
    let fresh = OutboundStream::new(&ends.0, &ends.1, [1; 16], Timestamp(0));
    bench.outbox.create(&ends.1, &fresh);
}

fn event() -> Bytes {
    let mut event = Event::new(EventKind::Typing, EventClass::Ephemeral);
    event.recipients = vec![Uuid::from_u128(9)];
    event.encode().into()
}

fn ephemeral(n: u128) -> Ephemeral {
    let sender = Uuid::from_u128(n);
    let key = EphemeralKey { kind: 4, sender, conversation: None };
    Ephemeral { key, sender, id: sender, event: event() }
}

#[tokio::test(start_paused = true)]
async fn a_hint_starts_a_worker_which_holds_the_lease_until_it_ends() {
    let world = World::new(10);
    world.enqueue("south.test", 50);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    world.arrive(1).await;
    assert!(world.is_held(SOUTH_LEASE));
    assert_eq!(world.supervisor.workers(), 1);
    world.enqueue("south.test", 51);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    world.arrive(2).await;
    assert_eq!(world.leases.numbers.load(Ordering::SeqCst), 1, "one worker did both");
    // Paused time goes on once nobody has anything to do: the second receipt is settled by then, and
    // the worker rests from before the clock is moved.
    time::sleep(Duration::from_secs(1)).await;
    world.bench.clock.pass(super::super::worker::IDLE_MS);
    time::sleep(Duration::from_mins(6)).await;
    assert_eq!(world.supervisor.workers(), 0, "an idle worker ends");
    assert!(!world.is_held(SOUTH_LEASE), "and gives its lease back");
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_hint_told_is_found() {
    let world = World::new(10);
    time::sleep(Duration::from_secs(1)).await;
    world.enqueue("south.test", 50);
    let before = Instant::now();
    world.arrive(1).await;
    assert!(before.elapsed() <= POLL_EVERY + Duration::from_secs(1), "{:?}", before.elapsed());
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_stream_is_looked_at_after_a_start() {
    let bench = Bench::new();
    create(&bench, "south.test");
    let still = Arc::new(AtomicBool::new(false));
    let world = World::with(bench, Arc::default(), 10, still);
    until("there is a worker", || world.is_held(SOUTH_LEASE)).await;
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_process_keeps_its_destination_until_it_gives_it_up() {
    let leases = Arc::<Table>::default();
    leases.held.lock().unwrap().insert(SOUTH_LEASE.to_owned(), Uuid::from_u128(2));
    let bench = Bench::new();
    create(&bench, "south.test");
    let still = Arc::new(AtomicBool::new(false));
    let world = World::with(bench, leases, 10, still);
    world.enqueue("south.test", 50);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!((world.bench.posts(), world.bench.fates()), (0, (0, 0, 1)));
    world.leases.held.lock().unwrap().clear();
    world.arrive(1).await;
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_lease_passed_on_stops_and_another_one_comes() {
    let world = World::new(10);
    world.enqueue("south.test", 50);
    world.bench.link.gate.forget_permits(usize::MAX);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    until("an envelope is in the air", || world.bench.posts() > 0).await;
    world.leases.passed_on.store(true, Ordering::SeqCst);
    time::sleep(RENEW_EVERY + Duration::from_secs(1)).await;
    world.leases.passed_on.store(false, Ordering::SeqCst);
    world.bench.link.gate.add_permits(1_000_000);
    world.arrive(1).await;
    assert!(world.leases.numbers.load(Ordering::SeqCst) >= 2, "a newer fence");
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_house_makes_room_for_those_who_can_be_served() {
    let world = World::new(1);
    // Nobody knows east's keys, and nobody can ask for them.
    world.enqueue("east.test", 50);
    world.supervisor.wake(&name("east.test"), Lane::Messages);
    until("east is tried", || !world.bench.said().is_empty()).await;
    world.enqueue("south.test", 51);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    world.arrive(1).await;
    assert!(world.supervisor.workers() <= 1);
    // East is not forgotten for it.
    let numbers = world.leases.numbers.load(Ordering::SeqCst);
    until("east has its turn again", || {
        world.is_held("outbox east.test") && world.leases.numbers.load(Ordering::SeqCst) > numbers
    })
    .await;
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ephemerals_wake_nobody_who_was_never_reached() {
    let world = World::new(10);
    world.supervisor.push_ephemeral(&name("east.test"), ephemeral(1));
    until("east's place is free again", || world.supervisor.workers() == 0).await;
    assert!(!world.is_held("outbox east.test"));
    world.supervisor.push_ephemeral(&name("south.test"), ephemeral(2));
    until("south hears of it", || world.bench.told.ephemerals.lock().unwrap().len() == 1).await;
    world.supervisor.stop().await;
}

/// It is asked until it answers, and no longer than somebody wants it.
#[tokio::test(start_paused = true)]
async fn a_region_is_sought_while_somebody_waits_for_it() {
    let world = World::new(10);
    let (keys, seek) = (&world.bench.keys, |peer: &str| world.supervisor.seek(&name(peer)));
    let asked = || keys.asked.load(Ordering::SeqCst);
    seek("south.test");
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!((asked(), world.bench.said()), (0, Vec::new()), "it is known");
    keys.nameless.store(true, Ordering::SeqCst);
    seek("south.test");
    seek("south.test");
    until("south is asked", || asked() > 0).await;
    keys.nameless.store(false, Ordering::SeqCst);
    until("south answers", || world.bench.said() == ["met south.test"]).await;
    assert_eq!(world.supervisor.workers(), 0, "nothing is sent for it");

    seek("east.test");
    until("east is asked again", || asked() > 3).await;
    world.bench.clock.pass(180_000);
    time::sleep(Duration::from_mins(10)).await;
    let given_up = asked();
    time::sleep(Duration::from_mins(10)).await;
    assert_eq!(asked(), given_up, "nobody wants it any more");
    assert_eq!(world.bench.said().len(), 1);
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_ends_the_wait_for_a_peer() {
    let world = World::new(10);
    world.enqueue("south.test", 50);
    world.bench.link.cut.store(true, Ordering::SeqCst);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    until("it fails", || !world.bench.said().is_empty()).await;
    world.bench.link.cut.store(false, Ordering::SeqCst);
    for _ in 0..100 {
        world.supervisor.heard(&name("south.test"));
    }
    world.supervisor.heard(&name("nobody.test"));
    world.arrive(1).await;
    assert_eq!(world.supervisor.workers(), 1, "contact alone starts no worker");
    world.supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_all_leases_back_and_nothing_starts_any_more() {
    let world = World::new(10);
    world.enqueue("south.test", 50);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    world.arrive(1).await;
    world.supervisor.stop().await;
    assert!(world.leases.held.lock().unwrap().is_empty());
    assert_eq!(world.supervisor.workers(), 0);
    world.enqueue("south.test", 51);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    world.supervisor.push_ephemeral(&name("south.test"), ephemeral(1));
    time::sleep(Duration::from_mins(1)).await;
    assert_eq!((world.supervisor.workers(), world.bench.fates()), (0, (1, 0, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_breaks_leaves_its_place_to_another() {
    let breaks = Arc::new(AtomicBool::new(true));
    let world = World::with(Bench::new(), Arc::default(), 10, Arc::clone(&breaks));
    world.enqueue("south.test", 50);
    world.supervisor.wake(&name("south.test"), Lane::Messages);
    until("it breaks", || !breaks.load(Ordering::SeqCst)).await;
    world.arrive(1).await;
    world.supervisor.stop().await;
}
