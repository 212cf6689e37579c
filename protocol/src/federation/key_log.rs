//! The key log: every set of keys that a server ever had, each signed by the one before
//! (docs/spec/federation-keys.md).
//!
//! ```text
//! signed entry = [ entry: bstr, signatures: [ 1*4 [ key id: bstr (8), signature: bstr (64) ] ] ]
//! signature    = Ed25519 over "posthouse key log v1" ‖ 00 ‖ entry
//! entry hash   = SHA-256("posthouse key log entry v1" ‖ 00 ‖ entry)
//! key log      = [ 1*1040 signed entry ]                                      the oldest first
//! ```

use core::fmt;

use posthouse_crypto::{
    seal::{Encapsulation, SealingPublicKey},
    sign::{SIGNATURE_LEN, SigningKey, VerifyingKey},
};
use sha2::{Digest, Sha256};

use super::{
    cbor::{CborError, Fault, Fields, Reader, Writer},
    header::read_server,
    keys::KeyId,
    limits,
};
use crate::{id::ServerName, limits as client_limits, time::Timestamp};

const LABEL: &[u8] = b"posthouse key log v1\0";
const HASH_LABEL: &[u8] = b"posthouse key log entry v1\0";
/// Most signatures on an entry.
const MAX_SIGNATURES: usize = 4;
/// How long a retired key still counts, in milliseconds: the longest queue time and a week more.
pub const RETIRED_LIFE_MS: u64 = client_limits::RETENTION_MS + 7 * 24 * 3_600_000;

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryHash(pub [u8; 32]);

/// A server's keys, from one change to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLogEntry {
    /// Whose keys.
    pub server: ServerName,
    /// The entry's number; the first is 0.
    pub number: u64,
    /// The entry before; `None` for the first.
    pub previous: Option<EntryHash>,
    /// When it was made.
    pub at: Timestamp,
    /// Keys that sign now; 1 to [`limits::MAX_KEYS`].
    pub signing: Vec<VerifyingKey>,
    /// Keys that will sign after the next change, published ahead of it.
    pub next_signing: Vec<VerifyingKey>,
    /// Keys to seal to, the preferred one first.
    pub sealing: Vec<SealingPublicKey>,
    /// Signing keys that sign no more.
    pub retired: Vec<RetiredKey>,
    /// The key, kept offline, that can sign a change when all others are lost.
    pub recovery: VerifyingKey,
}

/// A signing key that signs no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetiredKey {
    /// The key.
    pub key: VerifyingKey,
    /// When it stopped.
    pub ended: Timestamp,
}

impl KeyLogEntry {
    /// The key with this id, if what it signed still counts at `now`: a present key, the next one,
    /// or one that was retired less than [`RETIRED_LIFE_MS`] ago.
    pub fn signing_key(&self, id: KeyId, now: Timestamp) -> Option<&VerifyingKey> {
        let retired =
            self.retired.iter().filter(|old| now < old.ended.plus_millis(RETIRED_LIFE_MS));
        let present = self.signing.iter().chain(&self.next_signing);
        present.chain(retired.map(|old| &old.key)).find(|key| KeyId::of_signing(key) == id)
    }

    /// The key to seal to: the first one.
    pub fn preferred_sealing_key(&self) -> Option<&SealingPublicKey> {
        self.sealing.first()
    }

    fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).text(self.server.as_str());
        fields.key(2).uint(self.number);
        if let Some(previous) = &self.previous {
            fields.key(3).bytes(&previous.0);
        }
        fields.key(4).uint(self.at.0);
        for (key, list) in [(5, &self.signing), (6, &self.next_signing)] {
            let writer = fields.key(key).array(list.len());
            for one in list {
                writer.bytes(&one.to_bytes());
            }
        }
        let sealing = fields.key(7).array(self.sealing.len());
        for key in &self.sealing {
            sealing.array(2).uint(key.encapsulation().id().into()).bytes(&key.to_bytes());
        }
        let retired = fields.key(8).array(self.retired.len());
        for old in &self.retired {
            retired.array(2).bytes(&old.key.to_bytes()).uint(old.ended.0);
        }
        fields.key(9).bytes(&self.recovery.to_bytes());
        fields.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        let mut raw = Raw::default();
        reader.map(|reader, key| raw.field(reader, key))?;
        let entry = raw.check(&reader)?;
        reader.finish()?;
        Ok(entry)
    }
}

