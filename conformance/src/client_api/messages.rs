//! Messages from one device to another, and sending them again.

use serde_json::{Value, json};

use super::checks;
use crate::{
    check::Group,
    http::Call,
    identifiers::direct_conversation,
    person::{Person, message, two, with},
    server::Server,
    socket::{Socket, has, is_type},
    verdict::{Failure, Verdict, differs, must_be, number, short, stamp, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "client-socket.md §4.1", "a message reaches its recipient as it was sent" => delivered;
        "identifiers.md §6", "both sides derive the conversation's id" => conversation;
        "identifiers.md §4", "a recipient is named by id, bare id or handle" => addresses;
        "errors.md §3", "a message to nobody is refused" => nobody;
        "rest.md §4.1", "a message can be sent without a socket" => by_rest;
        "statuses.md §3", "sending again is answered alike and delivers nothing twice" => repeated;
        "statuses.md §2", "a refused message reserves nothing" => reserves_nothing;
        "identifiers.md §5", "an id is scoped to its sender" => scoped;
        "client-socket.md §4.1", "the sender's other devices get a copy" => own_copies;
        "client-socket.md §3.2", "ciphertexts go to their devices, or nowhere" => ciphertexts;
        "client-socket.md §3.3", "ephemeral messages are not stored" => ephemeral;
        "client-socket.md §3.1", "the plain frames of a simple client are understood" => plain_frames;
    };
    Group { name: "messages", people: 2, checks }
}

/// Sends a message by socket and waits for `sent`.
pub(super) async fn send(socket: &mut Socket, frame: &Value) -> Verdict<Value> {
    socket.send(frame).await?;
    let id = text(frame, "id")?;
    let answer = socket
        .expect("an answer to the message", |frame| {
            has(frame, "message_id", id) || is_type(frame, "error") && has(frame, "ref", id)
        })
        .await?;
    match text(&answer, "status") {
        Ok("sent") => Ok(answer),
        _ => differs(format!("the message is answered {}", short(&answer))),
    }
}

/// Waits for the message with this id.
pub(super) async fn receive(socket: &mut Socket, id: &str) -> Verdict<Value> {
    socket.expect("the message", |frame| is_type(frame, "message") && has(frame, "id", id)).await
}

async fn delivered(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let (mut from, mut to) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    let body = "aGVsbG8gXCIsIHdvcmxkIQ==";
    let frame = with(message(&id, &bob.account, body), "timestamp", 1_705_234_567_890_u64);
    let sent = send(&mut from, &frame).await?;
    let got = receive(&mut to, &id).await?;
    must_be("from", &text(&got, "from")?, &alice.account.as_str())?;
    must_be("timestamp", &number(&got, "timestamp")?, &1_705_234_567_890)?;
    must_be("content", &got.get("content"), &frame.get("content"))?;
    must_be("stamp", &stamp(&got, "stamp")?, &stamp(&sent, "stamp")?)?;
    must_be("origin_number", &number(&got, "origin_number")?, &number(&sent, "origin_number")?)?;
    must_be("server_timestamp", &number(&got, "server_timestamp")?, &number(&sent, "at")?)?;
    must_be("`to` at the recipient", &got.get("to"), &None)?;
    if text(&got, "cursor")?.starts_with('c') { Ok(()) } else { differs(short(&got)) }
}

async fn conversation(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let expected = direct_conversation(&alice.account, &bob.account);
    for (one, other) in [(alice, bob), (bob, alice)] {
        let mut to = other.come_online(server).await?;
        let id = server.fresh_uuid();
        let sent = one.post(server, &message(&id, &other.account, "eA==")).await?;
        must_be("the sender's", &text(&sent, "conversation_id")?, &expected.as_str())?;
        let got = receive(&mut to, &id).await?;
        must_be("the recipient's", &text(&got, "conversation_id")?, &expected.as_str())?;
    }
    Ok(())
}

async fn addresses(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut to = bob.come_online(server).await?;
    let (bare, _) = bob.account.split_once('@').unwrap_or((&bob.account, ""));
    let full_handle = format!("{}@{}", bob.handle, server.name);
    for name in [bare, &bob.account, &bob.handle, &full_handle] {
        let id = server.fresh_uuid();
        alice.post(server, &message(&id, name, "eA==")).await?;
        receive(&mut to, &id).await?;
    }
    Ok(())
}

