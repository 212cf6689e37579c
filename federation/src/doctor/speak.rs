//! The stages over the connection: what the peer says of itself, and whether it can sign.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use posthouse_protocol::{
    federation::{
        document::{DocumentError, Freshness, ServerDocument, SignedDocument, VerifiedDocument},
        key_log::{KeyLogError, TrustedHead, decode_log, follow},
        keys::KeyId,
        limits,
        query::{EchoAnswer, EchoQuery, Nonce},
        refusal::{Refusal, RefusalCode},
        signed::Signed,
        version,
    },
    id::ServerName,
    time::Timestamp,
};
use rand_core::Rng;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::{DoctorParts, Finding, Notes};
use crate::{
    peer::{Exchange, Failure, Sending, exchange, open},
    ports::PostError,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// From which distance between the clocks a warning is given, in milliseconds (30 s): a tenth of
/// what ephemerals and queries bear.
const WARN_SKEW_MS: u64 = limits::FRESHNESS_MS / 10;

/// The connection to the peer.
pub(super) struct Line {
    peer: ServerName,
    sending: Sending,
    _driving: AbortOnDropHandle<()>,
}

impl Line {
    async fn open(peer: &ServerName, stream: TlsStream<TcpStream>) -> Result<Self, String> {
        let (sending, driving) = open(stream).await.map_err(|err| err.to_string())?;
        // How it ends shows in the request that is under way.
        let driving = tokio::spawn(async move { drop(driving.await) });
        let driving = AbortOnDropHandle::new(driving);
        Ok(Self { peer: peer.clone(), sending, _driving: driving })
    }

    async fn request(&mut self, request: &Exchange) -> Result<Bytes, Failure> {
        let asking = exchange(&mut self.sending, &self.peer, request);
        let late = |_| Err(Failure::Broken("the peer does not answer".to_owned()));
        timeout(PATIENCE, asking).await.unwrap_or_else(late)
    }

    async fn get(&mut self, path: &'static str, most: usize) -> Result<Bytes, Failure> {
        self.request(&Exchange { method: Method::GET, path, body: Bytes::new(), most }).await
    }
}

/// What the peer says of itself, held against what is known of it.
pub(super) async fn document(
    parts: &DoctorParts,
    peer: &ServerName,
    stream: TlsStream<TcpStream>,
) -> Finding<(Line, TrustedHead)> {
    let mut notes = Notes::default();
    let mut line = match Line::open(peer, stream).await {
        Ok(line) => line,
        Err(reason) => return unanswered(notes, &Failure::Broken(reason)),
    };
    let bytes = match line.get("/federation/v1/server", limits::MAX_DOCUMENT).await {
        Ok(bytes) => bytes,
        Err(failure) => return unanswered(notes, &failure),
    };
    let signed = match SignedDocument::decode(&bytes) {
        Ok(signed) => signed,
        Err(err) => {
            notes.fact("reason", err);
            return notes.failed("Ask the peer's operator which software answers: it is no document of a homeserver.");
        }
    };
    let known = match parts.known.head(peer).await {
        Ok(known) => known,
        Err(err) => {
            notes.fact("known_keys", format!("our store does not tell: {err}"));
            return notes
                .failed("Check our own database: without it the peer's keys cannot be compared.");
        }
    };
    let number = signed.entry().entry().number;
    notes.fact("key_log_entry", number);
    let before = known.as_ref().map(|head| head.entry().number);
    notes.fact(
        "key_log_entry_known",
        before.map_or_else(|| "none, never met".to_owned(), |number| number.to_string()),
    );
    notes.fact("keys_changed", before.is_some_and(|known| known != number));
    let verified = match verify(&mut line, peer, signed, known.as_ref()).await {
        Ok(verified) => verified,
        Err(Unbelieved::Failure(failure)) => return unanswered(notes, &failure),
        Err(Unbelieved::Document(err)) => {
            notes.fact("reason", &err);
            return notes.failed(disbelief(&err));
        }
    };
    describe(&mut notes, verified.document(), parts.clock.now());
    let versions = &verified.document().envelope_versions;
    if version::negotiate(version::ENVELOPES, versions).is_none() {
        return notes.failed("The two servers speak no common version: update the older one.");
    }
    let head = verified.head().clone();
    notes.done((line, head))
}

enum Unbelieved {
    Document(DocumentError),
    Failure(Failure),
}

/// Believes the document as first contact or successor of what is known, over the whole key log if
/// need be. Nothing of it is kept.
async fn verify(
    line: &mut Line,
    peer: &ServerName,
    signed: SignedDocument,
    known: Option<&TrustedHead>,
) -> Result<VerifiedDocument, Unbelieved> {
    match signed.clone().verify(peer, known) {
        Err(DocumentError::LogNeeded) => {}
        verified => return verified.map_err(Unbelieved::Document),
    }
    let log = line.get("/federation/v1/keylog", limits::MAX_KEY_LOG_BYTES).await;
    let log = decode_log(&log.map_err(Unbelieved::Failure)?)
        .map_err(|err| Unbelieved::Failure(Failure::Broken(err.to_string())))?;
    let keys = |err: KeyLogError| Unbelieved::Document(err.into());
    let head = follow(peer, known, &log).map_err(keys)?;
    signed.verify(peer, Some(&head)).map_err(Unbelieved::Document)
}

fn disbelief(err: &DocumentError) -> &'static str {
    match err {
        DocumentError::Keys(KeyLogError::Forked { .. } | KeyLogError::Shortened { .. }) => {
            "The peer's key log was rewritten: ask its operator, over another channel, whether the server was restored or taken over."
        }
        DocumentError::WrongServer | DocumentError::Keys(KeyLogError::WrongServer) => {
            "The host serves another server's document: ask the peer's operator to correct its configuration."
        }
        _ => {
            "The peer's document is not signed as it should be: ask its operator to renew it, and be careful until then."
        }
    }
}

