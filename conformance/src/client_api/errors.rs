//! What bad input gets: a clear answer, and no more.

use std::time::Duration;

use serde_json::{Value, json};

use super::checks;
use crate::{
    check::Group,
    http::Call,
    person::{Person, message, two, with},
    server::Server,
    socket::{Socket, is_type},
    verdict::{Verdict, differs, must_be, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "client-socket.md §2", "a frame of an unknown type is answered and the socket goes on" => unknown_type;
        "errors.md §3", "a text that is no JSON is answered and the socket goes on" => no_json;
        "client-socket.md §4.5", "a frame with a bad field is answered with its reference" => bad_fields;
        "client-socket.md §2", "fields that are not known are ignored" => unknown_fields;
        "client-socket.md §3.2", "a body over the limit is too large, at the limit it is not" => large_bodies;
        "errors.md §3", "deep nesting costs an answer" => deep_nesting;
        "client-socket.md §2", "a frame over the limit is answered and the socket goes on" => large_frame;
        "client-socket.md §2", "a binary message is answered and the socket goes on" => binary;
        "client-socket.md §8", "a text that is no UTF-8 closes with 1007" => no_utf8;
        "errors.md §3", "what is not there is told from what is not allowed" => http_errors;
        "rest.md §1", "a request of another media type is refused" => media_type;
        "rest.md §1", "a request that is no JSON object is refused" => bad_requests;
    };
    Group { name: "errors", people: 2, checks }
}

/// The answer to a frame must be an `error` with this code, and the socket must go on.
async fn refused(socket: &mut Socket, frame: &str, code: &str) -> Verdict<Value> {
    let shown: String = frame.chars().take(80).collect();
    socket.send_text(frame.to_owned()).await?;
    let error = socket.expect_type("error").await?;
    must_be(&format!("`code` for {shown}"), &text(&error, "code")?, &code)?;
    text(&error, "message")?;
    goes_on(socket).await?;
    Ok(error)
}

async fn goes_on(socket: &mut Socket) -> Verdict {
    socket.send(&json!({"type": "ping", "ref": "still there"})).await?;
    socket.expect_type("pong").await.map(drop)
}