async fn nobody(server: &Server, people: &[Person]) -> Verdict {
    let (alice, _) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    for name in [server.fresh_handle(), server.fresh_uuid()] {
        let id = server.fresh_uuid();
        let frame = message(&id, &name, "eA==");
        socket.send(&frame).await?;
        let error = socket.expect("a refusal", |frame| has(frame, "ref", &id)).await?;
        must_be("code", &text(&error, "code")?, &"unknown_user")?;
        let call = Call::post("/v1/messages").token(&alice.token).json(&frame);
        call.send(&server.endpoint).await?.problem(404, "unknown_user")?;
    }
    Ok(())
}

async fn by_rest(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut to = bob.come_online(server).await?;
    let id = server.fresh_uuid();
    let sent = alice.post(server, &message(&id, &bob.account, "eA==")).await?;
    must_be("message_id", &text(&sent, "message_id")?, &id.as_str())?;
    must_be("status", &text(&sent, "status")?, &"sent")?;
    let got = receive(&mut to, &id).await?;
    must_be("stamp", &stamp(&got, "stamp")?, &stamp(&sent, "stamp")?)?;
    let cursor = text(&got, "cursor")?;
    let ack = json!({"through": cursor, "status": "delivered"});
    let call = Call::post("/v1/messages/ack").token(&bob.token).json(&ack);
    call.send(&server.endpoint).await?.success().map(drop)
}

async fn repeated(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let (mut from, mut to) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    let frame = message(&id, &bob.account, "Zmlyc3Q=");
    let first = send(&mut from, &frame).await?;
    let other_content = message(&id, &bob.account, "c2Vjb25k");
    let again = send(&mut from, &other_content).await?;
    drop(from);
    let mut anew = alice.come_online(server).await?;
    let on_another_connection = send(&mut anew, &frame).await?;
    let by_rest = alice.post(server, &frame).await?;
    for answer in [&again, &on_another_connection, &by_rest] {
        for field in ["stamp", "origin_number", "at", "conversation_id"] {
            must_be(field, &answer.get(field), &first.get(field))?;
        }
    }
    let last = server.fresh_uuid();
    alice.post(server, &message(&last, &bob.account, "bGFzdA==")).await?;
    let end = |frame: &Value| has(frame, "id", &last);
    let frames = to.through("the message after it", end).await?;
    let copies: Vec<_> = frames.iter().filter(|frame| has(frame, "id", &id)).collect();
    must_be("the number of deliveries", &copies.len(), &1)?;
    let body = copies.first().and_then(|copy| copy.pointer("/content/body"));
    must_be("the delivered body", &body.and_then(Value::as_str), &Some("Zmlyc3Q="))
}

async fn reserves_nothing(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    let id = server.fresh_uuid();
    let to_nobody = message(&id, &server.fresh_handle(), "eA==");
    socket.send(&to_nobody).await?;
    socket.expect("a refusal", |frame| has(frame, "ref", &id)).await?;
    send(&mut socket, &message(&id, &bob.account, "eA==")).await.map(drop)
}

async fn scoped(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let (mut one, mut other) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    let sent = send(&mut one, &message(&id, &bob.account, "YQ==")).await?;
    let answered = send(&mut other, &message(&id, &alice.account, "Yg==")).await?;
    if sent.get("stamp") == answered.get("stamp") {
        return differs("two accounts' messages with one id are taken for one");
    }
    let at_bob = receive(&mut other, &id).await?;
    must_be("from", &text(&at_bob, "from")?, &alice.account.as_str())?;
    let at_alice = receive(&mut one, &id).await?;
    must_be("from", &text(&at_alice, "from")?, &bob.account.as_str())
}

async fn own_copies(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let device = alice.another_device(server).await?;
    let mut socket = device.come_online(server).await?;
    let id = server.fresh_uuid();
    let sent = alice.post(server, &message(&id, &bob.account, "eA==")).await?;
    let copy = receive(&mut socket, &id).await?;
    must_be("from", &text(&copy, "from")?, &alice.account.as_str())?;
    text(&copy, "to")?;
    must_be("stamp", &stamp(&copy, "stamp")?, &stamp(&sent, "stamp")?)?;
    let call = Call::delete("/v1/sessions/current").token(&device.token);
    call.send(&server.endpoint).await?.success().map(drop)
}

