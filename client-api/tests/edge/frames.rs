//! Frames, good and bad: what is answered, and that the connection goes on.

use posthouse_protocol::{
    frame::{Ack, AckTarget, PresenceUpdate},
    limits,
    status::Seen,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, eventually};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// The literal frames of the seed design, §5.1, with real ids in the place of its placeholders, and
/// no subprotocol asked for.
#[tokio::test]
async fn the_seeds_frames_work() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let to = user.caller.account.uuid.to_string();
    let mut socket = server.connect(&user).await;
    assert_eq!(socket.subprotocol, None);
    assert_eq!(socket.text().await, r#"{"type":"caught_up","cursor":"c0"}"#);

    let message = r#"{
  "type": "message",
  "id": "ID",
  "to": "TO",
  "content": {
    "type": "text",
    "body": "Hello!",
    "encrypted": true
  },
  "timestamp": 1705234567890
}"#;
    socket.send(message.replace("ID", ID).replace("TO", &to)).await;
    let status =
        format!(r#"{{"type":"status","message_id":"{ID}","status":"sent","at":1705234567900}}"#);
    assert_eq!(socket.text().await, status);
    let submission = server.home.submissions().pop().unwrap();
    assert_eq!(submission.content.kind, "text");
    assert_eq!(submission.timestamp.map(|t| t.0), Some(1_705_234_567_890));

    let incoming = r#"{"type":"message","id":"m","from":"a","content":{"type":"text","body":"Hello!","encrypted":true},"timestamp":1705234567890,"server_timestamp":1705234567900}"#;
    server.home.deliver(&user, incoming);
    assert_eq!(socket.text().await, incoming);
    socket.send(format!(r#"{{"type":"ack","message_id":"{ID}","status":"delivered"}}"#)).await;
    socket.send(format!(r#"{{"type":"presence","status":"typing","to":"{to}"}}"#)).await;
    assert!(socket.is_alive().await);
    assert!(matches!(&server.home.presence()[..], [PresenceUpdate::Typing { started: true, .. }]));
}

#[tokio::test]
async fn every_frame_reaches_its_port() {
    let server = TestServer::start().await;
    let (user, other) = (server.home.user(), server.home.user());
    let mut socket = server.connect(&user).await;
    socket.text().await;
    let account = other.caller.account.to_string();
    for status in ["online", "away"] {
        socket.send(json!({"type": "presence", "status": status}).to_string()).await;
    }
    for status in ["typing", "stopped_typing"] {
        let frame = json!({"type": "presence", "status": status, "to": account});
        socket.send(frame.to_string()).await;
    }
    socket.send(json!({"type": "subscribe", "users": [account]}).to_string()).await;
    let told = format!(
        r#"{{"type":"presence","user_id":"{account}","status":"online","last_seen":1705234567890}}"#
    );
    assert_eq!(socket.text().await, told);
    assert_eq!(server.home.watched().len(), 1);
    socket.send(json!({"type": "unsubscribe", "users": [account]}).to_string()).await;
    socket.send(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.text().await, r#"{"type":"pong"}"#);
    assert_eq!(server.home.presence().len(), 4);
    assert_eq!(server.home.watched().len(), 0);

    socket.send(r#"{"type":"ack","through":"c9","status":"delivered"}"#).await;
    assert_eq!(socket.error().await["code"], "cursor_reset");
    socket.send(json!({"type": "subscribe", "users": ["nobody"]}).to_string()).await;
    assert_eq!(socket.error().await["code"], "unknown_user");
    let answer =
        server.call("POST", "/v1/messages/ack", Some(&user), r#"{"through":"c1","status":"read"}"#);
    assert_eq!(answer.await.status, 204);
    let [Ack { target: AckTarget::Through(_), seen: Seen::Read }] = &server.home.acks()[..] else {
        panic!()
    };
}

#[tokio::test]
async fn bad_frames_are_answered_and_survived() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    let deep = format!(r#"{{"type":"ping","content":{}"#, r#"{"a":"#.repeat(50_000));
    let large = "x".repeat(limits::MAX_BODY + 1);
    let content = |body: &str| format!(r#"{{"type":"text","body":"{body}"}}"#);
    let cases = [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ("null", "bad_json", None),
        ("[\"ping\"]", "bad_json", None),
        ("{\"type\":\"ping\"} x", "bad_json", None),
        (deep.as_str(), "bad_json", None),
        (r#"{"type":"ping","type":"ping"}"#, "bad_json", None),
        (r#"{"type":"message","timestamp":"soon","id":"i","ref":"r"}"#, "bad_json", Some("i")),
        (r#"{"type":"subscribe","users":"bob","ref":"r"}"#, "bad_json", Some("r")),
        (r#"{"type":7}"#, "bad_json", None),
        (r#"{"type":"ping","timestamp":1e999}"#, "bad_json", None),
        (r#"{"type":"ping","timestamp":-1}"#, "bad_json", None),
        (r#"{"type":"ping","through":"17"}"#, "bad_json", None),
        (r"{}", "bad_request", None),
        (r#"{"type":"dance","ref":"r"}"#, "unknown_type", Some("r")),
        (r#"{"type":"message","id":"no uuid","to":"bob"}"#, "bad_request", Some("no uuid")),
        (r#"{"type":"ack","status":"eaten","message_id":"x","ref":"a"}"#, "bad_request", Some("a")),
        (r#"{"type":"subscribe"}"#, "bad_request", None),
    ];
    for (text, code, reference) in cases {
        socket.send(text).await;
        let error = socket.error().await;
        assert_eq!(error["code"], code, "{text}");
        assert_eq!(error["ref"].as_str(), reference, "{text}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty() && m.len() < 400));
    }
    socket
        .send(format!(
            r#"{{"type":"message","id":"{ID}","to":"bob","content":{}}}"#,
            content(&large)
        ))
        .await;
    let error = socket.error().await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("too_large"), &json!(ID)));
    socket.send_message(Message::binary(b"{\"type\":\"ping\"}".to_vec())).await;
    assert_eq!(socket.error().await["code"], "bad_json");
    assert!(socket.is_alive().await);
    assert!(server.home.submissions().is_empty());
    let counted: u64 = server.edge.counters().errors().map(|(_, n)| n).sum();
    assert_eq!(counted, cases.len() as u64 + 2);
}

/// A frame over the limit costs an answer, whole or in parts; the connection goes on.
#[tokio::test]
async fn oversize_frames_are_skipped() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    let fitting = format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(limits::MAX_FRAME - 22));
    assert_eq!(fitting.len(), limits::MAX_FRAME);
    socket.send(fitting.as_str()).await;
    assert_eq!(socket.json().await["type"], "pong");
    socket.send(format!("{fitting} ")).await;
    assert_eq!(socket.error().await["code"], "too_large");
    socket.send("x".repeat(5_000_000)).await;
    assert_eq!(socket.error().await["code"], "too_large");
    assert!(socket.is_alive().await);
}

#[tokio::test]
async fn the_subprotocol_is_echoed_if_it_is_offered() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let offer = Some("soap, posthouse.v1");
    let mut socket = server.try_connect("/v1/connect", Some(&user), offer).await.unwrap();
    assert_eq!(socket.subprotocol.as_deref(), Some("posthouse.v1"));
    assert_eq!(socket.json().await["type"], "caught_up");
}

#[tokio::test]
async fn websocket_pings_are_answered() {
    let server = TestServer::start().await;
    let user = server.home.user();
    let mut socket = server.connect(&user).await;
    socket.text().await;
    socket.send_message(Message::Ping("are you there".into())).await;
    assert_eq!(socket.message().await, Message::Pong("are you there".into()));
}

/// The backlog comes first, then live traffic, and nothing twice on another connection.
#[tokio::test]
async fn the_backlog_then_live_traffic() {
    let server = TestServer::start().await;
    let user = server.home.user();
    for n in 0..100 {
        server.home.deliver(&user, format!(r#"{{"n":{n}}}"#));
    }
    let mut socket = server.connect(&user).await;
    for n in 0..100 {
        assert_eq!(socket.json().await["n"], n);
    }
    assert_eq!(socket.json().await["type"], "caught_up");
    server.home.deliver(&user, r#"{"n":100}"#);
    assert_eq!(socket.json().await["n"], 100);
    socket.send(r#"{"type":"ack","through":"c101","status":"delivered"}"#).await;
    assert!(socket.is_alive().await);
    drop(socket);
    eventually("the socket ends", || server.home.mailbox(&user).is_none()).await;
    let mut again = server.connect(&user).await;
    assert_eq!(again.json().await["type"], "caught_up");
}
