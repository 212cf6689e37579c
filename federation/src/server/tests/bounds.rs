//! Peers that are denied, strangers, slow, too large, too many, or gone.

use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::{
    policy::{Pattern, Policy},
    tls::tests::{Leaf, public},
};

const ENVELOPES: &str = "/federation/v1/envelopes";
const CBOR: &str = "content-type: application/cbor\r\n";
const SERVER: &str = "/federation/v1/server";

#[tokio::test]
async fn denied_peers_are_refused_on_every_route_at_once() {
    let bench = Bench::new(Config::default()).await;
    let mut kept = bench.wire().await;
    assert_eq!(kept.get(SERVER).await.status, 200);
    let deny: Pattern = "*.test".parse().unwrap();
    bench.south.policy.replace(Policy { deny: vec![deny], ..Policy::default() });
    let said = kept.get(SERVER).await;
    assert_eq!(said.refusal().code, RefusalCode::Denied, "a connection from before");
    assert!(said.closes());
    kept.ended().await;
    for path in [ENVELOPES, "/federation/v1/echo", "/nothing"] {
        let mut wire = bench.wire().await;
        // The body never comes.
        let head = format!("POST {path} HTTP/1.1\r\nhost: south.test\r\ncontent-length: 9\r\n\r\n");
        wire.send(head.as_bytes()).await;
        assert_eq!(wire.answer().await.unwrap().refusal().code, RefusalCode::Denied, "{path}");
        wire.ended().await;
    }
}

#[tokio::test]
async fn strangers_and_expired_certificates_do_not_enter() {
    let bench = Bench::new(Config::default()).await;
    let stranger = World::new().region("north.test");
    let old = bench.world.region_with("north.test", &Leaf { days: (-30, -1), ..leaf() });
    for who in [&stranger, &old] {
        // The client has to take the server's certificate to learn that its own is refused.
        who.trust.replace(bench.world.authority.trust());
        let opened = Wire::open(who, &bench.running, "south.test").await;
        if let Ok(mut wire) = opened {
            let _ = wire.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            assert!(wire.answer().await.is_none());
        }
    }
    let failed = &bench.running.counters.failed_handshakes;
    until("both handshakes fail", || failed.load(Relaxed) == 2).await;
    let wrong = Wire::open(&bench.north, &bench.running, "east.test").await;
    assert!(wrong.is_err(), "the server does not prove the name");
}

fn leaf() -> Leaf<'static> {
    public(&["north.test"])
}

