//! How often something may be done.

use std::time::Duration;

use futures_util::SinkExt as _;
use http_body_util::Full;
use hyper::Request;
use posthouse_client_api::rate::Rate;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, TestServer, config};

const REGISTER: &str = r#"{"handle":"alice","password":"correct horse"}"#;

fn hourly(burst: u32) -> Rate {
    Rate { burst, interval: Duration::from_hours(1) }
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.status, 429);
    assert_eq!(answer.problem(), "rate_limited");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((3_590..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(answer.json()["retry_after"], seconds);
}

#[tokio::test]
async fn strangers_are_limited_by_address() {
    let mut config = config();
    config.requests.register = hourly(2);
    config.requests.log_in = hourly(2);
    config.requests.refresh = hourly(2);
    let server = TestServer::with(config).await;
    let log_in = r#"{"user":"alice","password":"wrong"}"#;
    let refresh = r#"{"refresh_token":"refresh"}"#;
    for (path, body, status) in [
        ("/v1/accounts", REGISTER, 201),
        ("/v1/sessions", log_in, 401),
        ("/v1/sessions/refresh", refresh, 200),
    ] {
        for _ in 0..2 {
            assert_eq!(server.call("POST", path, None, body).await.status, status);
        }
        assert_limited(&server.call("POST", path, None, body).await);
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_addresses_apart() {
    let mut config = config();
    config.requests.register = hourly(1);
    let ask = async |server: &TestServer, forwarded: &str| {
        let request = Request::post("/v1/accounts")
            .header("host", "localhost")
            .header("content-type", "application/json; charset=utf-8")
            .header("x-forwarded-for", forwarded);
        server.send(request.body(Full::from(REGISTER)).unwrap()).await.status
    };
    let distrusting = TestServer::with(config.clone()).await;
    assert_eq!(ask(&distrusting, "192.0.2.1").await, 201);
    assert_eq!(ask(&distrusting, "192.0.2.2").await, 429, "a stranger's word is not taken");
    config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let trusting = TestServer::with(config).await;
    assert_eq!(ask(&trusting, "192.0.2.1").await, 201);
    assert_eq!(ask(&trusting, "192.0.2.2").await, 201);
    assert_eq!(ask(&trusting, "6.6.6.6, 192.0.2.2").await, 429);
}

#[tokio::test]
async fn accounts_are_limited_each_by_itself() {
    let mut config = config();
    config.requests.account = hourly(20);
    config.requests.lookup = hourly(3);
    config.requests.messages = hourly(1);
    let server = TestServer::with(config).await;
    let (one, other) = (server.home.user(), server.home.user());
    for _ in 0..3 {
        let answer = server.call("GET", "/v1/users/nobody", Some(&one), "").await;
        assert_eq!(answer.problem(), "unknown_user");
    }
    assert_limited(&server.call("GET", "/v1/users/nobody", Some(&one), "").await);
    assert_eq!(server.call("GET", "/v1/users/bob", Some(&other), "").await.status, 200);
    let message = json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "to": "bob",
        "content": {"type": "text", "body": "hi"}});
    let message = message.to_string();
    assert_eq!(server.call("POST", "/v1/messages", Some(&one), &message).await.status, 200);
    assert_limited(&server.call("POST", "/v1/messages", Some(&one), &message).await);
    for _ in 0..14 {
        assert_eq!(server.call("GET", "/v1/account", Some(&one), "").await.status, 200);
    }
    assert_limited(&server.call("GET", "/v1/account", Some(&one), "").await);
    assert_eq!(server.try_connect("/v1/connect", Some(&one), None).await.err(), Some(429));
    assert_eq!(server.call("GET", "/v1/account", Some(&other), "").await.status, 200);
}

#[tokio::test]
async fn frames_of_a_socket_are_limited() {
    let mut config = config();
    config.frames = hourly(10);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    for n in 0..20 {
        socket.feed(json!({"type": "ping", "ref": n.to_string()}).to_string()).await;
    }
    socket.send("garbage").await;
    for n in 0..10 {
        assert_eq!(socket.json().await, json!({"type": "pong", "ref": n.to_string()}));
    }
    for n in 10..20 {
        let error = socket.error().await;
        assert_eq!(
            (&error["code"], &error["ref"]),
            (&json!("rate_limited"), &json!(n.to_string()))
        );
        assert!(error["retry_after"].as_u64().is_some_and(|s| (3_590..=3_600).contains(&s)));
    }
    assert_eq!(socket.error().await["code"], "rate_limited");
    for _ in 0..1_000 {
        socket.feed(r#"{"type":"ping"}"#).await;
    }
    // The last of them crosses the line; whether it could be written does not matter.
    drop(socket.stream.flush().await);
    assert_eq!(socket.closed().await.0, 1008);
}

#[tokio::test]
async fn typing_is_limited_by_itself() {
    let mut config = config();
    config.typing = hourly(3);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    for _ in 0..4 {
        socket.send(r#"{"type":"presence","status":"typing","to":"bob"}"#).await;
    }
    assert_eq!(socket.error().await["code"], "rate_limited");
    socket.send(r#"{"type":"presence","status":"online"}"#).await;
    assert!(socket.is_alive().await);
    assert_eq!(server.home.presence().len(), 4);
}

/// Pings count as well, and are not answered beyond the rate.
#[tokio::test]
async fn pings_of_a_socket_are_limited() {
    let mut config = config();
    config.frames = hourly(10);
    let server = TestServer::with(config).await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    for _ in 0..1_100 {
        socket.stream.feed(Message::Ping("x".into())).await.unwrap();
    }
    drop(socket.stream.flush().await);
    assert_eq!(socket.closed().await.0, 1008);
}

#[tokio::test]
async fn exempt_addresses_have_no_limits_of_their_own() {
    let mut config = config();
    config.requests.register = hourly(1);
    config.max_connections_per_address = 1;
    config.exempt = vec!["127.0.0.0/8".parse().unwrap()];
    let server = TestServer::with(config).await;
    let _held = [server.dial().await, server.dial().await];
    for _ in 0..3 {
        assert_eq!(server.call("POST", "/v1/accounts", None, REGISTER).await.status, 201);
    }
}
