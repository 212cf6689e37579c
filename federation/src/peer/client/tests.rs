//! The client against this crate's own listener and against hosts that misbehave.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use posthouse_protocol::{
    federation::{
        event::{Event, EventClass, EventKind},
        refusal::RefusalCode,
        stream::Lane,
    },
    time::Timestamp,
};
use posthouse_storage::{leases::Fence, outbox::Settled};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::*;
use crate::{
    engine::sender::Alarm,
    outbox::{Hints, Worker, WorkerParts},
    policy::Policy,
    ports::{
        KeyDirectory, Observer, Setback,
        memory::{Fate, MemoryOutboundStore},
    },
    server,
    testing::{Region, World, until},
};

/// A host that proves its domain and then answers each request with fixed bytes; `None` ends the
/// connection instead.
async fn host(
    region: &Region,
    answer: impl Fn(usize) -> Option<Vec<u8>> + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Arc::new(TlsClock::new(Arc::clone(&region.clock) as _));
    let (identity, trust) = (Arc::clone(&region.identity), Arc::clone(&region.trust));
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(identity, trust, clock).unwrap()));
    let requests = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, requests) = (acceptor.clone(), Arc::clone(&requests));
            let answer = answer.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut buffer = [0; 8 * 1024];
                // Requests of these tests are small and come in one piece, or as head and body.
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let Some(bytes) = answer(requests.fetch_add(1, SeqCst)) else { return };
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    address
}

fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn cbor(status: &str, body: &[u8]) -> Vec<u8> {
    http(status, "content-type: application/cbor\r\n", body)
}

