//! What the subject sends to an honest peer.

use serde_json::{Value as Json, json};

use super::{Group, checks};
use crate::{
    federation::{
        formats::{event::Watermark, records::Record},
        peer::{parse_uuid, uuid_text},
        stage::{MESSAGES, RECEIPTS, Stage},
    },
    http::Call,
    person::message,
    socket::has,
    verdict::{Verdict, differs, must_be, number, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-envelopes.md §Envelope", "a message to a peer's account arrives in an envelope that verifies and opens" => to_account;
        "statuses.md §1. What becomes of a message", "the sender is told `accepted` for what a peer has signed for" => accepted;
        "federation.md §Queries", "a message to a peer's handle reaches the account" => to_handle;
        "errors.md §3. Codes", "a message to a handle that the peer does not know is refused" => to_nobody;
        "federation-streams.md §Lanes", "messages of one sender arrive in the order in which they were accepted" => order;
        "federation-envelopes.md §Contents of messages", "ciphertexts travel one by one, with their device and type" => ciphertexts;
        "federation-envelopes.md §Payloads", "an acknowledgement reaches the peer as a watermark in its origin numbers" => watermark;
        "statuses.md §6. Failed", "a message that the peer rejects has failed, with the reason" => failed;
    };
    Group { name: "federation: what the subject sends", hostile: false, checks }
}

async fn to_account(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let sent = alice.post(&stage.server, &message(&id, &peer.account(), "aGVsbG8=")).await?;
    let got = stage.received(peer, "the message", |one| one.id() == id).await?;
    must_be("the lane", &got.lane, &MESSAGES)?;
    must_be("the sender", &got.enclosed.sender, &Some(parse_uuid(&alice.account)))?;
    let Some(event) = got.event else { return differs("the event is malformed") };
    must_be("the kind", &event.kind, &1)?;
    must_be("the recipients", &event.recipients, &vec![peer.user])?;
    must_be("the stamp", &event.stamp, &Some(crate::verdict::stamp(&sent, "stamp")?))?;
    must_be("the number", &event.origin_number, &Some(number(&sent, "origin_number")?))?;
    let conversation = parse_uuid(text(&sent, "conversation_id")?);
    must_be("the conversation", &event.conversation, &Some(conversation))?;
    let bodies: Vec<_> = event.bodies.iter().map(|body| body.data.clone()).collect();
    must_be("the bodies", &bodies, &vec![b"aGVsbG8=".to_vec()])?;
    must_be("the content type", &event.content_type.as_deref(), &Some("encrypted"))?;
    must_be("encrypted", &event.encrypted, &Some(true))?;
    must_be("an expiry", &event.expires.is_some(), &true)
}

async fn accepted(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let sent = alice.post(&stage.server, &message(&id, &peer.account(), "c2lnbg==")).await?;
    must_be("the first status", &text(&sent, "status")?, &"sent")?;
    accepted_through(stage, peer, number(&sent, "origin_number")?).await
}

/// Waits until the first local user is told `accepted` for a number.
pub(super) async fn accepted_through(
    stage: &Stage,
    peer: &crate::federation::peer::Peer,
    number: u64,
) -> Verdict {
    let account = peer.account();
    let wanted = |status: &Json| is_accepted(status, &account, number);
    stage.status(stage.alice()?, "`accepted`", wanted).await.map(drop)
}

/// Whether a status says that `user`'s region has signed for a number.
pub(super) fn is_accepted(status: &Json, user: &str, number: u64) -> bool {
    let through = status.get("through").and_then(Json::as_u64);
    let except = status.get("except").and_then(Json::as_array);
    let excepted = except.is_some_and(|list| list.iter().any(|one| *one == number));
    has(status, "status", "accepted")
        && has(status, "user", user)
        && through.is_some_and(|through| through >= number)
        && !excepted
}

async fn to_handle(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let to = format!("{}@{}", peer.handle, peer.name);
    alice.post(&stage.server, &message(&id, &to, "aGFuZGxl")).await?;
    let got = stage.received(peer, "the message", |one| one.id() == id).await?;
    let recipients = got.event.map(|event| event.recipients);
    must_be("the recipients", &recipients, &Some(vec![peer.user]))
}