fn describe(notes: &mut Notes, document: &ServerDocument, now: Timestamp) {
    notes.fact("issued", format!("{} ms", document.issued.0));
    let left = document.valid_until.0.saturating_sub(now.0) / 3_600_000;
    notes.fact("valid_for_hours", left);
    notes.fact("envelope_versions", format!("{:?}", document.envelope_versions));
    notes.fact("payload_versions", format!("{:?}", document.payload_versions));
    notes.fact("max_envelope_bytes", document.max_envelope);
    notes.fact("max_records", document.max_records);
    notes.fact("features", document.features.join(", "));
    match document.freshness(now) {
        Freshness::Fresh => {}
        Freshness::Expired => {
            notes.warn("The peer's document has expired: ask its operator why it is not renewed.");
        }
        Freshness::Future => {
            notes.warn("The peer's document comes from the future: compare both servers' clocks.");
        }
    }
}

/// There was no answer, or a refusal.
fn unanswered<T>(mut notes: Notes, failure: &Failure) -> Finding<T> {
    match failure {
        Failure::Answered(PostError::Refused(refusal)) => {
            notes.fact("refusal", refusal);
            notes.failed(refused(refusal))
        }
        Failure::Answered(PostError::Unreachable(reason)) => {
            notes.fact("reason", reason);
            notes.failed("Ask the peer's operator what listens there: it does not answer as a homeserver does.")
        }
        Failure::Answered(PostError::Unreadable(reason)) => {
            notes.fact("reason", reason);
            notes.failed("Something answers that is no homeserver, or one with a defect: ask the peer's operator what listens there.")
        }
        Failure::Answered(PostError::NoSuchName) => {
            notes.failed("The name has gone from DNS since the examination began: try again.")
        }
        Failure::Broken(reason) if reason.contains("UnsupportedCertificate") => {
            notes.fact("reason", reason);
            notes.failed("The peer does not accept our certificate for a client: it asks for the extended key usage clientAuth. Use a certificate that has it, or ask the peer's operator not to ask for it (docs/spec/federation-tls.md).")
        }
        // In TLS 1.3 a client learns only now that its certificate was refused.
        Failure::Broken(reason) if reason.contains("alert") => {
            notes.fact("reason", reason);
            notes.failed("The peer does not accept our certificate: check that it is in its time and from an authority that the peer believes.")
        }
        Failure::Broken(reason) => {
            notes.fact("reason", reason);
            notes.failed("The peer ended the connection: try again, then ask its operator whether it is overloaded.")
        }
    }
}

