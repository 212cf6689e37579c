//! A peer's identity: its keys, what it publishes, and its stream to the subject.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;

use super::{
    cbor::Value,
    formats::{
        envelope::{Envelope, Header, Place},
        records::{self, Record},
    },
    keys::{
        EntryDraft, SHARED_ENCAPSULATION, entry_hash, public, sign, signing_key_id, write_document,
    },
    lanes::{Incarnation, Positions, Uuid, sha256, starts},
    receiving::Receiver,
    seal::{self, Kem, SealingKey, SharedKey},
    site::{Behaviour, Received},
    tls::{Authority, Credential, Shape},
};
use crate::verdict::{Failure, Verdict};

/// Signing keys that a peer has; entry `n` of its log has key `n` in force and `n + 1` next.
const KEYS: usize = 5;
/// How long a document is valid, in milliseconds.
const VALID: u64 = 3 * 24 * 3600 * 1000;

/// A server that the suite plays.
#[derive(Debug)]
pub struct Peer {
    /// Its domain.
    pub name: String,
    /// Its only user.
    pub user: Uuid,
    /// The user's handle.
    pub handle: &'static str,
    /// What it shows in TLS.
    pub credential: Credential,
    /// What others may seal to.
    pub sealing: Vec<SealingKey>,
    /// Names of optional things that its document says it does.
    pub features: Vec<&'static str>,
    signing: Vec<SigningKey>,
    recovery: SigningKey,
    made: u64,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    /// What is published.
    pub published: Published,
    /// The receiving end for the subject's stream.
    pub receiver: Receiver,
    /// Events that were received, in order.
    pub received: Vec<Received>,
    /// Envelopes that were posted, whatever became of them.
    pub attempts: u64,
    /// How often the document was fetched.
    pub looks: u64,
    /// How envelopes are answered.
    pub behaviour: Behaviour,
    /// The own stream to the subject.
    pub stream: Option<Stream>,
}

/// What a peer publishes of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Entries of the log.
    pub entries: usize,
    /// Whether the log is another than it was: the same numbers, other entries.
    pub rewritten: bool,
    /// Whether the document's time is over.
    pub expired: bool,
    /// The key that signs what is sent.
    pub signs_with: usize,
}

/// A stream that is being written.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Where its lanes are.
    pub positions: Positions,
}

/// An envelope before it is sealed and signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The header; `encapsulated` is filled in by sealing.
    pub header: Header,
    /// Further fields of the header.
    pub extra: Vec<(u64, Value)>,
    /// The records' bytes.
    pub records: Vec<u8>,
    /// Who signs.
    pub signer: SigningKey,
    /// The public key that it is sealed to.
    pub seals_to: Vec<u8>,
    /// A key that is encapsulated already, and the salt that goes with it.
    pub shared: Option<(Arc<SharedKey>, [u8; 16])>,
}

impl Draft {
    /// Seals and signs it.
    ///
    /// # Errors
    /// [`Failure::Differs`] if the destination's key is none.
    pub fn build(self, rng: &mut impl rand::CryptoRng) -> Verdict<Envelope> {
        let Self { mut header, extra, records, signer, seals_to, shared } = self;
        let kem = header.kem;
        header.salt = shared.as_ref().map(|(_, salt)| *salt);
        let write = |encapsulated: &[u8]| {
            header.encapsulated = encapsulated.to_vec();
            let mut fields = header.fields();
            fields.extend(extra);
            Value::Map(fields).encode()
        };
        let sealed = match shared {
            None => seal::seal((kem, &seals_to), &records, write, rng),
            Some((key, salt)) => {
                let header = write(key.encapsulated());
                key.seal(salt, &header, &records).map(|sealed| (header, sealed))
            }
        };
        let (header, sealed) =
            sealed.ok_or_else(|| Failure::Differs("its sealing key is none".into()))?;
        let signature = sign_envelope(&signer, &header, &sealed);
        Ok(Envelope { header, sealed, signature })
    }
}

/// The signature of an envelope.
pub fn sign_envelope(signer: &SigningKey, header: &[u8], sealed: &[u8]) -> [u8; 64] {
    let hashes = [sha256(&[header]), sha256(&[sealed])].concat();
    sign(signer, "posthouse envelope v1", &hashes)
}