/// An entry with its signatures, none of which has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedEntry {
    entry: KeyLogEntry,
    bytes: Vec<u8>,
    signatures: Vec<(KeyId, [u8; SIGNATURE_LEN])>,
}

impl SignedEntry {
    /// Signs an entry with each of `keys`: one of its own, and one that the entry before names.
    pub fn sign(entry: KeyLogEntry, keys: &[&SigningKey]) -> Self {
        let bytes = entry.encode();
        let text = signed_text(&bytes);
        let sign = |key: &&SigningKey| (KeyId::of_signing(&key.verifying_key()), key.sign(&text));
        Self { entry, signatures: keys.iter().map(sign).collect(), bytes }
    }

    /// The entry: claims, until [`follow`] has checked it.
    pub fn entry(&self) -> &KeyLogEntry {
        &self.entry
    }

    /// The entry's name.
    pub fn hash(&self) -> EntryHash {
        EntryHash(Sha256::new_with_prefix(HASH_LABEL).chain_update(&self.bytes).finalize().into())
    }

    /// Writes the signed entry.
    pub fn write(&self, writer: &mut Writer) {
        writer.array(2).bytes(&self.bytes).array(self.signatures.len());
        for (id, signature) in &self.signatures {
            writer.array(2).bytes(&id.0).bytes(signature);
        }
    }

    /// Reads a signed entry.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(2)?;
        let bytes = reader.bytes(limits::MAX_DOCUMENT)?;
        let entry = KeyLogEntry::decode(bytes)?;
        let signatures = reader.list(MAX_SIGNATURES, |reader| {
            reader.array_of(2)?;
            Ok((KeyId(reader.fixed()?), reader.fixed()?))
        })?;
        Ok(Self { entry, bytes: bytes.to_vec(), signatures })
    }

    fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let id = KeyId::of_signing(key);
        let text = signed_text(&self.bytes);
        self.signatures
            .iter()
            .any(|(signer, signature)| *signer == id && key.verify(&text, signature).is_ok())
    }
}

impl fmt::Debug for SignedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedEntry").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// The newest entry of a log that was checked. What a peer keeps, for ever, of a server it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHead(SignedEntry);

impl TrustedHead {
    /// The keys in force.
    pub fn entry(&self) -> &KeyLogEntry {
        &self.0.entry
    }

    /// The entry's name.
    pub fn hash(&self) -> EntryHash {
        self.0.hash()
    }

    /// The bytes to be kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.0.write(&mut writer);
        writer.finish()
    }

    /// Reads back what [`TrustedHead::encode`] gave. Only for a server's own storage: nothing but
    /// the form is checked.
    ///
    /// # Errors
    /// [`CborError`] if it is something else.
    pub fn from_storage(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::new(bytes);
        let entry = SignedEntry::read(&mut reader)?;
        reader.finish()?;
        Ok(Self(entry))
    }
}

/// Why a key log, or a step of it, is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyLogError {
    /// Two logs that both begin as they should part at this number: the server shows different
    /// keys to different peers, or lost its log.
    #[error("entry {number} differs from the one that is known: the log was rewritten")]
    Forked {
        /// The number.
        number: u64,
    },
    /// The log ends before the entry that is known.
    #[error("the log ends at entry {found}, entry {known} is known: the log went back")]
    Shortened {
        /// The last number that the log has.
        found: u64,
        /// The number that is known.
        known: u64,
    },
    /// An entry does not follow the one before: number, hash, name or time.
    #[error("entry {number} does not follow the one before it")]
    NotASuccessor {
        /// The number that was expected.
        number: u64,
    },
    /// No key that may sign this entry has signed it.
    #[error("entry {number} is not signed by a key that may sign it")]
    NotSigned {
        /// The entry's number.
        number: u64,
    },
    /// The recovery key changed without a signature of the old one.
    #[error("entry {number} replaces the recovery key without its signature")]
    RecoveryReplaced {
        /// The entry's number.
        number: u64,
    },
    /// The log is empty.
    #[error("the log has no entry")]
    Empty,
    /// The log is another server's.
    #[error("the log belongs to another server")]
    WrongServer,
}

