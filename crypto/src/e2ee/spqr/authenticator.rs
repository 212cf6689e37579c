//! Authenticates the key exchange with what the session already shares, so that nobody who sits
//! between the two can put in a key of their own, even one who breaks X25519 later.

use subtle::ConstantTimeEq;

use crate::e2ee::{
    cbor::{CborError, Reader, Writer},
    primitives::kdf::{NO_SALT, hkdf, hmac},
    secret::Secret,
};

/// Length of a MAC, in bytes.
pub(super) const MAC_LEN: usize = 32;

const UPDATE: &[u8] = b"Signal_PQCKA_V1_MLKEM768:Authenticator Update";
const HEADER: &[u8] = b"Signal_PQCKA_V1_MLKEM768:ekheader";
const CIPHERTEXT: &[u8] = b"Signal_PQCKA_V1_MLKEM768:ciphertext";

/// The running secret of all exchanges so far.
#[derive(Clone, Debug)]
pub(super) struct Authenticator {
    root: Secret<32>,
    mac_key: Secret<32>,
}

impl Authenticator {
    /// Starts from the key that PQXDH gave.
    pub(super) fn new(auth_key: &Secret<32>) -> Self {
        let zero = Secret::new([0; 32]);
        let mut authenticator = Self { root: zero.clone(), mac_key: zero };
        authenticator.update(1, auth_key);
        authenticator
    }

    /// Mixes in the secret of an exchange.
    pub(super) fn update(&mut self, epoch: u64, secret: &Secret<32>) {
        let mut ikm = Secret::new([0; 64]);
        let halves = self.root.expose().iter().chain(secret.expose());
        ikm.as_mut().iter_mut().zip(halves).for_each(|(to, from)| *to = *from);
        let keys: Secret<64> = hkdf(&NO_SALT, ikm.expose(), &[UPDATE, &epoch.to_be_bytes()]);
        self.root = keys.part::<0, 32>();
        self.mac_key = keys.part::<32, 32>();
    }

    pub(super) fn header_mac(&self, epoch: u64, header: &[u8]) -> [u8; MAC_LEN] {
        *hmac(self.mac_key.expose(), &[HEADER, &epoch.to_be_bytes(), header]).expose()
    }

    pub(super) fn ciphertext_mac(&self, epoch: u64, ct1: &[u8], ct2: &[u8]) -> [u8; MAC_LEN] {
        *hmac(self.mac_key.expose(), &[CIPHERTEXT, &epoch.to_be_bytes(), ct1, ct2]).expose()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.array(2);
        writer.bytes(self.root.expose());
        writer.bytes(self.mac_key.expose());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.fixed_array(2)?;
        Ok(Self { root: Secret::new(reader.exact()?), mac_key: Secret::new(reader.exact()?) })
    }
}

/// Compares two MACs in constant time.
pub(super) fn same(ours: &[u8; MAC_LEN], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}
