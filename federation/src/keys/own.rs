//! What this server signs and opens with, and what it says of itself: the key log and the document
//! (docs/spec/federation-keys.md).

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use posthouse_crypto::{
    seal::SealingKey,
    sign::{SigningKey, VerifyingKey},
};
use posthouse_protocol::{
    federation::{
        document::{SHARED_ENCAPSULATION, ServerDocument, SignedDocument},
        key_log::{self, EntryHash, KeyLogEntry, KeyLogError, SignedEntry},
        limits, version,
    },
    id::ServerName,
    time::Timestamp,
};

use crate::{inbound::SealingKeys, ports::Published};

/// How long a document holds, in milliseconds (7 days); it is made anew at half of that.
const LIFE_MS: u64 = limits::MAX_DOCUMENT_LIFE_MS;

/// The secret halves of the keys in force.
#[derive(Clone)]
pub struct Secrets {
    /// Signs envelopes, receipts, queries and the document.
    pub signing: SigningKey,
    /// Envelopes are sealed to these; the first one is preferred.
    pub sealing: Vec<SealingKey>,
}

/// Why the keys of the files are of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnKeysError {
    /// The log is not in order.
    #[error("the key log is not in order: {0}")]
    Log(#[from] KeyLogError),
    /// The log is another region's.
    #[error("the key log is that of {0}")]
    OtherServer(ServerName),
    /// The signing key is not one that the newest entry names.
    #[error("the key log's newest entry does not name the signing key of the file")]
    OtherSigningKey,
    /// The sealing keys are not those that the newest entry names.
    #[error("the key log's newest entry does not name the sealing keys of the file")]
    OtherSealingKeys,
}

/// The keys of this server, and its document, which is renewed as it ages.
pub struct OwnKeys {
    server: ServerName,
    secrets: Secrets,
    newest: SignedEntry,
    log: Bytes,
    pins: Mutex<Vec<[u8; 32]>>,
    document: Mutex<Option<(Timestamp, Bytes)>>,
}

/// The first entry of a new server's key log, signed by its signing key.
pub fn first_entry(
    server: &ServerName,
    secrets: &Secrets,
    recovery: VerifyingKey,
    now: Timestamp,
) -> SignedEntry {
    let entry = KeyLogEntry {
        server: server.clone(),
        number: 0,
        previous: None::<EntryHash>,
        at: now,
        signing: vec![secrets.signing.verifying_key()],
        next_signing: Vec::new(),
        sealing: secrets.sealing.iter().map(SealingKey::public_key).collect(),
        retired: Vec::new(),
        recovery,
    };
    SignedEntry::sign(entry, &[&secrets.signing])
}

impl OwnKeys {
    /// Holds the secrets against the log: it must be this server's, in order, and its newest entry
    /// must name exactly these keys.
    ///
    /// # Errors
    /// [`OwnKeysError`]. Keys are never made anew to get around it.
    pub fn new(
        server: ServerName,
        secrets: Secrets,
        log: &[SignedEntry],
    ) -> Result<Self, OwnKeysError> {
        if let Some(other) = log.iter().map(|one| &one.entry().server).find(|at| **at != server) {
            return Err(OwnKeysError::OtherServer(other.clone()));
        }
        key_log::follow(&server, None, log)?;
        let newest = log.last().ok_or(KeyLogError::Empty)?.clone();
        let entry = newest.entry();
        if !entry.signing.contains(&secrets.signing.verifying_key()) {
            return Err(OwnKeysError::OtherSigningKey);
        }
        let held: Vec<_> = secrets.sealing.iter().map(SealingKey::public_key).collect();
        if entry.sealing.is_empty() || !entry.sealing.iter().all(|key| held.contains(key)) {
            return Err(OwnKeysError::OtherSealingKeys);
        }
        let log = Bytes::from(key_log::encode_log(log));
        let (pins, document) = (Mutex::default(), Mutex::default());
        Ok(Self { server, secrets, newest, log, pins, document })
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.secrets.signing
    }

    /// The keys that open, those in force and retired ones.
    pub fn sealing(&self) -> SealingKeys {
        SealingKeys::new(self.secrets.sealing.iter().cloned())
    }

