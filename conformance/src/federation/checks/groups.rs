//! What a region answers about groups that are none of the asker's. Epochs are signed by people,
//! whose keys this suite does not make: what follows from a chain is for clients to check.

use super::{Group, checks};
use crate::{
    federation::{
        caller::Request,
        formats::{
            GroupAct, GroupAnswer, GroupQuery,
            event::Event,
            receipt::{outcome, reason},
            records::Record,
        },
        lanes::Uuid,
        peer::{Peer, uuid_text},
        stage::{Stage, hex16},
    },
    identifiers::group_conversation,
    verdict::{Failure, Verdict, must_be},
};

/// The lane of messages.
const MESSAGES: u64 = 2;
const NOTHING: u64 = 1;
const REFUSED: u64 = 3;

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation.md §Queries", "of a group that it does not know, a region tells nothing" => nothing;
        "federation.md §Queries", "a guess at the code of a link is answered like a group that does not exist" => guess;
        "federation.md §Queries", "what is no epoch is neither taken from who pushes nor from who submits it" => garbage;
        "federation-envelopes.md §Groups", "a message to a group that the destination does not know is rejected" => message;
    };
    Group { name: "federation: groups", hostile: false, checks }
}

fn named(stage: &Stage, id: Uuid) -> String {
    format!("g.{}@{}", uuid_text(id), stage.subject.server)
}

async fn ask(stage: &Stage, peer: &Peer, group: &str, act: GroupAct) -> Verdict<GroupAnswer> {
    let query = GroupQuery {
        origin: peer.name.clone(),
        destination: stage.subject.server.clone(),
        created: stage.now(),
        group: group.to_owned(),
        act,
    };
    let request = Request::post("/federation/v1/query/group", query.sign(&peer.signer()));
    let answer = stage.caller(peer, None)?.send(&request).await;
    let answer = answer.map_err(|cut| Failure::Differs(cut.to_string()))?;
    must_be("the status", &answer.status, &200)?;
    GroupAnswer::read(&answer.body).map_err(|err| Failure::Differs(err.to_string()))
}

/// An answer that shows nothing.
fn shows_nothing(answer: &GroupAnswer) -> Verdict {
    must_be("the outcome", &answer.outcome, &NOTHING)?;
    must_be("the head", &answer.head, &None)?;
    must_be("the epochs", &answer.epochs.len(), &0)
}

async fn nothing(stage: &Stage) -> Verdict {
    let group = named(stage, stage.uuid());
    shows_nothing(&ask(stage, &stage.roles.honest, &group, GroupAct::Pull(1)).await?)
}

async fn guess(stage: &Stage) -> Verdict {
    let (peer, group) = (&stage.roles.honest, named(stage, stage.uuid()));
    shows_nothing(&ask(stage, peer, &group, GroupAct::Join(peer.user, [7; 32])).await?)
}

async fn garbage(stage: &Stage) -> Verdict {
    let peer = &stage.roles.hostile;
    let group = format!("g.{}@{}", uuid_text(stage.uuid()), peer.name);
    let epoch = b"no epoch".to_vec();
    for act in [GroupAct::Push(vec![epoch.clone()]), GroupAct::Submit(epoch)] {
        let answer = ask(stage, peer, &group, act).await?;
        must_be("the outcome", &answer.outcome, &REFUSED)?;
        must_be("the reason", &answer.reason.as_deref(), &Some("bad_request"))?;
    }
    Ok(())
}

async fn message(stage: &Stage) -> Verdict {
    let (peer, alice) = (&stage.roles.honest, stage.alice()?);
    let id = stage.uuid();
    let group = named(stage, id);
    let to_group = |conversation| Event {
        conversation: Some(conversation),
        group: Some(group.clone()),
        epoch: Some(1),
        recipients: Vec::new(),
        ..stage.event(peer, alice, "to a group")
    };
    let unknown = stage.enclose(peer, &to_group(hex16(&group_conversation(&group))));
    let other = stage.enclose(peer, &to_group(id));
    let records = [Record::Event(unknown.clone()), Record::Event(other.clone())];
    let receipt = stage.send(peer, MESSAGES, &records).await?;
    must_be("the outcome", &receipt.outcome, &outcome::ACCEPTED)?;
    let said = |id: Uuid| receipt.rejections.iter().find(|one| one.id == id).map(|one| one.reason);
    must_be("the reason", &said(unknown.id), &Some(reason::UNKNOWN_RECIPIENT))?;
    must_be("the reason of another conversation", &said(other.id), &Some(reason::MALFORMED))
}
