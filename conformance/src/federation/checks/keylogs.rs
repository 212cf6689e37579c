//! Keys that change, rightly and wrongly.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::time::{Instant, sleep};

use super::{Group, checks};
use crate::{
    federation::{
        expect::is_refusal,
        formats::records::Record,
        keys::{public, signing_key_id},
        peer::{Peer, derived_key},
        refusals::UNKNOWN_KEY,
        seal::Kem,
        stage::{CONTROL, MESSAGES, Stage},
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
        "federation-keys.md §Trust", "a document whose time is over leaves the kept keys usable, and brings no others" => expired;
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
        let mut now = peer.state();
        now.published.entries = entries;
        now.published.signs_with = n;
    }
    let deadline = Instant::now() + stage.pace.minute + stage.pace.patience;
    loop {
        match arrives(stage, peer, text).await {
            Err(Failure::Differs(said)) if said.contains("unknown_key") => {
                if Instant::now() > deadline {
                    return differs(said);
                }
                sleep(Duration::from_secs(2)).await;
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

/// Envelopes that are signed by a key of another log must be refused, before and after the subject
/// has looked afresh (how often it does is its own choice), and one that is signed by the kept key
/// must not.
async fn refused(stage: &Stage, peer: &Peer, signer: SigningKey) -> Verdict {
    let before = peer.state().looks;
    let deadline = Instant::now() + stage.pace.minute;
    loop {
        let looked = peer.state().looks > before;
        let mut draft = peer.draft(&stage.destination(Kem::XWing)?, CONTROL, &[]);
        draft.header.signing_key = signing_key_id(&public(&signer));
        draft.signer = signer.clone();
        let envelope = stage.build(draft)?;
        let posted = stage.post(peer, &envelope.encode()).await?;
        let answer = posted.map_err(|cut| Failure::Differs(cut.to_string()))?;
        is_refusal(&answer, Some(&[UNKNOWN_KEY]))?;
        if looked {
            return arrives(stage, peer, "with the kept key").await;
        }
        if Instant::now() > deadline {
            return differs("the subject did not look afresh");
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn shortened(stage: &Stage) -> Verdict {
    let peer = &stage.roles.keys;
    peer.state().published.entries = 2;
    let ended = refused(stage, peer, derived_key("a key that was never published")).await;
    peer.state().published.entries = 4;
    ended
}

async fn rewritten(stage: &Stage) -> Verdict {
    let peer = &stage.roles.keys;
    {
        let mut now = peer.state();
        now.published.rewritten = true;
        now.published.entries = 4;
    }
    let stranger = derived_key(&format!("{} rewritten 3", peer.name));
    let ended = refused(stage, peer, stranger).await;
    peer.state().published.rewritten = false;
    ended
}

async fn expired(stage: &Stage) -> Verdict {
    let peer = &stage.roles.expired;
    arrives(stage, peer, "while the document is valid").await?;
    peer.state().published.expired = true;
    let ended = refused(stage, peer, derived_key("another key that was never published")).await;
    peer.state().published.expired = false;
    ended
}
