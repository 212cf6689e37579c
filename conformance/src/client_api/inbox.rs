//! The inbox: backlog, acknowledgements, synchronisation.

use serde_json::{Value, json};

use super::{
    checks,
    messages::{receive, send},
};
use crate::{
    check::Group,
    http::Call,
    person::{Person, message, two},
    server::Server,
    socket::{Socket, has, is_type},
    verdict::{Verdict, differs, list, must_be, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "client-socket.md §5", "the backlog comes in order, then live traffic" => backlog;
        "statuses.md §4", "what is not acknowledged comes again, what is does not" => again;
        "statuses.md §4", "an acknowledgement never hides an earlier message" => no_hole;
        "statuses.md §4", "through acknowledges everything up to a cursor" => through;
        "client-socket.md §5", "no more than the window is in flight" => window;
        "rest.md §2.2", "a new device starts at the end of the inbox" => new_device;
        "rest.md §4.3", "sync pages through the inbox" => pages;
        "rest.md §4.3", "sync starts at a time, too" => since_time;
        "identifiers.md §7", "a cursor beyond the end is reset" => reset;
    };
    Group { name: "inbox", people: 2, checks }
}

/// Sends this many messages one after the other; their ids.
async fn many(server: &Server, from: &Person, to: &Person, count: usize) -> Verdict<Vec<String>> {
    let mut socket = from.come_online(server).await?;
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = server.fresh_uuid();
        send(&mut socket, &message(&id, &to.account, "eA==")).await?;
        ids.push(id);
    }
    Ok(ids)
}

/// The ids of the messages up to `caught_up`, in the order in which they came.
async fn drain(socket: &mut Socket) -> Verdict<Vec<String>> {
    let frames = socket.through("`caught_up`", |frame| is_type(frame, "caught_up")).await?;
    let messages = frames.iter().filter(|frame| is_type(frame, "message"));
    messages.map(|frame| text(frame, "id").map(str::to_owned)).collect()
}

async fn acknowledge(socket: &mut Socket, ids: &[String]) -> Verdict {
    socket.send(&json!({"type": "ack", "message_ids": ids, "status": "delivered"})).await?;
    // The pong says that the acknowledgement was taken before it.
    socket.send(&json!({"type": "ping", "ref": "acknowledged"})).await?;
    socket.expect("`pong`", |frame| has(frame, "ref", "acknowledged")).await.map(drop)
}

async fn backlog(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let ids = many(server, alice, bob, 20).await?;
    let mut socket = bob.open(server).await?;
    must_be("the backlog", &drain(&mut socket).await?, &ids)?;
    let live = many(server, alice, bob, 3).await?;
    for id in &live {
        receive(&mut socket, id).await?;
    }
    acknowledge(&mut socket, &[ids, live].concat()).await
}

async fn again(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let ids = many(server, alice, bob, 3).await?;
    for _ in 0..2 {
        let mut socket = bob.open(server).await?;
        must_be("what is not acknowledged", &drain(&mut socket).await?, &ids)?;
        socket.drop_silently();
    }
    let mut socket = bob.open(server).await?;
    drain(&mut socket).await?;
    acknowledge(&mut socket, &ids).await?;
    drop(socket);
    let mut socket = bob.open(server).await?;
    must_be("what was acknowledged", &drain(&mut socket).await?, &Vec::new())
}

async fn no_hole(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let ids = many(server, alice, bob, 3).await?;
    let mut socket = bob.open(server).await?;
    drain(&mut socket).await?;
    acknowledge(&mut socket, ids.get(2..).unwrap_or_default()).await?;
    drop(socket);
    let mut socket = bob.open(server).await?;
    let came = drain(&mut socket).await?;
    let earlier = ids.get(..2).unwrap_or_default();
    if came.get(..2) != Some(earlier) {
        return differs(format!("{came:?} came, of which {earlier:?} were not acknowledged"));
    }
    acknowledge(&mut socket, &ids).await
}

