//! Hostile streams: other histories, other lives.

use tokio::time::{Instant, sleep};

use super::{Group, checks};
use crate::{
    federation::{
        expect::Expect,
        formats::{
            receipt::{Receipt, outcome},
            records::Record,
        },
        lanes::{Incarnation, starts},
        peer::{Draft, Peer, Stream, uuid_text},
        receiving::nonsense,
        refusals::REPLAYED,
        seal::Kem,
        stage::{CONTROL, MESSAGES, Stage},
    },
    verdict::{Failure, Verdict, differs, must_be},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-envelopes.md §Encoding", "a sender is always one of the envelope's origin, whatever UUID it has" => borrowed_sender;
        "federation-streams.md §Running hash", "events that came exchange their places, and the history diverges" => reordered;
        "federation-streams.md §Running hash", "an event that came is exchanged for another, and the history diverges" => rewritten;
        "federation-streams.md §Running hash", "a running hash that is none diverges" => wrong_hash;
        "federation-streams.md §The receiving end", "a void over what came diverges" => straddling;
        "federation-streams.md §The receiving end", "an old envelope that is replayed later changes nothing" => replayed;
        "federation-streams.md §The receiving end", "the same incarnation with another random part is a conflict" => conflict;
        "federation-streams.md §The receiving end", "an incarnation that resumes what was never reached is behind" => behind;
        "federation-streams.md §The receiving end", "an incarnation that starts in the middle is a gap" => middle;
        "federation-streams.md §Incarnations", "a second incarnation within a minute is too soon" => too_soon;
        "federation-streams.md §Incarnations", "after a minute an incarnation that resumes is taken up, and nothing is there twice" => resumed;
        "federation-streams.md §The receiving end", "a lower incarnation is stale for ever" => stale;
        "federation-envelopes.md §Ephemerals", "an ephemeral that comes twice is refused" => replayed_ephemeral;
    };
    Group { name: "federation: hostile streams", hostile: true, checks }
}

/// The hostile peer with a stream of which something was taken, and that stream.
async fn opened(stage: &Stage) -> Verdict<(&Peer, Stream)> {
    let peer = &stage.roles.hostile;
    let enclosed = stage.message(peer, stage.alice()?, "in order");
    stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    match peer.state().stream.clone() {
        Some(stream) => Ok((peer, stream)),
        None => differs("the stream is not open"),
    }
}

fn one(stage: &Stage, text: &str) -> Verdict<Record> {
    Ok(Record::Event(stage.message(&stage.roles.hostile, stage.alice()?, text)))
}

/// Posts a draft of the hostile peer; its receipt must have this outcome.
async fn answered(stage: &Stage, draft: Draft, expected: u64) -> Verdict<Receipt> {
    let receipt = stage.ask(&stage.roles.hostile, draft).await?;
    must_be("the outcome", &receipt.outcome, &expected)?;
    Ok(receipt)
}

async fn borrowed_sender(stage: &Stage) -> Verdict {
    let (alice, bob, peer) = (stage.alice()?, stage.bob()?, &stage.roles.hostile);
    let mut enclosed = stage.message(peer, alice, "I am Bob");
    let sender = crate::federation::peer::parse_uuid(&bob.account);
    enclosed.sender = Some(sender);
    let account = format!("{}@{}", uuid_text(sender), peer.name);
    let conversation = crate::identifiers::direct_conversation(&account, &alice.account);
    let mut event = stage.event(peer, alice, "I am Bob");
    event.conversation = Some(crate::federation::stage::hex16(&conversation));
    enclosed.event = event.encode();
    let id = enclosed.id;
    stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    stage.arrived(alice, &account, id).await?;
    let of_bob = stage.found(alice, &bob.account, id).await?;
    must_be("messages under the local user's name", &of_bob.len(), &0)
}

