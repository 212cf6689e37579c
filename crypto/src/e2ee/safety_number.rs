//! Safety numbers: 60 digits, or a code to scan, by which two people compare their identity keys.

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use super::{
    primitives::curve::PublicKey,
    wire::protobuf::{Fields, put_bytes, put_uint},
};

/// How often the hash of one side is repeated, to make searching for look-alikes costly.
const ITERATIONS: u32 = 5_200;
/// The version of the scannable code.
const SCANNABLE_VERSION: u32 = 2;
/// Bytes of each side's hash in the scannable code.
const SCANNABLE_LEN: usize = 32;

/// The fingerprints of two people, from the point of view of one of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SafetyNumber {
    local: Fingerprint,
    remote: Fingerprint,
}

/// One person's key and id, hashed 5,200 times.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Fingerprint([u8; 64]);

impl SafetyNumber {
    /// The number of two people. The ids are the accounts' full names.
    pub fn new(
        local_id: &[u8],
        local_key: &PublicKey,
        remote_id: &[u8],
        remote_key: &PublicKey,
    ) -> Self {
        Self {
            local: Fingerprint::new(local_id, local_key),
            remote: Fingerprint::new(remote_id, remote_key),
        }
    }

    /// 60 digits, the same for both.
    pub fn digits(&self) -> String {
        let (local, remote) = (self.local.digits(), self.remote.digits());
        if local <= remote { local + &remote } else { remote + &local }
    }

    /// The code for the other one to scan:
    /// protobuf `1 version, 2 {1 our first 32 bytes}, 3 {1 theirs}`.
    pub fn scannable(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        put_uint(&mut out, 1, SCANNABLE_VERSION);
        for (field, side) in [(2, &self.local), (3, &self.remote)] {
            let mut inner = Vec::with_capacity(SCANNABLE_LEN + 2);
            put_bytes(&mut inner, 1, side.start());
            put_bytes(&mut out, field, &inner);
        }
        out
    }

    /// Compares a code scanned from the other's screen, whose sides are swapped.
    ///
    /// # Errors
    /// [`ScanError`]; only [`ScanError::Mismatch`] speaks of different keys.
    pub fn compare(&self, scanned: &[u8]) -> Result<(), ScanError> {
        let (mut version, mut theirs, mut ours) = (0, None, None);
        for field in Fields::new(scanned) {
            let (number, value) = field.map_err(|_| ScanError::Malformed)?;
            match number {
                1 => version = value.u32().map_err(|_| ScanError::Malformed)?,
                2 => theirs = Some(inner(value.bytes().map_err(|_| ScanError::Malformed)?)?),
                3 => ours = Some(inner(value.bytes().map_err(|_| ScanError::Malformed)?)?),
                _ => {}
            }
        }
        if version != SCANNABLE_VERSION {
            return Err(ScanError::Version(version));
        }
        let same = theirs.ok_or(ScanError::Malformed)?.ct_eq(self.remote.start())
            & ours.ok_or(ScanError::Malformed)?.ct_eq(self.local.start());
        if bool::from(same) { Ok(()) } else { Err(ScanError::Mismatch) }
    }
}

impl Fingerprint {
    fn new(id: &[u8], key: &PublicKey) -> Self {
        let key = key.to_bytes();
        let first = Sha512::new().chain_update([0, 0]).chain_update(key).chain_update(id);
        let mut hash = first.chain_update(key).finalize();
        for _ in 1..ITERATIONS {
            hash = Sha512::new().chain_update(hash).chain_update(key).finalize();
        }
        Self(hash.into())
    }

    /// 30 digits: of each of the first six groups of 5 bytes, the last 5.
    fn digits(&self) -> String {
        let groups = self.0.as_chunks::<5>().0.iter().take(6);
        groups.fold(String::with_capacity(30), |digits, group| {
            let number = group.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            digits + &format!("{:05}", number % 100_000)
        })
    }

    fn start(&self) -> &[u8] {
        self.0.get(..SCANNABLE_LEN).unwrap_or_default()
    }
}

fn inner(bytes: &[u8]) -> Result<&[u8], ScanError> {
    let mut found = None;
    for field in Fields::new(bytes) {
        let (number, value) = field.map_err(|_| ScanError::Malformed)?;
        if number == 1 {
            found = Some(value.bytes().map_err(|_| ScanError::Malformed)?);
        }
    }
    found.filter(|found| found.len() == SCANNABLE_LEN).ok_or(ScanError::Malformed)
}

/// What a scanned code is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// No safety code at all.
    #[error("this is not a safety code")]
    Malformed,
    /// The keys differ: somebody may be in between, or one side knows an old key.
    #[error("the safety numbers do not match")]
    Mismatch,
    /// A code of another version; nothing is said about the keys.
    #[error("the safety code has version {0}")]
    Version(u32),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2ee::testing::{field, unbase64};

    fn key(hex: &str) -> PublicKey {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        PublicKey::from_bytes(&(0..66).step_by(2).map(byte).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn gives_the_published_number() {
        let a = key("0506863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868");
        let b = key("05f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b");
        let of_a = SafetyNumber::new(b"+14152222222", &a, b"+14153333333", &b);
        let of_b = SafetyNumber::new(b"+14153333333", &b, b"+14152222222", &a);
        let digits = "300354477692869396892869876765458257569162576843440918079131";
        assert_eq!(of_a.digits(), digits);
        assert_eq!(of_b.digits(), digits);
        assert_eq!(of_a.compare(&of_b.scannable()), Ok(()));
        assert_eq!(of_a.compare(&of_a.scannable()), Err(ScanError::Mismatch), "one's own code");
        let other = SafetyNumber::new(b"+14153333333", &a, b"+14152222222", &a);
        assert_eq!(of_a.compare(&other.scannable()), Err(ScanError::Mismatch));
        let mut newer = of_b.scannable();
        newer[1] = 3;
        assert_eq!(of_a.compare(&newer), Err(ScanError::Version(3)));
        assert_eq!(of_a.compare(b"hello"), Err(ScanError::Malformed));
    }

    #[test]
    fn gives_recorded_numbers_and_codes() {
        let files = [
            include_str!("../../tests/vectors/pqxdh_v4_nospqr_0.72.1.json"),
            include_str!("../../tests/vectors/pqxdh_v4_spqr_0.103.0.json"),
            include_str!("../../tests/vectors/x3dh_v3_0.72.1.json"),
        ];
        for text in files {
            let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
            let print = &recorded["fingerprint"];
            let of = |party: &str| {
                PublicKey::from_bytes(&field(&recorded[party], "identityKey")).unwrap()
            };
            let (alice_id, bob_id) = (field(print, "aliceId"), field(print, "bobId"));
            let number = SafetyNumber::new(&alice_id, &of("alice"), &bob_id, &of("bob"));
            assert_eq!(print["display"], number.digits());
            assert_eq!(unbase64(print["scannable"].as_str().unwrap()), number.scannable());
        }
    }
}
