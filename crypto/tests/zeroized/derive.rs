//! The same derivations as in the crate, on the stack: what they give is looked for.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) const NO_SALT: [u8; 32] = [0; 32];

pub(crate) fn hkdf<const N: usize>(salt: &[u8; 32], ikm: &[u8], info: &[&[u8]]) -> [u8; N] {
    let mut output = [0; N];
    Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, &mut output).unwrap();
    output
}

pub(crate) fn hmac(key: &[u8], part: u8) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(&[part]);
    mac.finalize().into_bytes().into()
}
