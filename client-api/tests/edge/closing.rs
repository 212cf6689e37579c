//! How sockets end, and how a server stops.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, config, eventually};

const MESSAGE: &str = r#"{"type":"message","id":"01890a5d-ac96-774b-bcce-b302099a8057","to":"bob","content":{"type":"text","body":"hi"}}"#;

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut first = server.connect(&user).await;
    first.text().await;
    let mut second = server.connect(&user).await;
    assert_eq!(first.closed().await, (4001, "this device has connected again".into()));
    assert_eq!(second.json().await["type"], "caught_up");
    assert!(second.is_alive().await);
}

#[tokio::test]
async fn an_ended_session_is_cut_at_once() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    server.home.end(&user);
    assert_eq!(socket.closed().await, (4003, "the session was ended".into()));
    assert_eq!(server.try_connect("/v1/connect", Some(&user), None).await.err(), Some(401));
}

#[tokio::test]
async fn a_device_may_close() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    socket.send_message(Message::Close(None)).await;
    assert_eq!(socket.closed().await.0, 1005);
    eventually("the socket ends", || server.edge.counters().open_sockets.get() == 0).await;
    assert!(server.home.mailbox(&user).is_none(), "the feed is dropped");
}

#[tokio::test]
async fn a_feed_that_fails_is_told() {
    let server = TestServer::start().await;
    let user = server.home.user();
    server.home.feed_fails.store(true, Ordering::SeqCst);
    let mut socket = server.connect(&user).await;
    assert_eq!(socket.closed().await.0, 1011);
}

/// A server that stops accepts no more, answers what is under way, says 1012, and ends.
#[tokio::test]
async fn a_stopping_server_finishes_and_says_so() {
    let mut server = TestServer::start().await;
    let user = server.home.user();
    let mut idle = server.connect(&server.home.user()).await;
    let mut busy = server.connect(&user).await;
    busy.text().await;
    server.home.hold_answers.store(true, Ordering::SeqCst);
    busy.send(MESSAGE).await;
    eventually("the message is handed in", || server.home.submissions().len() == 1).await;
    let request = server.call("POST", "/v1/messages", Some(&user), MESSAGE);
    let address = server.address;
    let home = server.home.clone();
    let edge = server.edge.clone();
    let stopping = async {
        eventually("the request is under way", || home.submissions().len() == 2).await;
        edge.drain();
        assert_eq!(idle.closed().await, (1012, "the server restarts, reconnect".into()));
        eventually("the port is closed", || std::net::TcpStream::connect(address).is_err()).await;
        home.release();
    };
    let (answer, ()) = tokio::join!(request, stopping);
    assert_eq!(answer.status, 200, "the request under way is answered");
    assert_eq!(busy.json().await["status"], "sent", "and so is the message");
    assert_eq!(busy.closed().await.0, 1012);
    server.stop();
    server.stopped().await;
    assert_eq!(server.edge.counters().open_connections.get(), 0);
}

/// What does not finish in time is cut.
#[tokio::test]
async fn stopping_takes_a_bounded_time() {
    let mut config = config();
    config.drain_timeout = Duration::from_millis(300);
    let mut server = TestServer::with(config).await;
    let user = server.home.user();
    server.home.room.forget_permits(usize::MAX >> 3);
    let mut socket = server.connect(&user).await;
    socket.text().await;
    socket.send(MESSAGE).await;
    let half = TcpStream::connect(server.address).await.unwrap();
    half.try_write(b"POST /v1/accounts HTTP/1.1\r\n").unwrap();
    eventually("both are there", || server.edge.counters().open_connections.get() == 2).await;
    let start = Instant::now();
    server.stop();
    server.stopped().await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.edge.counters().open_connections.get(), 0);
}

#[tokio::test]
async fn a_stopping_server_is_not_ready() {
    let server = TestServer::start().await;
    let mut sender = server.keep_alive().await;
    assert_eq!(sender.get("/readyz").await, (200, json!({"status": "ready"})));
    server.home.is_ready.store(false, Ordering::SeqCst);
    let (status, problem) = sender.get("/readyz").await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    assert_eq!(sender.get("/healthz").await, (200, json!({"status": "ok"})));
}

/// Silent sockets are dropped after two pings without an answer; a device that answers stays.
#[tokio::test]
async fn silent_sockets_are_noticed() {
    let mut config = config();
    config.ping_interval = Duration::from_millis(100);
    config.watched_ping_interval = Duration::from_millis(50);
    let server = TestServer::with(config).await;
    let (silent, lively) = (server.home.user(), server.home.user());
    // This one never reads, so that nothing answers the pings.
    let silent_socket = server.connect(&silent).await;
    let mut lively_socket = server.connect(&lively).await;
    lively_socket.text().await;
    let mut pings = 0;
    while server.edge.counters().dead_sockets.get() == 0 || pings < 4 {
        if let Message::Ping(_) = lively_socket.message().await {
            pings += 1;
        }
    }
    assert!(lively_socket.is_alive().await);
    assert!(server.home.mailbox(&silent).is_none());
    assert_eq!(server.edge.counters().dead_sockets.get(), 1);
    drop(silent_socket);
}

/// While someone watches, pings come at the shorter interval.
#[tokio::test]
async fn watched_sockets_are_pinged_more_often() {
    let mut config = config();
    config.ping_interval = Duration::from_hours(1);
    config.watched_ping_interval = Duration::from_millis(20);
    let server = TestServer::with(config).await;
    server.home.is_watched.store(true, Ordering::SeqCst);
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    assert!(matches!(socket.message().await, Message::Ping(_)));
    assert!(matches!(socket.message().await, Message::Ping(_)));
}

/// A device that is not read, since its message waits for room, is not taken for dead.
#[tokio::test]
async fn a_socket_that_is_not_read_is_not_taken_for_silent() {
    let mut config = config();
    config.ping_interval = Duration::from_millis(20);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    server.home.room.forget_permits(usize::MAX >> 3);
    socket.send(MESSAGE).await;
    let mut pings = 0;
    while pings < 10 {
        pings += u32::from(matches!(socket.message().await, Message::Ping(_)));
    }
    server.home.room.add_permits(1);
    assert_eq!(socket.json().await["status"], "sent");
    assert_eq!(server.edge.counters().dead_sockets.get(), 0);
}

/// A session that ends while its socket opens does not leave a socket behind.
#[tokio::test]
async fn a_session_that_ends_meanwhile_opens_no_socket() {
    let server = TestServer::start().await;
    let user = server.home.user();
    server.home.ends_on_connect.store(true, Ordering::SeqCst);
    assert_eq!(server.try_connect("/v1/connect", Some(&user), None).await.err(), Some(401));
    assert!(server.home.mailbox(&user).is_none());
}