async fn through(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let ids = many(server, alice, bob, 3).await?;
    let mut socket = bob.open(server).await?;
    let second = receive(&mut socket, ids.get(1).map_or("", String::as_str)).await?;
    let ack = json!({"type": "ack", "through": text(&second, "cursor")?, "status": "delivered"});
    socket.send(&ack).await?;
    acknowledge(&mut socket, &[]).await?;
    drop(socket);
    let mut socket = bob.open(server).await?;
    let rest = ids.get(2..).unwrap_or_default();
    must_be("what lies behind the cursor", &drain(&mut socket).await?.as_slice(), &rest)
}

async fn window(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let ids = many(server, alice, bob, 300).await?;
    let mut socket = bob.open(server).await?;
    let last_in_window = ids.get(255).map_or("", String::as_str);
    let came = socket.through("256 messages", |frame| has(frame, "id", last_in_window)).await?;
    // An answer that comes after 256 messages and before the next one: nothing else is in flight.
    socket.send(&json!({"type": "ping", "ref": "full"})).await?;
    let more = socket.through("`pong`", |frame| has(frame, "ref", "full")).await?;
    let count = came.iter().chain(&more).filter(|frame| is_type(frame, "message")).count();
    must_be("the messages in flight", &count, &256)?;
    acknowledge(&mut socket, ids.get(..256).unwrap_or_default()).await?;
    must_be("the rest", &drain(&mut socket).await?.len(), &44)?;
    acknowledge(&mut socket, ids.get(256..).unwrap_or_default()).await
}

async fn new_device(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    many(server, alice, bob, 2).await?;
    let device = bob.another_device(server).await?;
    let mut socket = device.open(server).await?;
    must_be("the new device's backlog", &drain(&mut socket).await?, &Vec::new())?;
    let live = many(server, alice, bob, 1).await?;
    receive(&mut socket, live.first().map_or("", String::as_str)).await?;
    drop(socket);
    let call = Call::delete("/v1/sessions/current").token(&device.token);
    call.send(&server.endpoint).await?.success().map(drop)
}

async fn pages(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(bob.come_online(server).await?);
    let start = bob.sync(server, "").await?;
    let start = text(&start, "next_cursor")?.to_owned();
    let ids = many(server, alice, bob, 5).await?;
    let (mut since, mut got) = (start, Vec::new());
    for turn in 0.. {
        let page = bob.sync(server, &format!("?since={since}&limit=2")).await?;
        list(&page, "events")?;
        let messages = list(&page, "messages")?;
        for message in messages {
            got.push(text(message, "id")?.to_owned());
        }
        text(&page, "next_cursor")?.clone_into(&mut since);
        match page.get("has_more") {
            Some(Value::Bool(true)) if turn < 20 => {}
            Some(Value::Bool(false)) => break,
            other => return differs(format!("`has_more` is {other:?} on page {turn}")),
        }
    }
    must_be("what the pages hold", &got, &ids)?;
    let mut socket = bob.open(server).await?;
    must_be("what sync left to the socket", &drain(&mut socket).await?, &ids)
}

async fn since_time(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let before = alice.post(server, &message(&server.fresh_uuid(), &bob.account, "eA==")).await?;
    let at = before.get("at").and_then(Value::as_u64).unwrap_or_default();
    let id = server.fresh_uuid();
    alice.post(server, &message(&id, &bob.account, "eA==")).await?;
    let page = bob.sync(server, &format!("?since={at}&limit=1000")).await?;
    if list(&page, "messages")?.iter().any(|message| has(message, "id", &id)) {
        Ok(())
    } else {
        differs("a message that arrived after the time is not on the page")
    }
}

async fn reset(server: &Server, people: &[Person]) -> Verdict {
    let path = "/v1/messages/sync?since=c9000000000000000000";
    let call = Call::get(path).token(&two(people)?.0.token);
    call.send(&server.endpoint).await?.problem(409, "cursor_reset")
}
