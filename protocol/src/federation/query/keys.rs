//! Questions about the keys of users (docs/spec/federation.md, "Queries"): which devices an account
//! has (`POST /federation/v1/query/devices`), and what sessions with them begin with
//! (`POST /federation/v1/query/bundle`).
//!
//! Answers stand under the TLS session alone. What they hold is signed by the account's identity
//! key, which is the asker's to check.

use uuid::Uuid;

use super::Question;
use crate::{
    federation::cbor::{CborError, Fields, Reader, Writer},
    id::{AccountId, DeviceNumber, RegistrationId},
    limits,
    rest::keys::{
        Base64, Bundle, Bundles, EcKey, KemKey, KemPreKey, ListDocument, OneTimeKey, PreKeyId,
        Signature, SignedKey, UserDevice, UserDevices,
    },
    time::Timestamp,
};

/// Which devices does this account of yours have?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicesOf(pub Uuid);

impl Question for DevicesOf {
    const LABEL: &'static [u8] = b"posthouse devices query v1\0";

    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.0.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        read_uuid(reader).map(Self)
    }
}

/// What do sessions with the devices of this account of yours begin with?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlesOf {
    /// Whose keys.
    pub account: Uuid,
    /// Who needs them: an account of the asker.
    pub requester: Uuid,
    /// The requester's id for the request. The same again is given the same keys.
    pub request: Uuid,
    /// For these devices, 1 to [`limits::MAX_DEVICES`]; for all, if `None`.
    pub devices: Option<Vec<DeviceNumber>>,
}

impl Question for BundlesOf {
    const LABEL: &'static [u8] = b"posthouse bundle query v1\0";

    fn write(&self, writer: &mut Writer) {
        let mut fields = Fields::default();
        fields.key(1).bytes(self.account.as_bytes());
        fields.key(2).bytes(self.requester.as_bytes());
        fields.key(3).bytes(self.request.as_bytes());
        if let Some(devices) = &self.devices {
            write_numbers(fields.key(4), devices);
        }
        writer.map(&fields);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let (mut account, mut requester, mut request, mut devices) = (None, None, None, None);
        reader.map(|reader, key| {
            match key {
                1 => account = Some(read_uuid(reader)?),
                2 => requester = Some(read_uuid(reader)?),
                3 => request = Some(read_uuid(reader)?),
                4 => devices = Some(read_numbers(reader)?),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        if devices.as_ref().is_some_and(Vec::is_empty) {
            return Err(reader.invalid("at least one device is named"));
        }
        Ok(Self {
            account: reader.require(account, "account")?,
            requester: reader.require(requester, "requester")?,
            request: reader.require(request, "request")?,
            devices,
        })
    }
}

/// The answer to [`DevicesOf`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicesAnswer {
    /// The devices; `None` if there is no such account.
    pub devices: Option<UserDevices>,
    /// When the account was deleted, for good; `None` if it was not, or there never was one.
    pub gone_since: Option<Timestamp>,
    /// For how many seconds the answer may be remembered.
    pub remember_for: u32,
}

impl DevicesAnswer {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        if let Some(devices) = &self.devices {
            fields.key(1).map(&devices_fields(devices));
        }
        fields.key(2).uint(self.remember_for.into());
        if let Some(Timestamp(at)) = self.gone_since {
            fields.key(128).uint(at);
        }
        fields.finish()
    }

    /// Parses an answer about `account`.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8], account: &AccountId) -> Result<Self, CborError> {
        let (mut devices, mut remember_for, mut gone_since) = (None, None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => devices = Some(read_devices(reader, account)?),
                2 => remember_for = u32::try_from(reader.uint_up_to(u32::MAX.into())?).ok(),
                128 => gone_since = Some(Timestamp(reader.uint()?)),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        if devices.is_some() && gone_since.is_some() {
            return Err(reader.invalid("an account that is gone has no devices"));
        }
        let remember_for = reader.require(remember_for, "remember for")?;
        let answer = Self { devices, gone_since, remember_for };
        reader.finish()?;
        Ok(answer)
    }
}

/// The answer to [`BundlesOf`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundlesAnswer {
    /// The keys.
    Given(Box<Bundles>),
    /// There is no such account.
    NoAccount,
    /// The account has no identity key.
    NoIdentity,
    /// The request's id was used for another account's keys.
    OtherRequest,
}

