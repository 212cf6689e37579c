//! Whatever bytes come, the server stays.

use std::time::Duration;

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner},
};
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, eventually};

/// Another generator at each run, which says how to make it again.
#[expect(clippy::disallowed_methods, reason = "tests vary, and print their seed")]
fn seeded(what: &str) -> StdRng {
    let seed: u64 = rand::random();
    println!("{what}: seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// A source of values.
fn values(what: &str) -> TestRunner {
    let mut seed = [0; 32];
    seeded(what).fill_bytes(&mut seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(RunnerConfig::default(), rng)
}

/// Text that is close to frames.
fn frame_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "type",
        "id",
        "to",
        "content",
        "body",
        "ciphertexts",
        "status",
        "through",
        "users",
        "ref",
        "message_ids",
        "timestamp",
        "after",
        "prev",
    ]);
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "\"message\"",
            "\"ack\"",
            "\"ping\"",
            "\"presence\"",
            "\"subscribe\"",
            "\"typing\"",
            "\"delivered\"",
            "\"c0\"",
            "null",
            "true",
            "1e400",
            "\"\\ud800\"",
            "\"01890a5d-ac96-774b-bcce-b302099a8057\"",
            "\"bob\"",
        ])
        .prop_map(String::from),
        ".{0,12}",
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(",")))
    });
    let member = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let object =
        prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(",")));
    prop_oneof![4 => object, 1 => ".{0,60}"]
}

/// No text and no binary message ends the connection or the loop.
#[tokio::test]
async fn any_message_is_survived() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    let mut runner = values("any message");
    for _ in 0..40 {
        for _ in 0..25 {
            let text = frame_like().new_tree(&mut runner).unwrap().current();
            socket.feed(text.as_str()).await;
        }
        let bytes = prop::collection::vec(any::<u8>(), 0..200).new_tree(&mut runner).unwrap();
        socket.send_message(Message::binary(bytes.current())).await;
        assert!(socket.is_alive().await);
    }
}

/// Bytes that are no WebSocket traffic end their own connection at most.
#[tokio::test]
async fn any_bytes_end_their_own_connection_at_most() {
    let mut rng = seeded("any bytes");
    let server = TestServer::start().await;
    let witness = server.home.user();
    let mut witness = server.connect(&witness).await;
    for round in 0..120 {
        let mut stream = if round % 2 == 0 {
            server.connect(&server.home.user()).await.stream.into_inner()
        } else {
            server.dial().await
        };
        let mut bytes = vec![0_u8; 1 + rng.next_u32() as usize % 3_000];
        rng.fill_bytes(&mut bytes);
        if round % 4 == 0 {
            // A plausible first frame, so that more than its first byte is looked at.
            bytes[0] = 0x81;
            bytes.insert(1, 0x80 | (rng.next_u32() % 128) as u8);
        }
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        let mut said = Vec::new();
        drop(timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await.expect("an end"));
    }
    assert!(witness.is_alive().await);
    eventually("only the witness is left", || server.edge.counters().open_connections.get() == 1)
        .await;
}
