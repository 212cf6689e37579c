//! HKDF and HMAC with SHA-256, over several parts at once.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::e2ee::secret::Secret;

/// The salt that stands for 'no salt'.
pub(crate) const NO_SALT: [u8; 32] = [0; 32];
/// The longest output of HKDF-SHA256 (RFC 5869 §2.3).
const MAX_OUTPUT: usize = 255 * 32;

/// HKDF-SHA256 (RFC 5869) to `N` bytes; `info` is the concatenation of its parts.
pub(crate) fn hkdf<const N: usize>(salt: &[u8; 32], ikm: &[u8], info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= MAX_OUTPUT, "HKDF-SHA256 cannot give that many bytes") };
    let mut output = Secret::new([0; N]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, output.as_mut());
    debug_assert!(expanded.is_ok(), "the length is checked when compiling");
    output
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret<32> {
    // HMAC pads a short key with zeros to its block (RFC 2104 §2); done here, nothing can fail.
    let mut block = Secret::new([0; 64]);
    block.as_mut().iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(block.expose().into());
    for part in parts {
        mac.update(part);
    }
    Secret::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 §4.3 has a short key: padded with zeros it is the same key.
    #[test]
    fn pads_a_short_key_as_the_rfc_vector_says() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        let start = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e];
        assert_eq!(mac.expose()[..8], start);
    }
}
