//! What is checked before anything of a device is stored. Pure.

use posthouse_crypto::e2ee::{
    primitives::{curve::PublicKey, xeddsa},
    signed::device_list::{
        DeviceList, DeviceListError, REUSE_AFTER, SignedDeviceList, VerifiedDeviceList,
    },
};
use posthouse_protocol::{
    id::{AccountId, DeviceNumber, RegistrationId},
    problem::{Code, Rejection},
    rest::keys::{KemPreKey, SignedKey, UploadPreKeys},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::Device,
    keys::{Identity, PreKey, Upload},
};

/// How far ahead of our clock a list may say that it was issued, in milliseconds (24 h): clients
/// measure the rest of removed numbers by it.
pub(super) const MAX_AHEAD_MS: u64 = 24 * 3_600_000;

/// A device list that clients will believe.
pub(super) struct Checked {
    pub(super) version: u64,
    pub(super) devices: Vec<(DeviceNumber, RegistrationId)>,
}

/// Checks a signed list against what is known of the account.
pub(super) fn list(
    signed: &SignedDeviceList,
    account: &AccountId,
    identity: &Identity,
    devices: &[Device],
    now: Timestamp,
) -> Result<Checked, Rejection> {
    let key = public(&identity.key)?;
    let verified = verified(signed, account, &key, identity)?;
    let list = verified.list.as_list();
    let next = identity.list_version + 1;
    if list.version != next {
        return Err(refused(format!("the next version is {next}, this is {}", list.version)));
    }
    if let Some(before) = &verified.before {
        takes_nothing_back(before.as_list(), list)?;
    }
    if list.issued.0 > now.0 + MAX_AHEAD_MS {
        return Err(refused("the list was issued in the future; set the clock"));
    }
    let actual = devices.iter().map(|one| (one.number.get(), one.registration_id.get()));
    let named = list.devices.iter().map(|(number, one)| (number.get(), one.registration_id));
    if !actual.eq(named) {
        return Err(refused("the list does not name exactly the account's devices"));
    }
    let devices = devices.iter().map(|one| (one.number, one.registration_id)).collect();
    Ok(Checked { version: list.version, devices })
}

/// A list that the identity key signed, and the one before it.
struct Verified {
    list: VerifiedDeviceList,
    before: Option<VerifiedDeviceList>,
}

fn verified(
    signed: &SignedDeviceList,
    account: &AccountId,
    key: &PublicKey,
    identity: &Identity,
) -> Result<Verified, Rejection> {
    let account = account.to_string();
    // What was stored was checked, so that it can only fail if the database is damaged; then there
    // is nothing to follow.
    let before = identity.list.as_deref().and_then(|document| {
        let before = SignedDeviceList::from_bytes(document).ok()?;
        before.verify(&account, key, None).ok()
    });
    let list = signed.verify(&account, key, before.as_ref()).map_err(|err| match err {
        DeviceListError::Signature => bad_signature("the list"),
        err => refused(err.to_string()),
    })?;
    Ok(Verified { list, before })
}

/// Who is gone stands in `removed`, for 60 days and with the time that was said first: by that alone
/// a client that saw only some of the lists knows that a number is not to be used again.
fn takes_nothing_back(before: &DeviceList, list: &DeviceList) -> Result<(), Rejection> {
    if list.issued < before.issued {
        return Err(refused("field 3 (issued at) lies before that of the list before"));
    }
    let mut left = before.devices.keys().filter(|number| !list.devices.contains_key(*number));
    if let Some(number) = left.find(|number| !list.removed.contains_key(*number)) {
        let number = number.get();
        return Err(refused(format!(
            "device {number} of the list before is neither in field 4 (devices) nor in field 5 \
             (removed)"
        )));
    }
    let mut rest = before.removed.iter().filter(|(_, at)| list.issued.since(**at) < REUSE_AFTER);
    if let Some((number, _)) = rest.find(|(number, at)| list.removed.get(*number) < Some(*at)) {
        let number = number.get();
        return Err(refused(format!(
            "device {number} was removed less than 60 days before: field 5 (removed) keeps it with \
             that time"
        )));
    }
    Ok(())
}

/// Checks the signatures of prekeys, and turns them into what is stored. Costs some tens of
/// microseconds for each signature.
pub(super) fn prekeys(identity: &PublicKey, request: UploadPreKeys) -> Result<Upload, Rejection> {
    let kem = |keys: Vec<KemPreKey>, what| {
        keys.iter().map(|key| kem_key(identity, key, what)).collect::<Result<_, _>>()
    };
    let lasting = kem(request.last_resort.into_iter().collect(), "the last-resort key")?;
    let lasting: Vec<PreKey> = lasting;
    Ok(Upload {
        signed: request.signed.map(|key| signed_key(identity, &key)).transpose()?,
        last_resort: lasting.into_iter().next(),
        one_time: request
            .one_time
            .into_iter()
            .map(|key| PreKey {
                id: key.id.into(),
                key: key.key.0.to_bytes().to_vec().into(),
                signature: None,
            })
            .collect(),
        one_time_kem: kem(request.one_time_kem, "a one-time KEM key")?,
    })
}

fn signed_key(identity: &PublicKey, key: &SignedKey) -> Result<PreKey, Rejection> {
    let bytes = key.key.0.to_bytes();
    xeddsa::verify(identity, &[&bytes], &key.signature.0)
        .map_err(|_| bad_signature("the signed prekey"))?;
    let signature = Some(key.signature.0);
    Ok(PreKey { id: key.id.into(), key: bytes.to_vec().into(), signature })
}

fn kem_key(identity: &PublicKey, key: &KemPreKey, what: &str) -> Result<PreKey, Rejection> {
    let bytes = key.key.0.to_bytes();
    xeddsa::verify(identity, &[&bytes], &key.signature.0).map_err(|_| bad_signature(what))?;
    Ok(PreKey { id: key.id.into(), key: bytes.into(), signature: Some(key.signature.0) })
}

/// A stored key, which was checked when it was uploaded.
pub(super) fn public(key: &[u8]) -> Result<PublicKey, Rejection> {
    PublicKey::from_bytes(key).map_err(|_| {
        tracing::error!("a stored identity key is damaged");
        Rejection::new(Code::Internal, "the server failed; its log has more")
    })
}

fn refused(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Code::DeviceListRefused, detail)
}

fn bad_signature(what: &str) -> Rejection {
    Rejection::new(Code::BadSignature, format!("{what} is not signed by the identity key"))
}
