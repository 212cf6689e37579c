//! Sender keys, safety numbers and signatures with the official library.

use std::collections::BTreeSet;

use posthouse_crypto::e2ee::{
    address::{Address, DeviceId},
    group::{
        receiving::ReceivedSenderKeys,
        sending::{NotReady, SendingGroup},
    },
    primitives::{
        curve::{KeyPair, PublicKey},
        xeddsa,
    },
    safety_number::SafetyNumber,
    time::UnixMillis,
    wire::sender_key_message::{SenderKeyDistribution, SenderKeyMessage},
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

use crate::oracle::{Oracle, decode, encode};

const VERSIONS: [&str; 3] = ["0.72.1", "0.90.0", "0.103.0"];
const GROUP: &str = "d1d1d1d1-7000-11eb-b32a-33b8a8a487a6";
const GROUP_BYTES: [u8; 16] =
    [0xd1, 0xd1, 0xd1, 0xd1, 0x70, 0, 0x11, 0xeb, 0xb3, 0x2a, 0x33, 0xb8, 0xa8, 0xa4, 0x87, 0xa6];

/// We, and two parties of the library.
#[test]
fn a_group_of_three() {
    for version in VERSIONS {
        let mut rng = StdRng::seed_from_u64(3);
        let mut oracle = Oracle::start(version);
        let them = ["b", "c"];
        for name in them {
            let address = json!({ "name": name, "device": 1 });
            oracle.call("newIdentity", json!({ "party": name, "address": address }));
        }
        let device = DeviceId::new(1).unwrap();
        let all: BTreeSet<Address> =
            them.iter().map(|name| Address::new(name, device).unwrap()).collect();
        let us = json!({ "name": "a", "device": 1 });

        let mut ours = SendingGroup::new(GROUP_BYTES);
        let Err(NotReady::Undistributed(handed)) = ours.ready(&all, UnixMillis(0), &mut rng) else {
            panic!("nobody holds the key yet")
        };
        for member in handed.missing {
            let request = json!({
                "party": member.name(),
                "address": us,
                "message": encode(handed.distribution.to_bytes()),
            });
            oracle.call("senderKeyDistributionProcess", request);
            ours.mark_distributed(handed.distribution.chain_id(), member);
        }
        let mut sent: Vec<(String, Vec<u8>)> = (0..100)
            .map(|n| {
                let text = format!("ours {n}");
                let ready = ours.ready(&all, UnixMillis(0), &mut rng).unwrap();
                let message = ready.encrypt(text.as_bytes(), &mut rng).unwrap();
                (text, message)
            })
            .collect();
        for name in them {
            sent.shuffle(&mut rng);
            for (text, message) in &sent {
                let request = json!({ "party": name, "address": us, "message": encode(message) });
                let answer = oracle.call("groupDecrypt", request.clone());
                assert_eq!(decode(&answer["plaintext"]), text.as_bytes());
                oracle.try_call("groupDecrypt", request).expect_err("a message twice");
            }
        }

        for name in them {
            let request = json!({ "party": name, "distributionId": GROUP });
            let answer = oracle.call("senderKeyDistributionCreate", request);
            let distribution =
                SenderKeyDistribution::from_bytes(&decode(&answer["message"])).unwrap();
            let mut keys = ReceivedSenderKeys::new(GROUP_BYTES);
            keys.process(&distribution).unwrap();
            let mut sent: Vec<(String, Vec<u8>)> = (0..100)
                .map(|n| {
                    let text = format!("{name} {n}");
                    let request =
                        json!({ "party": name, "distributionId": GROUP, "plaintext": encode(&text) });
                    let answer = oracle.call("groupEncrypt", request);
                    (text, decode(&answer["message"]))
                })
                .collect();
            sent.shuffle(&mut rng);
            for (text, message) in &sent {
                let message = SenderKeyMessage::from_bytes(message).unwrap();
                assert_eq!(keys.decrypt(&message).unwrap().as_slice(), text.as_bytes());
                keys.decrypt(&message).expect_err("a message twice");
            }
        }
    }
}

#[test]
fn safety_numbers_and_codes_agree() {
    for version in VERSIONS {
        let mut oracle = Oracle::start(version);
        let mut rng = StdRng::seed_from_u64(5);
        for n in 0..5 {
            let (ours, theirs) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
            let (our_id, their_id) = (format!("a{n}@north.test"), format!("b{n}@south.test"));
            let number = SafetyNumber::new(
                our_id.as_bytes(),
                &ours.public,
                their_id.as_bytes(),
                &theirs.public,
            );
            let request = json!({
                "localId": encode(&their_id),
                "localKey": encode(theirs.public.to_bytes()),
                "remoteId": encode(&our_id),
                "remoteKey": encode(ours.public.to_bytes()),
                "scannable": encode(number.scannable()),
            });
            let answer = oracle.call("fingerprint", request.clone());
            assert_eq!(answer["display"], number.digits());
            number.compare(&decode(&answer["scannable"])).unwrap();
            assert_eq!(oracle.call("fingerprintCompare", request)["equal"], true);
        }
    }
}

#[test]
fn signatures_and_agreements_agree() {
    for version in VERSIONS {
        let mut oracle = Oracle::start(version);
        let mut rng = StdRng::seed_from_u64(6);
        for n in 0..40_u8 {
            let pair = KeyPair::generate(&mut rng);
            let message = vec![n; usize::from(n)];
            let private = encode(pair.private.to_bytes().expose());
            let public = encode(pair.public.to_bytes());
            let signature = xeddsa::sign(&pair.private, &[&message], &mut rng);
            let mut request = json!({
                "publicKey": public,
                "privateKey": private,
                "message": encode(&message),
                "signature": encode(signature),
            });
            assert_eq!(oracle.call("publicKey", request.clone())["publicKey"], public);
            assert_eq!(oracle.call("verify", request.clone())["valid"], true);
            let theirs = decode(&oracle.call("sign", request.clone())["signature"]);
            xeddsa::verify(&pair.public, &[&message], &theirs.try_into().unwrap()).unwrap();
            let other = oracle.call("generateKey", json!({}));
            let public = PublicKey::from_bytes(&decode(&other["publicKey"])).unwrap();
            request["publicKey"] = other["publicKey"].clone();
            let agreed = decode(&oracle.call("agree", request)["secret"]);
            assert_eq!(pair.private.agree(&public).unwrap().expose().as_slice(), agreed);
        }
    }
}
