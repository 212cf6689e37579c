//! Changes to a device list, and what is not believed.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::e2ee::primitives::curve::KeyPair;

const ACCOUNT: &str = "11111111-1111-4111-8111-111111111111@north.test";

struct Owner {
    identity: KeyPair,
    rng: StdRng,
}

impl Owner {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self { identity: KeyPair::generate(&mut rng), rng }
    }

    fn sign(&mut self, list: &DeviceList) -> SignedDeviceList {
        let signed = list.sign(&self.identity.private, &mut self.rng);
        SignedDeviceList::from_bytes(&signed.to_bytes()).unwrap()
    }
}

fn first() -> DeviceList {
    let device = ListedDevice { registration_id: 7, added: UnixMillis(1) };
    DeviceList {
        account: ACCOUNT.to_owned(),
        version: 1,
        issued: UnixMillis(1),
        devices: BTreeMap::from([(number(1), device)]),
        removed: BTreeMap::new(),
    }
}

fn number(number: u64) -> DeviceId {
    DeviceId::new(number).unwrap()
}

#[test]
fn only_the_identity_key_changes_the_list() {
    let (mut owner, mut server) = (Owner::new(1), Owner::new(2));
    let known = owner.sign(&first()).verify(ACCOUNT, &owner.identity.public, None).unwrap();
    let (ghost, _) = known.as_list().with(666, UnixMillis(2)).unwrap();
    let identity = owner.identity.public;
    let refused = server.sign(&ghost).verify(ACCOUNT, &identity, Some(&known));
    assert_eq!(refused, Err(DeviceListError::Signature));
    let (second, added) = known.as_list().with(8, UnixMillis(2)).unwrap();
    assert_eq!(added, number(2));
    let second = owner.sign(&second).verify(ACCOUNT, &identity, Some(&known)).unwrap();
    assert_eq!(second.active(&BTreeSet::new()), [number(1), number(2)]);
    assert_eq!(second.active(&BTreeSet::from([number(2)])), [number(1)], "silent for too long");
}

#[test]
fn older_and_forked_lists_are_refused() {
    let mut owner = Owner::new(1);
    let identity = owner.identity.public;
    let known = owner.sign(&first()).verify(ACCOUNT, &identity, None).unwrap();
    let (second, _) = first().with(8, UnixMillis(2)).unwrap();
    let newer = owner.sign(&second).verify(ACCOUNT, &identity, Some(&known)).unwrap();
    let older = owner.sign(&first()).verify(ACCOUNT, &identity, Some(&newer));
    assert_eq!(older, Err(DeviceListError::Rollback { known: 2 }));
    let (other, _) = first().with(9, UnixMillis(2)).unwrap();
    let forked = owner.sign(&other).verify(ACCOUNT, &identity, Some(&newer));
    assert_eq!(forked, Err(DeviceListError::Fork));
    assert!(owner.sign(&second).verify(ACCOUNT, &identity, Some(&newer)).is_ok(), "once more");
    let elsewhere = owner.sign(&second).verify("other@north.test", &identity, None);
    assert_eq!(elsewhere, Err(DeviceListError::OtherAccount));
}

#[test]
fn a_number_is_not_used_again_for_sixty_days() {
    let mut owner = Owner::new(1);
    let identity = owner.identity.public;
    let (two, _) = first().with(8, UnixMillis(2)).unwrap();
    let one = two.without(number(2), UnixMillis(3)).unwrap();
    let known = owner.sign(&one).verify(ACCOUNT, &identity, None).unwrap();
    let (third, added) = one.with(9, UnixMillis(4)).unwrap();
    assert_eq!(added, number(3));
    assert!(owner.sign(&third).verify(ACCOUNT, &identity, Some(&known)).is_ok());
    let (later, added) = one.with(9, UnixMillis(3 + REUSE_AFTER)).unwrap();
    assert_eq!(added, number(2));
    assert!(owner.sign(&later).verify(ACCOUNT, &identity, Some(&known)).is_ok());
    let mut early = later.clone();
    early.issued = UnixMillis(2 + REUSE_AFTER);
    let refused = owner.sign(&early).verify(ACCOUNT, &identity, Some(&known));
    assert_eq!(refused, Err(DeviceListError::Reused));
    let mut exchanged = one.next(UnixMillis(5)).unwrap();
    exchanged.devices.get_mut(&number(1)).unwrap().registration_id = 99;
    let refused = owner.sign(&exchanged).verify(ACCOUNT, &identity, Some(&known));
    assert_eq!(refused, Err(DeviceListError::Reused));
}

#[test]
fn an_account_has_eight_devices_at_most() {
    let mut owner = Owner::new(1);
    let identity = owner.identity.public;
    let mut list = first();
    for _ in 1..MAX_DEVICES {
        (list, _) = list.with(8, UnixMillis(2)).unwrap();
    }
    assert_eq!((list.devices.len(), list.with(8, UnixMillis(2))), (8, None));
    assert!(owner.sign(&list).verify(ACCOUNT, &identity, None).is_ok());
    let ninth = ListedDevice { registration_id: 8, added: UnixMillis(2) };
    list.devices.insert(number(9), ninth);
    let refused = owner.sign(&list).verify(ACCOUNT, &identity, None);
    assert_eq!(refused, Err(DeviceListError::Malformed), "whoever wrote it");
}

#[test]
fn a_number_is_free_again_only_when_it_is_no_longer_remembered() {
    let (mut list, mut now) = (first(), UnixMillis(2));
    for taken in 2..=127 {
        let (more, added) = list.with(8, now).unwrap();
        assert_eq!(added, number(taken));
        list = more.without(added, now).unwrap();
        now.0 += 1;
    }
    assert_eq!(list.removed.len(), 126);
    assert_eq!(list.with(8, now), None, "all 127 numbers are spoken for");
    assert_eq!(list.without(number(2), now), None, "not listed");
    let mut owner = Owner::new(1);
    assert!(owner.sign(&list).verify(ACCOUNT, &owner.identity.public, None).is_ok());
    let (_, added) = list.with(8, UnixMillis(2 + REUSE_AFTER)).unwrap();
    assert_eq!(added, number(2));
}

#[test]
fn every_changed_byte_is_noticed() {
    let mut owner = Owner::new(1);
    let bytes = owner.sign(&first()).to_bytes();
    for at in 0..bytes.len() {
        let mut copy = bytes.clone();
        copy[at] ^= 1;
        let read = SignedDeviceList::from_bytes(&copy);
        let verified = read.and_then(|list| list.verify(ACCOUNT, &owner.identity.public, None));
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn the_payload_has_these_bytes() {
    let mut removed = first();
    removed.removed.insert(number(2), UnixMillis(0));
    insta::assert_snapshot!(crate::e2ee::testing::hex(&removed.payload()), @r#"a6000101782f31313131313131312d313131312d343131312d383131312d313131313131313131313131406e6f7274682e74657374020103010481830107010581820200"#);
}
