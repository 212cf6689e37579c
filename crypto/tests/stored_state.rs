//! Every stored state says its version first, and one of another version is refused as such, not
//! as corrupt: an older program must not throw away what a newer one wrote.
#![cfg(test)]

use std::fmt::Debug;

use posthouse_crypto::e2ee::{
    group::{receiving::ReceivedSenderKeys, sending::SendingGroup},
    identity::{KnownIdentities, StateError},
    prekey::store::PreKeys,
    primitives::curve::KeyPair,
    session::Session,
    time::UnixMillis,
};
use rand::{SeedableRng, rngs::StdRng};

fn check<T: Debug>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, StateError>) {
    read(bytes).unwrap();
    let mut later = bytes.to_vec();
    // The head of the array, then the version.
    assert_eq!(later[1], 1);
    later[1] = 2;
    assert_eq!(read(&later).unwrap_err(), StateError::Version(2));
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(read(&longer).unwrap_err(), StateError::Corrupt);
    assert_eq!(read(&bytes[..bytes.len() - 1]).unwrap_err(), StateError::Corrupt);
    assert_eq!(read(&[]).unwrap_err(), StateError::Corrupt);
}

#[test]
fn another_version_is_named() {
    let mut rng = StdRng::seed_from_u64(1);
    let identity = KeyPair::generate(&mut rng);
    let mut known = KnownIdentities::new();
    known.accept("b@south.test", identity.public);
    let prekeys = PreKeys::new(&identity, UnixMillis(1), &mut rng);
    check(&known.to_bytes(), KnownIdentities::from_bytes);
    check(&prekeys.to_bytes(), PreKeys::from_bytes);
    check(&Session::new().to_bytes(), Session::from_bytes);
    check(&SendingGroup::new([1; 16]).to_bytes(), SendingGroup::from_bytes);
    check(&ReceivedSenderKeys::new([1; 16]).to_bytes(), ReceivedSenderKeys::from_bytes);
}
