//! Hostile envelopes, as a table: what is posted, and what has to come of it.

use std::sync::Arc;

use ed25519_dalek::SigningKey;

use super::{Ammunition, Check, Group, Way};
use crate::{
    federation::{
        cbor::{Value, head},
        expect::Expect::{self, Refused, Rejected},
        formats::{
            envelope::Envelope,
            event::{Body, Watermark},
            receipt::reason,
            records::{self, Enclosed, Record},
        },
        keys::{public, sealing_key_id, signing_key_id},
        lanes::Incarnation,
        peer::{Draft, as_uuid, derived_key, parse_uuid, sign_envelope},
        refusals::{
            BAD_SIGNATURE, MALFORMED, NOT_FRESH, UNKNOWN_KEY, UNOPENABLE, UNSUPPORTED_VERSION,
            WRONG_DESTINATION, WRONG_ORIGIN,
        },
        seal::{Kem, SealingKey, SharedKey},
        stage::{MESSAGES, RECEIPTS, Stage},
    },
    identifiers::direct_conversation,
    verdict::{Failure, Verdict},
};

/// A row of the table.
type Row = (&'static str, &'static str, fn(&Stage) -> Verdict<Ammunition>, Expect);

/// Where the order of the tests of signature and seal is free.
const TAMPERED: Expect = Refused(&[BAD_SIGNATURE, UNOPENABLE]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("federation-envelopes.md §Encoding", "an envelope that is cut short is refused", truncated, Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "bytes after an envelope are refused", |stage| raw(stage, |bytes| bytes.push(0)), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "an empty body is refused", |_| Ok((Vec::new(), None)), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "an array of 2^64 - 1 in place of an envelope is refused", |_| claim(0x9b), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "a byte string of 2^64 - 1 in place of an envelope is refused", |_| claim(0x5b), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "a map of 2^64 - 1 in place of an envelope is refused", |_| claim(0xbb), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "four million nested arrays in place of an envelope are refused", |_| Ok((vec![0x81; 4_000_000], None)), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "an indefinite length in an envelope is refused", |stage| parts(stage, |parts| [&[0x9f], parts.as_slice(), &[0xff]].concat()), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "a longer head than needed in an envelope is refused", |stage| parts(stage, |parts| [&[0x98, 3], parts.as_slice()].concat()), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "a tag around an envelope is refused", |stage| raw(stage, |bytes| bytes.insert(0, 0xc0)), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Encoding", "an envelope of four parts is refused", |stage| parts(stage, |parts| [&[0x84], parts.as_slice(), &[0]].concat()), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "a bit that is flipped in the header is noticed", |stage| built(stage, |envelope| flip(&mut envelope.header, 60)), Refused(&[MALFORMED, BAD_SIGNATURE, UNOPENABLE, UNKNOWN_KEY, WRONG_DESTINATION, WRONG_ORIGIN])),
    ("federation-envelopes.md §Envelope", "a bit that is flipped in the sealed body is noticed", |stage| built(stage, |envelope| flip(&mut envelope.sealed, 20)), TAMPERED),
    ("federation-envelopes.md §Envelope", "a bit that is flipped in the signature is noticed", |stage| built(stage, |envelope| flip(&mut envelope.signature, 7)), Refused(&[BAD_SIGNATURE])),
    ("federation-envelopes.md §Envelope", "a signature of zeros is refused", |stage| built(stage, |envelope| envelope.signature = [0; 64]), Refused(&[BAD_SIGNATURE])),
    ("federation-envelopes.md §Envelope", "a sealed body that was cut short and signed again is refused", |stage| resigned(stage, |envelope| envelope.sealed.truncate(envelope.sealed.len() / 2)), Refused(&[UNOPENABLE, MALFORMED])),
    ("federation-envelopes.md §Envelope", "a sealed body that is shorter than its tag is refused", |stage| resigned(stage, |envelope| envelope.sealed.truncate(3)), Refused(&[UNOPENABLE, MALFORMED])),
    ("federation-envelopes.md §Envelope", "a sealed body under another header, signed again, cannot be opened", other_header, Refused(&[UNOPENABLE])),
    ("federation-envelopes.md §Header", "an envelope for another server is refused", |stage| drafted(stage, |draft| draft.header.destination = "elsewhere.test".into()), Refused(&[WRONG_DESTINATION])),
    ("federation-tls.md §", "an envelope of another origin is refused, whatever it is signed with", |stage| drafted(stage, |draft| draft.header.origin = "elsewhere.test".into()), Refused(&[WRONG_ORIGIN])),
    ("federation-envelopes.md §Header", "an origin that is no name of a server is refused", |stage| drafted(stage, |draft| draft.header.origin = "UPPER.test".into()), Refused(&[MALFORMED, WRONG_ORIGIN])),
    ("federation-keys.md §Trust", "a signing key that is not in the document is refused", unknown_key, Refused(&[UNKNOWN_KEY])),
    ("federation-keys.md §Trust", "a signature of another key under a known key's id is refused", wrong_key, Refused(&[BAD_SIGNATURE])),
    ("federation-envelopes.md §Header", "an envelope that is sealed to another's key is refused", other_seal, Refused(&[UNOPENABLE])),
    ("federation-envelopes.md §Header", "an envelope that is sealed to another's key under the subject's key id is refused", hidden_seal, Refused(&[UNOPENABLE])),
    ("federation-envelopes.md §Shared encapsulation", "a salt that is exchanged for another, signed again, cannot be opened", other_salt, Refused(&[UNOPENABLE, MALFORMED])),
    ("federation-envelopes.md §Header", "a salt of another length is refused", |stage| drafted(stage, |draft| draft.extra = vec![(15, Value::Bytes(vec![0; 15]))]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "an envelope of a version that is not spoken is refused", |stage| drafted(stage, |draft| draft.header.version = 77), Refused(&[UNSUPPORTED_VERSION])),
    ("federation-envelopes.md §Header", "an unknown field below 128 in a header is refused", |stage| drafted(stage, |draft| draft.extra = vec![(100, Value::Null)]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "an extension of a header that is nested too deep is refused", |stage| drafted(stage, |draft| draft.extra = vec![(200, deep())]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "a header of more than 4 KiB is refused", |stage| drafted(stage, |draft| draft.extra = vec![(200, Value::Bytes(vec![0; 5000]))]), Refused(&[MALFORMED, crate::federation::refusals::TOO_LARGE])),
    ("federation-envelopes.md §Header", "a lane that does not exist is refused", |stage| drafted(stage, |draft| draft.header.lane = 5), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "a place in the lane of ephemerals is refused", |stage| drafted(stage, |draft| draft.header.lane = 0), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "incarnation 0 is refused", |stage| drafted(stage, |draft| place(draft).incarnation.number = 0), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "sequence 0 is refused", |stage| drafted(stage, |draft| place(draft).first = 0), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "sequences beyond 2^64 - 1 are refused", |stage| drafted(stage, |draft| place(draft).first = u64::MAX), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Header", "an incarnation that resumes itself is refused", resumes_itself, Refused(&[MALFORMED])),
    ("federation-envelopes.md §Records", "records that are not what the header counts are refused", |stage| drafted(stage, |draft| place(draft).count = 2), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Records", "a claim of 2^32 records costs nothing and is refused", |stage| with_records(stage, &[0x9a, 255, 255, 255, 255]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Records", "a hundred thousand nested arrays in place of records are refused", |stage| with_records(stage, &[0x81; 100_000]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Records", "records with a longer head than needed are refused", |stage| with_records(stage, &[0x98, 1, 0x84, 2, 1, 1, 1]), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Records", "more than 1,000 records are refused", too_many, Refused(&[MALFORMED, crate::federation::refusals::TOO_LARGE])),
    ("federation-envelopes.md §Records", "a void in another place than its own is refused", |stage| one_void(stage, 100), Refused(&[MALFORMED])),
    ("federation-envelopes.md §Events", "an event of unknown form is rejected by itself", |stage| event(stage, |_| vec![0xff; 9]), Rejected(reason::MALFORMED)),
    ("federation-envelopes.md §Events", "deep nesting in an event is rejected by itself", |stage| event(stage, |_| vec![0x81; 100_000]), Rejected(reason::MALFORMED)),
    ("federation-envelopes.md §Limits", "an event of more than 512 KiB is rejected by itself", large_event, Expect::RejectedSomehow),
    ("federation-envelopes.md §Events", "a message into a conversation of others is not delivered there", foreign_conversation, Expect::RejectedSomehow),
    ("federation-envelopes.md §Payloads", "a watermark in a conversation of others is not believed", foreign_watermark, WHATEVER),
    ("federation-envelopes.md §Ephemerals", "an ephemeral that is six minutes old is refused", |stage| ephemeral(stage, -360_000), Refused(&[NOT_FRESH])),
    ("federation-envelopes.md §Ephemerals", "an ephemeral from six minutes ahead is refused", |stage| ephemeral(stage, 360_000), Refused(&[NOT_FRESH])),
];

/// Accepted or rejected: what matters is that the local conversation is intact in the end.
const WHATEVER: Expect = Expect::Outcome(0);

pub(super) fn group() -> Group {
    let row = |(section, statement, load, expect): &Row| Check {
        section,
        statement,
        way: Way::Attack(*load, *expect),
    };
    let checks = TABLE.iter().map(row).collect();
    Group { name: "federation: hostile envelopes", hostile: true, checks }
}

/// A draft with a message that must not arrive, at the next place of the stream: nothing but what is
/// tested can be the reason for a refusal.
fn draft(stage: &Stage, records: Option<&[Record]>) -> Verdict<Draft> {
    let peer = &stage.roles.hostile;
    let message = [Record::Event(stage.message(peer, stage.alice()?, "must not arrive"))];
    let records = records.unwrap_or(&message);
    Ok(peer.draft(&stage.destination(Kem::XWing)?, MESSAGES, records))
}

fn place(draft: &mut Draft) -> &mut crate::federation::formats::envelope::Place {
    draft.header.place.get_or_insert(crate::federation::formats::envelope::Place {
        incarnation: Incarnation { number: 1, random: [0; 16] },
        first: 1,
        count: 0,
        before: [0; 32],
        resumes: None,
    })
}

fn drafted(stage: &Stage, change: impl FnOnce(&mut Draft)) -> Verdict<Ammunition> {
    let mut draft = draft(stage, None)?;
    change(&mut draft);
    sent(stage.build(draft)?)
}

#[expect(clippy::unnecessary_wraps, reason = "it is the end of functions that can fail")]
fn sent(envelope: Envelope) -> Verdict<Ammunition> {
    Ok((envelope.encode(), Some(envelope)))
}

fn built(stage: &Stage, change: impl FnOnce(&mut Envelope)) -> Verdict<Ammunition> {
    let mut envelope = stage.build(draft(stage, None)?)?;
    change(&mut envelope);
    sent(envelope)
}

fn resigned(stage: &Stage, change: impl FnOnce(&mut Envelope)) -> Verdict<Ammunition> {
    built(stage, |envelope| {
        change(envelope);
        let signer = stage.roles.hostile.signer();
        envelope.signature = sign_envelope(&signer, &envelope.header, &envelope.sealed);
    })
}

fn raw(stage: &Stage, change: impl FnOnce(&mut Vec<u8>)) -> Verdict<Ammunition> {
    let (mut bytes, _) = built(stage, |_| {})?;
    change(&mut bytes);
    Ok((bytes, None))
}

/// The three parts of an envelope without its head.
fn parts(stage: &Stage, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Verdict<Ammunition> {
    raw(stage, |bytes| *bytes = change(bytes.split_off(1)))
}

fn truncated(stage: &Stage) -> Verdict<Ammunition> {
    raw(stage, |bytes| bytes.truncate(bytes.len() - 10))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in the table beside functions that fail")]
fn claim(head: u8) -> Verdict<Ammunition> {
    Ok(([&[head], [0xff; 8].as_slice()].concat(), None))
}

fn flip(bytes: &mut [u8], place: usize) {
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 4;
    }
}

fn deep() -> Value {
    (0..12).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

fn other_header(stage: &Stage) -> Verdict<Ammunition> {
    let other = stage.build(draft(stage, None)?)?;
    resigned(stage, |envelope| envelope.sealed = other.sealed)
}

fn signed_by(stage: &Stage, key: SigningKey, told: &SigningKey) -> Verdict<Ammunition> {
    drafted(stage, |draft| {
        draft.header.signing_key = signing_key_id(&public(told));
        draft.signer = key;
    })
}

fn unknown_key(stage: &Stage) -> Verdict<Ammunition> {
    let stranger = derived_key("stranger");
    signed_by(stage, stranger.clone(), &stranger)
}

fn wrong_key(stage: &Stage) -> Verdict<Ammunition> {
    signed_by(stage, derived_key("stranger"), &stage.roles.hostile.signer())
}

fn foreign_seal(stage: &Stage) -> Verdict<SealingKey> {
    let secret = derived_key(&format!("{} seal", stage.seed)).to_bytes();
    let key = SealingKey::from_secret(Kem::X25519, secret);
    key.ok_or_else(|| Failure::Unreachable("no sealing key".into()))
}

fn other_seal(stage: &Stage) -> Verdict<Ammunition> {
    let key = foreign_seal(stage)?;
    drafted(stage, |draft| {
        draft.header.kem = Kem::X25519;
        draft.header.sealing_key = key.id();
        draft.seals_to = key.public().to_vec();
    })
}

fn hidden_seal(stage: &Stage) -> Verdict<Ammunition> {
    let (key, own) = (foreign_seal(stage)?, stage.destination(Kem::X25519)?);
    let id = sealing_key_id(Kem::X25519, own.key);
    drafted(stage, |draft| {
        draft.header.kem = Kem::X25519;
        draft.header.sealing_key = id;
        draft.seals_to = key.public().to_vec();
    })
}

fn other_salt(stage: &Stage) -> Verdict<Ammunition> {
    let to = stage.destination(Kem::X25519)?;
    let key = SharedKey::new((Kem::X25519, to.key), &mut stage.rng()).map(Arc::new);
    let key = key.ok_or_else(|| Failure::Differs("its sealing key is none".into()))?;
    let with = |salt: u8| {
        let mut draft = draft(stage, None)?;
        draft.header.kem = Kem::X25519;
        draft.header.sealing_key = sealing_key_id(Kem::X25519, to.key);
        draft.shared = Some((Arc::clone(&key), [salt; 16]));
        stage.build(draft)
    };
    let (mut envelope, other) = (with(1)?, with(2)?);
    envelope.header = other.header;
    let signer = stage.roles.hostile.signer();
    envelope.signature = sign_envelope(&signer, &envelope.header, &envelope.sealed);
    sent(envelope)
}

fn resumes_itself(stage: &Stage) -> Verdict<Ammunition> {
    drafted(stage, |draft| {
        let place = place(draft);
        let at = crate::federation::lanes::Position { through: 0, hash: [0; 32] };
        place.resumes = Some((place.incarnation, [at; 4]));
    })
}

fn with_records(stage: &Stage, bytes: &[u8]) -> Verdict<Ammunition> {
    drafted(stage, |draft| draft.records = bytes.to_vec())
}

fn too_many(stage: &Stage) -> Verdict<Ammunition> {
    let enclosed =
        |_| Record::Event(Enclosed { id: stage.uuid(), sender: None, event: Vec::new() });
    let records: Vec<_> = (0..1001).map(enclosed).collect();
    sent(stage.build(draft(stage, Some(&records))?)?)
}

fn one_void(stage: &Stage, shift: u64) -> Verdict<Ammunition> {
    drafted(stage, |draft| {
        let from = place(draft).first + shift;
        draft.records = records::write(&[Record::Void { from, to: from, reason: 1 }]);
    })
}

/// An envelope in the hostile peer's stream with one event, which is taken.
fn event(stage: &Stage, bytes: impl FnOnce(&Enclosed) -> Vec<u8>) -> Verdict<Ammunition> {
    let peer = &stage.roles.hostile;
    let mut enclosed = stage.message(peer, stage.alice()?, "must not arrive");
    enclosed.event = bytes(&enclosed);
    taken(stage, MESSAGES, enclosed)
}

/// A message that is in order but for its size: an extension fills it up.
fn large_event(stage: &Stage) -> Verdict<Ammunition> {
    event(stage, |enclosed| {
        let mut large = enclosed.event.clone();
        if let Ok(Value::Map(mut fields)) = Value::decode(&large) {
            fields.push((200, Value::Bytes(vec![0; 512 * 1024])));
            large = Value::Map(fields).encode();
        }
        large
    })
}

fn taken(stage: &Stage, lane: u64, enclosed: Enclosed) -> Verdict<Ammunition> {
    let peer = &stage.roles.hostile;
    let records = [Record::Event(enclosed)];
    let draft = peer.draft(&stage.destination(Kem::XWing)?, lane, &records);
    peer.advance(lane, &records);
    sent(stage.build(draft)?)
}

/// A message to the first local user that names the conversation of the two local users.
fn foreign_conversation(stage: &Stage) -> Verdict<Ammunition> {
    let peer = &stage.roles.hostile;
    let mut event = stage.event(peer, stage.alice()?, "from a stranger");
    event.conversation = Some(local_conversation(stage)?);
    taken(stage, MESSAGES, stage.enclose(peer, &event))
}

fn local_conversation(stage: &Stage) -> Verdict<crate::federation::lanes::Uuid> {
    let (alice, bob) = (stage.alice()?, stage.bob()?);
    Ok(parse_uuid(&direct_conversation(&alice.account, &bob.account)))
}

/// A watermark to the first local user, in the conversation with the second, under the second
/// one's UUID.
fn foreign_watermark(stage: &Stage) -> Verdict<Ammunition> {
    let (peer, bob) = (&stage.roles.hostile, stage.bob()?);
    let mut event = stage.event(peer, stage.alice()?, "");
    let mark = Watermark { status: 2, through: 1, except: Vec::new() };
    (event.kind, event.class) = (2, 2);
    (event.stamp, event.origin_number, event.content_type) = (None, None, None);
    event.encrypted = None;
    event.bodies = vec![Body::for_all(mark.encode())];
    event.conversation = Some(local_conversation(stage)?);
    let sender = Some(as_uuid(parse_uuid(&bob.account)));
    let enclosed = Enclosed { sender, ..stage.enclose(peer, &event) };
    taken(stage, RECEIPTS, enclosed)
}

fn ephemeral(stage: &Stage, off: i64) -> Verdict<Ammunition> {
    let peer = &stage.roles.hostile;
    let mut draft = peer.draft(&stage.destination(Kem::XWing)?, 0, &[]);
    draft.header.created = draft.header.created.saturating_add_signed(off);
    // An array without records.
    draft.records = Vec::new();
    head(&mut draft.records, 4, 0);
    sent(stage.build(draft)?)
}
