//! Tests of envelopes: what is bound by seal and signature, and that no input panics.

use posthouse_crypto::seal::Encapsulation;
use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::federation::stream::{Incarnation, Lane, PerLane, Position, RunningHash, Standing};

fn place() -> Place {
    Place {
        lane: Lane::Messages,
        incarnation: Incarnation { number: 2, random: [5; 16] },
        first: 7,
        count: 3,
        before: RunningHash([6; 32]),
        resumes: Some(Standing {
            incarnation: Incarnation { number: 1, random: [4; 16] },
            lanes: PerLane::from_fn(|_| Position { through: 40, hash: RunningHash([3; 32]) }),
        }),
    }
}

fn make(encapsulation: Encapsulation, place: Option<Place>) -> (Envelope, SigningKey, SealingKey) {
    let mut rng = StdRng::from_seed([1; 32]);
    let signing = SigningKey::generate(&mut rng);
    let sealing = SealingKey::generate(encapsulation, &mut rng);
    let addressing = Addressing {
        origin: ServerName::parse("north.test").unwrap(),
        destination: ServerName::parse("south.test").unwrap(),
        created: Timestamp(1_700_000_000_000),
        place,
    };
    let envelope =
        Envelope::make(addressing, b"records", &sealing.public_key(), &signing, &mut rng).unwrap();
    (envelope, signing, sealing)
}

#[test]
fn round_trips_verifies_and_opens() {
    for encapsulation in Encapsulation::PREFERENCE {
        for place in [Some(place()), None] {
            let (envelope, signing, sealing) = make(encapsulation, place);
            let decoded = Envelope::decode(&envelope.encode()).unwrap();
            assert_eq!(decoded, envelope);
            decoded.check_signature(&signing.verifying_key()).unwrap();
            assert_eq!(decoded.open(&sealing).unwrap(), b"records");
        }
    }
}

/// Another origin takes the sealed body over, under a header and a signature of its own.
#[test]
fn a_sealed_body_cannot_be_taken_over() {
    let (envelope, _, sealing) = make(Encapsulation::X25519, Some(place()));
    let thief = SigningKey::from_seed(&[9; 32]);
    let mut header = envelope.header.clone();
    header.origin = ServerName::parse("thief.test").unwrap();
    header.signing_key = KeyId::of_signing(&thief.verifying_key());
    let header_bytes = header.encode();
    let signature = thief.sign(&signed_text(&header_bytes, &envelope.sealed));
    let stolen = Envelope { header, header_bytes, sealed: envelope.sealed, signature };
    stolen.check_signature(&thief.verifying_key()).unwrap();
    assert_eq!(stolen.open(&sealing), Err(SealError::Open));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_changed_bit_is_noticed(at: prop::sample::Index, bit in 0_u8..8, ephemeral: bool) {
        let (envelope, signing, _) =
            make(Encapsulation::X25519, (!ephemeral).then(place));
        let mut bytes = envelope.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Envelope::decode(&bytes) {
            prop_assert!(changed.check_signature(&signing.verifying_key()).is_err());
        }
    }

    #[test]
    fn changed_and_random_input_never_panics(
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: prop::sample::Index,
        noise: Vec<u8>,
    ) {
        let (envelope, ..) = make(Encapsulation::X25519, Some(place()));
        let mut bytes = envelope.encode();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(accepted) = Envelope::decode(&bytes) {
            prop_assert_eq!(accepted.encode(), bytes.clone());
        }
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Envelope::decode(&bytes).is_err());
        let _ = Envelope::decode(&noise);
        let _ = Header::decode(&noise);
    }
}

#[test]
fn a_header_is_of_one_piece() {
    let (envelope, ..) = make(Encapsulation::X25519, Some(place()));
    let mut header = envelope.header.clone();
    let breaks: [fn(&mut Place); 3] = [
        |place| place.first = 0,
        |place| place.count = u64::MAX,
        |place| place.incarnation.number = 1,
    ];
    for change in breaks {
        let mut place = place();
        change(&mut place);
        header.place = Some(place);
        assert!(Header::decode(&header.encode()).is_err());
    }
    header.place = None;
    header.encapsulated.push(0);
    assert!(Header::decode(&header.encode()).is_err());
}