/// Checks a log of `server`, the oldest entry first, against the head that is known, and gives the
/// new head. On first contact nothing is known, and the caller must have proved by TLS that it
/// speaks with `server`.
///
/// With a known head, the log must contain it unchanged: keys change only by a signature of keys
/// that were already trusted.
///
/// # Errors
/// [`KeyLogError`]; the known head stays in force.
pub fn follow(
    server: &ServerName,
    known: Option<&TrustedHead>,
    log: &[SignedEntry],
) -> Result<TrustedHead, KeyLogError> {
    let (first, rest) = log.split_first().ok_or(KeyLogError::Empty)?;
    if log.iter().any(|signed| signed.entry.server != *server) {
        return Err(KeyLogError::WrongServer);
    }
    if first.entry.number != 0 || first.entry.previous.is_some() {
        return Err(KeyLogError::NotASuccessor { number: 0 });
    }
    check_own_signature(first)?;
    let mut head = first;
    check_known(known, head)?;
    for next in rest {
        check_step(head, next)?;
        check_known(known, next)?;
        head = next;
    }
    match known {
        Some(known) if known.entry().number > head.entry.number => {
            Err(KeyLogError::Shortened { found: head.entry.number, known: known.entry().number })
        }
        _ => Ok(TrustedHead(head.clone())),
    }
}

/// Takes one entry as head: it is the known head again, or a direct successor of it, or there is no
/// known head. Gives `None` if the whole log is needed to get from the known head to it.
///
/// # Errors
/// [`KeyLogError`]; the known head stays in force.
pub fn follow_entry(
    server: &ServerName,
    known: Option<&TrustedHead>,
    signed: &SignedEntry,
) -> Result<Option<TrustedHead>, KeyLogError> {
    if signed.entry.server != *server {
        return Err(KeyLogError::WrongServer);
    }
    check_own_signature(signed)?;
    let Some(known) = known else { return Ok(Some(TrustedHead(signed.clone()))) };
    let (found, last) = (signed.entry.number, known.entry().number);
    if found < last {
        return Err(KeyLogError::Shortened { found, known: last });
    }
    if found == last {
        check_known(Some(known), signed)?;
        return Ok(Some(known.clone()));
    }
    if found == last + 1 {
        check_step(&known.0, signed)?;
        return Ok(Some(TrustedHead(signed.clone())));
    }
    Ok(None)
}

fn check_own_signature(signed: &SignedEntry) -> Result<(), KeyLogError> {
    if signed.entry.signing.iter().any(|key| signed.is_signed_by(key)) {
        Ok(())
    } else {
        Err(KeyLogError::NotSigned { number: signed.entry.number })
    }
}

fn check_known(known: Option<&TrustedHead>, signed: &SignedEntry) -> Result<(), KeyLogError> {
    match known {
        Some(known) if known.entry().number == signed.entry.number => {
            let number = signed.entry.number;
            let same = known.hash() == signed.hash();
            if same { Ok(()) } else { Err(KeyLogError::Forked { number }) }
        }
        _ => Ok(()),
    }
}

fn check_step(before: &SignedEntry, next: &SignedEntry) -> Result<(), KeyLogError> {
    let number = before.entry.number + 1;
    let follows = next.entry.number == number
        && next.entry.previous == Some(before.hash())
        && next.entry.at >= before.entry.at;
    if !follows {
        return Err(KeyLogError::NotASuccessor { number });
    }
    check_own_signature(next)?;
    let recovered = next.is_signed_by(&before.entry.recovery);
    if next.entry.recovery != before.entry.recovery && !recovered {
        return Err(KeyLogError::RecoveryReplaced { number });
    }
    let mut trusted = before.entry.signing.iter().chain(&before.entry.next_signing);
    if recovered || trusted.any(|key| next.is_signed_by(key)) {
        Ok(())
    } else {
        Err(KeyLogError::NotSigned { number })
    }
}

/// Encodes a log.
pub fn encode_log(log: &[SignedEntry]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(log.len());
    for entry in log {
        entry.write(&mut writer);
    }
    writer.finish()
}

