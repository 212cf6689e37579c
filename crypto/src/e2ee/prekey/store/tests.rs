//! The life of prekeys.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::primitives::curve::PrivateKey;

impl PreKeys {
    /// The prekeys of a recorded conversation, each with number 1.
    pub(crate) fn recorded(signed: KeyPair, one_time: KeyPair, kem: Option<KemKeyPair>) -> Self {
        let lasting = |key| Signed { key, signature: [0; SIGNATURE_LEN] };
        let made = UnixMillis(0);
        Self {
            next_id: 2,
            signed: vec![Lasting {
                id: 1,
                signed: Signed { key: signed, signature: [0; SIGNATURE_LEN] },
                made,
            }],
            last_resort: kem
                .map(|key| Lasting { id: 1, signed: lasting(key), made })
                .into_iter()
                .collect(),
            one_time: BTreeMap::from([(1, one_time)]),
            one_time_kem: BTreeMap::new(),
            remembered: VecDeque::new(),
        }
    }
}

fn used(signed: u32, one_time: Option<u32>) -> PreKeyUse {
    PreKeyUse { one_time, signed, kem: None }
}

#[test]
fn keys_are_replaced_after_a_week_and_kept_for_what_is_on_its_way() {
    let mut rng = StdRng::seed_from_u64(1);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    assert_eq!((ROTATE_AFTER, KEEP_REPLACED), (604_800_000, 3_801_600_000));
    let first = keys.signed_public().unwrap();
    let base = PrivateKey::from_bytes(&[1; 32]).public_key();
    assert!(!keys.rotate(&identity, UnixMillis(ROTATE_AFTER - 1), &mut rng));
    assert!(keys.rotate(&identity, UnixMillis(ROTATE_AFTER), &mut rng));
    assert_ne!(keys.signed_public().unwrap(), first);
    assert_ne!(keys.last_resort_public().unwrap().id, first.id);
    let end = UnixMillis(ROTATE_AFTER + KEEP_REPLACED);
    keys.rotate(&identity, end, &mut rng);
    assert!(keys.find(&used(first.id, None), &base).is_ok());
    keys.consume(&used(first.id, None), &base);
    keys.rotate(&identity, UnixMillis(end.0 + 1), &mut rng);
    let gone = keys.find(&used(first.id, None), &base).map(drop);
    assert_eq!(gone, Err(PreKeyError::UnknownSigned(first.id)), "and the memory of it");
}

#[test]
fn a_session_without_one_time_key_starts_once() {
    let mut rng = StdRng::seed_from_u64(2);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    let signed = keys.signed_public().unwrap().id;
    let bases = [1, 2].map(|n| PrivateKey::from_bytes(&[n; 32]).public_key());
    keys.consume(&used(signed, None), &bases[0]);
    let keys = PreKeys::from_bytes(&keys.to_bytes()).unwrap();
    let again = keys.find(&used(signed, None), &bases[0]).map(drop);
    assert_eq!(again, Err(PreKeyError::Replayed));
    assert!(keys.find(&used(signed, None), &bases[1]).is_ok());
}

#[test]
fn a_one_time_key_serves_once_and_needs_no_memory() {
    let mut rng = StdRng::seed_from_u64(3);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    let (curve, kem) = keys.replenish(&identity, 3, &mut rng);
    assert_eq!((curve.len(), kem.len()), (3, 3));
    let signed = keys.signed_public().unwrap().id;
    let base = PrivateKey::from_bytes(&[1; 32]).public_key();
    let first = used(signed, Some(curve[0].id));
    assert!(keys.find(&first, &base).is_ok());
    keys.consume(&first, &base);
    let again = keys.find(&first, &base).map(drop);
    assert_eq!(again, Err(PreKeyError::UnknownOneTime(curve[0].id)));
    assert_eq!(keys.one_time_left(), (2, 3));
    assert!(keys.remembered.is_empty());
}

#[test]
fn the_memory_of_base_keys_is_bounded() {
    let mut rng = StdRng::seed_from_u64(4);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    let signed = keys.signed_public().unwrap().id;
    let base = identity.public;
    for _ in 0..MAX_REMEMBERED + 10 {
        keys.consume(&used(signed, None), &base);
    }
    assert_eq!(keys.remembered.len(), MAX_REMEMBERED);
}

#[test]
fn debug_shows_no_secret() {
    let identity = KeyPair::from_private(PrivateKey::from_bytes(&[1; 32]));
    let keys = PreKeys::new(&identity, UnixMillis(0), &mut StdRng::seed_from_u64(5));
    let shown = format!("{keys:?}");
    assert!(shown.contains("PrivateKey(..)"), "{shown}");
    assert!(!shown.contains("secret: ["), "{shown}");
}

#[test]
fn sixty_four_signed_keys_are_alive_at_most() {
    let mut rng = StdRng::seed_from_u64(6);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    let first = keys.signed_public().unwrap().id;
    let base = identity.public;
    for alive in 2..=MAX_SIGNED {
        keys.renew(&identity, UnixMillis(0), &mut rng);
        assert_eq!((keys.signed.len(), keys.last_resort.len()), (alive, alive));
    }
    assert!(keys.find(&used(first, None), &base).is_ok());
    assert!(PreKeys::from_bytes(&keys.to_bytes()).is_ok(), "so many can be stored");
    keys.renew(&identity, UnixMillis(0), &mut rng);
    assert_eq!((keys.signed.len(), keys.last_resort.len()), (MAX_SIGNED, MAX_SIGNED));
    let gone = keys.find(&used(first, None), &base).map(drop);
    assert_eq!(gone, Err(PreKeyError::UnknownSigned(first)), "the oldest goes first");
}

#[test]
fn numbers_stay_below_24_bits() {
    let mut rng = StdRng::seed_from_u64(7);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(0), &mut rng);
    keys.next_id = 0x00ff_fffd;
    let given: Vec<u32> = (0..3).map(|_| keys.take_id()).collect();
    assert_eq!(given, [0x00ff_fffd, 0x00ff_fffe, 1]);
}

#[test]
fn one_time_keys_come_back_from_the_stored_form() {
    let mut rng = StdRng::seed_from_u64(8);
    let identity = KeyPair::generate(&mut rng);
    let mut keys = PreKeys::new(&identity, UnixMillis(5), &mut rng);
    keys.replenish(&identity, 2, &mut rng);
    keys.consume(&used(1, None), &identity.public);
    let bytes = keys.to_bytes();
    let read = PreKeys::from_bytes(&bytes).unwrap();
    assert_eq!(read.one_time_left(), (2, 2));
    assert_eq!(read.to_bytes(), bytes);
}
