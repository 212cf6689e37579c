//! ML-KEM-768 (FIPS 203) in instalments: a key travels as header and rest, a ciphertext as two
//! parts, of which the first needs only the header.
//!
//! States keep seeds instead of the library's expanded keys: shorter, and the same on every
//! machine.

use libcrux_ml_kem::mlkem768::incremental::{
    self, Ciphertext1, Ciphertext2, KeyPairCompressedBytes, decapsulate_compressed_key,
    encaps_state_len, encapsulate1, encapsulate2, validate_pk_bytes,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::e2ee::secret::Secret;

/// Length of a key's header, in bytes: seed of the matrix, hash of the whole key.
pub(super) const HEADER_LEN: usize = 64;
/// Length of a key's rest, in bytes.
pub(super) const KEY_LEN: usize = 1152;
/// Length of the first part of a ciphertext, in bytes.
pub(super) const CT1_LEN: usize = 960;
/// Length of the second part of a ciphertext, in bytes.
pub(super) const CT2_LEN: usize = 128;

const _: () = assert!(incremental::pk1_len() == HEADER_LEN && incremental::pk2_len() == KEY_LEN);

/// The seed of a key pair.
#[derive(Clone, Debug)]
pub(super) struct DecapsulationSeed(pub(super) Secret<64>);

impl DecapsulationSeed {
    pub(super) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// The header and the rest of the public key.
    pub(super) fn public_key(&self) -> ([u8; HEADER_LEN], [u8; KEY_LEN]) {
        let pair = KeyPairCompressedBytes::from_seed(*self.0.expose());
        let public = (*pair.pk1(), *pair.pk2());
        pair.to_bytes().zeroize();
        public
    }

    pub(super) fn decapsulate(&self, ct1: &[u8; CT1_LEN], ct2: &[u8; CT2_LEN]) -> Secret<32> {
        let pair = KeyPairCompressedBytes::from_seed(*self.0.expose());
        let (ct1, ct2) = (Ciphertext1 { value: *ct1 }, Ciphertext2 { value: *ct2 });
        let secret = Secret::new(decapsulate_compressed_key(pair.sk(), &ct1, &ct2));
        pair.to_bytes().zeroize();
        secret
    }
}

/// The header of a key and the seed of an encapsulation to it.
#[derive(Clone, Debug)]
pub(super) struct Encapsulation {
    pub(super) header: [u8; HEADER_LEN],
    pub(super) seed: Secret<32>,
}

impl Encapsulation {
    pub(super) fn generate(header: [u8; HEADER_LEN], rng: &mut impl CryptoRng) -> Self {
        Self { header, seed: Secret::random(rng) }
    }

    /// The first part of the ciphertext and the secret; `None` only if the library refuses its
    /// own lengths.
    pub(super) fn first(&self) -> Option<([u8; CT1_LEN], Secret<32>)> {
        self.run().map(|(ct1, _, secret)| (ct1, secret))
    }

    /// The second part, once the rest of the key is there; `None` if it is not the key that the
    /// header names.
    pub(super) fn second(&self, key: &[u8; KEY_LEN]) -> Option<[u8; CT2_LEN]> {
        validate_pk_bytes(&self.header, key).ok()?;
        let (_, state, _) = self.run()?;
        Some(encapsulate2(&state, key).value)
    }

    fn run(&self) -> Option<([u8; CT1_LEN], Zeroizing<[u8; encaps_state_len()]>, Secret<32>)> {
        let mut state = Zeroizing::new([0; encaps_state_len()]);
        let mut secret = Secret::new([0; 32]);
        let seed = *self.seed.expose();
        let ct1 = encapsulate1(&self.header, seed, &mut *state, secret.as_mut()).ok()?;
        Some((ct1.value, state, secret))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn both_sides_get_the_same_secret_and_a_swapped_key_is_noticed() {
        let mut rng = StdRng::seed_from_u64(7);
        let seed = DecapsulationSeed::generate(&mut rng);
        let (header, key) = seed.public_key();
        let encapsulation = Encapsulation::generate(header, &mut rng);
        let (ct1, ours) = encapsulation.first().unwrap();
        let ct2 = encapsulation.second(&key).unwrap();
        assert!(seed.decapsulate(&ct1, &ct2).ct_eq(&ours));
        let (_, other) = DecapsulationSeed::generate(&mut rng).public_key();
        assert_eq!(encapsulation.second(&other), None);
    }
}
