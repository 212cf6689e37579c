//! What senders are told of their messages.

use serde_json::{Value, json};

use super::{
    checks,
    messages::{receive, send},
};
use crate::{
    check::Group,
    person::{Person, message, two},
    server::Server,
    socket::{has, is_type},
    verdict::{Verdict, list, must_be, number, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "statuses.md §5", "a connected sender is told of delivery at once" => live;
        "statuses.md §5", "a sender that was away finds one watermark" => watermark;
        "statuses.md §4", "a readable receipt makes a read status" => read;
    };
    Group { name: "statuses", people: 2, checks }
}

async fn live(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let (mut from, mut to) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    send(&mut from, &message(&id, &bob.account, "eA==")).await?;
    receive(&mut to, &id).await?;
    to.send(&json!({"type": "ack", "message_id": id, "status": "delivered"})).await?;
    let status = from.expect("`delivered`", |frame| has(frame, "message_id", &id)).await?;
    must_be("status", &text(&status, "status")?, &"delivered")?;
    must_be("user", &text(&status, "user")?, &bob.account.as_str())?;
    number(&status, "at").map(drop)
}

async fn watermark(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    drop(alice.come_online(server).await?);
    let mut highest = 0;
    let mut conversation = String::new();
    let mut to = bob.come_online(server).await?;
    for _ in 0..5 {
        let id = server.fresh_uuid();
        let sent = alice.post(server, &message(&id, &bob.account, "eA==")).await?;
        highest = number(&sent, "origin_number")?;
        text(&sent, "conversation_id")?.clone_into(&mut conversation);
        receive(&mut to, &id).await?;
        to.send(&json!({"type": "ack", "message_id": id, "status": "delivered"})).await?;
    }
    // The watermark may be written with a delay: it comes with the backlog, or right after it.
    let mut from = alice.open(server).await?;
    let mark = from
        .expect("the watermark", |frame| {
            is_type(frame, "status")
                && has(frame, "conversation_id", &conversation)
                && has(frame, "status", "delivered")
                && frame.get("through").and_then(Value::as_u64) == Some(highest)
        })
        .await?;
    must_be("user", &text(&mark, "user")?, &bob.account.as_str())?;
    must_be("origin", &text(&mark, "origin")?, &server.name.as_str())?;
    must_be("except", &list(&mark, "except")?.len(), &0)?;
    let cursor = text(&mark, "cursor")?.to_owned();
    drop(from);
    // Older ones have been replaced.
    let page = alice.sync(server, "?since=c0&limit=1000").await?;
    let marks: Vec<_> = list(&page, "events")?
        .iter()
        .filter(|event| has(event, "conversation_id", &conversation))
        .filter(|event| has(event, "status", "delivered") && has(event, "user", &bob.account))
        .collect();
    must_be("the watermarks in the inbox", &marks.len(), &1)?;
    let only = marks.first().and_then(|mark| mark.get("cursor")).and_then(Value::as_str);
    must_be("its cursor", &only, &Some(cursor.as_str()))
}

async fn read(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let (mut from, mut to) = (alice.come_online(server).await?, bob.come_online(server).await?);
    let id = server.fresh_uuid();
    send(&mut from, &message(&id, &bob.account, "eA==")).await?;
    receive(&mut to, &id).await?;
    to.send(&json!({"type": "ack", "message_id": id, "status": "delivered"})).await?;
    to.send(&json!({"type": "ack", "message_id": id, "status": "read"})).await?;
    let is_read = |frame: &Value| has(frame, "message_id", &id) && has(frame, "status", "read");
    let status = from.expect("`read`", is_read).await?;
    must_be("user", &text(&status, "user")?, &bob.account.as_str())
}
