//! Presence and typing.

use serde_json::{Value, json};

use super::checks;
use crate::{
    check::Group,
    http::Call,
    person::{Person, message, two},
    server::Server,
    socket::{has, is_type},
    verdict::{Failure, Verdict, list, must_be, number, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "client-socket.md §3.6", "presence is told to people who have exchanged messages" => online;
        "client-socket.md §3.5", "typing reaches the other, and says how long it holds" => typing;
        "client-socket.md §3.6", "strangers see no presence and no typing" => strangers;
        "rest.md §3.2", "presence can be asked for" => query;
    };
    Group { name: "presence", people: 3, checks }
}

/// Both have spoken.
async fn acquaint(server: &Server, one: &Person, other: &Person) -> Verdict {
    one.post(server, &message(&server.fresh_uuid(), &other.account, "eA==")).await?;
    other.post(server, &message(&server.fresh_uuid(), &one.account, "eA==")).await.map(drop)
}

fn tells<'a>(who: &'a str, status: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |frame| {
        is_type(frame, "presence") && has(frame, "user_id", who) && has(frame, "status", status)
    }
}

async fn online(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    acquaint(server, alice, bob).await?;
    let mut watcher = alice.come_online(server).await?;
    watcher.send(&json!({"type": "subscribe", "users": [bob.account]})).await?;
    watcher.expect("`offline`", tells(&bob.account, "offline")).await?;
    let mut device = bob.come_online(server).await?;
    watcher.expect("`online`", tells(&bob.account, "online")).await?;
    device.send(&json!({"type": "presence", "status": "away"})).await?;
    watcher.expect("`away`", tells(&bob.account, "away")).await?;
    device.drop_silently();
    let frame = watcher.expect("`offline`", tells(&bob.account, "offline")).await?;
    number(&frame, "last_seen").map(drop)
}

async fn typing(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    acquaint(server, alice, bob).await?;
    let (mut one, mut other) = (alice.come_online(server).await?, bob.come_online(server).await?);
    one.send(&json!({"type": "presence", "status": "typing", "to": bob.account})).await?;
    let frame = other.expect("`typing`", tells(&alice.account, "typing")).await?;
    number(&frame, "expires_in")?;
    one.send(&json!({"type": "presence", "status": "stopped_typing", "to": bob.account})).await?;
    other.expect("`stopped_typing`", tells(&alice.account, "stopped_typing")).await.map(drop)
}

async fn strangers(server: &Server, people: &[Person]) -> Verdict {
    let [alice, _, stranger, ..] = people else {
        return Err(Failure::Lacks("three people".into()));
    };
    let mut target = alice.come_online(server).await?;
    let mut socket = stranger.come_online(server).await?;
    socket.send(&json!({"type": "subscribe", "users": [alice.account]})).await?;
    socket.send(&json!({"type": "presence", "status": "typing", "to": alice.account})).await?;
    // What a stranger does is followed by a message, which must be the first that arrives.
    let id = server.fresh_uuid();
    socket.send(&message(&id, &alice.account, "eA==")).await?;
    let to_stranger = socket.through("`sent`", |frame| has(frame, "message_id", &id)).await?;
    let to_target = target.through("the message", |frame| has(frame, "id", &id)).await?;
    let told = to_stranger.iter().chain(&to_target).find(|frame| is_type(frame, "presence"));
    must_be("what was told", &told, &None)
}

async fn query(server: &Server, people: &[Person]) -> Verdict {
    let [alice, bob, stranger, ..] = people else {
        return Err(Failure::Lacks("three people".into()));
    };
    acquaint(server, alice, bob).await?;
    let socket = bob.come_online(server).await?;
    let path = format!("/v1/presence?users={},{}", bob.account, stranger.account);
    let answer = Call::get(&path).token(&alice.token).send(&server.endpoint).await?.success()?;
    let shown = list(&answer, "presence")?;
    must_be("how many are shown", &shown.len(), &1)?;
    let bobs = shown.first().map_or(Ok(""), |frame| text(frame, "status"))?;
    must_be("status", &bobs, &"online")?;
    drop(socket);
    Ok(())
}