/// Sends two events, then tries `again` over the same two places and one more.
async fn second_history(
    stage: &Stage,
    again: impl FnOnce([Record; 2], Record) -> Vec<Record>,
) -> Verdict {
    let (peer, before) = opened(stage).await?;
    let first = [one(stage, "first")?, one(stage, "second")?];
    stage.send(peer, MESSAGES, &first).await?;
    let after = peer.state().stream.clone();
    peer.state().stream = Some(before);
    let records = again(first, one(stage, "must not arrive")?);
    let draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    peer.state().stream.clone_from(&after);
    let receipt = answered(stage, draft, outcome::DIVERGED).await?;
    let own = after.map(|stream| (stream.incarnation, stream.positions));
    must_be("the standing", &receipt.standing, &own)
}

async fn reordered(stage: &Stage) -> Verdict {
    second_history(stage, |[first, second], third| vec![second, first, third]).await
}

async fn rewritten(stage: &Stage) -> Verdict {
    let other = one(stage, "exchanged")?;
    second_history(stage, |[first, _], third| vec![first, other, third]).await
}

async fn wrong_hash(stage: &Stage) -> Verdict {
    let (peer, _) = opened(stage).await?;
    let records = [one(stage, "must not arrive")?];
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    if let Some(place) = &mut draft.header.place {
        place.before = nonsense("before");
    }
    answered(stage, draft, outcome::DIVERGED).await.map(drop)
}

async fn straddling(stage: &Stage) -> Verdict {
    let (peer, stream) = opened(stage).await?;
    let from = stream.positions.get(1).map_or(1, |at| at.through);
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &[]);
    // From the last event that was taken to far beyond.
    let void = Record::Void { from, to: from + 50, reason: 1 };
    draft.records = crate::federation::formats::records::write(&[void]);
    if let Some(place) = &mut draft.header.place {
        (place.first, place.count) = (from, 51);
    }
    answered(stage, draft, outcome::DIVERGED).await.map(drop)
}

async fn replayed(stage: &Stage) -> Verdict {
    let (peer, _) = opened(stage).await?;
    let alice = stage.alice()?;
    let enclosed = stage.message(peer, alice, "replayed");
    let id = enclosed.id;
    let records = [Record::Event(enclosed)];
    let draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    let envelope = stage.build(draft)?;
    peer.advance(MESSAGES, &records);
    for round in 0..4 {
        let posted = stage.post(peer, &envelope.encode()).await?;
        let receipt = stage.receipt(peer, &envelope, posted)?;
        must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
        let own = peer.state().stream.as_ref().map(|at| (at.incarnation, at.positions));
        must_be("the standing", &receipt.standing, &own)?;
        stage.send(peer, MESSAGES, &[one(stage, &format!("between {round}"))?]).await?;
    }
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn conflict(stage: &Stage) -> Verdict {
    let (peer, stream) = opened(stage).await?;
    let twin = Incarnation { random: stage.uuid(), ..stream.incarnation };
    peer.begin(&stage.subject.server, twin);
    let records = [one(stage, "from a twin")?];
    let draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, &records);
    peer.state().stream = Some(stream.clone());
    let receipt = answered(stage, draft, outcome::CONFLICT).await?;
    let standing = receipt.standing.map(|(incarnation, _)| incarnation);
    must_be("the standing", &standing, &Some(stream.incarnation))
}

/// A draft at the start of the next incarnation, which resumes `resumes`.
fn next(
    stage: &Stage,
    stream: &Stream,
    resumes: Option<Stream>,
    records: &[Record],
) -> Verdict<(Draft, Incarnation)> {
    let peer = &stage.roles.hostile;
    let number = stream.incarnation.number + 1;
    let incarnation = Incarnation { number, random: stage.uuid() };
    peer.begin(&stage.subject.server, incarnation);
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, records);
    peer.state().stream = Some(stream.clone());
    if let Some(place) = &mut draft.header.place {
        place.resumes = resumes.map(|stream| (stream.incarnation, stream.positions));
    }
    Ok((draft, incarnation))
}

async fn behind(stage: &Stage) -> Verdict {
    let (_, stream) = opened(stage).await?;
    let mut ahead = stream.clone();
    if let Some(at) = ahead.positions.get_mut(3) {
        at.through += 7;
    }
    let mut other = stream.clone();
    if let Some(at) = other.positions.get_mut(1) {
        at.hash = nonsense("resumed");
    }
    let life = Incarnation { random: stage.uuid(), ..stream.incarnation };
    let unknown = Stream { incarnation: life, positions: stream.positions };
    for resumes in [ahead, other, unknown] {
        let (draft, _) = next(stage, &stream, Some(resumes), &[one(stage, "resumes nothing")?])?;
        let receipt = answered(stage, draft, outcome::BEHIND).await?;
        let own = Some((stream.incarnation, stream.positions));
        must_be("the standing", &receipt.standing, &own)?;
    }
    Ok(())
}

