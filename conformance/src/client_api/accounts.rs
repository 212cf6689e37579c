//! Accounts, sessions and their tokens.

use std::time::Duration;

use serde_json::{Value, json};

use super::checks;
use crate::{
    check::Group,
    http::Call,
    identifiers::{Address, address},
    person::{Person, two},
    server::Server,
    verdict::{Verdict, differs, list, must_be, text},
};

/// How long a server may take to cut off a session that was ended.
const CUT_OFF: Duration = Duration::from_secs(5);

pub(super) fn group() -> Group {
    let checks = checks! {
        "rest.md §2.1", "registering logs a first device in" => registers;
        "identifiers.md §3", "a handle is taken once" => handle_taken;
        "identifiers.md §3", "handles of another form are refused" => bad_handles;
        "rest.md §2.2", "a wrong password and an unknown handle get the same answer" => wrong_credentials;
        "rest.md §2.2", "a password logs another device in, by handle or by id" => logs_in;
        "rest.md §1", "a call without a valid token is refused" => unauthorized;
        "rest.md §3.1", "a user is found by handle and by id" => finds_users;
        "rest.md §2.3", "a refresh token is good once; its reuse ends the session" => refresh;
        "rest.md §2.6", "sessions are listed and ended; an ended one is cut off at once" => ends_sessions;
        "rest.md §2.6", "logging out ends the session" => logs_out;
    };
    Group { name: "accounts", people: 2, checks }
}

async fn registers(server: &Server, people: &[Person]) -> Verdict {
    let (person, _) = two(people)?;
    must_be("`handle`", &person.handle, &person.wanted_handle)?;
    match address(&person.account, &server.name) {
        Some(Address::Account(full)) if full.ends_with(&format!("@{}", server.name)) => {}
        other => return differs(format!("`account_id` is {other:?}")),
    }
    let me = Call::get("/v1/account").token(&person.token).send(&server.endpoint).await?;
    let me = me.success()?;
    must_be("account_id", &text(&me, "account_id")?, &person.account.as_str())?;
    must_be("handle", &text(&me, "handle")?, &person.handle.as_str())?;
    must_be("device_id", &text(&me, "device_id")?, &person.device_id.as_str())?;
    must_be("device", &me.get("device").and_then(Value::as_u64), &Some(person.device))
}

async fn handle_taken(server: &Server, people: &[Person]) -> Verdict {
    let (person, _) = two(people)?;
    let body = json!({
        "handle": person.handle, "password": "another horse, battery", "invite": server.invite,
    });
    let answer = Call::post("/v1/accounts").json(&body).send(&server.endpoint).await?;
    if answer.status.as_u16() == 429 {
        return answer.problem(429, "rate_limited");
    }
    answer.problem(409, "handle_taken")
}

async fn bad_handles(server: &Server, _: &[Person]) -> Verdict {
    for handle in ["Alice", "", "g.alice", "-alice", "0123456789abcdef0123456789abcdef"] {
        let body = json!({"handle": handle, "password": "a good password"});
        let answer = Call::post("/v1/accounts").json(&body).send(&server.endpoint).await?;
        if !answer.status.is_client_error() {
            return differs(format!("the handle {handle:?} is answered {}", answer.status));
        }
    }
    Ok(())
}

async fn wrong_credentials(server: &Server, people: &[Person]) -> Verdict {
    let (person, _) = two(people)?;
    let nobody = server.fresh_handle();
    let mut answers = Vec::new();
    for user in [&person.handle, &nobody] {
        let body = json!({"user": user, "password": "not the password"});
        let answer = Call::post("/v1/sessions").json(&body).send(&server.endpoint).await?;
        answer.problem(401, "wrong_credentials")?;
        answers.push(answer.json);
    }
    match answers.as_slice() {
        [one, other] if one == other => Ok(()),
        _ => differs(format!("the answers tell whether a handle exists: {answers:?}")),
    }
}

async fn logs_in(server: &Server, people: &[Person]) -> Verdict {
    let (person, _) = two(people)?;
    let by_handle = person.another_device(server).await?;
    must_be("account_id", &by_handle.account, &person.account)?;
    if by_handle.device == person.device || by_handle.device_id == person.device_id {
        return differs("a new device has the id or number of another");
    }
    let body = json!({
        "user": person.account, "password": person.password, "device_id": by_handle.device_id,
    });
    let again = Call::post("/v1/sessions").json(&body).send(&server.endpoint).await?.success()?;
    let again = Person::logged_in(&again, &person.password)?;
    must_be("device_id", &again.device_id, &by_handle.device_id)?;
    must_be("device", &again.device, &by_handle.device)?;
    log_out(server, &again).await
}

