//! How many connections, and how large a head.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Bytestream, TestServer, config, eventually};

/// Whether the server closes the connection without a word.
async fn is_refused(stream: &mut Box<dyn Bytestream>) -> bool {
    matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn connections_are_bounded() {
    let mut config = config();
    config.max_connections = 3;
    let server = TestServer::with(config).await;
    let mut held = Vec::new();
    for n in 1..=3 {
        held.push(server.dial().await);
        eventually("it is there", || server.edge.counters().open_connections.get() == n).await;
    }
    assert!(is_refused(&mut server.dial().await).await);
    assert_eq!(server.edge.counters().refused_connections.get(), 1);
    drop(held.pop());
    eventually("there is room", || server.edge.counters().open_connections.get() == 2).await;
    assert_eq!(server.call("GET", "/healthz", None, "").await.status, 200);
}

#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    let mut config = config();
    config.max_connections_per_address = 2;
    let server = TestServer::with(config.clone()).await;
    let held = [server.dial().await, server.dial().await];
    eventually("both are there", || server.edge.counters().open_connections.get() == 2).await;
    assert!(is_refused(&mut server.dial().await).await);
    drop(held);
    eventually("both are gone", || server.edge.counters().open_connections.get() == 0).await;
    assert_eq!(server.call("GET", "/healthz", None, "").await.status, 200);

    // Behind a trusted proxy, all come from one address.
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = TestServer::with(config).await;
    let _held = [server.dial().await, server.dial().await, server.dial().await];
    eventually("all are there", || server.edge.counters().open_connections.get() == 3).await;
}

#[tokio::test]
async fn a_head_is_bounded() {
    let server = TestServer::start().await;
    let large = format!("x-large: {}\r\n", "x".repeat(20_000));
    let many = "x-many: 1\r\n".repeat(70);
    for fields in [large, many] {
        let mut stream = server.dial().await;
        let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
