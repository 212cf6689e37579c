//! Policy: what is let pass, and what a refusal says.

use posthouse_protocol::{
    cursor::Cursor,
    id::{DeviceId, DeviceNumber, RegistrationId, ServerName},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn account() -> AccountId {
    AccountId { uuid: Uuid::from_u128(1), server: ServerName::parse("eu.example").unwrap() }
}

fn device(number: u8, registration: u32) -> Device {
    Device {
        id: DeviceId(Uuid::from_u128(u128::from(number))),
        account: Uuid::from_u128(1),
        number: DeviceNumber::try_from(number).unwrap(),
        registration_id: RegistrationId::try_from(registration).unwrap(),
        name: "d".into(),
        created_at: Timestamp(0),
        position: Cursor::START,
        active_at: Timestamp(0),
        listed: false,
    }
}

fn ciphertext(number: u8, registration: u32) -> Ciphertext {
    Ciphertext {
        user: None,
        device: DeviceNumber::try_from(number).unwrap(),
        registration_id: RegistrationId::try_from(registration).unwrap(),
        kind: 2,
        data: "AA==".into(),
    }
}

fn differences(devices: &[Device], ciphertexts: &[Ciphertext]) -> Option<StaleDevices> {
    let devices = named(devices.iter());
    let ciphertexts: Vec<_> = ciphertexts.iter().collect();
    compare(&account(), &devices, &ciphertexts).err().map(|err| *err.stale_devices.unwrap())
}

#[test]
fn each_kind_of_difference_is_named() {
    let devices = [device(1, 10), device(2, 20), device(3, 30)];
    let sent = [ciphertext(1, 10), ciphertext(2, 21), ciphertext(9, 90), ciphertext(1, 10)];
    let stale = differences(&devices, &sent).unwrap();
    assert_eq!((stale.missing, stale.stale, stale.extra), (vec![3], vec![2], vec![9, 1]));
}

proptest! {
    /// Passing means: a bijection between devices and ciphertexts, with equal registration ids.
    #[test]
    fn passing_means_one_ciphertext_for_each_device(
        devices in prop::collection::btree_map(1_u8..9, 0_u32..3, 0..8),
        sent in prop::collection::vec((1_u8..9, 0_u32..3), 0..8),
    ) {
        let list: Vec<_> = devices.iter().map(|(n, r)| device(*n, *r)).collect();
        let ciphertexts: Vec<_> = sent.iter().map(|(n, r)| ciphertext(*n, *r)).collect();
        let mut sorted = sent.clone();
        sorted.sort_unstable();
        let exact = sorted == devices.into_iter().collect::<Vec<_>>();
        prop_assert_eq!(differences(&list, &ciphertexts).is_none(), exact);
    }
}