/// Parses a log of at most [`limits::MAX_KEY_LOG_BYTES`] bytes.
///
/// # Errors
/// [`CborError`] with the place and the rule that is broken.
pub fn decode_log(bytes: &[u8]) -> Result<Vec<SignedEntry>, CborError> {
    let mut reader = Reader::new(bytes);
    if bytes.len() > limits::MAX_KEY_LOG_BYTES {
        return Err(reader.fault(Fault::TooLong));
    }
    let log = reader.list(limits::MAX_KEY_LOG, SignedEntry::read)?;
    reader.finish()?;
    Ok(log)
}

#[derive(Default)]
struct Raw {
    server: Option<ServerName>,
    number: Option<u64>,
    previous: Option<EntryHash>,
    at: Option<u64>,
    signing: Option<Vec<VerifyingKey>>,
    next_signing: Option<Vec<VerifyingKey>>,
    sealing: Option<Vec<Option<SealingPublicKey>>>,
    retired: Option<Vec<RetiredKey>>,
    recovery: Option<VerifyingKey>,
}

impl Raw {
    fn field(&mut self, reader: &mut Reader<'_>, key: u64) -> Result<(), CborError> {
        match key {
            1 => self.server = Some(read_server(reader)?),
            2 => self.number = Some(reader.uint()?),
            3 => self.previous = Some(EntryHash(reader.fixed()?)),
            4 => self.at = Some(reader.uint()?),
            5 => self.signing = Some(reader.list(limits::MAX_KEYS, read_signing)?),
            6 => self.next_signing = Some(reader.list(limits::MAX_KEYS, read_signing)?),
            7 => self.sealing = Some(reader.list(limits::MAX_KEYS, read_sealing)?),
            8 => {
                self.retired = Some(reader.list(limits::MAX_KEYS, |reader| {
                    reader.array_of(2)?;
                    let key = read_signing(reader)?;
                    Ok(RetiredKey { key, ended: Timestamp(reader.uint()?) })
                })?);
            }
            9 => self.recovery = Some(read_signing(reader)?),
            other => reader.unknown(other)?,
        }
        Ok(())
    }

    fn check(self, reader: &Reader<'_>) -> Result<KeyLogEntry, CborError> {
        let number = reader.require(self.number, "number")?;
        if (number == 0) == self.previous.is_some() {
            return Err(reader.invalid("all entries but the first name the one before"));
        }
        let signing = reader.require(self.signing, "signing")?;
        reader.require(signing.first(), "signing")?;
        let sealing: Vec<_> =
            reader.require(self.sealing, "sealing")?.into_iter().flatten().collect();
        reader.require(sealing.first(), "sealing")?;
        Ok(KeyLogEntry {
            server: reader.require(self.server, "server")?,
            number,
            previous: self.previous,
            at: Timestamp(reader.require(self.at, "at")?),
            signing,
            next_signing: reader.require(self.next_signing, "next signing")?,
            sealing,
            retired: reader.require(self.retired, "retired")?,
            recovery: reader.require(self.recovery, "recovery")?,
        })
    }
}

fn read_signing(reader: &mut Reader<'_>) -> Result<VerifyingKey, CborError> {
    let bytes = reader.fixed()?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| reader.invalid("not a usable signing key"))
}

/// `None` for a key of an encapsulation that is not known here: another one may come into use while
/// this version still runs.
fn read_sealing(reader: &mut Reader<'_>) -> Result<Option<SealingPublicKey>, CborError> {
    reader.array_of(2)?;
    let id = u16::try_from(reader.uint()?).map_err(|_| reader.invalid("no HPKE KEM id"))?;
    let Some(encapsulation) = Encapsulation::from_id(id) else {
        reader.bytes(limits::MAX_UNKNOWN_KEY)?;
        return Ok(None);
    };
    let bytes = reader.bytes(encapsulation.public_key_len())?;
    SealingPublicKey::from_bytes(encapsulation, bytes)
        .map(Some)
        .map_err(|_| reader.invalid("not a usable sealing key"))
}

fn signed_text(entry: &[u8]) -> Vec<u8> {
    [LABEL, entry].concat()
}

#[cfg(test)]
pub(super) mod tests;