    /// The server.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// The certificates' keys from now on (SHA-256 of SubjectPublicKeyInfo), for the document; at
    /// most [`limits::MAX_PINS`].
    pub fn set_pins(&self, mut pins: Vec<[u8; 32]>) {
        pins.truncate(limits::MAX_PINS);
        *self.pins.lock().unwrap_or_else(PoisonError::into_inner) = pins;
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn make_document(&self, now: Timestamp) -> SignedDocument {
        let document = ServerDocument {
            server: self.server.clone(),
            issued: now,
            valid_until: now.plus_millis(LIFE_MS),
            keys: self.newest.hash(),
            pins: self.pins.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            max_envelope: u32::try_from(limits::MAX_ENVELOPE).unwrap_or(u32::MAX),
            max_records: u16::try_from(limits::MAX_RECORDS).unwrap_or(u16::MAX),
            envelope_versions: version::ENVELOPES.to_vec(),
            payload_versions: vec![version::PAYLOAD],
            features: vec![SHARED_ENCAPSULATION.to_owned()],
        };
        SignedDocument::sign(document, self.newest.clone(), &self.secrets.signing)
    }
}

impl Published for OwnKeys {
    /// It is made anew once half of its life is over, or if the clock was set back before it was made.
    fn document(&self, now: Timestamp) -> Bytes {
        let mut kept = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((issued, bytes)) = kept.as_ref()
            && (*issued..issued.plus_millis(LIFE_MS / 2)).contains(&now)
        {
            return bytes.clone();
        }
        let bytes = Bytes::from(self.make_document(now).encode());
        *kept = Some((now, bytes.clone()));
        bytes
    }

    fn key_log(&self) -> Bytes {
        self.log.clone()
    }
}

#[cfg(test)]
mod tests {
    use posthouse_crypto::seal::Encapsulation;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn secrets(seed: u64) -> Secrets {
        let mut rng = StdRng::seed_from_u64(seed);
        let sealing = [Encapsulation::XWing, Encapsulation::X25519];
        Secrets {
            signing: SigningKey::generate(&mut rng),
            sealing: sealing.map(|kind| SealingKey::generate(kind, &mut rng)).to_vec(),
        }
    }

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    fn log(secrets: &Secrets) -> Vec<SignedEntry> {
        let recovery = SigningKey::from_seed(&[9; 32]).verifying_key();
        vec![first_entry(&name("north.test"), secrets, recovery, NOW)]
    }

    #[test]
    fn a_document_is_believed_and_renewed_at_half_its_life() {
        let secrets = secrets(1);
        let keys = OwnKeys::new(name("north.test"), secrets.clone(), &log(&secrets)).unwrap();
        let first = keys.document(NOW);
        let document = SignedDocument::decode(&first).unwrap();
        let verified = document.verify(&name("north.test"), None).unwrap();
        assert_eq!(verified.head().entry().signing, [secrets.signing.verifying_key()]);
        assert_eq!(keys.document(NOW.plus_millis(LIFE_MS / 2 - 1)), first);
        let second = keys.document(NOW.plus_millis(LIFE_MS / 2));
        assert_ne!(second, first);
        let second = SignedDocument::decode(&second).unwrap();
        assert!(second.verify(&name("north.test"), Some(verified.head())).is_ok());
        let earlier = keys.document(NOW);
        assert_eq!(
            SignedDocument::decode(&earlier).unwrap().entry(),
            document_entry(&log(&secrets))
        );
    }

    fn document_entry(log: &[SignedEntry]) -> &SignedEntry {
        log.first().unwrap()
    }

    #[test]
    fn keys_that_the_log_does_not_name_are_refused() {
        let (ours, others) = (secrets(1), secrets(2));
        let server = name("north.test");
        let with = |secrets: Secrets| OwnKeys::new(server.clone(), secrets, &log(&ours)).err();
        let signing = Secrets { signing: others.signing.clone(), ..ours.clone() };
        assert!(matches!(with(signing), Some(OwnKeysError::OtherSigningKey)));
        let sealing = Secrets { sealing: others.sealing, ..ours.clone() };
        assert!(matches!(with(sealing), Some(OwnKeysError::OtherSealingKeys)));
        let elsewhere = OwnKeys::new(name("south.test"), ours.clone(), &log(&ours)).err();
        assert!(matches!(elsewhere, Some(OwnKeysError::OtherServer(_))));
        let empty = OwnKeys::new(server, ours, &[]).err();
        assert!(matches!(empty, Some(OwnKeysError::Log(KeyLogError::Empty))));
    }
}
