//! `POST /federation/v1/query/resolve`, `profile`, `devices` and `bundle`, and
//! `POST /federation/v1/echo` (docs/spec/federation.md, "Queries"), apart from HTTP.

use posthouse_protocol::{
    federation::{
        cbor::Fault,
        key_log::TrustedHead,
        limits::FRESHNESS_MS,
        query::{
            EchoAnswer, EchoQuery, ProfileAnswer, ProfileQuery, Query, Question, ResolveAnswer,
            ResolveQuery,
            groups::GroupQuestion,
            keys::{BundlesOf, DevicesOf},
        },
        refusal::{Refusal, RefusalCode},
        signed::Signed,
    },
    time::Timestamp,
};

use super::Parts;
use crate::{inbound::without_keys, ports::Unanswered, tls::PeerNames};

/// For how long the holder of a handle may be remembered, in seconds.
const REMEMBER_HELD: u32 = 300;
/// For how long it may be remembered that nobody has a handle, in seconds.
const REMEMBER_FREE: u32 = 30;

/// Who has a handle.
pub(super) async fn resolve(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: ResolveQuery = check(body, peer, parts, now).await?;
    let account = parts.handles.account(&query.question).await.map_err(|err| busy(&err))?;
    let remember_for = if account.is_some() { REMEMBER_HELD } else { REMEMBER_FREE };
    Ok(ResolveAnswer { account, remember_for }.encode())
}

/// What a profile says.
pub(super) async fn profile(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: ProfileQuery = check(body, peer, parts, now).await?;
    let found = parts.profiles.profile(query.question.0).await.map_err(|err| busy(&err))?;
    let nobody = || ProfileAnswer { remember_for: REMEMBER_FREE, ..ProfileAnswer::default() };
    Ok(found.unwrap_or_else(nobody).encode())
}

/// Which devices an account has.
pub(super) async fn devices(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: Query<DevicesOf> = check(body, peer, parts, now).await?;
    let answer = parts.user_keys.devices(query.question).await.map_err(|err| refusal(&err))?;
    Ok(answer.encode())
}

/// What sessions with an account's devices begin with.
pub(super) async fn bundles(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: Query<BundlesOf> = check(body, peer, parts, now).await?;
    let answer = parts.user_keys.bundles(&query.origin, query.question).await;
    Ok(answer.map_err(|err| refusal(&err))?.encode())
}

/// What a group's chain says, or is to say.
pub(super) async fn group(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: Query<GroupQuestion> = check(body, peer, parts, now).await?;
    let answer = parts.groups.group(&query.origin, query.question).await;
    Ok(answer.map_err(|err| refusal(&err))?.encode())
}

/// Who we are, and our time.
pub(super) async fn echo(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Vec<u8>, Refusal> {
    let query: EchoQuery = check(body, peer, parts, now).await?;
    let answer = EchoAnswer {
        from: parts.own.clone(),
        to: query.origin,
        // After the checks, which may have asked the peer for its keys.
        created: parts.clock.now(),
        signing_key: query.signing_key,
        nonce: query.question,
    };
    Ok(Signed::sign(answer, &parts.signing).encode())
}

/// Checks that a query is for us, made just now, and signed by the peer.
async fn check<Q: Question>(
    body: &[u8],
    peer: &PeerNames,
    parts: &Parts,
    now: Timestamp,
) -> Result<Query<Q>, Refusal> {
    let signed = Signed::<Query<Q>>::decode(body).map_err(|err| {
        let code = match err.fault {
            Fault::Version(_) => RefusalCode::UnsupportedVersion,
            _ => RefusalCode::Malformed,
        };
        Refusal::new(code, err.to_string())
    })?;
    let Query { origin, destination, created, signing_key, .. } = signed.claim();
    if !peer.contains(origin) {
        let detail = format!("the certificate does not prove {origin}");
        return Err(Refusal::new(RefusalCode::WrongOrigin, detail));
    }
    if *destination != parts.own {
        let detail = format!("this is {}", parts.own);
        return Err(Refusal::new(RefusalCode::WrongDestination, detail));
    }
    if created.0.abs_diff(now.0) > FRESHNESS_MS {
        let detail = format!("the time here is {} ms, the query's is {} ms", now.0, created.0);
        return Err(Refusal::new(RefusalCode::NotFresh, detail));
    }
    let find = |head: &TrustedHead| head.entry().signing_key(*signing_key, now).copied();
    let keys = |renew| async move {
        parts.keys.keys(origin, renew).await.map_err(|err| without_keys(origin, &err))
    };
    let key = match find(keys(false).await?.as_ref()) {
        Some(key) => key,
        None => find(keys(true).await?.as_ref()).ok_or_else(|| {
            let detail = format!("the key {signing_key} is not known here");
            Refusal::new(RefusalCode::UnknownKey, detail)
        })?,
    };
    let query = signed
        .verify(&key)
        .map_err(|err| Refusal::new(RefusalCode::BadSignature, err.to_string()))?
        .into_value();
    parts.contacts.heard(&query.origin);
    Ok(query)
}

fn refusal(err: &Unanswered) -> Refusal {
    match err {
        Unanswered::TooOften(seconds) => {
            let mut refusal = Refusal::new(RefusalCode::RateLimited, err.to_string());
            refusal.retry_after = Some(*seconds);
            refusal
        }
        Unanswered::Failed(_) => busy(err),
    }
}

/// A failure of ours. The log has the reason, the peer does not.
fn busy(err: &dyn std::error::Error) -> Refusal {
    tracing::warn!(error = %err, "a query could not be answered");
    let mut refusal = Refusal::new(RefusalCode::Overloaded, "try again later");
    refusal.retry_after = Some(1);
    refusal
}
