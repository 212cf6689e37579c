//! What the subject says of itself, and queries.

use super::{Group, checks};
use crate::{
    federation::{
        caller::{Answer as Http, Request},
        expect::is_refusal,
        formats::{Answer, Echo, Query},
        keys::{Document, read_log},
        peer::{Peer, parse_uuid},
        refusals,
        stage::Stage,
    },
    verdict::{Failure, Verdict, differs, must_be},
};

pub(super) fn group() -> Group {
    let checks = checks! {
        "federation-keys.md §Document", "the document is signed by a key in force of its entry, and its time is now" => document;
        "federation-keys.md §Key log", "each entry of the key log follows the one before, and the last is the document's" => log;
        "federation-keys.md §Versions", "the document lists the versions that this page describes" => versions;
        "federation-envelopes.md §Envelope", "the document offers X-Wing first, and X25519" => offers;
        "federation.md §Queries", "a handle is resolved to its account" => resolves;
        "federation.md §Queries", "a handle that nobody has is answered without an account" => resolves_nobody;
        "federation.md §Queries", "an echo is answered with the nonce, signed by the answerer" => echo;
        "federation.md §HTTP", "a connection carries several requests, one after the other" => kept;
    };
    Group { name: "federation: identity and queries", hostile: false, checks }
}

pub(super) async fn get(stage: &Stage, peer: &Peer, path: &str) -> Verdict<Vec<u8>> {
    let answer = stage.caller(peer, None)?.send(&Request::get(path)).await;
    let answer = answer.map_err(|cut| Failure::Differs(cut.to_string()))?;
    must_be("the status", &answer.status, &200)?;
    must_be("the media type", &answer.media_type.as_str(), &"application/cbor")?;
    Ok(answer.body)
}

async fn fetched(stage: &Stage) -> Verdict<Document> {
    let bytes = get(stage, &stage.roles.honest, "/federation/v1/server").await?;
    Document::read(&bytes).map_err(|err| Failure::Differs(err.to_string()))
}

async fn document(stage: &Stage) -> Verdict {
    let document = fetched(stage).await?;
    must_be("the server", &document.server, &stage.subject.server)?;
    let now = stage.now();
    if (document.issued.saturating_sub(300_000)..=document.until).contains(&now) {
        Ok(())
    } else {
        differs(format!("it is valid from {} to {}, now is {now}", document.issued, document.until))
    }
}

async fn log(stage: &Stage) -> Verdict {
    let bytes = get(stage, &stage.roles.honest, "/federation/v1/keylog").await?;
    let log = read_log(&bytes).map_err(|err| Failure::Differs(err.to_string()))?;
    must_be("the newest entry", &log.last(), &Some(&stage.subject.entry))
}

async fn versions(stage: &Stage) -> Verdict {
    let document = fetched(stage).await?;
    must_be("envelope version 1", &document.envelopes.contains(&1), &true)?;
    must_be("payload version 1", &document.payloads.contains(&1), &true)
}

async fn offers(stage: &Stage) -> Verdict {
    let document = fetched(stage).await?;
    let offered: Vec<_> = document.entry.sealing.iter().map(|(kem, _)| *kem).collect();
    must_be("the first encapsulation", &offered.first(), &Some(&0x647a))?;
    must_be("X25519", &offered.contains(&0x20), &true)
}

fn query(stage: &Stage, peer: &Peer, handle: &str) -> Query {
    Query {
        version: 1,
        origin: peer.name.clone(),
        destination: stage.subject.server.clone(),
        created: stage.now(),
        handle: handle.to_owned(),
    }
}

async fn ask(stage: &Stage, peer: &Peer, path: &str, body: Vec<u8>) -> Verdict<Http> {
    let answer = stage.caller(peer, None)?.send(&Request::post(path, body)).await;
    answer.map_err(|cut| Failure::Differs(cut.to_string()))
}

/// Asks for a handle.
async fn resolve(stage: &Stage, query: &Query) -> Verdict<Http> {
    let peer = &stage.roles.honest;
    ask(stage, peer, "/federation/v1/query/resolve", query.sign(&peer.signer())).await
}

