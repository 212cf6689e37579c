//! What a ratchet does with the post-quantum part of a message.

use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn pair(profile: Profile) -> (Ratchet, Ratchet) {
    let mut rng = StdRng::seed_from_u64(1);
    let [a, b, first, signed] = [(); 4].map(|()| KeyPair::generate(&mut rng));
    let [root, chain, pq] = [1, 2, 3].map(|byte| Secret::new([byte; 32]));
    let secrets = SharedSecrets { root, chain, pq };
    let identities = (a.public, b.public);
    let initiator = Ratchet::initiator(profile, identities, &secrets, first, &signed.public);
    let identities = (b.public, a.public);
    (initiator.unwrap(), Ratchet::responder(profile, identities, &secrets, signed))
}

#[test]
fn a_ratchet_without_spqr_takes_no_part_of_it() {
    let mut rng = StdRng::seed_from_u64(2);
    let (mut a, _) = pair(Profile::PqxdhSpqr);
    let (_, mut b) = pair(Profile::Pqxdh);
    let sent = SignalMessage::from_bytes(&a.seal(b"x", None, &mut rng).unwrap()).unwrap();
    assert_eq!(b.pq_key_of(&sent).unwrap_err(), DecryptError::NotAuthentic);
}

#[test]
fn a_ratchet_with_spqr_needs_its_part() {
    let mut rng = StdRng::seed_from_u64(3);
    let (mut a, _) = pair(Profile::Pqxdh);
    let (_, mut b) = pair(Profile::PqxdhSpqr);
    let sent = SignalMessage::from_bytes(&a.seal(b"x", None, &mut rng).unwrap()).unwrap();
    assert_eq!(b.pq_key_of(&sent).unwrap_err(), DecryptError::Spqr(SpqrError::Malformed));
}