impl BundlesAnswer {
    /// The bytes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.key(1).uint(match self {
            Self::Given(_) => 0,
            Self::NoAccount => 1,
            Self::NoIdentity => 2,
            Self::OtherRequest => 3,
        });
        if let Self::Given(bundles) = self {
            fields.key(2).map(&bundles_fields(bundles));
        }
        fields.finish()
    }

    /// Parses an answer about `account`.
    ///
    /// # Errors
    /// [`CborError`] with the place and the rule that is broken.
    pub fn decode(bytes: &[u8], account: &AccountId) -> Result<Self, CborError> {
        let (mut outcome, mut bundles) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.map(|reader, key| {
            match key {
                1 => outcome = Some(reader.uint_up_to(3)?),
                2 => bundles = Some(Box::new(read_bundles(reader, account)?)),
                other => reader.unknown(other)?,
            }
            Ok(())
        })?;
        let answer = match reader.require(outcome, "outcome")? {
            0 => Self::Given(reader.require(bundles, "bundles")?),
            1 => Self::NoAccount,
            2 => Self::NoIdentity,
            _ => Self::OtherRequest,
        };
        reader.finish()?;
        Ok(answer)
    }
}

fn devices_fields(devices: &UserDevices) -> Fields {
    let mut fields = Fields::default();
    if let Some(key) = &devices.identity_key {
        fields.key(1).bytes(&key.to_wire());
    }
    fields.key(2).uint(devices.version);
    if let Some(list) = &devices.device_list {
        fields.key(3).bytes(&list.to_wire());
    }
    let all = fields.key(4).array(devices.devices.len());
    for one in &devices.devices {
        let one_of = all.array(3).uint(one.device.get().into());
        one_of.uint(one.registration_id.get().into()).bool(one.listed);
    }
    fields
}

fn read_devices(reader: &mut Reader<'_>, account: &AccountId) -> Result<UserDevices, CborError> {
    let (mut identity_key, mut version, mut device_list, mut devices) = (None, None, None, None);
    reader.map(|reader, key| {
        match key {
            1 => identity_key = Some(read::<EcKey>(reader)?),
            2 => version = Some(reader.uint()?),
            3 => device_list = Some(read::<ListDocument>(reader)?),
            4 => devices = Some(reader.list(limits::MAX_DEVICES, read_device)?),
            other => reader.unknown(other)?,
        }
        Ok(())
    })?;
    Ok(UserDevices {
        account_id: account.clone(),
        identity_key,
        version: reader.require(version, "version")?,
        device_list,
        devices: reader.require(devices, "devices")?,
    })
}

fn read_device(reader: &mut Reader<'_>) -> Result<UserDevice, CborError> {
    reader.array_of(3)?;
    Ok(UserDevice {
        device: read_number(reader)?,
        registration_id: read_registration(reader)?,
        listed: reader.bool()?,
    })
}

fn bundles_fields(bundles: &Bundles) -> Fields {
    let mut fields = Fields::default();
    fields.key(1).bytes(&bundles.identity_key.to_wire());
    if let Some(list) = &bundles.device_list {
        fields.key(2).bytes(&list.to_wire());
    }
    let all = fields.key(3).array(bundles.bundles.len());
    for bundle in &bundles.bundles {
        all.map(&bundle_fields(bundle));
    }
    write_numbers(fields.key(4), &bundles.without_keys);
    fields
}

fn read_bundles(reader: &mut Reader<'_>, account: &AccountId) -> Result<Bundles, CborError> {
    let (mut identity_key, mut device_list) = (None, None);
    let (mut bundles, mut without_keys) = (None, None);
    reader.map(|reader, key| {
        match key {
            1 => identity_key = Some(read::<EcKey>(reader)?),
            2 => device_list = Some(read::<ListDocument>(reader)?),
            3 => bundles = Some(reader.list(limits::MAX_DEVICES, read_bundle)?),
            4 => without_keys = Some(read_numbers(reader)?),
            other => reader.unknown(other)?,
        }
        Ok(())
    })?;
    Ok(Bundles {
        account_id: account.clone(),
        identity_key: reader.require(identity_key, "identity key")?,
        device_list,
        bundles: reader.require(bundles, "bundles")?,
        without_keys: reader.require(without_keys, "devices without keys")?,
    })
}

