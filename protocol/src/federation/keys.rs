//! Ids of server keys.

use core::fmt;

use posthouse_crypto::{seal::SealingPublicKey, sign::VerifyingKey};
use sha2::{Digest, Sha256};

/// Names a server's key. It is derived from the key, so it cannot be given to another one.
///
/// ```text
/// signing: SHA-256("posthouse signing key v1" ‖ 00 ‖ public key)[0..8]
/// sealing: SHA-256("posthouse sealing key v1" ‖ 00 ‖ encapsulation (2, big-endian) ‖ public key)[0..8]
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// The id of a signing key.
    pub fn of_signing(key: &VerifyingKey) -> Self {
        Self::hash(b"posthouse signing key v1\0", &[&key.to_bytes()])
    }

    /// The id of a sealing key.
    pub fn of_sealing(key: &SealingPublicKey) -> Self {
        let encapsulation = key.encapsulation().id().to_be_bytes();
        Self::hash(b"posthouse sealing key v1\0", &[&encapsulation, &key.to_bytes()])
    }

    fn hash(label: &[u8], parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new_with_prefix(label);
        for part in parts {
            hash.update(part);
        }
        let mut id = [0; 8];
        id.copy_from_slice(hash.finalize().split_at(8).0);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
