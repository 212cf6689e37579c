//! Tickets: for clients that cannot set header fields.

use posthouse_protocol::limits;

use crate::support::{TestServer, User};

async fn ticket(server: &TestServer, user: &User) -> String {
    let answer = server.call("POST", "/v1/connect/ticket", Some(user), "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["expires_in"], limits::TICKET_SECONDS);
    format!("/v1/connect?ticket={}", answer.json()["ticket"].as_str().unwrap())
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let path = ticket(&server, &user).await;
    let mut socket = server.try_connect(&path, None, None).await.unwrap();
    assert_eq!(socket.json().await["type"], "caught_up");
    assert_eq!(server.try_connect(&path, None, None).await.err(), Some(401));
    assert!(socket.is_alive().await, "the attempt does not replace the socket");
    assert_ne!(ticket(&server, &user).await, ticket(&server, &user).await);
}

#[tokio::test]
async fn a_ticket_expires() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let path = ticket(&server, &user).await;
    server.clock.advance(limits::TICKET_SECONDS * 1_000);
    assert_eq!(server.try_connect(&path, None, None).await.err(), Some(401));
}

#[tokio::test]
async fn a_ticket_ends_with_its_session() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let path = ticket(&server, &user).await;
    server.home.end(&user);
    assert_eq!(server.try_connect(&path, None, None).await.err(), Some(401));
}

/// A handshake that cannot succeed does not use the ticket up.
#[tokio::test]
async fn a_failed_handshake_leaves_the_ticket() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let path = ticket(&server, &user).await;
    assert_eq!(server.call("GET", &path, None, "").await.problem(), "bad_request");
    assert!(server.try_connect(&path, None, None).await.is_ok());
    for path in ["/v1/connect?ticket=", "/v1/connect?ticket=%ff", "/v1/connect?ticket=a&ticket=b"] {
        let status = server.try_connect(path, None, None).await.err();
        assert!(matches!(status, Some(400 | 401)), "{path} {status:?}");
    }
}
