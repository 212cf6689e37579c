//! Stage 3: an envelope's body, opened and read.

use std::sync::Arc;

use posthouse_crypto::seal::{SealError, SealingKey};
use posthouse_protocol::{
    federation::{
        envelope::EnvelopeDigest,
        header::{Header, Place},
        keys::KeyId,
        record::{self, EventRecord, Record},
        refusal::{Refusal, RefusalCode},
    },
    id::ServerName,
    time::Timestamp,
};

use super::{VerifiedEnvelope, shared::SharedOpenings};
use crate::engine::receiver::{Decision, InboundStream};

/// The server's own sealing keys: those in force, and retired ones for as long as envelopes sealed
/// to them may still come. Beside them, what origins have encapsulated to them for many envelopes.
pub struct SealingKeys {
    own: Vec<(KeyId, SealingKey)>,
    shared: SharedOpenings,
}

impl SealingKeys {
    /// The keys, in any order.
    pub fn new(keys: impl IntoIterator<Item = SealingKey>) -> Self {
        let named = keys.into_iter().map(|key| (KeyId::of_sealing(&key.public_key()), key));
        Self { own: named.collect(), shared: SharedOpenings::default() }
    }

    fn get(&self, id: KeyId) -> Option<&SealingKey> {
        self.own.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }

    fn open(&self, envelope: &VerifiedEnvelope, key: &SealingKey) -> Result<Vec<u8>, SealError> {
        let (header, envelope) = (envelope.header(), envelope.envelope());
        if header.salt.is_none() {
            return envelope.open(key);
        }
        let (origin, id, encapsulated) = (&header.origin, header.sealing_key, &header.encapsulated);
        if let Some(opening) = self.shared.get(origin, id, encapsulated) {
            return envelope.open_shared(&opening);
        }
        let opening = Arc::new(envelope.share(key)?);
        let plain = envelope.open_shared(&opening)?;
        self.shared.keep(origin, id, encapsulated, opening);
        Ok(plain)
    }
}

/// An envelope whose records can be taken.
#[derive(Debug)]
pub struct OpenedEnvelope {
    header: Header,
    digest: EnvelopeDigest,
    body: OpenedBody,
}

/// What an envelope carries.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one per envelope")]
pub enum OpenedBody {
    /// Records with their place in the stream.
    Sequenced(Place, Vec<Record>),
    /// Events without a place.
    Ephemeral(Vec<EventRecord>),
}

impl OpenedEnvelope {
    /// Opens the body and reads its records.
    ///
    /// # Errors
    /// [`RefusalCode::Unopenable`] if it is sealed to a key that is not held here or was changed,
    /// [`RefusalCode::Malformed`] if the records do not fit the header.
    pub fn new(envelope: &VerifiedEnvelope, keys: &SealingKeys) -> Result<Self, Refusal> {
        let header = envelope.header().clone();
        let id = header.sealing_key;
        let key = keys.get(id).ok_or_else(|| {
            Refusal::new(RefusalCode::Unopenable, format!("the key {id} is not held here"))
        })?;
        let plain = keys
            .open(envelope, key)
            .map_err(|err| Refusal::new(RefusalCode::Unopenable, err.to_string()))?;
        let malformed = |err: posthouse_protocol::federation::cbor::CborError| {
            Refusal::new(RefusalCode::Malformed, format!("records: {err}"))
        };
        let body = match header.place.clone() {
            Some(place) => {
                let records =
                    record::decode(&plain, place.first, place.count).map_err(malformed)?;
                OpenedBody::Sequenced(place, records)
            }
            None => OpenedBody::Ephemeral(record::decode_ephemeral(&plain).map_err(malformed)?),
        };
        Ok(Self { header, digest: envelope.digest(), body })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The envelope's name, for the receipt.
    pub fn digest(&self) -> EnvelopeDigest {
        self.digest
    }

    /// The records.
    pub fn body(&self) -> &OpenedBody {
        &self.body
    }

    /// What the state of the stream makes of it; `None` for ephemerals, which have no stream.
    pub fn decide(
        &self,
        stream: &InboundStream,
        own: &ServerName,
        now: Timestamp,
    ) -> Option<Decision> {
        let OpenedBody::Sequenced(place, records) = &self.body else { return None };
        Some(stream.decide((&self.header.origin, own), place, records, now))
    }
}
