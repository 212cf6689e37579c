//! Worker to receiver with real envelopes, over a link that can be cut and lie.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use posthouse_protocol::federation::{
    event::{Event, EventClass, EventKind},
    stream::Lane,
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use super::{chores::NAMELESS_MS, *};
use crate::{
    engine::ephemeral::{Ephemeral, EphemeralKey},
    outbox::testing::{Bench, name, until},
    ports::PeerFacts,
};

/// A running worker for south.
struct Running {
    hints: Arc<Hints>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<Ended, WorkerError>>,
}

impl Running {
    async fn start(bench: &Bench) -> Self {
        let (hints, rng) = (Arc::<Hints>::default(), StdRng::seed_from_u64(2));
        let (parts, fence, told) =
            (bench.parts.clone(), Bench::fence("south.test"), Arc::clone(&hints));
        let worker = Worker::new(parts, name("south.test"), fence, told, rng).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(worker.run(async move { stopped.await.unwrap_or(()) }));
        Self { hints, stop: Some(stop), ended }
    }

    fn send(&self, bench: &Bench, n: u128) {
        bench.enqueue(n);
        self.hints.wake(Lane::Messages);
    }

    async fn stop(mut self) -> Ended {
        self.stop.take().unwrap().send(()).unwrap();
        self.ended.await.unwrap().unwrap()
    }
}

fn facts(max_records: usize, envelope_versions: Vec<u8>) -> PeerFacts {
    PeerFacts {
        max_records,
        max_envelope: 4 * 1024 * 1024,
        envelope_versions,
        payload_versions: vec![1],
        shares_encapsulation: false,
        valid_until: Timestamp(u64::MAX),
    }
}

fn ephemeral(n: u128) -> Ephemeral {
    let sender = Uuid::from_u128(n);
    let mut event = Event::new(EventKind::Typing, EventClass::Ephemeral);
    event.recipients = vec![Uuid::from_u128(9)];
    let key = EphemeralKey { kind: 4, sender, conversation: None };
    Ephemeral { key, sender, id: sender, event: Bytes::from(event.encode()) }
}

#[tokio::test]
async fn everything_arrives_once_in_order_over_a_bad_link() {
    let bench = Bench::new();
    bench.link.cut.store(true, Ordering::SeqCst);
    bench.link.lies.store(true, Ordering::SeqCst);
    let running = Running::start(&bench).await;
    for n in 1..=100 {
        running.send(&bench, n);
        if n == 50 {
            until("an attempt fails", || !bench.said().is_empty()).await;
            bench.link.cut.store(false, Ordering::SeqCst);
        }
    }
    until("all have their fate", || {
        running.hints.sign_of_life();
        bench.fates() == (99, 1, 0)
    })
    .await;
    assert_eq!(running.stop().await, Ended::Stopped);
    let inbound = bench.arrived.from(&name("north.test"));
    let ids: Vec<u128> = inbound.effects.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (1..=100).filter(|n| *n != 5).collect::<Vec<_>>());
    let standing = bench.outbox.with(&name("south.test"), |own| own.stream.receipted_standing());
    assert_eq!(inbound.stream.standing, standing, "equal hashes on both sides");
    assert_eq!(bench.said().first().map(String::as_str), Some("unreachable"));
    assert_eq!(bench.why().first().map(String::as_str), Some("the peer cannot be reached: cut"));
}

#[tokio::test]
async fn without_a_common_version_nothing_is_sent_and_nothing_lost() {
    let bench = Bench::new();
    *bench.keys.facts.lock().unwrap() = Some(facts(1_000, vec![7, 8]));
    let running = Running::start(&bench).await;
    for n in 10..20 {
        running.send(&bench, n);
    }
    // A few attempts, each of which finds the same.
    for _ in 0..5 {
        running.hints.sign_of_life();
        bench.clock.pass(crate::engine::backoff::LAST_MS);
        until("the worker looks", || !running.hints.is_pending()).await;
    }
    until("the operator is told", || bench.said().contains(&"NoCommonVersion".to_owned())).await;
    assert_eq!(bench.posts(), 0);
    assert_eq!(bench.fates(), (0, 0, 10));
    *bench.keys.facts.lock().unwrap() = Some(facts(1_000, vec![1, 7]));
    until("it goes on once there is one", || {
        running.hints.sign_of_life();
        bench.fates() == (10, 0, 0)
    })
    .await;
    let alarms = bench.said().iter().filter(|said| *said == "NoCommonVersion").count();
    assert_eq!(alarms, 1, "told once");
    let why = bench.why();
    assert!(why.iter().all(|why| why == "it speaks no version that is spoken here"), "{why:?}");
    running.stop().await;
}