/// A key that follows from a text.
pub fn derived_key(text: &str) -> SigningKey {
    SigningKey::from_bytes(&sha256(&[b"conformance key\0", text.as_bytes()]))
}

impl Peer {
    /// The identity of a domain. It follows from the name and `made`, so that it is the same in
    /// every run: the subject keeps the newest entry of its log for ever.
    ///
    /// # Errors
    /// A sentence, if no certificate can be issued.
    pub fn new(name: &str, made: u64, authority: &Authority) -> Result<Self, String> {
        let key = |purpose: &str| derived_key(&format!("{name} {made} {purpose}"));
        let sealing = [Kem::XWing, Kem::X25519]
            .into_iter()
            .filter_map(|kem| SealingKey::from_secret(kem, key(&format!("{kem:?}")).to_bytes()));
        let [user, _] = halves(sha256(&[b"conformance user", name.as_bytes()]));
        let published = Published { entries: 1, rewritten: false, expired: false, signs_with: 0 };
        Ok(Self {
            name: name.to_owned(),
            user: as_uuid(user),
            handle: "pauline",
            credential: authority.issue(Shape {
                names: &[name],
                for_servers_only: true,
                ..Shape::default()
            })?,
            sealing: sealing.collect(),
            signing: (0..KEYS).map(|n| key(&format!("signing {n}"))).collect(),
            recovery: key("recovery"),
            made,
            features: vec![SHARED_ENCAPSULATION],
            state: Mutex::new(State {
                published,
                receiver: Receiver::default(),
                received: Vec::new(),
                attempts: 0,
                looks: 0,
                behaviour: Behaviour::Honest,
                stream: None,
            }),
        })
    }

    /// What changes.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user's full id.
    pub fn account(&self) -> String {
        format!("{}@{}", uuid_text(self.user), self.name)
    }

    /// The key that signs what is sent now.
    pub fn signer(&self) -> SigningKey {
        self.signing_key(self.state().published.signs_with)
    }

    /// Key `n`.
    pub fn signing_key(&self, n: usize) -> SigningKey {
        self.signing.get(n).cloned().unwrap_or_else(|| self.recovery.clone())
    }

    /// The signed entries that are published.
    fn entries(&self, published: Published) -> Vec<Value> {
        let rewritten: Vec<_> =
            (0..KEYS).map(|n| derived_key(&format!("{} rewritten {n}", self.name))).collect();
        let keys = if published.rewritten { &rewritten } else { &self.signing };
        let mut entries = Vec::new();
        let mut before: Option<(usize, Vec<u8>)> = None;
        let windows = keys.windows(2).enumerate().take(published.entries);
        for (n, pair) in windows {
            let [signing, next] = pair else { continue };
            let made = self.made.saturating_add(u64::try_from(n).unwrap_or_default() * 1000);
            let last = before.as_ref().and_then(|(last, _)| keys.get(*last));
            let draft = EntryDraft {
                server: &self.name,
                number: u64::try_from(n).unwrap_or_default(),
                before: before.as_ref().map(|(_, entry)| entry_hash(entry)),
                made,
                signing,
                next,
                retired: last.map(|key| (key, made)),
                sealing: &self.sealing,
                recovery: &self.recovery,
            };
            entries.push(draft.sign(last));
            before = Some((n, draft.encode()));
        }
        entries
    }

    /// The key log that is published.
    pub fn log(&self) -> Vec<u8> {
        let published = self.state().published;
        Value::Array(self.entries(published)).encode()
    }

    /// The document that is published.
    pub fn document(&self, now: u64) -> Vec<u8> {
        const DAY: u64 = 24 * 3600 * 1000;
        let published = self.state().published;
        let issued = if published.expired { now.saturating_sub(10 * DAY) } else { now };
        let entries = self.entries(published);
        let newest = entries.last().cloned().unwrap_or(Value::Null);
        let signer = if published.rewritten {
            derived_key(&format!("{} rewritten {}", self.name, entries.len().saturating_sub(1)))
        } else {
            self.signing_key(entries.len().saturating_sub(1))
        };
        let times = (issued, issued.saturating_add(VALID));
        write_document(&self.name, times, &self.features, &newest, &signer)
    }

