//! Whether what another region says of its users' keys is what a client would believe. Pure.

use posthouse_crypto::e2ee::{
    address::DeviceId,
    prekey::bundle::{KemPreKeyPublic, OneTimePreKeyPublic, PreKeyBundle, SignedPreKeyPublic},
    signed::device_list::VerifiedDeviceList,
};
use posthouse_protocol::{
    id::{AccountId, DeviceNumber, RegistrationId},
    problem::{Code, Rejection},
    rest::keys::{Bundle, Bundles, EcKey, ListDocument, UserDevices},
};

/// Checks the devices of a user against themselves, and against what was known `before`.
pub(super) fn devices(said: &UserDevices, before: Option<&UserDevices>) -> Result<(), Rejection> {
    let list = list(&said.account_id, said.identity_key, said.device_list.as_ref(), before)?;
    if list.as_ref().is_some_and(|list| list.as_list().version != said.version) {
        return Err(refused("the version is not that of the signed list"));
    }
    if before.is_some_and(|before| said.version < before.version) {
        return Err(refused("the version of the device list has gone back"));
    }
    if !said.devices.is_sorted_by(|one, next| one.device < next.device) {
        return Err(refused("a device is named twice, or out of order"));
    }
    for device in said.devices.iter().filter(|device| device.listed) {
        listed(list.as_ref(), device.device, device.registration_id)?;
    }
    Ok(())
}

/// Checks bundles of a user of which `wanted` were asked for, or all. Costs some tens of
/// microseconds for each signature.
pub(super) fn bundles(
    said: &Bundles,
    wanted: Option<&[DeviceNumber]>,
    before: Option<&UserDevices>,
) -> Result<(), Rejection> {
    let identity = Some(said.identity_key);
    let list = list(&said.account_id, identity, said.device_list.as_ref(), before)?;
    if !said.bundles.is_sorted_by(|one, next| one.device < next.device) {
        return Err(refused("a device is named twice, or out of order"));
    }
    let named = said.bundles.iter().map(|one| one.device).chain(said.without_keys.iter().copied());
    for device in named {
        if wanted.is_some_and(|wanted| !wanted.contains(&device)) {
            return Err(refused("a device was not asked for"));
        }
    }
    for bundle in &said.bundles {
        if list.is_some() {
            listed(list.as_ref(), bundle.device, bundle.registration_id)?;
        }
        signed(said.identity_key, bundle)?;
    }
    Ok(())
}

/// The list, if the identity key signed it for this account and it takes nothing back of what the
/// same key signed before.
fn list(
    account: &AccountId,
    identity: Option<EcKey>,
    document: Option<&ListDocument>,
    before: Option<&UserDevices>,
) -> Result<Option<VerifiedDeviceList>, Rejection> {
    let account = account.to_string();
    let before = before.filter(|before| before.identity_key == identity);
    let before = before.and_then(|before| before.device_list.as_ref());
    let (Some(document), Some(EcKey(identity))) = (document, identity) else {
        return match (document, before) {
            (None, None) => Ok(None),
            (Some(_), _) => Err(refused("there is a device list and no identity key")),
            (None, Some(_)) => Err(refused("the device list is gone")),
        };
    };
    // What is remembered was checked.
    let before = before.and_then(|before| before.0.verify(&account, &identity, None).ok());
    let verified = document.0.verify(&account, &identity, before.as_ref());
    verified.map(Some).map_err(|err| refused(format!("the device list: {err}")))
}

/// The signed list names the device.
fn listed(
    list: Option<&VerifiedDeviceList>,
    device: DeviceNumber,
    registration: RegistrationId,
) -> Result<(), Rejection> {
    let number = DeviceId::new(device.get().into()).ok();
    let named = list.zip(number).and_then(|(list, number)| list.as_list().devices.get(&number));
    if named.is_some_and(|named| named.registration_id == registration.get()) {
        return Ok(());
    }
    Err(refused(format!("the signed list does not name device {}", device.get())))
}

/// The identity key signed the prekeys.
fn signed(EcKey(identity): EcKey, bundle: &Bundle) -> Result<(), Rejection> {
    let device = DeviceId::new(bundle.device.get().into());
    let made = PreKeyBundle {
        registration_id: bundle.registration_id.get(),
        device: device.map_err(|_| refused("a device's number is out of range"))?,
        identity,
        signed: SignedPreKeyPublic {
            id: bundle.signed.id.into(),
            key: bundle.signed.key.0,
            signature: bundle.signed.signature.0,
        },
        one_time: bundle
            .one_time
            .as_ref()
            .map(|key| OneTimePreKeyPublic { id: key.id.into(), key: key.key.0 }),
        kem: Some(KemPreKeyPublic {
            id: bundle.kem.id.into(),
            key: bundle.kem.key.0.clone(),
            signature: bundle.kem.signature.0,
        }),
    };
    let verified = made.verify();
    verified.map(drop).map_err(|_| refused("a prekey is not signed by the identity key"))
}

fn refused(detail: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Code::AnswerRefused, detail)
}

#[cfg(test)]
mod tests;