fn refused(refusal: &Refusal) -> &'static str {
    match refusal.code {
        RefusalCode::Denied => "The peer's operator does not federate with us: ask to be allowed.",
        RefusalCode::RateLimited | RefusalCode::Overloaded => {
            "The peer has too much to do: try again later."
        }
        RefusalCode::NotFresh => {
            "The clocks are more than five minutes apart: set both by NTP, ours first."
        }
        RefusalCode::UnknownKey => {
            "The peer does not know our signing key: check that it can reach us and fetch our document."
        }
        RefusalCode::WrongOrigin => {
            "The peer takes our certificate for another server's: check that it names our domain."
        }
        RefusalCode::BadSignature => {
            "The peer knows another key of ours: check that only one server runs with our name."
        }
        RefusalCode::WrongDestination => {
            "The host answers for another server: ask the peer's operator to correct DNS or its configuration."
        }
        _ => {
            "The peer speaks another version of the protocol: compare the versions of both servers."
        }
    }
}

/// An echo that was sent, and what came back.
pub(super) struct Asked {
    answer: Result<Signed<EchoAnswer>, Failure>,
    nonce: Nonce,
    sent: Timestamp,
    elapsed: Duration,
}

impl Asked {
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Sends the echo; the next two stages judge it.
pub(super) async fn ask(parts: &DoctorParts, line: &mut Line, rng: &mut impl Rng) -> Asked {
    let mut nonce = Nonce([0; 16]);
    rng.fill_bytes(&mut nonce.0);
    let sent = parts.clock.now();
    let query = EchoQuery {
        origin: parts.own.clone(),
        destination: line.peer.clone(),
        created: sent,
        signing_key: KeyId([0; 8]),
        question: nonce,
    };
    let body = Signed::sign(query, &parts.signing).encode().into();
    let (method, path, most) = (Method::POST, "/federation/v1/echo", limits::MAX_QUERY);
    let started = Instant::now();
    let answer = line.request(&Exchange { method, path, body, most }).await.and_then(|bytes| {
        Signed::<EchoAnswer>::decode(&bytes)
            .map_err(|err| Failure::Answered(PostError::Unreachable(err.to_string())))
    });
    Asked { answer, nonce, sent, elapsed: started.elapsed() }
}

/// How far the clocks are apart. What the peer says here is believed only after the echo.
pub(super) fn clock(asked: &Asked) -> Finding<()> {
    let mut notes = Notes::default();
    notes.fact("round_trip_ms", asked.elapsed_ms());
    let answer = match &asked.answer {
        Ok(answer) => answer.claim(),
        Err(Failure::Answered(PostError::Refused(refusal)))
            if refusal.code == RefusalCode::NotFresh =>
        {
            notes.fact("refusal", refusal);
            return notes.failed(refused(refusal));
        }
        Err(_) => {
            notes.fact("skew_ms", "not measured");
            notes.warn("See the echo: without its answer the peer's clock is not known.");
            return notes.done(());
        }
    };
    // The answer was made, for all we know, halfway.
    let middle = asked.sent.plus_millis(asked.elapsed_ms() / 2);
    let skew = i128::from(answer.created.0) - i128::from(middle.0);
    notes.fact("skew_ms", skew);
    if skew.unsigned_abs() > u128::from(WARN_SKEW_MS) {
        notes.warn(
            "Set both servers' clocks by NTP: at five minutes apart queries and typing fail.",
        );
    }
    notes.done(())
}

/// Whether the peer holds its signing key, and accepted ours.
pub(super) fn echo(
    parts: &DoctorParts,
    peer: &ServerName,
    head: &TrustedHead,
    asked: Asked,
) -> Finding<()> {
    let mut notes = Notes::default();
    let answer = match asked.answer {
        Ok(answer) => answer,
        Err(failure) => return unanswered(notes, &failure),
    };
    let id = answer.claimed_signer().1;
    notes.fact("signing_key", id);
    let Some(key) = head.entry().signing_key(id, parts.clock.now()) else {
        return notes.failed("The peer signs with a key that its document does not name: ask its operator to check its keys.");
    };
    let Ok(verified) = answer.verify(key) else {
        return notes.failed("The peer's signature is wrong: ask its operator to check its keys.");
    };
    let answer = verified.into_value();
    if answer.from != *peer || answer.to != parts.own || answer.nonce != asked.nonce {
        return notes.failed("The answer belongs to another echo: something between the servers confuses connections.");
    }
    notes.fact("signature", "good");
    notes.done(())
}