fn unreachable<T: core::fmt::Debug>(answer: Result<T, PostError>) -> String {
    match answer {
        Err(PostError::Unreachable(reason) | PostError::Unreadable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn refused<T: core::fmt::Debug>(answer: Result<T, PostError>) -> (RefusalCode, Option<u32>) {
    match answer {
        Err(PostError::Refused(refusal)) => (refusal.code, refusal.retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_is_asked_over_one_kept_connection() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let mut running = south.serve(server::Config::default()).await;
    let client = north.client(&[(&south, running.address)]);
    let peer = &south.name;
    assert_eq!(client.document(peer).await.unwrap(), south.document());
    assert_eq!(client.key_log(peer).await.unwrap(), south.log);
    let alice = HandleName::parse("alice").unwrap();
    let answer = client.resolve(peer, &alice).await.unwrap();
    assert_eq!(answer.account, Some(Uuid::from_u128(0xa11ce)));
    let nonce = Nonce([3; 16]);
    let echo = client.echo(peer, nonce).await.unwrap();
    let echo = echo.verify(&south.signing.verifying_key()).unwrap().into_value();
    assert_eq!((echo.nonce, echo.from), (nonce, south.name.clone()));
    let denied = client.post(peer, b"nonsense".to_vec()).await;
    assert_eq!(refused(denied).0, RefusalCode::Malformed);
    let connections = &running.counters.connections;
    assert_eq!(connections.load(SeqCst), 1);
    assert_eq!(client.pool.resting(peer), 1);
    client.close().await;
    assert_eq!(client.pool.resting(peer), 0);
    running.stop();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_dead_kept_connection_is_replaced_at_once() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let mut running = south.serve(server::Config::default()).await;
    let client = north.client(&[(&south, running.address)]);
    client.document(&south.name).await.unwrap();
    running.stop();
    running.task.await.unwrap();
    let _again = south.serve_at(running.address, server::Config::default()).await;
    client.document(&south.name).await.unwrap();
    assert!(north.heard.0.lock().unwrap().is_empty(), "nothing had failed");

    // One that dies only when the next request is written: the peer closes without a word.
    let one_each = |n: usize| {
        let refusal =
            posthouse_protocol::federation::refusal::Refusal::new(RefusalCode::Denied, "not today");
        n.is_multiple_of(2).then(|| cbor("403 Forbidden", &refusal.encode()))
    };
    let east = world.region("east.test");
    let address = host(&east, one_each).await;
    let client = north.client(&[(&east, address)]);
    for _ in 0..3 {
        assert_eq!(refused(client.document(&east.name).await).0, RefusalCode::Denied);
    }
}

#[tokio::test]
async fn a_fresh_connection_is_not_tried_twice() {
    let world = World::new();
    let (north, east) = (world.region("north.test"), world.region("east.test"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = host(&east, move |_| {
        count.fetch_add(1, SeqCst);
        None
    })
    .await;
    let client = north.client(&[(&east, address)]);
    unreachable(client.document(&east.name).await);
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn answers_that_are_none_are_told_from_refusals() {
    let world = World::new();
    let (north, east) = (world.region("north.test"), world.region("east.test"));
    let large = vec![0; limits::MAX_DOCUMENT + 1];
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\n\
        transfer-encoding: chunked\r\n\r\nffffff\r\n";
    let endless = [chunked.as_slice(), &large].concat();
    for (answer, reason) in [
        (cbor("200 OK", b"nonsense"), "not what was asked for"),
        (http("200 OK", "content-type: text/html\r\n", b"<html>"), "no application/cbor"),
        (cbor("200 OK", &large), "limit"),
        (endless, "limit"),
        (cbor("403 Forbidden", b"nonsense"), "403"),
        (http("502 Bad Gateway", "", b""), "502"),
        (http("302 Found", "location: https://elsewhere.test/\r\n", b""), "302"),
    ] {
        let address = host(&east, move |_| Some(answer.clone())).await;
        let told = unreachable(north.client(&[(&east, address)]).document(&east.name).await);
        assert!(told.contains(reason), "{reason}: {told}");
    }
    let later = http("503 Service Unavailable", "retry-after: 7\r\n", b"<html>");
    let address = host(&east, move |_| Some(later.clone())).await;
    let client = north.client(&[(&east, address)]);
    let told = refused(client.post(&east.name, vec![1]).await);
    assert_eq!(told, (RefusalCode::Overloaded, Some(7)));
}

#[tokio::test]
async fn denied_and_foreign_peers_are_not_spoken_with() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let east = world.region("east.test");
    let running = south.serve(server::Config::default()).await;
    // What stands for east proves to be south.
    let client = north.client(&[(&south, running.address), (&east, running.address)]);
    let told = unreachable(client.document(&east.name).await);
    assert!(told.contains("no host proved the domain"), "{told}");
    let deny = vec!["south.test".parse().unwrap()];
    north.policy.replace(Policy { deny, ..Policy::default() });
    let before = running.counters.connections.load(SeqCst);
    assert_eq!(refused(client.post(&south.name, vec![1]).await).0, RefusalCode::Denied);
    assert_eq!(running.counters.connections.load(SeqCst), before, "nobody was called");
}

#[tokio::test]
async fn many_requests_share_few_connections() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let running = south.serve(server::Config::default()).await;
    let client = north.client(&[(&south, running.address)]);
    let asked: Vec<_> = (0..60)
        .map(|_| {
            let (client, peer) = (Arc::clone(&client), south.name.clone());
            tokio::spawn(async move { client.document(&peer).await.map(drop) })
        })
        .collect();
    for one in asked {
        one.await.unwrap().unwrap();
    }
    let connections = running.counters.connections.load(SeqCst);
    assert!(connections <= super::super::pool::MAX_PER_PEER as u64, "{connections}");
}

#[tokio::test]
async fn resting_connections_are_closed_after_a_while() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    let running = south.serve(server::Config::default()).await;
    let parts = north.peer_parts(&[(&south, running.address)]);
    let idle = Duration::from_millis(40);
    let client = PeerClient::resting(parts, &mut StdRng::seed_from_u64(1), idle).unwrap();
    client.document(&south.name).await.unwrap();
    let open = &running.counters.open_connections;
    until("the server sees it end", || open.load(SeqCst) == 0).await;
    assert_eq!(client.pool.resting(&south.name), 0);
    client.document(&south.name).await.unwrap();
}

/// Whether the worker has said that the destination does not answer.
#[derive(Default)]
struct Told(AtomicBool);

impl Observer for Told {
    fn unreachable(&self, _: &ServerName, _: Timestamp, _: &Setback) {
        self.0.store(true, SeqCst);
    }
    fn failed_again(&self, _: &ServerName, _: &Setback) {}
    fn at_rest(&self, _: &ServerName) {}
    fn reachable(&self, _: &ServerName) {}
    fn met(&self, _: &ServerName) {}
    fn alarm(&self, _: &ServerName, alarm: Alarm) {
        panic!("{alarm:?}");
    }
    fn settled(&self, _: &ServerName, _: Settled) {}
}

#[tokio::test]
async fn a_workers_envelopes_arrive_and_its_receipts_settle() {
    let world = World::new();
    let (north, south) = (world.region("north.test"), world.region("south.test"));
    // Nothing listens at first.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = north.client(&[(&south, free)]);
    let outbox = Arc::new(MemoryOutboundStore::default());
    let observer = Arc::new(Told::default());
    let parts = WorkerParts {
        own: north.name.clone(),
        signing: north.signing.clone(),
        store: Arc::clone(&outbox) as _,
        keys: Arc::clone(&world.keys) as Arc<dyn KeyDirectory>,
        transport: Arc::clone(&client) as _,
        observer: Arc::clone(&observer) as _,
        clock: Arc::clone(&world.clock) as _,
        keep_ms: posthouse_protocol::limits::GRACE_MS,
    };
    let fence = Fence { name: "south.test".to_owned(), number: 1 };
    let rng = StdRng::seed_from_u64(1);
    let hints = Arc::new(Hints::default());
    let worker =
        Worker::new(parts, south.name.clone(), fence, Arc::clone(&hints), rng).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let delivering = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));
    let mut running = None;
    for n in 1..=100_u128 {
        let mut event = Event::new(EventKind::Other(900), EventClass::Control);
        event.recipients = vec![Uuid::from_u128(9)];
        let event = Bytes::from(event.encode());
        outbox
            .with(&south.name, |own| own.enqueue(Lane::Messages, Uuid::from_u128(n), None, event));
        hints.wake(Lane::Messages);
        if n == 50 {
            until("it is noticed", || observer.0.load(SeqCst)).await;
            running = Some(south.serve_at(free, server::Config::default()).await);
        }
    }
    let fates = || {
        let fates = outbox.with(&south.name, |own| own.fates.clone()).unwrap();
        let of = |wanted| fates.values().filter(|fate| **fate == wanted).count();
        (of(Fate::Accepted), of(Fate::Failed), of(Fate::Waiting))
    };
    until("everything settles", || {
        world.clock.advance(Duration::from_millis(200));
        hints.sign_of_life();
        fates() == (99, 1, 0)
    })
    .await;
    stop.send(()).unwrap();
    delivering.await.unwrap().unwrap();
    let inbound = south.store.from(&north.name);
    let ids: Vec<u128> = inbound.effects.iter().map(|event| event.id.as_u128()).collect();
    assert_eq!(ids, (1..=100).filter(|n| *n != 5).collect::<Vec<_>>());
    assert!(north.heard.0.lock().unwrap().contains(&south.name), "it answers again");
    assert!(south.heard.0.lock().unwrap().contains(&north.name));
    running.unwrap().stop();
}