#[tokio::test]
async fn a_certificate_that_expires_or_loses_its_trust_ends_the_connection() {
    let bench = Bench::new(Config::default()).await;
    let ends = async |wire: &mut Wire| {
        let said = wire.get(SERVER).await;
        assert_eq!(said.refusal().code, RefusalCode::WrongOrigin);
        assert!(said.closes());
        wire.ended().await;
    };
    let mut wire = bench.wire().await;
    assert_eq!(wire.get(SERVER).await.status, 200);
    bench.world.clock.advance(Duration::from_hours(31 * 24));
    ends(&mut wire).await;
    bench.world.clock.set(crate::testing::NOW);
    let mut wire = bench.wire().await;
    assert_eq!(wire.get(SERVER).await.status, 200);
    bench.south.trust_nobody();
    assert_eq!(wire.get(SERVER).await.status, 200, "looked at less than a minute ago");
    bench.world.clock.advance(Duration::from_mins(1));
    ends(&mut wire).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_and_while_it_is_read() {
    let bench = Bench::new(Config::default()).await;
    let mut wire = bench.wire().await;
    let length = limits::MAX_ENVELOPE + 1;
    let head = format!(
        "POST {ENVELOPES} HTTP/1.1\r\nhost: south.test\r\ncontent-type: application/cbor\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    wire.send(head.as_bytes()).await;
    let said = wire.answer().await.unwrap();
    assert_eq!(said.refusal().code, RefusalCode::TooLarge, "without a 100 Continue");
    assert!(said.closes());
    wire.ended().await;

    let mut wire = bench.wire().await;
    let head = format!(
        "POST {ENVELOPES} HTTP/1.1\r\nhost: south.test\r\ncontent-type: application/cbor\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    wire.send(head.as_bytes()).await;
    let (mut reading, mut writing) = tokio::io::split(wire.stream);
    let chunk = [b"4000\r\n".as_slice(), &[0; 0x4000], b"\r\n"].concat();
    // A little more than what is allowed, as an honest peer with other limits would send.
    let flood = async {
        for _ in 0..limits::MAX_ENVELOPE / 0x4000 + 2 {
            writing.write_all(&chunk).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    let listening = async {
        let mut buffer = [0; 4_096];
        while !said.ends_with(b"at most 4194304 bytes") {
            let read = reading.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "the refusal comes before the end");
            said.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::select! {
        () = flood => {}
        () = listening => {}
    }
    assert!(said.starts_with(b"HTTP/1.1 413 "));
    let mut wire = bench.wire().await;
    let said = wire.post("/federation/v1/echo", &vec![0; limits::MAX_QUERY + 1]).await;
    assert_eq!(said.refusal().code, RefusalCode::TooLarge);
}

#[tokio::test]
async fn heads_have_a_bound() {
    let bench = Bench::new(Config::default()).await;
    for head in [
        format!("GET {SERVER} HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65)),
        format!("GET {SERVER} HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(17 * 1024)),
    ] {
        let mut wire = bench.wire().await;
        wire.send(head.as_bytes()).await;
        let said = wire.answer().await.unwrap();
        assert_eq!(said.status, 431);
        wire.ended().await;
    }
}

#[tokio::test]
async fn slow_heads_slow_bodies_and_silence_end() {
    let config = Config {
        handshake_timeout: Duration::from_millis(50),
        head_timeout: Duration::from_millis(50),
        request_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let bench = Bench::new(config).await;
    // No handshake.
    let mut silent = TcpStream::connect(bench.running.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    // No request.
    bench.wire().await.ended().await;
    // Half a head, byte by byte, would go on for ever.
    let mut wire = bench.wire().await;
    let started = Instant::now();
    loop {
        if wire.stream.write_all(b"G").await.is_err() || wire.stream.flush().await.is_err() {
            break;
        }
        let waited = timeout(Duration::from_millis(5), wire.more()).await;
        if waited == Ok(None) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    // Half a body. The peer may come again: it is no fault of the envelope.
    let mut wire = bench.wire().await;
    let head = format!(
        "POST {ENVELOPES} HTTP/1.1\r\nhost: south.test\r\ncontent-type: application/cbor\r\n\
         content-length: 100\r\n\r\nhalf"
    );
    wire.send(head.as_bytes()).await;
    let said = wire.answer().await.unwrap();
    assert_eq!(said.refusal().code, RefusalCode::Overloaded);
    assert!(said.closes());
    wire.ended().await;
    // A rest is longer than a head may take, and ends too.
    let mut wire = bench.wire().await;
    assert_eq!(wire.get(SERVER).await.status, 200);
    let rested = Instant::now();
    wire.ended().await;
    assert!(rested.elapsed() >= Duration::from_millis(150));
    // So does one after an answer that had to be waited for.
    let mut wire = bench.wire().await;
    let slow = bench.handle("slow");
    wire.send(&request("/federation/v1/query/resolve", CBOR, &slow)).await;
    let phonebook = &bench.south.phonebook;
    until("it waits", || phonebook.waiting.load(SeqCst) == 1).await;
    phonebook.go.notify_waiters();
    assert_eq!(wire.answer().await.unwrap().status, 200);
    wire.ended().await;
}

#[tokio::test]
async fn connections_are_bounded_in_all_by_address_and_by_name() {
    for config in [
        Config { max_connections: 2, ..Config::default() },
        Config { max_per_address: 2, ..Config::default() },
    ] {
        let bench = Bench::new(config).await;
        let mut wires = [bench.wire().await, bench.wire().await];
        for wire in &mut wires {
            assert_eq!(wire.get(SERVER).await.status, 200);
        }
        assert!(Wire::open(&bench.north, &bench.running, "south.test").await.is_err());
        let counters = &bench.running.counters;
        assert_eq!(counters.refused_connections.load(Relaxed), 1);
        let [first, _kept] = wires;
        drop(first);
        until("the place is given back", || counters.open_connections.load(Relaxed) == 1).await;
        assert_eq!(bench.wire().await.get(SERVER).await.status, 200);
    }
    let bench = Bench::new(Config { max_per_peer: 1, ..Config::default() }).await;
    let mut first = bench.wire().await;
    assert_eq!(first.get(SERVER).await.status, 200);
    let mut second = bench.wire().await;
    let said = second.get(SERVER).await;
    assert_eq!(said.refusal().code, RefusalCode::RateLimited);
    assert!(said.closes());
    second.ended().await;
    let east = bench.world.region("east.test");
    let mut other = Wire::open(&east, &bench.running, "south.test").await.unwrap();
    assert_eq!(other.get(SERVER).await.status, 200, "another peer is not held up");
}

#[tokio::test]
async fn strangers_in_the_handshake_do_not_take_all_places() {
    let bench = Bench::new(Config { max_handshakes: 1, ..Config::default() }).await;
    let mut met = bench.wire().await;
    assert_eq!(met.get(SERVER).await.status, 200);
    let silent = TcpStream::connect(bench.running.address).await.unwrap();
    let counters = &bench.running.counters;
    until("it is let in", || counters.open_connections.load(Relaxed) == 2).await;
    assert!(Wire::open(&bench.north, &bench.running, "south.test").await.is_err());
    assert_eq!(met.get(SERVER).await.status, 200, "who is in stays in");
    drop(silent);
    until("it is gone", || counters.open_connections.load(Relaxed) == 1).await;
    assert_eq!(bench.wire().await.get(SERVER).await.status, 200);
}

#[tokio::test]
async fn requests_in_work_and_queries_are_bounded_by_name() {
    let config = Config { max_in_work: 2, query_burst: 4, ..Config::default() };
    let bench = Bench::new(config).await;
    let mut waiting = [bench.wire().await, bench.wire().await];
    for wire in &mut waiting {
        let body = bench.handle("slow");
        let head = "content-type: application/cbor\r\n";
        wire.send(&request("/federation/v1/query/resolve", head, &body)).await;
    }
    let phonebook = &bench.south.phonebook;
    until("two wait", || phonebook.waiting.load(SeqCst) == 2).await;
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, &bench.envelope(1, "south.test")).await;
    let refusal = said.refusal();
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::RateLimited, Some(1)));
    let east = bench.world.region("east.test");
    let mut other = Wire::open(&east, &bench.running, "south.test").await.unwrap();
    assert_eq!(other.get(SERVER).await.status, 200, "another peer is not held up");
    phonebook.go.notify_waiters();
    for wire in &mut waiting {
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    // Two of four tokens are gone.
    let mut wire = bench.wire().await;
    for _ in 0..2 {
        assert_eq!(wire.get(SERVER).await.status, 200);
    }
    assert_eq!(wire.get(SERVER).await.refusal().code, RefusalCode::RateLimited);
    let said = wire.post(ENVELOPES, &bench.envelope(1, "south.test")).await;
    assert_eq!(said.status, 200, "envelopes are no queries");
    bench.world.clock.advance(Duration::from_millis(20));
    assert_eq!(wire.get(SERVER).await.status, 200);
}

#[tokio::test]
async fn bodies_are_bounded_in_all() {
    let bench = Bench::new(Config { max_body_bytes: 100_000, ..Config::default() }).await;
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, &vec![0; 200_000]).await;
    let refusal = said.refusal();
    assert_eq!((refusal.code, refusal.retry_after), (RefusalCode::Overloaded, Some(1)));
    let mut wire = bench.wire().await;
    let said = wire.post(ENVELOPES, &bench.envelope(1, "south.test")).await;
    assert_eq!(said.status, 200, "the share was given back");
}

#[tokio::test]
async fn draining_finishes_what_is_in_work_and_cuts_what_does_not_end() {
    for finishes in [true, false] {
        let config = Config { drain_timeout: Duration::from_millis(300), ..Config::default() };
        let mut bench = Bench::new(config).await;
        let mut resting = bench.wire().await;
        assert_eq!(resting.get(SERVER).await.status, 200);
        let mut working = bench.wire().await;
        let head = "content-type: application/cbor\r\n";
        let slow = request("/federation/v1/query/resolve", head, &bench.handle("slow"));
        working.send(&slow).await;
        let phonebook = &bench.south.phonebook;
        until("it waits", || phonebook.waiting.load(SeqCst) == 1).await;
        bench.running.stop();
        resting.ended().await;
        assert!(TcpStream::connect(bench.running.address).await.is_err(), "nobody listens");
        if finishes {
            phonebook.go.notify_waiters();
            assert_eq!(working.answer().await.unwrap().status, 200);
        } else {
            assert!(working.answer().await.is_none());
        }
        timeout(Duration::from_secs(10), bench.running.task).await.unwrap().unwrap();
    }
}
