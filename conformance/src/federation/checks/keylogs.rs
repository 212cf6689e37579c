//! Keys that change, rightly and wrongly.

use tokio::time::{Instant, sleep};

use super::{Group, checks};
use crate::{
    federation::{
        expect::is_refusal,
        formats::records::Record,
        lanes::Incarnation,
        peer::{Peer, derived_key},
        refusals::{Code, DENIED, OVERLOADED, UNKNOWN_KEY},
        seal::Kem,
        stage::{CONTROL, MESSAGES, Stage, shown},
    },
    verdict::{Failure, Verdict, differs},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-keys.md §Trust", "a server that changed its key is followed" => rotated;
        "federation-keys.md §Trust", "a signature of the key that retired a moment ago counts" => retired;
        "federation-keys.md §Trust", "a log of two more entries is followed whole" => two_steps;
        "federation-keys.md §Trust", "a log that became shorter is refused, and the kept keys stay in force" => shortened;
        "federation-keys.md §Trust", "a log that differs at a known number is refused, and the kept keys stay in force" => rewritten;
        "federation-keys.md §Document", "a document whose time was over before the first contact is not believed" => expired;
    };
    Group { name: "federation: keys that change", hostile: true, checks }
}

async fn arrives(stage: &Stage, peer: &Peer, text: &str) -> Verdict {
    let alice = stage.alice()?;
    let enclosed = stage.message(peer, alice, text);
    let id = enclosed.id;
    stage.send(peer, MESSAGES, &[Record::Event(enclosed)]).await?;
    stage.arrived(alice, &peer.account(), id).await.map(drop)
}

/// Publishes `entries` and signs with key `n`. What is sent must be taken, after a while at most:
/// how often a server looks afresh is its own choice.
async fn follows(stage: &Stage, entries: usize, n: usize, text: &str) -> Verdict {
    let peer = &stage.roles.keys;
    {
        let mut state = peer.state();
        state.published.entries = entries;
        state.published.signs_with = n;
    }
    let deadline = Instant::now() + stage.pace.minute + stage.pace.patience;
    loop {
        match arrives(stage, peer, text).await {
            Err(Failure::Differs(said)) if said.contains("unknown_key") => {
                if Instant::now() > deadline {
                    return differs(said);
                }
                sleep(std::time::Duration::from_secs(2)).await;
            }
            other => return other,
        }
    }
}

async fn rotated(stage: &Stage) -> Verdict {
    follows(stage, 1, 0, "with the first key").await?;
    follows(stage, 2, 1, "with the second key").await
}

async fn retired(stage: &Stage) -> Verdict {
    follows(stage, 2, 0, "with the retired key").await?;
    follows(stage, 2, 1, "with the second key again").await
}

async fn two_steps(stage: &Stage) -> Verdict {
    follows(stage, 4, 3, "with the fourth key").await
}

/// An envelope that is signed by a key of another log must be refused, and one that is signed by
/// the kept key must not.
async fn refused(stage: &Stage, signer: ed25519_dalek::SigningKey) -> Verdict {
    let peer = &stage.roles.keys;
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, CONTROL, &[]);
    draft.header.signing_key =
        crate::federation::keys::signing_key_id(&crate::federation::keys::public(&signer));
    draft.signer = signer;
    let envelope = stage.build(draft)?;
    let posted = stage.post(peer, &envelope.encode()).await?;
    let answer = posted.map_err(|cut| Failure::Differs(cut.to_string()))?;
    is_refusal(&answer, Some(&[UNKNOWN_KEY]))?;
    arrives(stage, peer, "with the kept key").await
}

async fn shortened(stage: &Stage) -> Verdict {
    let peer = &stage.roles.keys;
    peer.state().published.entries = 2;
    let ended = refused(stage, derived_key("a key that was never published")).await;
    peer.state().published.entries = 4;
    ended
}

async fn rewritten(stage: &Stage) -> Verdict {
    let peer = &stage.roles.keys;
    {
        let mut state = peer.state();
        state.published.rewritten = true;
        state.published.entries = 4;
    }
    let ended = refused(stage, derived_key(&format!("{} rewritten 3", peer.name))).await;
    peer.state().published.rewritten = false;
    ended
}

async fn expired(stage: &Stage) -> Verdict {
    /// Nothing says which of these it is.
    const CODES: &[Code] = &[UNKNOWN_KEY, OVERLOADED, DENIED];
    let peer = &stage.roles.expired;
    peer.begin(&stage.subject.server, Incarnation { number: 1, random: stage.uuid() });
    let envelope = stage.build(peer.draft(&stage.destination(Kem::XWing)?, CONTROL, &[]))?;
    let caller = stage.caller(peer, None)?;
    let request = crate::federation::caller::Request::post(
        crate::federation::stage::ENVELOPES,
        envelope.encode(),
    );
    let answer = caller.send(&request).await.map_err(|cut| Failure::Differs(cut.to_string()))?;
    if answer.status == 200 {
        return differs(format!("it is answered {}", shown(&answer)));
    }
    is_refusal(&answer, Some(CODES))
}