async fn middle(stage: &Stage) -> Verdict {
    let (_, stream) = opened(stage).await?;
    let (mut draft, _) = next(stage, &stream, None, &[one(stage, "in the middle")?])?;
    if let Some(place) = &mut draft.header.place {
        place.first = 5;
    }
    answered(stage, draft, outcome::GAP).await?;
    let (empty, _) = next(stage, &stream, None, &[])?;
    answered(stage, empty, outcome::GAP).await.map(drop)
}

/// Opens the next incarnation as soon as a minute is over; the stream before it.
async fn moved(stage: &Stage, resumes: bool) -> Verdict<Stream> {
    let (peer, stream) = opened(stage).await?;
    let deadline = Instant::now() + stage.pace.minute;
    loop {
        let records = [one(stage, "in the next life")?];
        let from = resumes.then(|| stream.clone());
        let (draft, incarnation) = next(stage, &stream, from, &records)?;
        let receipt = stage.ask(peer, draft).await?;
        if receipt.outcome == outcome::TOO_SOON && Instant::now() < deadline {
            sleep(std::time::Duration::from_secs(1)).await;
            continue;
        }
        must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
        peer.begin(&stage.subject.server, incarnation);
        peer.advance(MESSAGES, &records);
        let own = peer.state().stream.as_ref().map(|at| (at.incarnation, at.positions));
        must_be("the standing", &receipt.standing, &own)?;
        return Ok(stream);
    }
}

async fn too_soon(stage: &Stage) -> Verdict {
    moved(stage, false).await?;
    let Some(stream) = stage.roles.hostile.state().stream.clone() else {
        return differs("the stream is not open");
    };
    let (draft, _) = next(stage, &stream, None, &[one(stage, "too soon")?])?;
    let receipt = answered(stage, draft, outcome::TOO_SOON).await?;
    must_be("the standing", &receipt.standing, &Some((stream.incarnation, stream.positions)))
}

async fn resumed(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.hostile, stage.alice()?);
    let enclosed = stage.message(peer, alice, "in two lives");
    let id = enclosed.id;
    let record = Record::Event(enclosed);
    stage.send(peer, MESSAGES, std::slice::from_ref(&record)).await?;
    moved(stage, true).await?;
    let after = stage.message(peer, alice, "after it");
    let last = after.id;
    stage.send(peer, MESSAGES, &[record, Record::Event(after)]).await?;
    stage.arrived(alice, &peer.account(), last).await?;
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

async fn stale(stage: &Stage) -> Verdict {
    let (peer, stream) = opened(stage).await?;
    if stream.incarnation.number < 2 {
        return Err(Failure::Lacks("an earlier incarnation".into()));
    }
    let number = stream.incarnation.number - 1;
    for lane in [CONTROL, MESSAGES] {
        let old = Incarnation { number, random: stage.uuid() };
        let positions = starts(&peer.name, &stage.subject.server, old);
        peer.state().stream = Some(Stream { incarnation: old, positions });
        let records = [one(stage, "from an earlier life")?];
        let draft = peer.draft(&stage.destination(Kem::XWing)?, lane, &records);
        peer.state().stream = Some(stream.clone());
        answered(stage, draft, outcome::STALE).await?;
    }
    Ok(())
}

async fn replayed_ephemeral(stage: &Stage) -> Verdict {
    let peer = &stage.roles.hostile;
    let envelope = stage.build(peer.draft(&stage.destination(Kem::XWing)?, 0, &[]))?;
    let posted = stage.post(peer, &envelope.encode()).await?;
    let receipt = stage.receipt(peer, &envelope, posted)?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    let posted = stage.post(peer, &envelope.encode()).await?;
    Expect::Refused(&[REPLAYED]).holds(stage, peer, None, posted)
}
