//! Tests of receipts.

use posthouse_crypto::sign::SigningKey;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::federation::stream::RunningHash;

prop_compose! {
    fn receipts()(
        outcome in prop::sample::select(Outcome::ALL.to_vec()),
        standing in option::of((1_u64.., any::<[u8; 16]>(), any::<[(u64, [u8; 32]); 4]>())),
        rejections in vec((any::<u64>(), any::<[u8; 16]>(), any::<u8>()), 0..5),
        answers: [u8; 32],
    ) -> Receipt {
        let standing = standing.map(|(number, random, lanes)| {
            let mut lanes = lanes.into_iter();
            let lanes = PerLane::from_fn(|_| {
                let (through, hash) = lanes.next().unwrap();
                Position { through, hash: RunningHash(hash) }
            });
            Standing { incarnation: Incarnation { number, random }, lanes }
        });
        let rejections = rejections.into_iter().map(|(sequence, id, reason)| Rejection {
            sequence,
            id: Uuid::from_bytes(id),
            reason: RejectionReason::from_number(reason),
        });
        Receipt {
            from: ServerName::parse("south.test").unwrap(),
            to: ServerName::parse("north.test").unwrap(),
            created: Timestamp(5),
            signing_key: KeyId([0; 8]),
            answers: EnvelopeDigest(answers),
            outcome,
            standing,
            rejections: rejections.collect(),
        }
    }
}

#[test]
fn a_receipt_of_another_version_says_nothing() {
    let receipt = Receipt {
        from: ServerName::parse("south.test").unwrap(),
        to: ServerName::parse("north.test").unwrap(),
        created: Timestamp(5),
        signing_key: KeyId([0; 8]),
        answers: EnvelopeDigest([0; 32]),
        outcome: Outcome::Accepted,
        standing: None,
        rejections: Vec::new(),
    };
    let mut bytes = receipt.encode();
    assert_eq!(Receipt::decode(&bytes), Ok(receipt));
    assert_eq!(bytes[1..3], [1, 1], "key 1 with the version comes first");
    bytes[2] = 2;
    assert_eq!(Receipt::decode(&bytes).map_err(|err| err.fault), Err(Fault::Version(2)));
}

proptest! {
    #[test]
    fn round_trips_and_notices_a_changed_bit(
        receipt in receipts(),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let key = SigningKey::from_seed(&[3; 32]);
        let signed = SignedReceipt::sign(receipt, &key);
        let mut bytes = signed.encode();
        let decoded = SignedReceipt::decode(&bytes).unwrap();
        prop_assert_eq!(&decoded, &signed);
        let verified = decoded.verify(&key.verifying_key()).unwrap();
        prop_assert_eq!(verified.receipt(), signed.claim());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = SignedReceipt::decode(&bytes) {
            prop_assert!(changed.verify(&key.verifying_key()).is_err());
        }
    }

    #[test]
    fn noise_never_panics(noise: Vec<u8>) {
        let _ = SignedReceipt::decode(&noise);
        let _ = Receipt::decode(&noise);
    }
}