async fn unknown_type(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    let error = refused(&mut socket, r#"{"type":"dance","ref":"7"}"#, "unknown_type").await?;
    must_be("ref", &error.get("ref"), &Some(&Value::from("7")))
}

async fn no_json(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    for text in
        ["", "{", "[]", "null", "\"ping\"", "{\"type\":\"ping\",\"type\":\"ping\"}", "\u{0}"]
    {
        refused(&mut socket, text, "bad_json").await?;
    }
    Ok(())
}

async fn bad_fields(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    let id = server.fresh_uuid();
    let good = message(&id, &bob.account, "aGVsbG8=");
    let without = |name: &str| {
        let mut frame = good.clone();
        if let Some(fields) = frame.as_object_mut() {
            fields.remove(name);
        }
        frame
    };
    let bad = [
        without("to"),
        without("content"),
        with(good.clone(), "to", "not an address"),
        with(good.clone(), "prev", "not an id"),
        with(good.clone(), "content", json!({"type": "encrypted"})),
        with(good.clone(), "content", json!({"type": "", "body": "x"})),
        with(good.clone(), "content", json!({"type": "t", "body": "x", "ciphertexts": []})),
        with(good.clone(), "collapse", ""),
    ];
    for frame in bad {
        let error = refused(&mut socket, &frame.to_string(), "bad_request").await?;
        must_be("ref", &error.get("ref"), &Some(&Value::from(id.as_str())))?;
    }
    for frame in [json!({}), json!({"type": "ack"}), json!({"type": "presence", "status": "x"})] {
        refused(&mut socket, &frame.to_string(), "bad_request").await?;
    }
    let typed = [with(good.clone(), "to", 7), with(good, "timestamp", -1)];
    for frame in typed {
        refused(&mut socket, &frame.to_string(), "bad_json").await?;
    }
    Ok(())
}

async fn unknown_fields(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    let frame = message(&server.fresh_uuid(), &bob.account, "aGVsbG8=");
    socket.send(&with(frame, "from_the_future", json!({"a": [1]}))).await?;
    let status = socket.expect("an answer", |frame| !is_type(frame, "caught_up")).await?;
    must_be("status", &text(&status, "status")?, &"sent")
}

async fn large_bodies(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    let over = message(&server.fresh_uuid(), &bob.account, &"x".repeat(65_537));
    refused(&mut socket, &over.to_string(), "too_large").await?;
    let full = message(&server.fresh_uuid(), &bob.account, &"x".repeat(65_536));
    socket.send(&full).await?;
    let status = socket.expect_type("status").await?;
    must_be("status", &text(&status, "status")?, &"sent")?;
    let over = message(&server.fresh_uuid(), &bob.account, &"x".repeat(400_000));
    let call = Call::post("/v1/messages").token(&alice.token).json(&over);
    call.send(&server.endpoint).await?.problem(413, "too_large")
}

async fn deep_nesting(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    let arrays = format!(r#"{{"type":"ping","x":{}"#, "[".repeat(100_000));
    refused(&mut socket, &arrays, "bad_json").await?;
    // Well-formed and senseless: a server may refuse the depth, or skip what it does not know and
    // miss the fields that are needed.
    let objects = format!("{}1{}", "{\"content\":".repeat(20_000), "}".repeat(20_000));
    socket.send_text(objects).await?;
    let error = socket.expect_type("error").await?;
    match text(&error, "code")? {
        "bad_json" | "bad_request" => goes_on(&mut socket).await,
        other => differs(format!("deep nesting is answered `{other}`")),
    }
}

async fn large_frame(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    for size in [327_681, 2_000_000] {
        let frame = format!(r#"{{"type":"ping","ref":"{}"}}"#, "x".repeat(size));
        refused(&mut socket, &frame, "too_large").await?;
    }
    Ok(())
}

async fn binary(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    socket.send_binary(b"\x00\x01\x02\xff").await?;
    let error = socket.expect_type("error").await?;
    must_be("code", &text(&error, "code")?, &"bad_json")?;
    goes_on(&mut socket).await
}

async fn no_utf8(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = two(people)?.0.come_online(server).await?;
    socket.send_raw_text(b"{\"type\":\"ping\",\"ref\":\"\xff\xfe\"}").await?;
    must_be("the close code", &socket.closed(Duration::from_secs(5)).await?, &Some(1007))
}

async fn http_errors(server: &Server, people: &[Person]) -> Verdict {
    let token = &two(people)?.0.token;
    let nowhere = Call::get("/v1/nowhere").token(token).send(&server.endpoint).await?;
    nowhere.problem(404, "not_found")?;
    let wrong = Call::delete("/v1/account").token(token).send(&server.endpoint).await?;
    wrong.problem(405, "method_not_allowed")?;
    let limit = Call::get("/v1/messages/sync?limit=0").token(token).send(&server.endpoint).await?;
    limit.problem(400, "bad_request")?;
    let since = Call::get("/v1/messages/sync?since=x").token(token).send(&server.endpoint).await?;
    since.problem(400, "bad_request")
}

async fn media_type(server: &Server, people: &[Person]) -> Verdict {
    let body = json!({"user": two(people)?.0.handle, "password": "x"});
    for media_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let call = Call::post("/v1/sessions").media_type(media_type).json(&body);
        call.send(&server.endpoint).await?.problem(415, "unsupported_media_type")?;
    }
    Ok(())
}

async fn bad_requests(server: &Server, people: &[Person]) -> Verdict {
    let token = &two(people)?.0.token;
    let bodies: [&'static [u8]; 5] = [b"", b"{", b"[]", b"7", b"{\"x\":\"\xff\"}"];
    for path in ["/v1/sessions", "/v1/messages"] {
        for body in bodies {
            let call = Call::post(path).token(token).bytes(body);
            let answer = call.send(&server.endpoint).await?;
            if answer.status.as_u16() != 400 {
                return differs(format!("{path} answers {} to {body:?}", answer.status));
            }
            answer.problem(400, "bad_json")?;
        }
    }
    Ok(())
}
