//! Peers that are slow on purpose.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{interval, timeout},
};

use crate::support::{Bytestream, TestServer, client::open, config, eventually};

const WAIT: Duration = Duration::from_secs(10);

/// Reads to the end of the stream.
async fn rest(stream: &mut Box<dyn Bytestream>) -> String {
    let mut all = Vec::new();
    // A reset is an end as well.
    drop(timeout(WAIT, stream.read_to_end(&mut all)).await.expect("an end"));
    String::from_utf8_lossy(&all).into_owned()
}

/// Sends the bytes one at a time until the server closes or answers, and gives what it said.
async fn drip(stream: &mut Box<dyn Bytestream>, bytes: impl Iterator<Item = u8>) -> String {
    let mut pace = interval(Duration::from_millis(20));
    let mut all = Vec::new();
    let mut bytes = bytes.fuse();
    let result = timeout(WAIT, async {
        loop {
            tokio::select! {
                read = stream.read_buf(&mut all) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                _ = pace.tick() => {
                    let Some(byte) = bytes.next() else { continue };
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    result.await.expect("an end");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let mut config = config();
    config.head_timeout = Duration::from_millis(200);
    let server = TestServer::with(config).await;
    let mut stream = server.dial().await;
    let head = b"GET /v1/connect HTTP/1.1\r\nx-padding: ".iter().copied();
    drip(&mut stream, head.chain(std::iter::repeat(b'x'))).await;
    let mut idle = server.dial().await;
    assert_eq!(rest(&mut idle).await, "", "a connection without a request is closed as well");
    eventually("both are gone", || server.edge.counters().open_connections.get() == 0).await;
}

#[tokio::test]
async fn a_body_that_drips_is_refused() {
    let mut config = config();
    config.body_timeout = Duration::from_millis(200);
    let server = TestServer::with(config).await;
    let mut stream = server.dial().await;
    let head = "POST /v1/accounts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 9000\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = drip(&mut stream, std::iter::repeat(b' ')).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("urn:posthouse:problem:timeout"), "{answer}");
    eventually("it is gone", || server.edge.counters().open_connections.get() == 0).await;
}

/// A client that asks for much and reads nothing does not hold the answer for ever.
#[tokio::test]
async fn an_answer_that_is_not_read_is_dropped() {
    let mut config = config();
    config.write_timeout = Duration::from_millis(200);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let big = format!(r#"{{"x":"{}"}}"#, "x".repeat(100_000));
    for _ in 0..300 {
        server.home.deliver(&user, big.clone());
    }
    let mut stream = server.dial().await;
    let token = &user.token;
    let request = format!(
        "GET /v1/messages/sync?limit=300 HTTP/1.1\r\nhost: x\r\nauthorization: bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually("it is there", || server.edge.counters().requests.get() == 1).await;
    eventually("it is cut", || server.edge.counters().open_connections.get() == 0).await;
}

/// A device that does not read is cut off with 4002; what waits for it stays.
#[tokio::test]
async fn a_slow_reader_is_cut_off() {
    let mut config = config();
    config.write_timeout = Duration::from_millis(200);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let big = format!(r#"{{"x":"{}"}}"#, "x".repeat(60_000));
    for _ in 0..256 {
        server.home.deliver(&user, big.clone());
    }
    let socket = server.connect(&user).await;
    eventually("it is cut", || server.edge.counters().open_sockets.get() == 0).await;
    assert_eq!(server.edge.counters().slow_sockets.get(), 1);
    drop(socket);
    let mut again = server.connect(&user).await;
    for _ in 0..256 {
        assert_eq!(again.text().await.len(), big.len());
    }
    assert_eq!(again.json().await["type"], "caught_up");
}

/// A frame that never ends is not waited for, though the device is otherwise alive.
#[tokio::test]
async fn a_frame_that_drips_ends_the_socket() {
    let mut config = config();
    config.ping_interval = Duration::from_millis(100);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let address = server.address.to_string();
    let mut stream = open(&address, None, &user.token).await;
    // A text of 60,000 bytes, masked with zeros, that comes one byte at a time.
    stream.write_all(&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0]).await.unwrap();
    let said = drip(&mut stream, std::iter::repeat(b'x')).await;
    assert!(said.contains("a frame stays incomplete"), "{said:?}");
    assert_eq!(server.edge.counters().dead_sockets.get(), 0);
}