async fn unauthorized(server: &Server, people: &[Person]) -> Verdict {
    let (person, _) = two(people)?;
    let tampered = format!("{}x", person.token);
    for path in ["/v1/account", "/v1/sessions", "/v1/messages/sync"] {
        let without = Call::get(path).send(&server.endpoint).await?;
        without.problem(401, "unauthorized")?;
        for token in ["", "x", "a.b.c", &tampered, &person.refresh] {
            let answer = Call::get(path).token(token).send(&server.endpoint).await?;
            answer.problem(401, "unauthorized")?;
        }
    }
    Ok(())
}

async fn finds_users(server: &Server, people: &[Person]) -> Verdict {
    let (person, other) = two(people)?;
    let (bare, _) = other.account.split_once('@').unwrap_or((&other.account, ""));
    let full_handle = format!("{}@{}", other.handle, server.name);
    for name in [&other.handle, &full_handle, &other.account, &bare.to_owned()] {
        let path = format!("/v1/users/{name}");
        let answer = Call::get(&path).token(&person.token).send(&server.endpoint).await?;
        let found = answer.success()?;
        must_be("account_id", &text(&found, "account_id")?, &other.account.as_str())?;
        must_be("handle", &text(&found, "handle")?, &other.handle.as_str())?;
    }
    let path = format!("/v1/users/{}", server.fresh_handle());
    let answer = Call::get(&path).token(&person.token).send(&server.endpoint).await?;
    answer.problem(404, "unknown_user")
}

async fn refresh(server: &Server, people: &[Person]) -> Verdict {
    let device = two(people)?.0.another_device(server).await?;
    let renew = |token: &str| {
        let body = json!({"refresh_token": token});
        Call::post("/v1/sessions/refresh").json(&body).send(&server.endpoint)
    };
    let renewed = Person::logged_in(&renew(&device.refresh).await?.success()?, &device.password)?;
    must_be("session_id", &renewed.session, &device.session)?;
    must_be("device_id", &renewed.device_id, &device.device_id)?;
    if renewed.refresh == device.refresh {
        return differs("the refresh token did not change");
    }
    let path = "/v1/account";
    Call::get(path).token(&renewed.token).send(&server.endpoint).await?.success()?;
    renew(&device.refresh).await?.problem(401, "unauthorized")?;
    renew(&renewed.refresh).await?.problem(401, "unauthorized")?;
    let answer = Call::get(path).token(&renewed.token).send(&server.endpoint).await?;
    answer.problem(401, "unauthorized")
}

async fn ends_sessions(server: &Server, people: &[Person]) -> Verdict {
    let (person, stranger) = two(people)?;
    let device = person.another_device(server).await?;
    let mut socket = device.come_online(server).await?;
    let listed = Call::get("/v1/sessions").token(&person.token).send(&server.endpoint).await?;
    let listed = listed.success()?;
    let current = |session: &str| {
        let sessions = list(&listed, "sessions")?.iter();
        let found = sessions.filter(|one| one.get("session_id").is_some_and(|id| id == session));
        Verdict::Ok(found.map(|one| one.get("current").cloned()).collect::<Vec<_>>())
    };
    must_be("`current` of the own", &current(&person.session)?, &vec![Some(Value::Bool(true))])?;
    must_be("`current` of another", &current(&device.session)?, &vec![Some(Value::Bool(false))])?;
    let path = format!("/v1/sessions/{}", device.session);
    let foreign = Call::delete(&path).token(&stranger.token).send(&server.endpoint).await?;
    foreign.problem(404, "not_found")?;
    Call::delete(&path).token(&person.token).send(&server.endpoint).await?.success()?;
    must_be("the close code", &socket.closed(CUT_OFF).await?, &Some(4003))?;
    let answer = Call::get("/v1/account").token(&device.token).send(&server.endpoint).await?;
    answer.problem(401, "unauthorized")
}

async fn logs_out(server: &Server, people: &[Person]) -> Verdict {
    let device = two(people)?.0.another_device(server).await?;
    let mut socket = device.come_online(server).await?;
    log_out(server, &device).await?;
    must_be("the close code", &socket.closed(CUT_OFF).await?, &Some(4003))?;
    let answer = Call::get("/v1/account").token(&device.token).send(&server.endpoint).await?;
    answer.problem(401, "unauthorized")
}

async fn log_out(server: &Server, device: &Person) -> Verdict {
    let call = Call::delete("/v1/sessions/current").token(&device.token);
    call.send(&server.endpoint).await?.success().map(drop)
}
