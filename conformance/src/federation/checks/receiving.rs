//! What an honest peer sends.

use serde_json::{Value as Json, json};

use std::sync::Arc;

use super::{Group, checks};
use crate::{
    federation::{
        cbor::Value,
        formats::{
            event::{Body, Event, Watermark, typing},
            receipt::{outcome, reason},
            records::{Enclosed, Record},
        },
        keys::SHARED_ENCAPSULATION,
        peer::uuid_text,
        seal::{Kem, SharedKey},
        stage::{CONTROL, MESSAGES, RECEIPTS, Stage, hex16},
    },
    identifiers::direct_conversation,
    person::message,
    socket::has,
    verdict::{Failure, Verdict, differs, must_be, number, text},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-envelopes.md §Envelope", "a message in an envelope that is sealed with X-Wing arrives once" => x_wing;
        "federation-envelopes.md §Envelope", "a message in an envelope that is sealed with X25519 arrives once" => x25519;
        "federation-envelopes.md §Shared encapsulation", "envelopes that share an encapsulated key arrive, if the subject says that it opens them" => shared;
        "federation-envelopes.md §Contents of messages", "a message keeps its content, stamp, number and times" => contents;
        "federation-streams.md §The receiving end", "an envelope that comes again is accepted, and its message is there once" => again;
        "federation-envelopes.md §Events", "an event that comes again at another place takes effect once" => same_event;
        "federation-streams.md §The receiving end", "a gap is answered with the standing, and nothing is taken" => gap;
        "federation-streams.md §The receiving end", "a question is answered with the position" => question;
        "federation-streams.md §Lanes", "each lane has its own sequence" => lanes;
        "federation-envelopes.md §Records", "a void takes its sequences, and the lane goes on" => void;
        "federation-envelopes.md §Records", "records of one envelope arrive in their order" => order;
        "federation-streams.md §Receipts", "events that cannot be taken are rejected one by one, and the others arrive" => rejections;
        "federation-streams.md §Receipts", "a rejected event that comes again gets its earlier verdict" => rejected_again;
        "federation-envelopes.md §Encoding", "fields from 128 up that are not known are skipped" => extensions;
        "federation-envelopes.md §Payloads", "a watermark of a peer reaches the sender" => watermark;
        "federation-envelopes.md §Payloads", "typing reaches a user who is connected" => types;
    };
    Group { name: "federation: what a peer sends", hostile: false, checks }
}

async fn arrives(stage: &Stage, kem: Kem) -> Verdict<Json> {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    if peer.state().stream.is_none() {
        // Opens the stream.
        let enclosed = stage.message(peer, alice, "first");
        stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    }
    let enclosed = stage.message(peer, alice, "Z3Vlc3Q=");
    let id = enclosed.id;
    let records = [Record::Event(enclosed)];
    let draft = peer.draft(&stage.destination(kem)?, MESSAGES, &records);
    let receipt = stage.ask(peer, draft).await?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    must_be("the rejections", &receipt.rejections, &Vec::new())?;
    peer.advance(MESSAGES, &records);
    let here = peer.state().stream.clone();
    let standing = receipt.standing.map(|(incarnation, at)| (incarnation, at.get(1).copied()));
    let own = here.map(|stream| (stream.incarnation, stream.positions.get(1).copied()));
    must_be("the position of the lane", &standing, &own)?;
    stage.arrived(alice, &peer.account(), id).await
}

async fn x_wing(stage: &Stage) -> Verdict {
    arrives(stage, Kem::XWing).await.map(drop)
}

async fn x25519(stage: &Stage) -> Verdict {
    arrives(stage, Kem::X25519).await.map(drop)
}

async fn shared(stage: &Stage) -> Verdict {
    if !stage.subject.features.iter().any(|name| name == SHARED_ENCAPSULATION) {
        return Ok(());
    }
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    for kem in [Kem::XWing, Kem::X25519] {
        let to = stage.destination(kem)?;
        let key = SharedKey::new((kem, to.key), &mut stage.rng()).map(Arc::new);
        let key = key.ok_or_else(|| Failure::Differs("its sealing key is none".into()))?;
        for salt in [[1; 16], [2; 16], [3; 16]] {
            let enclosed = stage.message(peer, alice, "shared");
            let id = enclosed.id;
            let records = [Record::Event(enclosed)];
            let mut draft = peer.draft(&to, MESSAGES, &records);
            draft.shared = Some((Arc::clone(&key), salt));
            let receipt = stage.ask(peer, draft).await?;
            must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
            peer.advance(MESSAGES, &records);
            stage.arrived(alice, &peer.account(), id).await?;
        }
    }
    Ok(())
}

