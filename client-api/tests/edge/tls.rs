//! The same over TLS.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{TestServer, config, eventually};

#[tokio::test]
async fn requests_and_sockets_over_tls() {
    let mut server = TestServer::over_tls(config()).await;
    let user = server.home.user();
    assert_eq!(server.call("GET", "/v1/account", Some(&user), "").await.status, 200);
    let mut socket = server.connect(&user).await;
    assert_eq!(socket.json().await["type"], "caught_up");
    for n in 0..200 {
        server.home.deliver(&user, format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(20_000)));
    }
    for n in 0..200 {
        assert_eq!(socket.json().await["n"], n);
    }
    assert!(socket.is_alive().await);
    server.stop();
    assert_eq!(socket.closed().await.0, 1012);
    server.stopped().await;
}

#[tokio::test]
async fn handshakes_are_bounded() {
    let mut config = config();
    config.handshake_timeout = Duration::from_millis(100);
    let server = TestServer::over_tls(config).await;
    let counters = server.edge.counters();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"));
    eventually("both are counted", || counters.failed_handshakes.get() == 2).await;
    eventually("both are gone", || counters.open_connections.get() == 0).await;
}

/// A renewed certificate is taken by new connections; those that are open stay.
#[tokio::test]
async fn certificates_are_exchanged_without_a_restart() {
    let mut server = TestServer::over_tls(config()).await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    server.renew_certificate();
    assert_eq!(server.call("GET", "/healthz", None, "").await.status, 200);
    assert_eq!(socket.json().await["type"], "caught_up");
    assert!(socket.is_alive().await);
}
