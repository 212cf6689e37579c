//! Opening, keeping and losing a socket.

use std::time::Duration;

use serde_json::json;

use super::checks;
use crate::{
    check::Group,
    http::Call,
    person::Person,
    server::Server,
    socket::{Opened, Opening, has, is_type},
    verdict::{Failure, Verdict, differs, must_be, text},
};

/// How long a server may take to close what it must close.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) fn group() -> Group {
    let checks = checks! {
        "client-socket.md §1", "a socket needs a valid token" => needs_a_token;
        "client-socket.md §1", "a ticket opens one socket" => tickets;
        "client-socket.md §1", "the subprotocol is agreed on, and is the default" => subprotocol;
        "client-socket.md §4.4", "the backlog ends with caught_up" => caught_up;
        "client-socket.md §3.7", "ping is answered with pong and the reference" => pong;
        "client-socket.md §8", "a second connection of a device takes over" => replaced;
    };
    Group { name: "sockets", people: 1, checks }
}

fn one(people: &[Person]) -> Verdict<&Person> {
    people.first().ok_or_else(|| Failure::Lacks("a person".into()))
}

async fn needs_a_token(server: &Server, _: &[Person]) -> Verdict {
    let openings = [
        Opening::default(),
        Opening { token: Some("x"), ..Opening::default() },
        Opening { ticket: Some("x"), ..Opening::default() },
    ];
    for opening in openings {
        match opening.open(&server.endpoint).await? {
            Opened::Refused(401, body) => {
                must_be("code", &text(&body, "code")?, &"unauthorized")?;
            }
            Opened::Refused(status, _) => {
                return differs(format!("{opening:?} is answered {status}"));
            }
            Opened::Socket(..) => return differs(format!("{opening:?} opens a socket")),
        }
    }
    Ok(())
}

async fn tickets(server: &Server, people: &[Person]) -> Verdict {
    let call = Call::post("/v1/connect/ticket").token(&one(people)?.token);
    let answer = call.send(&server.endpoint).await?.success()?;
    let ticket = text(&answer, "ticket")?;
    let opening = Opening { ticket: Some(ticket), ..Opening::default() };
    let mut socket = opening.socket(&server.endpoint).await?;
    socket.expect_type("caught_up").await?;
    match opening.open(&server.endpoint).await? {
        Opened::Refused(401, _) => Ok(()),
        other => differs(format!("the ticket's second use: {other:?}")),
    }
}

async fn subprotocol(server: &Server, people: &[Person]) -> Verdict {
    let token = Some(one(people)?.token.as_str());
    for wanted in [Some("posthouse.v1"), None] {
        let opening = Opening { token, subprotocol: wanted, ..Opening::default() };
        match opening.open(&server.endpoint).await? {
            Opened::Socket(mut socket, chosen) => {
                must_be("the subprotocol", &chosen.as_deref(), &wanted)?;
                socket.expect_type("caught_up").await?;
            }
            Opened::Refused(status, _) => return differs(format!("refused with {status}")),
        }
    }
    Ok(())
}

async fn caught_up(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = one(people)?.open(server).await?;
    let frame = socket.expect_type("caught_up").await?;
    let cursor = text(&frame, "cursor")?;
    if cursor.starts_with('c') { Ok(()) } else { differs(format!("the cursor is {cursor:?}")) }
}

async fn pong(server: &Server, people: &[Person]) -> Verdict {
    let mut socket = one(people)?.come_online(server).await?;
    socket.send(&json!({"type": "ping", "ref": "a reference"})).await?;
    let frame = socket.expect("`pong`", |frame| has(frame, "ref", "a reference")).await?;
    if !is_type(&frame, "pong") {
        return differs(format!("ping is answered {frame}"));
    }
    socket.send(&json!({"type": "ping"})).await?;
    let frame = socket.expect_type("pong").await?;
    must_be("`ref` of a pong without one", &frame.get("ref"), &None)
}

async fn replaced(server: &Server, people: &[Person]) -> Verdict {
    let person = one(people)?;
    let mut first = person.come_online(server).await?;
    let mut second = person.come_online(server).await?;
    must_be("the close code", &first.closed(CLOSING).await?, &Some(4001))?;
    second.send(&json!({"type": "ping"})).await?;
    second.expect_type("pong").await.map(drop)
}
