//! An envelope of a worker, from sealing to what its answer means.

use posthouse_protocol::{
    federation::{
        envelope::{Addressing, EnvelopeDigest},
        header::Place,
        key_log::TrustedHead,
        receipt::{SignedReceipt, VerifiedReceipt},
        refusal::{Refusal, RefusalCode},
        stream::Lane,
    },
    id::ServerName,
    status::FailReason,
};
use rand_core::CryptoRng;

use super::{WorkerParts, sealing::Sealing};
use crate::{
    engine::sender::{Answer, Signed},
    ports::{PostError, Setback},
};

/// An envelope that came to its end.
#[derive(Debug)]
pub(super) enum Landed {
    /// One with a place in the stream.
    Sequenced {
        lane: Lane,
        attempt: u64,
        answer: Answer,
        /// Why it came to nothing, if the answer is no receipt.
        setback: Option<Setback>,
        /// What it means for an event that the destination refuses alone.
        reason: FailReason,
        /// The destination did not understand it, and it shared its key with others.
        sharing_refused: bool,
    },
    /// Ephemerals; whether the peer answered.
    Ephemeral(bool),
}

/// A sealed envelope.
pub(super) struct Sealed {
    digest: EnvelopeDigest,
    bytes: Vec<u8>,
    shares: bool,
}

impl Sealed {
    /// Seals and signs; `None` if the destination has no key of use.
    pub(super) fn new(
        parts: &WorkerParts,
        sealing: &mut Sealing,
        head: &TrustedHead,
        (place, records): (Option<Place>, &[u8]),
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let destination = &head.entry().server;
        let addressing = Addressing {
            origin: parts.own.clone(),
            destination: destination.clone(),
            created: parts.clock.now(),
            place,
        };
        let shares = parts.keys.facts(destination).is_some_and(|facts| facts.shares_encapsulation);
        let to = (head.entry().preferred_sealing_key()?, shares);
        let envelope = sealing.make(addressing, records, to, &parts.signing, rng).ok()?;
        let shares = envelope.header().salt.is_some();
        Some(Self { digest: envelope.digest(), bytes: envelope.encode(), shares })
    }

    /// Posts it in its lane and waits for what comes of it.
    pub(super) async fn post(
        self,
        parts: &WorkerParts,
        destination: &ServerName,
        (lane, attempt): (Lane, u64),
    ) -> Landed {
        let posted = parts.transport.post(destination, self.bytes).await;
        let reason = match &posted {
            Err(PostError::Refused(refusal)) if refusal.code == RefusalCode::TooLarge => {
                FailReason::TooLarge
            }
            _ => FailReason::Malformed,
        };
        let malformed = |refusal: &Refusal| refusal.code == RefusalCode::Malformed;
        let (answer, setback, sharing_refused) = match posted {
            Err(PostError::Refused(refusal)) if self.shares && malformed(&refusal) => {
                let failed = Answer::Failed { retry_after_ms: None };
                (failed, Some(Setback::Refused(refusal)), true)
            }
            posted => match answer(parts, destination, self.digest, posted).await {
                Ok(receipt) => (Answer::Receipt(Box::new(receipt)), None, false),
                Err((answer, setback)) => (answer, Some(setback), false),
            },
        };
        Landed::Sequenced { lane, attempt, answer, setback, reason, sharing_refused }
    }

    /// Posts it; nobody asks what came of it, but whether the peer was there.
    pub(super) async fn post_ephemeral(
        self,
        parts: &WorkerParts,
        destination: &ServerName,
    ) -> Landed {
        let posted = parts.transport.post(destination, self.bytes).await;
        if let Err(PostError::Refused(refusal)) = &posted {
            renew_if_unopenable(parts, destination, refusal).await;
        }
        Landed::Ephemeral(matches!(posted, Ok(_) | Err(PostError::Refused(_))))
    }
}

/// What a posted envelope came to: a receipt, or what to do without one, and why there is none.
async fn answer(
    parts: &WorkerParts,
    destination: &ServerName,
    digest: EnvelopeDigest,
    posted: Result<Vec<u8>, PostError>,
) -> Result<Signed, (Answer, Setback)> {
    let failed = Answer::Failed { retry_after_ms: None };
    match posted {
        Ok(bytes) => match receipt(parts, destination, digest, &bytes).await {
            Ok(receipt) => Ok(Signed::from(&receipt)),
            Err(why) => Err((failed, Setback::NotBelieved(why))),
        },
        Err(PostError::Refused(refusal)) => {
            renew_if_unopenable(parts, destination, &refusal).await;
            Err((refused(&refusal), Setback::Refused(refusal)))
        }
        // The name was there when the peer's keys were fetched: it may come back.
        Err(err) => Err((failed, Setback::Unreachable(err.to_string()))),
    }
}

/// A peer that cannot open has other keys now; the next envelope is sealed to those. If it cannot be
/// asked, the next attempt asks again.
async fn renew_if_unopenable(parts: &WorkerParts, destination: &ServerName, refusal: &Refusal) {
    if matches!(refusal.code, RefusalCode::Unopenable | RefusalCode::UnsupportedVersion) {
        drop(parts.keys.keys(destination, true).await);
    }
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal.code {
        RefusalCode::Malformed | RefusalCode::TooLarge => Answer::Refused,
        _ => {
            let retry_after_ms = refusal.retry_after.map(|seconds| u64::from(seconds) * 1_000);
            Answer::Failed { retry_after_ms }
        }
    }
}

/// Believes a receipt only if the destination signed it, for us, about this envelope.
async fn receipt(
    parts: &WorkerParts,
    destination: &ServerName,
    digest: EnvelopeDigest,
    bytes: &[u8],
) -> Result<VerifiedReceipt, String> {
    let signed = SignedReceipt::decode(bytes).map_err(|err| err.to_string())?;
    let (from, id) = (signed.claimed_signer().0.clone(), signed.claimed_signer().1);
    let now = parts.clock.now();
    let find = |head: &TrustedHead| head.entry().signing_key(id, now).copied();
    let keys = |renew| async move {
        parts.keys.keys(destination, renew).await.map_err(|err| err.to_string())
    };
    let key = match find(keys(false).await?.as_ref()) {
        Some(key) => key,
        None => find(keys(true).await?.as_ref())
            .ok_or_else(|| format!("the key {id} that it names is none of the peer's"))?,
    };
    let verified = signed.verify(&key).map_err(|err| err.to_string())?;
    let receipt = verified.receipt();
    if from != *destination {
        return Err(format!("it is from {from}"));
    }
    if receipt.to != parts.own {
        return Err(format!("it is for {}", receipt.to));
    }
    if receipt.answers != digest {
        return Err("it answers another envelope".to_owned());
    }
    Ok(verified)
}
