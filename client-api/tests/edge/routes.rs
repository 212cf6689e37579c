//! The table of routes: each refuses who may not call and what it does not take, and none ever
//! answers with a failure of the server.

use std::collections::{BTreeSet, HashSet};

use http_body_util::Full;
use hyper::{Request, body::Bytes};
use posthouse_client_api::rest::{Access, ROUTES, Route};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Answer, TestServer, User};

/// The route's path with its variable segment filled in.
fn path(route: &Route) -> String {
    route.path.replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057").replace("{user}", "bob")
}

async fn send(server: &TestServer, route: &Route, user: Option<&User>, body: &[u8]) -> Answer {
    let mut request =
        Request::builder().method(route.method.clone()).uri(path(route)).header("host", "x");
    if let Some(user) = user {
        request = request.header("authorization", format!("Bearer {}", user.token));
    }
    let request = request.header("content-type", "application/json");
    server.send(request.body(Full::from(Bytes::copy_from_slice(body))).unwrap()).await
}

#[tokio::test]
async fn who_may_call_is_as_the_table_says() {
    let server = TestServer::start().await;
    for route in ROUTES {
        let answer = send(&server, route, None, b"").await;
        if route.access == Access::Anyone {
            assert_ne!(answer.status, 401, "{} {}", route.method, route.path);
            continue;
        }
        assert_eq!(answer.status, 401, "{} {}", route.method, route.path);
        assert_eq!(answer.problem(), "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        for value in ["Bearer", "Bearer ", "Basic dG9rZW4=", "Bearer token-0", "Bearer \u{e9}"] {
            let request = Request::builder()
                .method(route.method.clone())
                .uri(path(route))
                .header("host", "x")
                .header("authorization", value)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            let answer = server.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.status, 401, "{} {} {value}", route.method, route.path);
        }
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_allowed() {
    let server = TestServer::start().await;
    for route in ROUTES {
        let same_path = ROUTES.iter().filter(|other| other.path == route.path);
        let methods: BTreeSet<_> = same_path.map(|other| other.method.to_string()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if methods.contains(method) {
                continue;
            }
            // `/v1/sessions/{id}` also matches `/v1/sessions/refresh` and the like.
            let answer = server.call(method, &path(route), None, "").await;
            assert_eq!(answer.status, 405, "{method} {}", route.path);
            assert_eq!(answer.problem(), "method_not_allowed");
            let allowed: BTreeSet<_> =
                answer.header("allow").split(',').map(|m| m.trim().to_owned()).collect();
            assert!(allowed.is_superset(&methods), "{method} {}: {allowed:?}", route.path);
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let server = TestServer::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/accounts/",
        "/v2/accounts",
        "/v1/users",
        "/%00",
        "//",
        "/v1/../healthz",
    ] {
        let answer = server.call("GET", path, None, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    let user = server.home.user();
    let answer = server.call("GET", "/v1/users/%ff%fe", Some(&user), "").await;
    assert_eq!(answer.problem(), "bad_request");
}

/// Bodies that no route can take.
fn bad_bodies() -> Vec<Vec<u8>> {
    let deep = format!(r#"{{"a":{}"#, "[".repeat(10_000));
    let texts = [
        "",
        " ",
        "{",
        "[]",
        "null",
        "7",
        "\"text\"",
        "{}",
        "{\"handle\":",
        deep.as_str(),
        r#"{"handle":"alice","handle":"bob","password":"12345678"}"#,
        r#"["alice","correct horse"]"#,
        r#"{"handle":7,"password":"correct horse"}"#,
        r#"{"handle":"alice","password":null}"#,
        r#"{"handle":"Alice","password":"correct horse"}"#,
        r#"{"handle":"alice","password":"correct horse","device":["phone",7]}"#,
        r#"{"handle":"alice","password":"correct horse","device":{"registration_id":1e99}}"#,
        r#"{"handle":"alice","password":"correct horse","device":{"registration_id":-1}}"#,
        r#"{"handle":"alice","password":"correct horse","device":{"registration_id":16384}}"#,
        r#"{"user":{"a":1},"password":"x"}"#,
        r#"{"user":"Alice","password":"correct horse","device_id":"17"}"#,
        r#"{"refresh_token":["refresh"]}"#,
        r#"{"id":"x","to":"bob","content":{"type":"text","body":"hi"}}"#,
        r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","to":"bob"}"#,
        r#"{"type":"ack","through":18446744073709551616,"status":"delivered"}"#,
        r#"{"through":"c1","status":"eaten"}"#,
        "{\"handle\":\"al\u{0}ice\",\"password\":\"correct horse\"}",
    ];
    let mut bodies: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    bodies.push(b"{\"handle\":\"\xff\"}".to_vec());
    bodies.push(vec![0x1f, 0x8b, 0x08, 0x00]);
    bodies
}

#[tokio::test]
async fn bad_bodies_are_problems_and_never_failures() {
    let server = TestServer::start().await;
    for route in ROUTES.iter().filter(|route| route.max_body > 0) {
        // Each has its own, or the requests were too many for one account.
        let user = server.home.user();
        for body in bad_bodies() {
            let user = (route.access != Access::Anyone).then_some(&user);
            let answer = send(&server, route, user, &body).await;
            let text = String::from_utf8_lossy(&body);
            assert_eq!(answer.status, 400, "{} {} {text}", route.path, answer.status);
            let code = answer.problem();
            assert!(matches!(code.as_str(), "bad_json" | "bad_request"), "{code} {text}");
        }
    }
}

#[tokio::test]
async fn the_media_type_and_the_size_are_checked() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for route in ROUTES.iter().filter(|route| route.max_body > 0) {
        let request = |media_type: Option<&str>, body: Vec<u8>| {
            let mut request = Request::builder()
                .method(route.method.clone())
                .uri(path(route))
                .header("host", "x")
                .header("authorization", format!("Bearer {}", user.token));
            if let Some(media_type) = media_type {
                request = request.header("content-type", media_type);
            }
            request.body(Full::from(body)).unwrap()
        };
        for media_type in [None, Some("text/plain"), Some("application/jsonp"), Some("")] {
            let answer = server.send(request(media_type, b"{}".to_vec())).await;
            assert_eq!(answer.status, 415, "{} {media_type:?}", route.path);
            assert_eq!(answer.problem(), "unsupported_media_type");
        }
        let json = Some("Application/JSON; charset=utf-8");
        let large = vec![b' '; route.max_body + 1];
        let answer = server.send(request(json, large)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (413, "too_large"));
        let fitting = vec![b' '; route.max_body];
        assert_eq!(server.send(request(json, fitting)).await.status, 400);
    }
}

/// A body without an announced length is bounded as well.
#[tokio::test]
async fn chunked_bodies_are_bounded() {
    let server = TestServer::start().await;
    let mut stream = server.dial().await;
    let head = "POST /v1/accounts HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    for _ in 0..5 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn the_table_has_no_doubles() {
    let mut seen = HashSet::new();
    assert!(ROUTES.iter().all(|route| seen.insert((route.method.clone(), route.path))));
}

/// A handshake is a `GET`: nothing else opens a socket.
#[tokio::test]
async fn a_head_request_opens_no_socket() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let request = Request::head("/v1/connect")
        .header("host", "x")
        .header("authorization", format!("Bearer {}", user.token))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(server.send(request.body(Full::default()).unwrap()).await.status, 400);
}
