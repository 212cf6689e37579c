//! What an envelope costs: seal, sign, encode; decode, verify, open, read. Prints microseconds of
//! wall time on one core. Run with
//! `cargo run --release -p posthouse-federation --example envelope_cost`.
#![expect(clippy::print_stdout, reason = "the program's purpose")]
#![expect(clippy::expect_used, reason = "a measurement of made-up data")]

use std::time::Instant;

use posthouse_crypto::{
    seal::{Encapsulation, SealingKey},
    sign::SigningKey,
};
use posthouse_protocol::{
    federation::{
        envelope::{Addressing, Envelope, SharedKey},
        event::{Event, EventBody, EventClass, EventKind},
        header::Place,
        record::{self, EventRecord, Record},
        stream::{Incarnation, Lane, RunningHash},
    },
    id::{ConversationId, ServerName},
    time::{Stamp, Timestamp},
};
use rand::{SeedableRng, rngs::StdRng};
use uuid::Uuid;

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    let signing = SigningKey::generate(&mut rng);
    println!("encapsulation    events   out µs  out µs/event    in µs  in µs/event    bytes");
    for encapsulation in Encapsulation::PREFERENCE {
        let sealing = SealingKey::generate(encapsulation, &mut rng);
        for shares in [false, true] {
            for count in [1, 10, 100, 1_000] {
                measure((&sealing, shares), &signing, count, &mut rng);
            }
        }
    }
}

/// Envelopes that each have an encapsulated key of their own, or that share one.
fn measure(
    (sealing, in_common): (&SealingKey, bool),
    signing: &SigningKey,
    count: u64,
    rng: &mut StdRng,
) {
    let rounds = (20_000 / (count + 20)).max(20);
    let to = sealing.public_key();
    let shared = SharedKey::new(&to, rng).expect("a usable key");
    let events: Vec<Record> = (1..=count).map(|n| Record::Event(event(n))).collect();
    let mut bytes = Vec::new();
    let start = Instant::now();
    for _ in 0..rounds {
        let records = record::encode(&events).expect("readable events");
        let made = if in_common {
            Envelope::make_shared(addressing(count), &records, &shared, signing, rng)
        } else {
            Envelope::make(addressing(count), &records, &to, signing, rng)
        };
        bytes = made.expect("a usable key").encode();
    }
    let out = micros(start, rounds);
    let first = Envelope::decode(&bytes).expect("a good envelope");
    let opening = first.share(sealing).expect("an encapsulated key");
    let start = Instant::now();
    for _ in 0..rounds {
        let envelope = Envelope::decode(&bytes).expect("a good envelope");
        envelope.check_signature(&signing.verifying_key()).expect("a good signature");
        let opened =
            if in_common { envelope.open_shared(&opening) } else { envelope.open(sealing) };
        let plain = opened.expect("a good seal");
        let records = record::decode(&plain, 1, count).expect("good records");
        let hash = RunningHash::default();
        let last = (1..).zip(&records).fold(hash, |hash, (n, record)| record.follow(hash, n));
        assert_ne!(last, hash);
    }
    let taken = micros(start, rounds);
    let each = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    println!(
        "{:15}  {count:6}  {out:7.1}  {:12.2}  {taken:7.1}  {:11.2}  {:7}",
        format!("{:?}{}", sealing.encapsulation(), if in_common { ", shared" } else { "" }),
        out / each,
        taken / each,
        bytes.len()
    );
}

fn micros(start: Instant, rounds: u64) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(rounds).unwrap_or(u32::MAX))
}

fn event(n: u64) -> EventRecord {
    let event = Event {
        conversation: Some(ConversationId([1; 16])),
        recipients: vec![Uuid::from_u128(2)],
        stamp: Some(Stamp(n)),
        origin_number: Some(n),
        client_timestamp: Some(Timestamp(1_700_000_000_000)),
        accepted_at: Some(Timestamp(1_700_000_000_000)),
        content_type: Some("encrypted".to_owned()),
        bodies: vec![EventBody::for_all(vec![7; 400])],
        ..Event::new(EventKind::Message, EventClass::Message)
    };
    EventRecord {
        id: Uuid::from_u128(n.into()),
        sender: Some(Uuid::from_u128(3)),
        event: Ok(event),
    }
}

fn addressing(count: u64) -> Addressing {
    let name = |text| ServerName::parse(text).expect("a name");
    let incarnation = Incarnation { number: 1, random: [1; 16] };
    let before = RunningHash::default();
    let place = Place { lane: Lane::Messages, incarnation, first: 1, count, before, resumes: None };
    Addressing {
        origin: name("north.test"),
        destination: name("south.test"),
        created: Timestamp(1_700_000_000_000),
        place: Some(place),
    }
}