async fn account(stage: &Stage, handle: &str) -> Verdict<Answer> {
    let answer = resolve(stage, &query(stage, &stage.roles.honest, handle)).await?;
    must_be("the status", &answer.status, &200)?;
    Answer::read(&answer.body).map_err(|err| Failure::Differs(err.to_string()))
}

async fn resolves(stage: &Stage) -> Verdict {
    let alice = stage.alice()?;
    let handle = alice.handle.split('@').next().unwrap_or_default();
    let answer = account(stage, handle).await?;
    must_be("the account", &answer.account, &Some(parse_uuid(&alice.account)))
}

async fn resolves_nobody(stage: &Stage) -> Verdict {
    must_be("the account", &account(stage, "nobody-has-this").await?.account, &None)
}

async fn echo(stage: &Stage) -> Verdict {
    let (peer, nonce) = (&stage.roles.honest, stage.uuid());
    let (origin, destination) = (peer.name.clone(), stage.subject.server.clone());
    let sent = Echo { origin, destination, created: stage.now(), nonce };
    let answer = ask(stage, peer, "/federation/v1/echo", sent.sign(&peer.signer())).await?;
    must_be("the status", &answer.status, &200)?;
    let (echo, key, is_signed_by) =
        Echo::read_answer(&answer.body).map_err(|err| Failure::Differs(err.to_string()))?;
    must_be("the nonce", &echo.nonce, &nonce)?;
    must_be("the answerer", &echo.origin, &sent.destination)?;
    must_be("the asker", &echo.destination, &sent.origin)?;
    let key = stage.subject.entry.signing_key(key, stage.now());
    must_be("a signature of the subject", &key.is_some_and(|key| is_signed_by(&key)), &true)
}

async fn kept(stage: &Stage) -> Verdict {
    let told = |cut: crate::federation::caller::Cut| Failure::Differs(cut.to_string());
    let mut line = stage.caller(&stage.roles.honest, None)?.open().await.map_err(told)?;
    for path in ["/federation/v1/server", "/federation/v1/keylog", "/federation/v1/nowhere"] {
        let answer = line.send(&Request::get(path)).await.map_err(told)?;
        if path.ends_with("nowhere") {
            is_refusal(&answer, Some(&[refusals::NOT_FOUND]))?;
        } else {
            must_be("the status", &answer.status, &200)?;
        }
    }
    Ok(())
}

/// Queries that a server must refuse, with the refusal.
pub(super) async fn bad_queries(stage: &Stage) -> Verdict {
    let peer = &stage.roles.hostile;
    let good = query(stage, peer, "alice");
    let long = 6 * 60 * 1000;
    let cases = [
        (Query { created: stage.now() - long, ..good.clone() }, refusals::NOT_FRESH),
        (Query { created: stage.now() + long, ..good.clone() }, refusals::NOT_FRESH),
        (
            Query { destination: "elsewhere.test".into(), ..good.clone() },
            refusals::WRONG_DESTINATION,
        ),
        (Query { origin: stage.roles.honest.name.clone(), ..good.clone() }, refusals::WRONG_ORIGIN),
        (Query { version: 2, ..good.clone() }, refusals::UNSUPPORTED_VERSION),
    ];
    let path = "/federation/v1/query/resolve";
    for (query, code) in cases {
        let answer = ask(stage, peer, path, query.sign(&peer.signer())).await?;
        is_refusal(&answer, Some(&[code]))?;
    }
    let stranger = crate::federation::peer::derived_key("stranger");
    let answer = ask(stage, peer, path, good.sign(&stranger)).await?;
    is_refusal(&answer, Some(&[refusals::UNKNOWN_KEY]))?;
    let mut flipped = good.sign(&peer.signer());
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    is_refusal(&ask(stage, peer, path, flipped).await?, Some(&[refusals::BAD_SIGNATURE]))?;
    let large = ask(stage, peer, path, vec![0; 64 * 1024 + 1]).await?;
    is_refusal(&large, Some(&[refusals::TOO_LARGE]))
}
