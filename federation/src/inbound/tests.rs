//! Every stage refuses what it is there for, and says why.

use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_protocol::{
    federation::{
        envelope::{Addressing, Envelope},
        event::{Event, EventClass, EventKind},
        header::Place,
        key_log::{KeyLogEntry, RETIRED_LIFE_MS, RetiredKey},
        limits,
        record::{self, EventRecord, Record},
        refusal::{Refusal, RefusalCode},
        stream::{Incarnation, Lane, RunningHash},
    },
    id::ServerName,
    time::Timestamp,
};
use rand::{SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::*;
use crate::{
    engine::receiver::{Decision, InboundStream},
    tls::PeerNames,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

mod receive;

struct Bench {
    signing: SigningKey,
    sealing: SealingKey,
    rng: StdRng,
}

impl Bench {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let sealing = SealingKey::generate(Encapsulation::XWing, &mut rng);
        Self { signing: SigningKey::from_seed(&[1; 32]), sealing, rng }
    }

    fn keys(&self) -> KeyLogEntry {
        KeyLogEntry {
            server: name("north.test"),
            number: 0,
            previous: None,
            at: NOW,
            signing: vec![self.signing.verifying_key()],
            next_signing: Vec::new(),
            sealing: vec![self.sealing.public_key()],
            retired: Vec::new(),
            recovery: SigningKey::from_seed(&[9; 32]).verifying_key(),
        }
    }

    fn make(&mut self, from: &str, to: &str, count: u64) -> Vec<u8> {
        let incarnation = Incarnation { number: 1, random: [1; 16] };
        let lane = Lane::Messages;
        let before = RunningHash::start(&name(from), &name(to), &incarnation, lane);
        let place = Place { lane, incarnation, first: 1, count, before, resumes: None };
        let addressing = Addressing {
            origin: name(from),
            destination: name(to),
            created: NOW,
            place: Some(place),
        };
        let event = Event::new(EventKind::Other(900), EventClass::Control);
        let one = EventRecord { id: Uuid::from_u128(1), sender: None, event: Ok(event) };
        let records = record::encode(&[Record::Event(one)]).unwrap();
        let to = self.sealing.public_key();
        Envelope::make(addressing, &records, &to, &self.signing, &mut self.rng).unwrap().encode()
    }

    /// All stages, as south.
    fn receive(&self, bytes: &[u8], peer: &str) -> Result<OpenedEnvelope, RefusalCode> {
        let code = |refusal: Refusal| refusal.code;
        let peer = PeerNames::proved(vec![name(peer)]);
        let envelope = AuthenticatedEnvelope::new(bytes, &peer).map_err(code)?;
        let envelope = VerifiedEnvelope::new(envelope, &name("south.test"), &self.keys(), NOW)
            .map_err(|(refusal, _)| refusal.code)?;
        OpenedEnvelope::new(&envelope, &SealingKeys::new([self.sealing.clone()])).map_err(code)
    }
}

#[test]
fn a_good_envelope_passes_and_can_be_decided_about() {
    let mut bench = Bench::new();
    let bytes = bench.make("north.test", "south.test", 1);
    let opened = bench.receive(&bytes, "north.test").unwrap();
    let decision = opened.decide(&InboundStream::default(), &name("south.test"), NOW);
    assert!(matches!(decision, Some(Decision::Take { skip: 0, .. })));
}

#[test]
fn every_stage_refuses_with_its_reason() {
    let mut bench = Bench::new();
    let good = bench.make("north.test", "south.test", 1);
    let refused = |bytes: &[u8], peer: &str| bench.receive(bytes, peer).map(drop).unwrap_err();
    assert_eq!(refused(&good, "east.test"), RefusalCode::WrongOrigin);
    assert_eq!(refused(&good[..good.len() - 1], "north.test"), RefusalCode::Malformed);
    let huge = vec![0; limits::MAX_ENVELOPE + 1];
    assert_eq!(refused(&huge, "north.test"), RefusalCode::TooLarge);
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert_eq!(refused(&flipped, "north.test"), RefusalCode::BadSignature);

    let elsewhere = bench.make("north.test", "west.test", 1);
    assert_eq!(bench.receive(&elsewhere, "north.test").unwrap_err(), RefusalCode::WrongDestination);
    let miscounted = bench.make("north.test", "south.test", 2);
    assert_eq!(bench.receive(&miscounted, "north.test").unwrap_err(), RefusalCode::Malformed);
    // Keys of another server do not count, whatever they sign.
    let foreign = bench.make("east.test", "south.test", 1);
    assert_eq!(bench.receive(&foreign, "east.test").unwrap_err(), RefusalCode::UnknownKey);
    let own = bench.signing.clone();
    bench.signing = SigningKey::from_seed(&[7; 32]);
    let unknown = bench.make("north.test", "south.test", 1);
    bench.signing = own;
    assert_eq!(bench.receive(&unknown, "north.test").unwrap_err(), RefusalCode::UnknownKey);
    let old = bench.sealing.clone();
    bench.sealing = SealingKey::generate(Encapsulation::X25519, &mut bench.rng);
    let unopenable = bench.make("north.test", "south.test", 1);
    bench.sealing = old;
    assert_eq!(bench.receive(&unopenable, "north.test").unwrap_err(), RefusalCode::Unopenable);
}

#[test]
fn a_retired_key_counts_while_queues_may_hold_its_envelopes() {
    let mut bench = Bench::new();
    let bytes = bench.make("north.test", "south.test", 1);
    let mut keys = bench.keys();
    keys.signing = vec![SigningKey::from_seed(&[8; 32]).verifying_key()];
    keys.retired = vec![RetiredKey { key: bench.signing.verifying_key(), ended: NOW }];
    let verify = |now| {
        let peer = PeerNames::proved(vec![name("north.test")]);
        let envelope = AuthenticatedEnvelope::new(&bytes, &peer).unwrap();
        VerifiedEnvelope::new(envelope, &name("south.test"), &keys, now).map_err(|err| err.0.code)
    };
    assert!(verify(NOW.plus_millis(RETIRED_LIFE_MS - 1)).is_ok());
    let late = verify(NOW.plus_millis(RETIRED_LIFE_MS));
    assert_eq!(late.unwrap_err(), RefusalCode::UnknownKey);
}