#[tokio::test]
async fn envelopes_keep_within_the_peers_limits() {
    let bench = Bench::new();
    *bench.keys.facts.lock().unwrap() = Some(facts(3, vec![1]));
    let running = Running::start(&bench).await;
    for n in 10..40 {
        bench.enqueue(n);
    }
    running.hints.wake(Lane::Messages);
    until("all arrive", || bench.fates() == (30, 0, 0)).await;
    assert!(bench.posts() >= 10, "{} envelopes for thirty events", bench.posts());
    running.stop().await;
}

#[tokio::test]
async fn ephemerals_go_at_once_past_the_stream_or_never() {
    let bench = Bench::new();
    let running = Running::start(&bench).await;
    let passed = || bench.told.ephemerals.lock().unwrap().len();
    let now = || bench.clock.now();
    for n in 1..=20 {
        running.hints.push(ephemeral(n), now());
    }
    until("they pass", || passed() == 20).await;
    // A peer that was found away is not asked for each of them.
    bench.link.cut.store(true, Ordering::SeqCst);
    running.hints.push(ephemeral(30), now());
    let before = bench.posts();
    until("one finds nobody", || bench.posts() > before).await;
    bench.link.cut.store(false, Ordering::SeqCst);
    bench.clock.pass(WORTH_MS);
    until("later ones pass again", || {
        running.hints.push(ephemeral(31), now());
        passed() > 20
    })
    .await;
    let ids = bench.told.ephemerals.lock().unwrap().clone();
    assert!(!ids.contains(&Uuid::from_u128(30)), "what found nobody is gone");
    // They stand in no stream, and hold none up.
    running.send(&bench, 50);
    until("messages arrive", || bench.fates() == (1, 0, 0)).await;
    running.stop().await;
}

#[tokio::test]
async fn what_waits_for_a_region_that_does_not_exist_fails_after_a_day() {
    let bench = Bench::new();
    bench.keys.nameless.store(true, Ordering::SeqCst);
    let running = Running::start(&bench).await;
    running.send(&bench, 50);
    until("an attempt is made", || bench.said() == ["unreachable"]).await;
    bench.clock.pass(NAMELESS_MS - 3_600_000);
    running.hints.sign_of_life();
    until("another one", || !running.hints.is_pending()).await;
    assert_eq!(bench.fates(), (0, 0, 1), "not yet");
    until("it has failed", || {
        bench.clock.pass(600_000);
        running.hints.wake(Lane::Messages);
        bench.fates() == (0, 1, 0)
    })
    .await;
    assert_eq!(bench.posts(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_waits_for_what_is_in_the_air() {
    let bench = Bench::new();
    bench.link.gate.forget_permits(usize::MAX);
    let running = Running::start(&bench).await;
    running.send(&bench, 50);
    until("it leaves", || bench.posts() == 1).await;
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    bench.link.gate.add_permits(1);
    assert_eq!(stopping.await.unwrap(), Ended::Stopped);
    assert_eq!(bench.fates(), (1, 0, 0), "its receipt was settled");
    assert_eq!(bench.posts(), 1, "nothing new left");
}

#[tokio::test]
async fn a_worker_with_nothing_to_do_ends() {
    let bench = Bench::new();
    let running = Running::start(&bench).await;
    running.send(&bench, 50);
    until("it arrives", || bench.fates() == (1, 0, 0)).await;
    until("it ends", || {
        bench.clock.pass(IDLE_MS);
        running.hints.sign_of_life();
        running.ended.is_finished()
    })
    .await;
    assert_eq!(running.ended.await.unwrap().unwrap(), Ended::Idle);
}
