//! XEdDSA signatures with X25519 keys, in the variant that the official Signal library speaks.
//!
//! It differs from the published specification in one point: the private scalar is not negated
//! to make the Edwards point's sign zero. The sign travels in the top bit of the signature
//! instead. A verifier that follows the specification refuses half of these signatures.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::curve::{PrivateKey, PublicKey};
use crate::e2ee::secret::Secret;

/// Length of a signature, in bytes: `R || s`, with the key's sign in the top bit of `s`.
pub const SIGNATURE_LEN: usize = 64;
/// The top bit of a signature's last byte.
const SIGN_BIT: u8 = 0x80;

/// Signs the concatenation of `message`'s parts. Takes 64 bytes of `rng`.
pub fn sign(key: &PrivateKey, message: &[&[u8]], rng: &mut impl CryptoRng) -> [u8; SIGNATURE_LEN] {
    let a = Zeroizing::new(key.scalar());
    let public = EdwardsPoint::mul_base(&a).compress();
    let noise = Secret::<64>::random(rng);

    let mut prefix = [0xff; 32];
    prefix[0] = 0xfe;
    let mut nonce = Sha512::new().chain_update(prefix).chain_update(key.expose());
    for part in message {
        nonce.update(part);
    }
    nonce.update(noise.expose());
    let r = Zeroizing::new(reduce(nonce));

    let commitment = EdwardsPoint::mul_base(&r).compress();
    let s = challenge(&commitment, &public, message) * *a + *r;
    join(commitment.as_bytes(), &s.to_bytes(), public.as_bytes()[31] & SIGN_BIT)
}

/// Checks a signature over the concatenation of `message`'s parts.
///
/// # Errors
/// [`SignatureError`] if it is not `key`'s over this message, if `s` is not canonical, or if the
/// key has small order (anyone could sign for it).
pub fn verify(
    key: &PublicKey,
    message: &[&[u8]],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), SignatureError> {
    let (commitment, s, sign) = split(signature);
    let point = key.to_edwards(sign).filter(|point| !point.is_small_order());
    let point = point.ok_or(SignatureError)?;
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)).ok_or(SignatureError)?;
    let commitment = CompressedEdwardsY(commitment);
    let h = challenge(&commitment, &point.compress(), message);
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&h, &-point, &s);
    let same: bool = expected.compress().as_bytes().ct_eq(commitment.as_bytes()).into();
    if same { Ok(()) } else { Err(SignatureError) }
}

/// The signature is not this key's over this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match")]
pub struct SignatureError;

/// SHA-512(R || A || message) as a scalar.
fn challenge(
    commitment: &CompressedEdwardsY,
    public: &CompressedEdwardsY,
    message: &[&[u8]],
) -> Scalar {
    let mut hash =
        Sha512::new().chain_update(commitment.as_bytes()).chain_update(public.as_bytes());
    for part in message {
        hash.update(part);
    }
    reduce(hash)
}

fn reduce(hash: Sha512) -> Scalar {
    let wide = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
    Scalar::from_bytes_mod_order_wide(&wide)
}

/// `R || s`, with `sign` in the top bit, which a canonical `s` leaves free.
fn join(commitment: &[u8; 32], s: &[u8; 32], sign: u8) -> [u8; SIGNATURE_LEN] {
    let mut signature = [0; SIGNATURE_LEN];
    let halves = commitment.iter().chain(s);
    signature.iter_mut().zip(halves).for_each(|(to, from)| *to = *from);
    signature[SIGNATURE_LEN - 1] |= sign;
    signature
}

/// `R`, `s` without the sign bit, and the sign as 0 or 1.
fn split(signature: &[u8; SIGNATURE_LEN]) -> ([u8; 32], [u8; 32], u8) {
    let (mut commitment, mut s) = ([0; 32], [0; 32]);
    let halves = commitment.iter_mut().chain(s.iter_mut());
    halves.zip(signature).for_each(|(to, from)| *to = *from);
    let sign = s[31] >> 7;
    s[31] &= !SIGN_BIT;
    (commitment, s, sign)
}