async fn contents(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let event = stage.event(peer, alice, "héllo");
    let enclosed = stage.enclose(peer, &event);
    let id = enclosed.id;
    stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    let got = stage.arrived(alice, &peer.account(), id).await?;
    let content = got.get("content").cloned().unwrap_or_default();
    must_be(
        "content",
        &content,
        &json!({"type": "encrypted", "encrypted": true, "body": "héllo"}),
    )?;
    must_be("stamp", &Some(crate::verdict::stamp(&got, "stamp")?), &event.stamp)?;
    must_be("origin_number", &Some(number(&got, "origin_number")?), &event.origin_number)?;
    must_be("timestamp", &Some(number(&got, "timestamp")?), &event.client_time)?;
    must_be("server_timestamp", &Some(number(&got, "server_timestamp")?), &event.accepted_at)?;
    let conversation = direct_conversation(&peer.account(), &alice.account);
    must_be("conversation_id", &text(&got, "conversation_id")?, &conversation.as_str())
}

async fn again(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let enclosed = stage.message(peer, alice, "once");
    let id = enclosed.id;
    let records = [Record::Event(enclosed)];
    let draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    let envelope = stage.build(draft)?;
    for _ in 0..3 {
        let posted = stage.post(peer, &envelope.encode()).await?;
        let receipt = stage.receipt(peer, &envelope, posted)?;
        must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    }
    peer.advance(MESSAGES, &records);
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn same_event(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let enclosed = stage.message(peer, alice, "one event");
    let id = enclosed.id;
    let record = Record::Event(enclosed);
    let after = stage.message(peer, alice, "the next");
    let next = after.id;
    stage.send(peer, MESSAGES, std::slice::from_ref(&record)).await?;
    stage.send(peer, MESSAGES, &[record.clone(), record, Record::Event(after)]).await?;
    stage.arrived(alice, &peer.account(), next).await?;
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn gap(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let skipped = [Record::Event(stage.message(peer, alice, "skipped"))];
    let before = peer.state().stream.clone();
    peer.advance(MESSAGES, &skipped);
    let enclosed = stage.message(peer, alice, "too early");
    let id = enclosed.id;
    let draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &[Record::Event(enclosed)]);
    peer.state().stream.clone_from(&before);
    let receipt = stage.ask(peer, draft).await?;
    must_be("the outcome", &receipt.outcome, &outcome::GAP)?;
    let standing = receipt.standing.map(|(_, positions)| positions);
    must_be("the standing", &standing, &before.map(|stream| stream.positions))?;
    let found = stage.found(alice, &peer.account(), id).await?;
    must_be("messages beyond the gap", &found.len(), &0)
}

async fn question(stage: &Stage) -> Verdict {
    let peer = &stage.roles.honest;
    for lane in 1..=4 {
        let draft = peer.draft(&stage.destination(Kem::X25519)?, lane, &[]);
        let receipt = stage.ask(peer, draft).await?;
        must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
        let own = peer.state().stream.as_ref().map(|at| (at.incarnation, at.positions));
        must_be("the standing", &receipt.standing, &own)?;
    }
    Ok(())
}

async fn lanes(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    for lane in [4, MESSAGES, 4] {
        let enclosed = stage.message(peer, alice, "in a lane");
        let id = enclosed.id;
        stage.send(peer, lane, &[Record::Event(enclosed)]).await?;
        stage.arrived(alice, &peer.account(), id).await?;
    }
    question(stage).await
}

async fn void(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let at = peer.state().stream.as_ref().and_then(|at| at.positions.get(1).copied());
    let Some(at) = at else { return differs("the stream is not open") };
    let from = at.through + 1;
    let enclosed = stage.message(peer, alice, "after a void");
    let id = enclosed.id;
    let records = [Record::Void { from, to: from + 41, reason: 1 }, Record::Event(enclosed)];
    let receipt = stage.send(peer, MESSAGES, &records).await?;
    let through = receipt.standing.and_then(|(_, at)| at.get(1).map(|at| at.through));
    must_be("the position", &through, &Some(from + 42))?;
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn order(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let many: Vec<_> = (0..40).map(|n| stage.message(peer, alice, &format!("n{n}"))).collect();
    let ids: Vec<_> = many.iter().map(|one| uuid_text(one.id)).collect();
    let last = many.last().map(|one| one.id).unwrap_or_default();
    let records: Vec<_> = many.into_iter().map(Record::Event).collect();
    stage.send(peer, MESSAGES, &records).await?;
    stage.arrived(alice, &peer.account(), last).await?;
    let (messages, _) = stage.inbox(alice).await?;
    let got = messages.iter().filter_map(|one| one.get("id").and_then(Json::as_str));
    let got: Vec<_> = got.filter(|id| ids.iter().any(|one| one == id)).collect();
    must_be("the order", &got, &ids.iter().map(String::as_str).collect())
}

/// Addresses a message of the honest peer to an account that does not exist.
fn to_nobody(stage: &Stage, event: &mut Event, nobody: crate::federation::lanes::Uuid) {
    let account = format!("{}@{}", uuid_text(nobody), stage.subject.server);
    let conversation = direct_conversation(&stage.roles.honest.account(), &account);
    event.recipients = vec![nobody];
    event.conversation = Some(hex16(&conversation));
}

/// An event for each reason, with what has to be said of it.
fn rejected(stage: &Stage) -> Verdict<Vec<(Enclosed, Option<u64>)>> {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let event = |change: &dyn Fn(&mut Event)| {
        let mut event = stage.event(peer, alice, "one of many");
        change(&mut event);
        stage.enclose(peer, &event)
    };
    let raw = |bytes: &[u8]| Enclosed { event: bytes.to_vec(), ..event(&|_| {}) };
    let stranger = stage.uuid();
    Ok(vec![
        (event(&|_| {}), None),
        (event(&|event| to_nobody(stage, event, stranger)), Some(reason::UNKNOWN_RECIPIENT)),
        (event(&|event| event.expires = Some(1_700_000_000_000)), Some(reason::EXPIRED)),
        (raw(b"\xff\xff"), Some(reason::MALFORMED)),
        (event(&|_| {}), None),
        (raw(b""), Some(reason::MALFORMED)),
        (event(&|event| event.kind = 900), Some(reason::UNSUPPORTED)),
        (event(&|event| event.stamp = None), Some(reason::MALFORMED)),
        (event(&|event| event.bodies.push(Body::for_all("two"))), Some(reason::MALFORMED)),
        (event(&|event| event.bodies.clear()), Some(reason::MALFORMED)),
        (event(&|event| event.bodies = vec![Body::for_all(*b"\xff")]), Some(reason::MALFORMED)),
        (
            event(&|event| event.bodies = vec![Body::for_all("x".repeat(65_537))]),
            Some(reason::TOO_LARGE),
        ),
        (event(&|_| {}), None),
    ])
}

async fn rejections(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let cases = rejected(stage)?;
    let records: Vec<_> = cases.iter().map(|(one, _)| Record::Event(one.clone())).collect();
    let receipt = stage.send(peer, MESSAGES, &records).await?;
    for (enclosed, expected) in &cases {
        let said = receipt.rejections.iter().find(|one| one.id == enclosed.id);
        let said = said.map(|one| one.reason);
        // A zero-length event stands for one that failed, for whatever reason.
        if said != *expected && !(enclosed.event.is_empty() && said.is_some()) {
            let event = Event::read(&enclosed.event);
            return differs(format!("{event:?} is answered {said:?}, not {expected:?}"));
        }
        let found = if expected.is_none() {
            stage.arrived(alice, &peer.account(), enclosed.id).await.map(|_| 1)?
        } else {
            stage.found(alice, &peer.account(), enclosed.id).await?.len()
        };
        must_be("messages of an event", &found, &usize::from(expected.is_none()))?;
    }
    Ok(())
}

async fn rejected_again(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let mut event = stage.event(peer, alice, "to nobody");
    to_nobody(stage, &mut event, stage.uuid());
    let enclosed = stage.enclose(peer, &event);
    let records = [Record::Event(enclosed.clone())];
    let first = stage.send(peer, MESSAGES, &records).await?;
    must_be("the rejections", &first.rejections.len(), &1)?;
    // The same id, now with a recipient: it had failed.
    let mended = Enclosed { event: stage.event(peer, alice, "to alice").encode(), ..enclosed };
    let id = mended.id;
    let second = stage.send(peer, MESSAGES, &[Record::Event(mended)]).await?;
    let reason = |receipt: &crate::federation::formats::receipt::Receipt| {
        receipt.rejections.iter().map(|one| one.reason).collect::<Vec<_>>()
    };
    let found = stage.found(alice, &peer.account(), id).await?;
    must_be("messages of a failed event", &found.len(), &0)?;
    must_be("the later verdict", &reason(&second), &reason(&first))
}

async fn extensions(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let future = || {
        let deep = (0..4).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        vec![
            (1000, Value::Map(vec![(3, Value::text("later")), (900, deep)])),
            (u64::MAX, Value::Bool(true)),
        ]
    };
    let mut fields = stage.event(peer, alice, "from the future").fields();
    if let Some((17, Value::Array(bodies))) = fields.iter_mut().find(|(key, _)| *key == 17) {
        for body in bodies {
            if let Value::Map(fields) = body {
                fields.extend(future());
            }
        }
    }
    fields.extend(future());
    let event = Value::Map(fields).encode();
    let enclosed = Enclosed { id: stage.uuid(), sender: Some(peer.user), event };
    let id = enclosed.id;
    let records = [Record::Event(enclosed)];
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    draft.extra = future();
    let receipt = stage.ask(peer, draft).await?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    must_be("the rejections", &receipt.rejections, &Vec::new())?;
    peer.advance(MESSAGES, &records);
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn watermark(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.server.fresh_uuid();
    let sent = alice.post(&stage.server, &message(&id, &peer.account(), "bWFyaw==")).await?;
    let through = number(&sent, "origin_number")?;
    let received = format!("message {id}");
    stage.received(peer, &received, |one| one.id() == id).await?;
    let mark = Watermark { status: 1, through, except: Vec::new() };
    let event = Event {
        kind: 2,
        class: 2,
        bodies: vec![Body::for_all(mark.encode())],
        ..envelope_of(stage)?
    };
    stage.send(peer, RECEIPTS, &[Record::Event(stage.enclose(peer, &event))]).await?;
    let status = stage
        .status(alice, "the watermark", |status| {
            has(status, "status", "delivered") && has(status, "user", &peer.account())
        })
        .await?;
    must_be("origin", &text(&status, "origin")?, &stage.subject.server.as_str())?;
    must_be("through", &number(&status, "through")?, &through)
}

/// An event of the honest peer's user for the first local user, without a content.
pub(super) fn envelope_of(stage: &Stage) -> Verdict<Event> {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let event = stage.event(peer, alice, "");
    Ok(Event {
        stamp: None,
        origin_number: None,
        client_time: None,
        content_type: None,
        encrypted: None,
        bodies: Vec::new(),
        ..event
    })
}

async fn types(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let mut socket = alice.come_online(&stage.server).await?;
    let event = Event {
        kind: 4,
        class: 6,
        expires: None,
        bodies: vec![Body::for_all(typing(true))],
        ..envelope_of(stage)?
    };
    let records = [Record::Event(stage.enclose(peer, &event))];
    let receipt = stage.ask(peer, peer.draft(&stage.destination(Kem::XWing)?, 0, &records)).await?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    let account = peer.account();
    socket
        .expect("typing", |frame| has(frame, "status", "typing") && has(frame, "user_id", &account))
        .await?;
    // An ephemeral moves no lane.
    let draft = peer.draft(&stage.destination(Kem::XWing)?, CONTROL, &[]);
    let receipt = stage.ask(peer, draft).await?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)
}
