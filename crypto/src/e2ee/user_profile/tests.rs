//! A field is opened with its key, at its place, and nowhere else.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const ADA: ProfilePlace<'_> = ProfilePlace { account: "ada@north.test", version: 3 };

fn key(byte: u8) -> Secret<32> {
    Secret::new([byte; 32])
}

fn seal(field: ProfileField, value: &[u8]) -> Vec<u8> {
    seal_field(&key(1), ADA, field, value, &mut StdRng::seed_from_u64(1)).unwrap()
}

fn fields() -> impl Strategy<Value = ProfileField> {
    prop_oneof![Just(ProfileField::Name), Just(ProfileField::About), Just(ProfileField::Avatar)]
}

proptest! {
    #[test]
    fn a_field_is_read_as_it_was_written(
        field in fields(),
        value in proptest::collection::vec(any::<u8>(), 0..256),
        version: u64,
        secret: [u8; 32],
        seed: u64,
    ) {
        let (key, place) = (Secret::new(secret), ProfilePlace { version, ..ADA });
        let mut rng = StdRng::seed_from_u64(seed);
        let sealed = seal_field(&key, place, field, &value, &mut rng).unwrap();
        let opened = open_field(&key, place, field, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), value.as_slice());
    }

    #[test]
    fn what_was_changed_is_not_opened(field in fields(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut sealed = seal(field, b"Ada Lovelace");
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(open_field(&key(1), ADA, field, &sealed).is_err());
    }

    #[test]
    fn anything_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open_field(&key(1), ADA, ProfileField::Name, &bytes).is_err());
    }
}

#[test]
fn a_field_is_bound_to_its_key_its_person_its_version_and_its_kind() {
    let sealed = seal(ProfileField::Name, b"Ada");
    let open = |key, place, field| open_field(&key, place, field, &sealed).map(|it| it.to_vec());
    assert_eq!(open(key(1), ADA, ProfileField::Name), Ok(b"Ada".to_vec()));
    let wrong = Err(ProfileError::NotAuthentic);
    assert_eq!(open(key(2), ADA, ProfileField::Name), wrong);
    assert_eq!(open(key(1), ADA, ProfileField::About), wrong);
    let other = ProfilePlace { version: 4, ..ADA };
    assert_eq!(open(key(1), other, ProfileField::Name), wrong);
    let other = ProfilePlace { account: "eve@north.test", ..ADA };
    assert_eq!(open(key(1), other, ProfileField::Name), wrong);
    let later = [&[2], &sealed[1..]].concat();
    assert_eq!(open_field(&key(1), ADA, ProfileField::Name, &later), Err(ProfileError::Format(2)));
}

#[test]
fn lengths_tell_nothing_of_names_and_fit_into_what_the_homeserver_takes() {
    let text = |sealed: Vec<u8>| sealed.len().div_ceil(3) * 4;
    for (field, max, whole, of_server) in [
        (ProfileField::Name, MAX_NAME_LEN, 287, 512),
        (ProfileField::About, MAX_ABOUT_LEN, 1_055, 2_048),
        (ProfileField::Avatar, MAX_AVATAR_LEN, 28_701, 40_960),
    ] {
        let longest = seal(field, &vec![7; max]);
        assert_eq!(longest.len(), whole);
        assert_eq!(open_field(&key(1), ADA, field, &longest).unwrap().len(), max);
        assert!(text(longest) <= of_server);
        let mut rng = StdRng::seed_from_u64(1);
        let more = seal_field(&key(1), ADA, field, &vec![7; max + 1], &mut rng);
        assert_eq!(more, Err(ProfileError::TooLong));
    }
    assert_eq!(seal(ProfileField::Name, b"").len(), 287);
    assert_eq!(seal(ProfileField::About, b"").len(), 1_055);
    assert_eq!(seal(ProfileField::Avatar, &[1; 2_046]).len(), 2_048 + 29);
    assert_eq!(seal(ProfileField::Avatar, &[1; 2_047]).len(), 4_096 + 29);
}
