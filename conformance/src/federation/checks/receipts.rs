//! A peer that answers wrongly: nothing may be taken for accepted, and everything goes on once the
//! peer is honest again.

use tokio::time::{Instant, sleep};

use super::{
    Group, checks,
    outgoing::{accepted_through, is_accepted},
};
use crate::{
    federation::{
        caller::Request,
        formats::records::Record,
        seal::Kem,
        site::Behaviour,
        stage::{CONTROL, ENVELOPES, MESSAGES, Stage},
    },
    person::message,
    verdict::{Failure, Verdict, differs, number},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-streams.md §Receipts", "a receipt that is signed by an unknown key counts for nothing" => forged_key;
        "federation-streams.md §Receipts", "a receipt with another key's signature counts for nothing" => forged_signature;
        "federation-streams.md §Receipts", "a receipt for another envelope counts for nothing" => other_envelope;
        "federation-streams.md §Receipts", "a receipt whose two ends are exchanged counts for nothing" => exchanged;
        "federation.md §HTTP", "an answer that is no receipt counts for nothing" => garbage;
        "federation-envelopes.md §Limits", "an answer of more than 256 KiB counts for nothing" => oversize;
        "federation.md §Refusals", "a redirection is not followed" => redirect;
        "federation-streams.md §Trying again", "an answer without an end does not stop the others" => endless;
        "federation-streams.md §Trying again", "a peer that does not answer does not stop the others" => silent;
        "federation-streams.md §The sending end", "a receipt for more than was sent is not taken for acceptance, and the stream heals" => beyond;
    };
    Group { name: "federation: a peer that answers wrongly", hostile: true, checks }
}

/// The forger answers like this: the message must not be accepted, the bystanders must be served
/// meanwhile, and the message must arrive once the forger is honest again.
async fn harmless(stage: &Stage, behaviour: Behaviour) -> Verdict {
    let (peer, alice) = (&stage.roles.forger, stage.alice()?);
    let before = {
        let mut now = peer.state();
        now.behaviour = behaviour;
        now.attempts
    };
    let id = stage.server.fresh_uuid();
    let sent = alice.post(&stage.server, &message(&id, &peer.account(), "Zm9yZ2Vk")).await?;
    let number = number(&sent, "origin_number")?;
    let ended = while_forged(stage, before, number).await;
    peer.state().behaviour = Behaviour::Honest;
    ended?;
    wakes(stage, &id).await?;
    accepted_through(stage, peer, number).await
}

async fn while_forged(stage: &Stage, before: u64, number: u64) -> Verdict {
    let (peer, alice) = (&stage.roles.forger, stage.alice()?);
    let deadline = Instant::now() + stage.pace.minute;
    while peer.state().attempts == before {
        if Instant::now() > deadline {
            return differs("the subject did not try to send");
        }
        nudge(stage).await?;
        sleep(stage.pace.harm / 4).await;
    }
    stage.bystanders().await?;
    let end = Instant::now() + stage.pace.harm;
    while Instant::now() < end {
        let (_, events) = stage.inbox(alice).await?;
        let account = peer.account();
        if events.iter().any(|status| is_accepted(status, &account, number)) {
            return differs("the sender is told `accepted`");
        }
        sleep(stage.pace.harm / 4).await;
    }
    Ok(())
}

/// Authenticated contact ends the subject's wait.
async fn nudge(stage: &Stage) -> Verdict {
    let peer = &stage.roles.forger;
    if peer.state().stream.is_none() {
        let hello = Record::Event(stage.message(peer, stage.alice()?, "hello"));
        return stage.send(peer, MESSAGES, &[hello]).await.map(drop);
    }
    let envelope = stage.build(peer.draft(&stage.destination(Kem::X25519)?, CONTROL, &[]))?;
    let caller = stage.caller(peer, None)?;
    // What it is answered is no matter here.
    let _ = caller.send(&Request::post(ENVELOPES, envelope.encode())).await;
    Ok(())
}

/// Waits until the forger, honest again, received the message.
async fn wakes(stage: &Stage, id: &str) -> Verdict {
    let peer = &stage.roles.forger;
    let started = Instant::now();
    let patience = stage.pace.minute * 3;
    loop {
        if peer.state().received.iter().any(|one| one.id() == id) {
            break;
        }
        if started.elapsed() > patience {
            return Err(Failure::Differs(format!("the message did not come in {patience:?}")));
        }
        nudge(stage).await?;
        sleep(std::time::Duration::from_secs(1)).await;
    }
    let times = peer.state().received.iter().filter(|one| one.id() == id).count();
    if times == 1 { Ok(()) } else { differs(format!("the message took effect {times} times")) }
}

async fn forged_key(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::ForgedKey).await
}

async fn forged_signature(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::ForgedSignature).await
}

async fn other_envelope(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::OtherEnvelope).await
}

async fn exchanged(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::ExchangedEnds).await
}

async fn garbage(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Garbage).await
}

async fn oversize(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Oversize).await
}

async fn redirect(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Redirect).await
}

async fn endless(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Endless).await
}

async fn silent(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Silent).await
}

async fn beyond(stage: &Stage) -> Verdict {
    harmless(stage, Behaviour::Beyond).await
}
