//! Windows, bounds on submissions, batches: how frames flow.

use std::sync::atomic::Ordering;

use futures_util::SinkExt as _;
use posthouse_protocol::{limits, time::Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Socket, TestServer, User, eventually};

/// A `message` frame; `n` makes its id.
fn message(n: usize, to: &User) -> String {
    let id = Uuid::from_u128(n as u128);
    let content = json!({"type": "text", "body": "hi"});
    let to = to.caller.account.to_string();
    json!({"type": "message", "id": id, "to": to, "content": content}).to_string()
}

async fn caught_up(socket: &mut Socket) {
    assert_eq!(socket.json().await["type"], "caught_up");
}

/// No more than a window is in flight; an acknowledgement makes room, and a socket that is held
/// back is otherwise alive.
#[tokio::test]
async fn the_window_holds_back_and_acks_make_room() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for n in 0..600 {
        server.home.deliver(&user, format!(r#"{{"n":{n}}}"#));
    }
    let mut socket = server.connect(&user).await;
    for n in 0..limits::WINDOW {
        assert_eq!(socket.json().await["n"], n);
    }
    assert!(socket.is_alive().await, "the next frame is the pong, not message 256");
    socket.send(r#"{"type":"ack","through":"c100","status":"delivered"}"#).await;
    for n in limits::WINDOW..limits::WINDOW + 100 {
        assert_eq!(socket.json().await["n"], n);
    }
    assert!(socket.is_alive().await);
    socket.send(r#"{"type":"ack","through":"c356","status":"delivered"}"#).await;
    for n in limits::WINDOW + 100..600 {
        assert_eq!(socket.json().await["n"], n);
    }
    caught_up(&mut socket).await;
}

/// While the answers to as many submissions as are allowed are awaited, the socket is not read, but
/// it is written.
#[tokio::test]
async fn too_many_submissions_stop_the_reading_only() {
    const SENT: usize = limits::MAX_SUBMISSIONS_IN_FLIGHT + 50;
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    caught_up(&mut socket).await;
    server.home.hold_answers.store(true, Ordering::SeqCst);
    for n in 0..SENT {
        socket.feed(message(n, &user)).await;
    }
    socket.stream.flush().await.unwrap();
    eventually("all places are taken", || {
        server.home.submissions().len() == limits::MAX_SUBMISSIONS_IN_FLIGHT
    })
    .await;
    server.home.deliver(&user, r#"{"n":"live"}"#);
    assert_eq!(socket.json().await["n"], "live");
    assert_eq!(server.home.submissions().len(), limits::MAX_SUBMISSIONS_IN_FLIGHT);
    server.home.release();
    for n in 0..SENT {
        let id = Uuid::from_u128(n as u128).to_string();
        assert_eq!(socket.json().await["message_id"], id);
    }
}

/// A submission that waits for room holds back later frames of its socket, but nothing that goes
/// out.
#[tokio::test]
async fn a_submission_that_waits_for_room_holds_nothing_else_up() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    caught_up(&mut socket).await;
    server.home.room.forget_permits(usize::MAX >> 3);
    socket.feed(message(1, &user)).await;
    socket.feed(r#"{"type":"ping","ref":"after"}"#).await;
    socket.stream.flush().await.unwrap();
    for n in 0..20 {
        server.home.deliver(&user, format!(r#"{{"n":{n}}}"#));
        assert_eq!(socket.json().await["n"], n);
    }
    assert!(server.home.submissions().is_empty());
    server.home.room.add_permits(1);
    let mut kinds = [socket.json().await["type"].clone(), socket.json().await["type"].clone()];
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, [json!("pong"), json!("status")]);
}

/// Frames that arrive together are dispatched in order, and what they cause is written together.
#[tokio::test]
async fn what_arrives_together_is_answered_together_in_order() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    caught_up(&mut socket).await;
    let counters = server.edge.counters();
    let before = (counters.frames_out.get(), counters.writes.get());
    for n in 0..1_000 {
        socket.feed(message(n, &user)).await;
    }
    socket.stream.flush().await.unwrap();
    for n in 0..1_000 {
        let id = Uuid::from_u128(n).to_string();
        assert_eq!(socket.json().await["message_id"], id);
    }
    let ids: Vec<_> = server.home.submissions().iter().map(|s| s.id.0.as_u128()).collect();
    assert!(ids.iter().copied().eq(0..1_000));
    let frames = counters.frames_out.get() - before.0;
    let writes = counters.writes.get() - before.1;
    assert_eq!(frames, 1_000);
    assert!(writes * 10 <= frames, "{writes} writes for {frames} frames");
}

#[tokio::test]
async fn a_message_without_a_socket() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let answer = server.call("POST", "/v1/messages", Some(&user), &message(1, &user)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "sent");
    assert_eq!(answer.json()["at"], Timestamp(1_705_234_567_900).0);
    assert_eq!(server.home.submissions().len(), 1);
}
