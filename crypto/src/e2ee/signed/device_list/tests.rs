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
    let rule = "field 4 (devices) is no list of at most 8 [number, registration id, added at]";
    assert_eq!(refused, Err(DeviceListError::Malformed(rule)), "whoever wrote it");
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

/// Whoever signs it: a list that says a thing twice, out of order or not at all is none.
#[test]
fn a_list_has_one_form() {
    let mut owner = Owner::new(1);
    let device = ListedDevice { registration_id: 7, added: UnixMillis(1) };
    let payload = |devices: &[u64], removed: &[u64], account: &str, version: u64| {
        let mut fields = Fields::default();
        fields.put(0, |w| w.uint(FORMAT));
        fields.put(1, |w| w.text(account));
        fields.put(2, |w| w.uint(version));
        fields.put(3, |w| w.uint(1));
        fields.put(4, |w| {
            w.array(devices.len());
            for number in devices {
                w.array(3);
                w.uint(*number);
                w.uint(u64::from(device.registration_id));
                w.uint(device.added.0);
            }
        });
        fields.put(5, |w| {
            w.array(removed.len());
            for number in removed {
                w.array(2);
                w.uint(*number);
                w.uint(0);
            }
        });
        let mut writer = Writer::new();
        fields.write(&mut writer);
        writer.finish().to_vec()
    };
    let mut verify = |payload: &[u8], account: &str| {
        let document = Document::sign(LABEL, payload, &owner.identity.private, &mut owner.rng);
        SignedDeviceList(document).verify(account, &owner.identity.public, None)
    };
    let good = verify(&payload(&[1, 2], &[3, 4], ACCOUNT, 1), ACCOUNT).unwrap();
    assert_eq!((good.as_list().devices.len(), good.as_list().removed.len()), (2, 2));
    let devices = "field 4 (devices) does not have each number once, rising";
    let removed = "field 5 (removed) does not have each number once, rising";
    let without_removed = {
        let mut fields = all_fields(&payload(&[1], &[], ACCOUNT, 1)).unwrap();
        fields.take(5, |r| r.array().map(|len| assert_eq!(len, 0))).unwrap();
        let mut writer = Writer::new();
        fields.write(&mut writer);
        writer.finish().to_vec()
    };
    let malformed = [
        (payload(&[2, 1], &[3, 4], ACCOUNT, 1), devices),
        (payload(&[1, 1], &[3, 4], ACCOUNT, 1), devices),
        (payload(&[1, 2], &[4, 3], ACCOUNT, 1), removed),
        (payload(&[1, 2], &[3, 3], ACCOUNT, 1), removed),
        (
            payload(&[1, 2], &[2], ACCOUNT, 1),
            "a number is in field 4 (devices) and in field 5 (removed)",
        ),
        (payload(&[1, 2], &[3, 4], ACCOUNT, 0), "field 2 (version) is no number from 1"),
        (without_removed, "field 5 (removed) is no list of [number, removed at]"),
        (vec![0], "its payload is no map of numbered fields in deterministic CBOR"),
    ];
    for (bytes, rule) in malformed {
        assert_eq!(verify(&bytes, ACCOUNT), Err(DeviceListError::Malformed(rule)));
    }
    for name in ["", "x".repeat(MAX_NAME_LEN + 1).as_str()] {
        let refused = verify(&payload(&[1], &[], name, 1), name);
        let rule = "field 1 (account) is empty or too long";
        assert_eq!(refused, Err(DeviceListError::Malformed(rule)));
    }
}

#[test]
fn a_device_may_be_exchanged_after_sixty_days() {
    let mut owner = Owner::new(1);
    let identity = owner.identity.public;
    let known = owner.sign(&first()).verify(ACCOUNT, &identity, None).unwrap();
    for (after, allowed) in [(REUSE_AFTER - 1, false), (REUSE_AFTER, true)] {
        let mut next = first().next(UnixMillis(1 + after)).unwrap();
        next.devices.get_mut(&number(1)).unwrap().registration_id = 99;
        let verified = owner.sign(&next).verify(ACCOUNT, &identity, Some(&known));
        assert_eq!(verified.is_ok(), allowed, "after {after} ms");
    }
}

#[test]
fn the_hash_is_that_of_label_and_payload() {
    use sha2::{Digest, Sha256};

    let mut owner = Owner::new(1);
    let list = owner.sign(&first()).verify(ACCOUNT, &owner.identity.public, None).unwrap();
    let expected = Sha256::new().chain_update(b"Posthouse device list v1\x01");
    let expected: [u8; 32] = expected.chain_update(first().payload()).finalize().into();
    assert_eq!(*list.hash(), expected);
}

#[test]
fn nothing_may_stand_behind_a_list() {
    let mut owner = Owner::new(1);
    let mut bytes = owner.sign(&first()).to_bytes();
    assert!(SignedDeviceList::from_bytes(&bytes).is_ok());
    bytes.push(0);
    assert!(SignedDeviceList::from_bytes(&bytes).is_err());
}
