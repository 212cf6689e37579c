//! Stage 2: an envelope is for this server, in a version that it speaks, and signed by its origin.

use posthouse_protocol::{
    federation::{
        envelope::{Envelope, EnvelopeDigest},
        header::Header,
        key_log::KeyLogEntry,
        refusal::{Refusal, RefusalCode},
        version,
    },
    id::ServerName,
    time::Timestamp,
};

use super::AuthenticatedEnvelope;

/// An envelope whose origin signed it, for this server.
#[derive(Debug)]
pub struct VerifiedEnvelope(Envelope);

impl VerifiedEnvelope {
    /// Checks destination, version and signature. `keys` is the newest entry that is known of the
    /// origin's key log; after [`RefusalCode::UnknownKey`] the caller looks once whether there is a
    /// newer one, which is why the envelope comes back with it.
    ///
    /// # Errors
    /// [`RefusalCode::WrongDestination`], [`RefusalCode::UnsupportedVersion`],
    /// [`RefusalCode::UnknownKey`] or [`RefusalCode::BadSignature`].
    pub fn new(
        envelope: AuthenticatedEnvelope,
        own: &ServerName,
        keys: &KeyLogEntry,
        now: Timestamp,
    ) -> Result<Self, (Refusal, Box<AuthenticatedEnvelope>)> {
        match check(&envelope, own, keys, now) {
            Ok(()) => Ok(Self(envelope.into_inner())),
            Err(refusal) => Err((refusal, Box::new(envelope))),
        }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.0.header()
    }

    /// The envelope's name.
    pub fn digest(&self) -> EnvelopeDigest {
        self.0.digest()
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.0
    }
}

fn check(
    envelope: &AuthenticatedEnvelope,
    own: &ServerName,
    keys: &KeyLogEntry,
    now: Timestamp,
) -> Result<(), Refusal> {
    let header = envelope.header();
    if header.destination != *own {
        let detail = format!("this is {own}");
        return Err(Refusal::new(RefusalCode::WrongDestination, detail));
    }
    if !version::ENVELOPES.contains(&header.version) {
        let detail = format!("envelope versions spoken here: {:?}", version::ENVELOPES);
        return Err(Refusal::new(RefusalCode::UnsupportedVersion, detail));
    }
    let id = header.signing_key;
    let key = keys.signing_key(id, now).filter(|_| keys.server == header.origin);
    let key = key.ok_or_else(|| {
        Refusal::new(RefusalCode::UnknownKey, format!("the key {id} is not known here"))
    })?;
    envelope
        .check_signature(key)
        .map_err(|err| Refusal::new(RefusalCode::BadSignature, err.to_string()))
}
