//! AES-256 in CBC mode with PKCS #7 padding. Gives no authenticity: callers check a MAC or a
//! signature first.

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use zeroize::Zeroizing;

use crate::e2ee::secret::Secret;

/// Length of a block, in bytes.
const BLOCK_LEN: usize = 16;

/// Encrypts; the result is 1 to 16 bytes longer than `plaintext` and a multiple of 16.
pub(crate) fn encrypt(key: &Secret<32>, iv: &Secret<16>, plaintext: &[u8]) -> Vec<u8> {
    let cipher = cbc::Encryptor::<Aes256>::new(key.expose().into(), iv.expose().into());
    cipher.encrypt_padded_vec::<Pkcs7>(plaintext)
}

/// Decrypts, or `None` if the length or the padding is wrong.
pub(crate) fn decrypt(
    key: &Secret<32>,
    iv: &Secret<16>,
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_LEN) {
        return None;
    }
    let cipher = cbc::Decryptor::<Aes256>::new(key.expose().into(), iv.expose().into());
    cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).ok().map(Zeroizing::new)
}