async fn ciphertexts(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let other = bob.another_device(server).await?;
    let (mut from, mut to) = (alice.come_online(server).await?, other.come_online(server).await?);
    let (first, second) = (bob.device, other.device);
    let with_ciphertexts = |id: &str, all: &Value| {
        let content = json!({"type": "encrypted", "encrypted": true, "ciphertexts": all});
        with(message(id, &bob.account, ""), "content", content)
    };
    let one = |device: u64, registration_id: u64, data: &str| json!({"device": device, "registration_id": registration_id, "type": 1, "data": data});
    // A device without a ciphertext, one that was installed anew, one that does not exist.
    let id = server.fresh_uuid();
    let stale = json!([one(first, 4_712, "MQ=="), one(127, 1, "Mg==")]);
    from.send(&with_ciphertexts(&id, &stale)).await?;
    let error = from.expect("a refusal", |frame| has(frame, "ref", &id)).await?;
    must_be("code", &text(&error, "code")?, &"stale_devices")?;
    must_be("user", &text(&error, "user")?, &bob.account.as_str())?;
    must_be("missing", &error.get("missing"), &Some(&json!([second])))?;
    must_be("stale", &error.get("stale"), &Some(&json!([first])))?;
    must_be("extra", &error.get("extra"), &Some(&json!([127])))?;
    // As it must be; the other device drew 815.
    let right = json!([one(first, 4_711, "MQ=="), one(second, 815, "Mg==")]);
    send(&mut from, &with_ciphertexts(&id, &right)).await?;
    let got = receive(&mut to, &id).await?;
    let own = json!([one(second, 815, "Mg==")]);
    must_be("what the device is sent", &got.pointer("/content/ciphertexts"), &Some(&own))?;
    let call = Call::delete("/v1/sessions/current").token(&other.token);
    call.send(&server.endpoint).await?.success().map(drop)
}

async fn ephemeral(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    // Both have spoken, so that they know each other.
    alice.post(server, &message(&server.fresh_uuid(), &bob.account, "eA==")).await?;
    bob.post(server, &message(&server.fresh_uuid(), &alice.account, "eA==")).await?;
    let mut from = alice.come_online(server).await?;
    let mut to = bob.come_online(server).await?;
    let fleeting = |id: &str| with(message(id, &bob.account, "eA=="), "class", "ephemeral");
    let live = server.fresh_uuid();
    from.send(&fleeting(&live)).await?;
    let got = receive(&mut to, &live).await?;
    must_be("class", &text(&got, "class")?, &"ephemeral")?;
    must_be("`cursor` of an ephemeral message", &got.get("cursor"), &None)?;
    drop(to);
    let (missed, last) = (server.fresh_uuid(), server.fresh_uuid());
    from.send(&fleeting(&missed)).await?;
    send(&mut from, &message(&last, &bob.account, "eA==")).await?;
    let mut to = bob.open(server).await?;
    let frames = to.through("`caught_up`", |frame| is_type(frame, "caught_up")).await?;
    if !frames.iter().any(|frame| has(frame, "id", &last)) {
        return differs("the message after the ephemeral one is not there");
    }
    if frames.iter().any(|frame| has(frame, "id", &live) || has(frame, "id", &missed)) {
        return differs("an ephemeral message was stored");
    }
    Ok(())
}

async fn plain_frames(server: &Server, people: &[Person]) -> Verdict {
    if server.capabilities.get("allow_unencrypted") != Some(&Value::Bool(true)) {
        return Err(Failure::Lacks("the region takes encrypted contents only".into()));
    }
    let (alice, bob) = two(people)?;
    let (mut from, mut to) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    let (bare, _) = bob.account.split_once('@').unwrap_or((&bob.account, ""));
    let frame = json!({
        "type": "message", "id": id, "to": bare, "timestamp": 1_705_234_567_890_u64,
        "content": {"type": "text", "body": "Hello!", "encrypted": true},
    });
    send(&mut from, &frame).await?;
    let got = receive(&mut to, &id).await?;
    must_be("body", &got.pointer("/content/body").and_then(Value::as_str), &Some("Hello!"))?;
    to.send(&json!({"type": "ack", "message_id": id, "status": "delivered"})).await?;
    let delivered =
        |frame: &Value| has(frame, "message_id", &id) && has(frame, "status", "delivered");
    from.expect("`delivered`", delivered).await.map(drop)
}
