//! Tests of sealing: both encapsulations, every part bound, no secret shown.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn pair(encapsulation: Encapsulation, seed: u8) -> (SealingKey, SealingPublicKey) {
    let key = SealingKey::generate(encapsulation, &mut StdRng::from_seed([seed; 32]));
    let public = key.public_key();
    (key, public)
}

#[test]
fn lengths_are_those_of_the_specifications() {
    let mut rng = StdRng::from_seed([1; 32]);
    for encapsulation in Encapsulation::PREFERENCE {
        let (key, public) = pair(encapsulation, 2);
        assert_eq!(public.to_bytes().len(), encapsulation.public_key_len());
        let (enc, sealed) = public.seal(b"info", b"header", b"body", &mut rng).unwrap();
        assert_eq!(enc.len(), encapsulation.encapsulated_len());
        assert_eq!(sealed.len(), 4 + TAG_LEN);
        assert_eq!(key.open(b"info", b"header", &enc, &sealed).unwrap(), b"body");
        assert_eq!(Encapsulation::from_id(encapsulation.id()), Some(encapsulation));
    }
    assert_eq!(Encapsulation::from_id(0x10), None);
}

#[test]
fn a_stored_secret_gives_the_same_key() {
    for encapsulation in Encapsulation::PREFERENCE {
        let (key, public) = pair(encapsulation, 3);
        let again = SealingKey::from_secret(encapsulation, &key.secret()).unwrap();
        assert!(again.public_key() == public);
        let parsed = SealingPublicKey::from_bytes(encapsulation, &public.to_bytes()).unwrap();
        assert!(parsed == public);
        assert_eq!(parsed.encapsulation(), encapsulation);
        assert_eq!(again.encapsulation(), encapsulation);
    }
}

/// RFC 9180 appendix A.1 fixes the derivation of the key pair; its suite differs from ours in the
/// AEAD only, which the key pair does not depend on.
#[test]
fn derives_the_key_pair_of_the_rfc() {
    let ikm = hex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037");
    let (secret, public) = X25519HkdfSha256::derive_keypair(&ikm);
    let expected = hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
    assert_eq!(public.to_bytes().to_vec(), expected);
    let secret: [u8; 32] = secret.to_bytes().into();
    let key = SealingKey::from_secret(Encapsulation::X25519, &secret).unwrap();
    assert_eq!(key.public_key().to_bytes(), expected);
}

#[test]
fn refuses_keys_that_are_none() {
    for encapsulation in Encapsulation::PREFERENCE {
        for len in [0, 31, 33, encapsulation.public_key_len() + 1] {
            let outcome = SealingPublicKey::from_bytes(encapsulation, &vec![9; len]);
            assert_eq!(outcome.unwrap_err(), SealError::Key);
        }
    }
    // A point of small order yields the all-zero secret.
    let weak = SealingPublicKey::from_bytes(Encapsulation::X25519, &[0; 32]).unwrap();
    let mut rng = StdRng::from_seed([1; 32]);
    assert_eq!(weak.seal(b"", b"", b"x", &mut rng).unwrap_err(), SealError::Key);
    // Coefficients beyond the modulus (FIPS 203 §7.2).
    let beyond = SealingPublicKey::from_bytes(Encapsulation::XWing, &[0xff; 1216]);
    assert_eq!(beyond.unwrap_err(), SealError::Key);
}

#[test]
fn debug_shows_no_secret() {
    for encapsulation in Encapsulation::PREFERENCE {
        let (key, _) = pair(encapsulation, 4);
        assert_eq!(
            format!("{key:?}"),
            format!("SealingKey {{ encapsulation: {encapsulation:?}, .. }}")
        );
        let sealing = key.public_key().share(b"", &mut StdRng::from_seed([1; 32])).unwrap();
        let opening = key.share(b"", sealing.encapsulated()).unwrap();
        let shown = format!("{sealing:?} {opening:?}");
        assert_eq!(shown, "SharedSealing { .. } SharedOpening { .. }");
        let shown = format!("{:?}", key.public_key());
        assert_eq!(shown, format!("SealingPublicKey({encapsulation:?})"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_ways_of_sealing_open(body: Vec<u8>, header: Vec<u8>, wing: bool, seed: [u8; 32]) {
        let encapsulation = Encapsulation::PREFERENCE[usize::from(wing)];
        let (key, public) = pair(encapsulation, 5);
        let mut rng = StdRng::from_seed(seed);
        let (enc, sealed) = public.seal(b"i", &header, &body, &mut rng).unwrap();
        prop_assert_eq!(key.open(b"i", &header, &enc, &sealed).unwrap(), body.clone());
        let sealing = public.begin(b"i", &mut rng).unwrap();
        let enc = sealing.encapsulated().to_vec();
        let sealed = sealing.finish(&header, &body).unwrap();
        prop_assert_eq!(key.open(b"i", &header, &enc, &sealed).unwrap(), body);
    }

    /// Under one encapsulated key each salt opens its own body, and nothing else does.
    #[test]
    fn bodies_under_one_encapsulated_key(bodies: [Vec<u8>; 2], wing: bool, part in 0_usize..4, bit: u16) {
        let encapsulation = Encapsulation::PREFERENCE[usize::from(wing)];
        let (key, public) = pair(encapsulation, 8);
        let mut rng = StdRng::from_seed([9; 32]);
        let sealing = public.share(b"info", &mut rng).unwrap();
        let enc = sealing.encapsulated().to_vec();
        let opening = key.share(b"info", &enc).unwrap();
        let salts = [[1; SALT_LEN], [2; SALT_LEN]];
        let sealed: Vec<_> = (0..2).map(|n| sealing.seal(&salts[n], b"h", &bodies[n]).unwrap()).collect();
        for n in 0..2 {
            prop_assert_eq!(&opening.open(&salts[n], b"h", &sealed[n]).unwrap(), &bodies[n]);
            let other = opening.open(&salts[1 - n], b"h", &sealed[n]);
            prop_assert_eq!(other, Err(SealError::Open));
            let single = key.open(b"info", b"h", &enc, &sealed[n]);
            prop_assert_eq!(single, Err(SealError::Open));
        }
        let mut parts = [enc, salts[0].to_vec(), b"h".to_vec(), sealed[0].clone()];
        let bit = usize::from(bit) % (parts[part].len() * 8);
        parts[part][bit / 8] ^= 1 << (bit % 8);
        let [enc, salt, header, sealed] = parts;
        let salt = salt.try_into().unwrap();
        let opened = key.share(b"info", &enc).and_then(|o| o.open(&salt, &header, &sealed));
        prop_assert_eq!(opened, Err(SealError::Open));
    }

    #[test]
    fn a_changed_bit_anywhere_does_not_open(wing: bool, part in 0_usize..4, bit: u16) {
        let encapsulation = Encapsulation::PREFERENCE[usize::from(wing)];
        let (key, public) = pair(encapsulation, 6);
        let mut rng = StdRng::from_seed([7; 32]);
        let (enc, sealed) = public.seal(b"info", b"header", b"body", &mut rng).unwrap();
        let mut parts = [b"info".to_vec(), b"header".to_vec(), enc, sealed];
        let bits = parts[part].len() * 8;
        let bit = usize::from(bit) % bits;
        parts[part][bit / 8] ^= 1 << (bit % 8);
        let [info, header, enc, sealed] = parts;
        // X25519 ignores the top bit of a coordinate, yet the key schedule binds all of `enc`.
        prop_assert_eq!(key.open(&info, &header, &enc, &sealed), Err(SealError::Open));
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