async fn to_nobody(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let body = message(&stage.server.fresh_uuid(), &format!("nobody@{}", peer.name), "eA==");
    let call = Call::post("/v1/messages").token(&alice.token).json(&body);
    call.send(&stage.server.endpoint).await?.problem(404, "unknown_user")
}

async fn order(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let mut ids = Vec::new();
    let mut socket = alice.come_online(&stage.server).await?;
    for n in 0..30 {
        let id = stage.server.fresh_uuid();
        socket.send(&message(&id, &peer.account(), &format!("n{n}"))).await?;
        ids.push(id);
    }
    let last = ids.last().cloned().unwrap_or_default();
    stage.received(peer, "the last message", |one| one.id() == last).await?;
    let received = peer.state().received.clone();
    let got: Vec<_> = received.iter().map(super::super::site::Received::id).collect();
    let got: Vec<_> = got.into_iter().filter(|id| ids.contains(id)).collect();
    must_be("the order", &got, &ids)
}

async fn ciphertexts(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let content = json!({"type": "encrypted", "encrypted": true, "ciphertexts": [
        {"device": 1, "registration_id": 4711, "type": 3, "data": "MwohBWFsaWNl"},
        {"device": 9, "registration_id": 815, "type": 1, "data": "MwohBWJvYg=="},
    ]});
    let frame = json!({"type": "message", "id": id, "to": peer.account(), "content": content});
    alice.post(&stage.server, &frame).await?;
    let got = stage.received(peer, "the message", |one| one.id() == id).await?;
    let bodies = got.event.map(|event| event.bodies).unwrap_or_default();
    let got: Vec<_> = bodies.iter().map(|body| (body.device, body.data.as_slice())).collect();
    let expected: Vec<(_, &[u8])> =
        vec![(Some([0, 1, 4711, 3]), b"3\n!\x05alice"), (Some([0, 9, 815, 1]), b"3\n!\x05bob")];
    must_be("the bodies", &got, &expected)
}

async fn watermark(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let event = stage.event(peer, alice, "please acknowledge");
    let number = event.origin_number.unwrap_or_default();
    let enclosed = stage.enclose(peer, &event);
    let id = enclosed.id;
    stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    let got = stage.arrived(alice, &peer.account(), id).await?;
    let ack = json!({"through": text(&got, "cursor")?, "status": "delivered"});
    let call = Call::post("/v1/messages/ack").token(&alice.token).json(&ack);
    call.send(&stage.server.endpoint).await?.success()?;
    let covers = |one: &crate::federation::site::Received| {
        let Some(event) = one.event.as_ref().filter(|event| event.kind == 2) else { return false };
        let marks = event.bodies.iter().filter_map(|body| Watermark::read(&body.data).ok());
        let mut marks = marks.filter(|mark| mark.status == 1);
        marks.any(|mark| mark.through >= number && !mark.except.contains(&number))
    };
    let got = stage.received(peer, "a watermark", covers).await?;
    must_be("the lane", &got.lane, &RECEIPTS)?;
    must_be("the sender", &got.enclosed.sender, &Some(parse_uuid(&alice.account)))?;
    let recipients = got.event.as_ref().map(|event| event.recipients.clone());
    must_be("the recipients", &recipients, &Some(vec![peer.user]))?;
    let conversation = got.event.and_then(|event| event.conversation);
    must_be("the conversation", &conversation, &event.conversation)
}

async fn failed(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let nobody = format!("{}@{}", uuid_text(stage.uuid()), peer.name);
    alice.post(&stage.server, &message(&id, &nobody, "bm9ib2R5")).await?;
    let failed = |status: &Json| has(status, "status", "failed") && has(status, "message_id", &id);
    let status = stage.status(alice, "`failed`", failed).await?;
    must_be("reason", &text(&status, "reason")?, &"unknown_user")?;
    must_be("user", &text(&status, "user")?, &nobody.as_str())
}
