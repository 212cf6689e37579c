//! Stage 1: the peer that sends an envelope is its origin.

use posthouse_crypto::sign::{KeyError, VerifyingKey};
use posthouse_protocol::federation::{
    envelope::Envelope,
    header::Header,
    refusal::{Refusal, RefusalCode},
};

use crate::tls::PeerNames;

/// An envelope that came from its origin, as the certificate of the connection proves.
#[derive(Debug)]
pub struct AuthenticatedEnvelope(Envelope);

impl AuthenticatedEnvelope {
    /// Parses what a peer posted and holds its origin against the peer's certificate.
    ///
    /// # Errors
    /// [`RefusalCode::TooLarge`], [`RefusalCode::Malformed`] or [`RefusalCode::WrongOrigin`].
    pub fn new(body: &[u8], peer: &PeerNames) -> Result<Self, Refusal> {
        if body.len() > posthouse_protocol::federation::limits::MAX_ENVELOPE {
            return Err(Refusal::new(RefusalCode::TooLarge, "an envelope has at most 4 MiB"));
        }
        let envelope = Envelope::decode(body)
            .map_err(|err| Refusal::new(RefusalCode::Malformed, err.to_string()))?;
        let origin = &envelope.header().origin;
        if !peer.contains(origin) {
            let detail = format!("the certificate does not prove {origin}");
            return Err(Refusal::new(RefusalCode::WrongOrigin, detail));
        }
        Ok(Self(envelope))
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.0.header()
    }

    pub(super) fn check_signature(&self, key: &VerifyingKey) -> Result<(), KeyError> {
        self.0.check_signature(key)
    }

    pub(super) fn into_inner(self) -> Envelope {
        self.0
    }
}