    /// A draft of an envelope of `lane` with these records, at the stream's place.
    pub fn draft(&self, to: &Destination<'_>, lane: u64, records: &[Record]) -> Draft {
        let signer = self.signer();
        let stream = self.state().stream.clone();
        let place = stream.filter(|_| lane > 0).and_then(|stream| {
            let at = *stream.positions.get(usize::try_from(lane - 1).ok()?)?;
            let end = records.iter().fold(at, |at, record| record.after(at));
            Some(Place {
                incarnation: stream.incarnation,
                first: at.through.saturating_add(1),
                count: end.through.saturating_sub(at.through),
                before: at.hash,
                resumes: None,
            })
        });
        Draft {
            header: Header {
                version: 1,
                origin: self.name.clone(),
                destination: to.name.to_owned(),
                created: to.now,
                signing_key: signing_key_id(&public(&signer)),
                sealing_key: super::keys::sealing_key_id(to.kem, to.key),
                kem: to.kem,
                encapsulated: Vec::new(),
                lane,
                place,
                salt: None,
            },
            extra: Vec::new(),
            records: records::write(records),
            signer,
            seals_to: to.key.to_vec(),
            shared: None,
        }
    }

    /// Records what was accepted.
    pub fn advance(&self, lane: u64, records: &[Record]) {
        let mut state = self.state();
        let lane = usize::try_from(lane.saturating_sub(1)).unwrap_or_default();
        let positions = state.stream.as_mut().map(|stream| &mut stream.positions);
        if let Some(at) = positions.and_then(|positions| positions.get_mut(lane)) {
            *at = records.iter().fold(*at, |at, record| record.after(at));
        }
    }

    /// Begins an incarnation of the stream to `destination`.
    pub fn begin(&self, destination: &str, incarnation: Incarnation) {
        let positions = starts(&self.name, destination, incarnation);
        self.state().stream = Some(Stream { incarnation, positions });
    }
}

/// Where an envelope goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The server.
    pub name: &'a str,
    /// Its sealing key.
    pub key: &'a [u8],
    /// That key's encapsulation.
    pub kem: Kem,
    /// The clock, in milliseconds.
    pub now: u64,
}

/// A UUID of version 4 in form.
pub fn as_uuid(mut bytes: Uuid) -> Uuid {
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    bytes
}

/// The text of a UUID.
pub fn uuid_text(bytes: Uuid) -> String {
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or_default();
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// A UUID from its text, or the local part of an account; zeros if it is none.
pub fn parse_uuid(text: &str) -> Uuid {
    let digits: Vec<_> =
        text.chars().take_while(|c| *c != '@').filter_map(|c| c.to_digit(16)).collect();
    let bytes = digits.chunks(2).map(|pair| pair.iter().fold(0, |n, digit| n << 4 | digit));
    let bytes: Vec<_> = bytes.filter_map(|byte| u8::try_from(byte).ok()).collect();
    bytes.try_into().unwrap_or_default()
}

fn halves(hash: [u8; 32]) -> [Uuid; 2] {
    let (low, high) = hash.split_at(16);
    [low, high].map(|half| half.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_one_text() {
        let uuid = as_uuid([0xff; 16]);
        assert_eq!(uuid_text(uuid), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(parse_uuid("ffffffff-ffff-4fff-bfff-ffffffffffff@a.test"), uuid);
    }

    #[test]
    fn what_a_peer_publishes_is_sound() {
        let authority = Authority::fresh().unwrap();
        let peer = Peer::new("peer.test", 1_700_000_000_000, &authority).unwrap();
        for entries in 1..4 {
            peer.state().published.entries = entries;
            let log = super::super::keys::read_log(&peer.log()).unwrap();
            let document = super::super::keys::Document::read(&peer.document(7)).unwrap();
            assert_eq!((log.len(), Some(&document.entry)), (entries, log.last()));
        }
        peer.state().published.rewritten = true;
        let document = super::super::keys::Document::read(&peer.document(7)).unwrap();
        let log = super::super::keys::read_log(&peer.log()).unwrap();
        assert_eq!(Some(&document.entry), log.last());
        assert!(!document.entry.signing.contains(&public(&peer.signing_key(2))));
    }
}
