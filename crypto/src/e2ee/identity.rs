//! Which identity key belongs to which account, and the notice when that changes.

use std::collections::BTreeMap;

use super::{
    cbor::{CborError, Reader, Writer},
    primitives::curve::PublicKey,
};

/// The version of the stored form.
const VERSION: u64 = 1;
/// How many accounts can be remembered.
const MAX_ACCOUNTS: usize = 1 << 20;

/// What an identity key is, compared with what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityCheck {
    /// The account is new here: trusted on first use.
    First,
    /// The known key.
    Unchanged,
    /// Another key than the known one. Nothing may be encrypted to it or believed from it until
    /// the person has been told and [`KnownIdentities::accept`] is called.
    Changed {
        /// The key known so far.
        known: PublicKey,
        /// Whether the person had compared safety numbers for it.
        was_verified: bool,
    },
}

/// The identity keys seen so far, one for each account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownIdentities(BTreeMap<String, Known>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    key: PublicKey,
    verified: bool,
}

impl KnownIdentities {
    /// Nobody is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The known key of an account.
    pub fn get(&self, account: &str) -> Option<&PublicKey> {
        self.0.get(account).map(|known| &known.key)
    }

    /// Compares `key` with what is known, without remembering it.
    pub fn check(&self, account: &str, key: &PublicKey) -> IdentityCheck {
        match self.0.get(account) {
            None => IdentityCheck::First,
            Some(known) if known.key == *key => IdentityCheck::Unchanged,
            Some(known) => {
                IdentityCheck::Changed { known: known.key, was_verified: known.verified }
            }
        }
    }

    /// Remembers `key`; another one than before counts as not verified.
    pub fn accept(&mut self, account: &str, key: PublicKey) {
        let verified = self.0.get(account).is_some_and(|known| known.key == key && known.verified);
        self.0.insert(account.to_owned(), Known { key, verified });
    }

    /// Notes that the person compared the safety number of `key`. `false` if it is not the
    /// known key.
    pub fn mark_verified(&mut self, account: &str, key: &PublicKey) -> bool {
        match self.0.get_mut(account).filter(|known| known.key == *key) {
            Some(known) => {
                known.verified = true;
                true
            }
            None => false,
        }
    }

    /// Whether the known key was verified by the person.
    pub fn is_verified(&self, account: &str) -> bool {
        self.0.get(account).is_some_and(|known| known.verified)
    }

    /// The stored form: deterministic CBOR `[1, {account: [key, verified]}]` as an array.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.array(2);
        writer.uint(VERSION);
        writer.array(self.0.len());
        for (account, known) in &self.0 {
            writer.array(3);
            writer.text(account);
            writer.bytes(&known.key.to_bytes());
            writer.bool(known.verified);
        }
        writer.finish().to_vec()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes);
        reader.fixed_array(2)?;
        StateError::check_version(reader.uint()?, VERSION)?;
        let known = reader.sequence(MAX_ACCOUNTS, |r| {
            r.fixed_array(3)?;
            let account = r.text()?.to_owned();
            let key = read_key(r)?;
            Ok::<_, CborError>((account, Known { key, verified: r.bool()? }))
        })?;
        reader.end()?;
        Ok(Self(known.into_iter().collect()))
    }
}

/// Reads a public key out of stored state.
pub(crate) fn read_key(reader: &mut Reader<'_>) -> Result<PublicKey, CborError> {
    PublicKey::from_bytes(reader.bytes()?).map_err(|_| CborError)
}

/// Why stored state cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not what this crate writes.
    #[error("the stored state is corrupt")]
    Corrupt,
    /// Written by a later version of this crate.
    #[error("the stored state has version {0}, which is unknown here")]
    Version(u64),
}

impl StateError {
    pub(crate) fn check_version(found: u64, known: u64) -> Result<(), Self> {
        if found == known { Ok(()) } else { Err(Self::Version(found)) }
    }
}

impl From<CborError> for StateError {
    fn from(_: CborError) -> Self {
        Self::Corrupt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::primitives::curve::PrivateKey;

    #[test]
    fn a_changed_key_is_noticed_and_loses_its_verification() {
        let [first, second] = [1, 2].map(|n| PrivateKey::from_bytes(&[n; 32]).public_key());
        let mut known = KnownIdentities::new();
        assert_eq!(known.check("a@south.test", &first), IdentityCheck::First);
        known.accept("a@south.test", first);
        known.accept("a@south.test", first);
        assert!(!known.is_verified("a@south.test"), "seen twice is not compared");
        assert!(!known.mark_verified("a@south.test", &second));
        assert!(known.mark_verified("a@south.test", &first));
        assert_eq!(known.check("a@south.test", &first), IdentityCheck::Unchanged);
        let changed = IdentityCheck::Changed { known: first, was_verified: true };
        assert_eq!(known.check("a@south.test", &second), changed);
        let stored = KnownIdentities::from_bytes(&known.to_bytes()).unwrap();
        assert_eq!(stored, known);
        assert_eq!(known.get("a@south.test"), Some(&first));
        assert_eq!(known.get("b@south.test"), None);
        assert!(known.is_verified("a@south.test"));
        known.accept("a@south.test", first);
        assert!(known.is_verified("a@south.test"), "the same key once more");
        known.accept("a@south.test", second);
        assert!(!known.is_verified("a@south.test"));
        assert_eq!(KnownIdentities::from_bytes(&[0x82, 2, 0x80]), Err(StateError::Version(2)));
    }
}
