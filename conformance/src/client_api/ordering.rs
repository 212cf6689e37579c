//! Stamps, origin numbers, `prev` and `after`.

use serde_json::Value;

use super::{checks, messages::send};
use crate::{
    check::Group,
    http::Call,
    person::{Person, message, two, with},
    server::Server,
    socket::has,
    verdict::{Verdict, differs, must_be, number, stamp, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "ordering.md §5", "origin numbers are dense and start at 1" => origin_numbers;
        "ordering.md §2", "stamps rise and are near the server's clock" => stamps;
        "ordering.md §2", "an answer sorts after what it answers" => after;
        "ordering.md §2", "a stamp from the future is refused as `after`" => after_unknown;
        "ordering.md §4", "nothing overtakes a refused message" => prev;
        "ordering.md §4", "prev is of the device, and an absent one passes" => prev_of_device;
    };
    Group { name: "ordering", people: 2, checks }
}

/// Runs first in its group: the conversation is new.
async fn origin_numbers(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    for expected in 1..=6 {
        let (from, to) = if expected % 2 == 0 { (alice, bob) } else { (bob, alice) };
        let frame = message(&server.fresh_uuid(), &to.account, "eA==");
        let sent = from.post(server, &frame).await?;
        must_be("origin_number", &number(&sent, "origin_number")?, &expected)?;
        let again = from.post(server, &frame).await?;
        must_be("a repetition's", &number(&again, "origin_number")?, &expected)?;
    }
    Ok(())
}

async fn stamps(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut before = 0;
    for _ in 0..5 {
        let sent = alice.post(server, &message(&server.fresh_uuid(), &bob.account, "eA==")).await?;
        let (stamp, at) = (stamp(&sent, "stamp")?, number(&sent, "at")?);
        if stamp <= before {
            return differs(format!("the stamp {stamp} does not follow {before}"));
        }
        if stamp >> 16 < at {
            return differs(format!("the stamp {stamp} lies before its own time {at}"));
        }
        before = stamp;
    }
    Ok(())
}

async fn after(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let asked = alice.post(server, &message(&server.fresh_uuid(), &bob.account, "eA==")).await?;
    let seen = text(&asked, "stamp")?;
    let frame = with(message(&server.fresh_uuid(), &alice.account, "eA=="), "after", seen);
    let answered = bob.post(server, &frame).await?;
    if stamp(&answered, "stamp")? > stamp(&asked, "stamp")? {
        Ok(())
    } else {
        differs("the answer does not sort after the question")
    }
}

async fn after_unknown(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let last = alice.post(server, &message(&server.fresh_uuid(), &bob.account, "eA==")).await?;
    let future = stamp(&last, "stamp")?.saturating_add(3_600_000 << 16).to_string();
    for after in [future.as_str(), "18446744073709551615"] {
        let frame = with(message(&server.fresh_uuid(), &bob.account, "eA=="), "after", after);
        let call = Call::post("/v1/messages").token(&alice.token).json(&frame);
        call.send(&server.endpoint).await?.problem(409, "after_unknown")?;
    }
    Ok(())
}

async fn prev(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let mut socket = alice.come_online(server).await?;
    let ids = [(); 4].map(|()| server.fresh_uuid());
    let [first, lost, third, fourth] = &ids;
    let chained = |id: &str, prev: &str| with(message(id, &bob.account, "eA=="), "prev", prev);
    send(&mut socket, &message(first, &bob.account, "eA==")).await?;
    // The second was never accepted, so the third and the fourth are not either.
    for frame in [chained(third, lost), chained(fourth, third)] {
        socket.send(&frame).await?;
        let id = text(&frame, "id")?;
        let error = socket.expect("a refusal", |frame: &Value| has(frame, "ref", id)).await?;
        must_be("code", &text(&error, "code")?, &"out_of_order")?;
    }
    let mut numbers = Vec::new();
    for frame in [chained(lost, first), chained(third, lost), chained(fourth, third)] {
        numbers.push(number(&send(&mut socket, &frame).await?, "origin_number")?);
    }
    let dense = numbers.windows(2).all(|pair| matches!(pair, [one, next] if one + 1 == *next));
    must_be("whether refused messages took no number", &dense, &true)?;
    // A repetition is answered before `prev` is looked at.
    send(&mut socket, &chained(third, lost)).await?;
    let stale = with(message(&server.fresh_uuid(), &bob.account, "eA=="), "prev", first.as_str());
    let call = Call::post("/v1/messages").token(&alice.token).json(&stale);
    call.send(&server.endpoint).await?.problem(409, "out_of_order")
}

async fn prev_of_device(server: &Server, people: &[Person]) -> Verdict {
    let (alice, bob) = two(people)?;
    let device = alice.another_device(server).await?;
    let (first, other, next) = (server.fresh_uuid(), server.fresh_uuid(), server.fresh_uuid());
    alice.post(server, &message(&first, &bob.account, "eA==")).await?;
    device.post(server, &message(&other, &bob.account, "eA==")).await?;
    let frame = with(message(&next, &bob.account, "eA=="), "prev", first);
    alice.post(server, &frame).await?;
    let frame = with(message(&server.fresh_uuid(), &bob.account, "eA=="), "prev", next);
    let call = Call::post("/v1/messages").token(&device.token).json(&frame);
    call.send(&server.endpoint).await?.problem(409, "out_of_order")?;
    let call = Call::delete("/v1/sessions/current").token(&device.token);
    call.send(&server.endpoint).await?.success().map(drop)
}