fn bundle_fields(bundle: &Bundle) -> Fields {
    let mut fields = Fields::default();
    fields.key(1).uint(bundle.device.get().into());
    fields.key(2).uint(bundle.registration_id.get().into());
    let signed = fields.key(3).array(3).uint(u32::from(bundle.signed.id).into());
    signed.bytes(&bundle.signed.key.to_wire()).bytes(&bundle.signed.signature.0);
    if let Some(key) = &bundle.one_time {
        fields.key(4).array(2).uint(u32::from(key.id).into()).bytes(&key.key.to_wire());
    }
    let kem = fields.key(5).array(3).uint(u32::from(bundle.kem.id).into());
    kem.bytes(&bundle.kem.key.to_wire()).bytes(&bundle.kem.signature.0);
    fields.key(6).bool(bundle.last_resort);
    fields
}

fn read_bundle(reader: &mut Reader<'_>) -> Result<Bundle, CborError> {
    let (mut device, mut registration_id, mut signed) = (None, None, None);
    let (mut one_time, mut kem, mut last_resort) = (None, None, None);
    reader.map(|reader, key| {
        match key {
            1 => device = Some(read_number(reader)?),
            2 => registration_id = Some(read_registration(reader)?),
            3 => {
                let (id, key, signature) = read_signed::<EcKey>(reader)?;
                signed = Some(SignedKey { id, key, signature });
            }
            4 => {
                reader.array_of(2)?;
                one_time = Some(OneTimeKey { id: read_id(reader)?, key: read(reader)? });
            }
            5 => {
                let (id, key, signature) = read_signed::<KemKey>(reader)?;
                kem = Some(KemPreKey { id, key, signature });
            }
            6 => last_resort = Some(reader.bool()?),
            other => reader.unknown(other)?,
        }
        Ok(())
    })?;
    Ok(Bundle {
        device: reader.require(device, "device")?,
        registration_id: reader.require(registration_id, "registration id")?,
        signed: reader.require(signed, "signed prekey")?,
        one_time,
        kem: reader.require(kem, "KEM prekey")?,
        last_resort: reader.require(last_resort, "last resort")?,
    })
}

fn read_signed<T: Base64>(reader: &mut Reader<'_>) -> Result<(PreKeyId, T, Signature), CborError> {
    reader.array_of(3)?;
    Ok((read_id(reader)?, read(reader)?, Signature(reader.fixed()?)))
}

/// What REST writes in base64, as bytes.
fn read<T: Base64>(reader: &mut Reader<'_>) -> Result<T, CborError> {
    let bytes = reader.bytes(T::MAX)?;
    T::from_wire(bytes).ok_or_else(|| reader.invalid(T::WHAT))
}

fn read_id(reader: &mut Reader<'_>) -> Result<PreKeyId, CborError> {
    let id = u32::try_from(reader.uint()?).ok().and_then(|id| id.try_into().ok());
    id.ok_or_else(|| reader.invalid("a prekey's number is 1 to 16777215"))
}

fn read_number(reader: &mut Reader<'_>) -> Result<DeviceNumber, CborError> {
    let number = u8::try_from(reader.uint()?).ok().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| reader.invalid("a device's number is 1 to 127"))
}

fn read_registration(reader: &mut Reader<'_>) -> Result<RegistrationId, CborError> {
    let id = u32::try_from(reader.uint()?).ok().and_then(|id| id.try_into().ok());
    id.ok_or_else(|| reader.invalid("not a registration id"))
}

fn read_uuid(reader: &mut Reader<'_>) -> Result<Uuid, CborError> {
    reader.fixed().map(Uuid::from_bytes)
}

fn write_numbers(writer: &mut Writer, numbers: &[DeviceNumber]) {
    let array = writer.array(numbers.len());
    for number in numbers {
        array.uint(number.get().into());
    }
}

fn read_numbers(reader: &mut Reader<'_>) -> Result<Vec<DeviceNumber>, CborError> {
    reader.list(limits::MAX_DEVICES, read_number)
}

#[cfg(test)]
mod tests;
