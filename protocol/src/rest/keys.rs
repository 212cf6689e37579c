//! Bodies of the calls about keys and devices (docs/spec/rest.md §7).

mod upload;

pub use upload::UploadPreKeys;

use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use posthouse_crypto::e2ee::{
    primitives::{curve::PublicKey, kem::KemPublicKey},
    signed::device_list::SignedDeviceList,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::{Secret, SessionTokens};
use crate::{
    id::{AccountId, DeviceId, DeviceNumber, RegistrationId},
    limits,
    problem::{Code, Rejection},
    time::Timestamp,
};

/// What is written in base64 (RFC 4648 §4, with padding).
pub(crate) trait Base64: Sized {
    /// What is expected, for the error.
    const WHAT: &'static str;
    /// Most bytes.
    const MAX: usize;
    fn to_wire(&self) -> Vec<u8>;
    fn from_wire(bytes: &[u8]) -> Option<Self>;
}

macro_rules! base64_text {
    ($($name:ty),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&$crate::rest::keys::written(self))
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::rest::keys::read(from)
            }
        }
    )*};
}
pub(crate) use base64_text;
base64_text!(EcKey, KemKey, Signature, ListDocument, Provisioning);

/// The text of `value`.
pub(crate) fn written(value: &impl Base64) -> String {
    STANDARD.encode(value.to_wire())
}

pub(crate) fn read<'de, T: Base64, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    let fits = text.len() <= T::MAX.div_ceil(3) * 4;
    let bytes = if fits { STANDARD.decode(text.as_bytes()).ok() } else { None };
    bytes
        .and_then(|bytes| T::from_wire(&bytes))
        .ok_or_else(|| de::Error::custom(format_args!("{} in base64 is expected", T::WHAT)))
}

/// An X25519 public key: `0x05 ‖ u`, canonical, of the prime-order group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcKey(pub PublicKey);

impl Base64 for EcKey {
    const WHAT: &'static str = "a public key of 33 bytes";
    const MAX: usize = 33;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        PublicKey::from_bytes(bytes).ok().filter(PublicKey::is_prime_order).map(Self)
    }
}

/// A Kyber-1024 public key: `0x08 ‖ key`, with its coefficients in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KemKey(pub KemPublicKey);

impl Base64 for KemKey {
    const WHAT: &'static str = "a Kyber-1024 public key of 1,569 bytes";
    const MAX: usize = 1_569;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_bytes()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        KemPublicKey::from_bytes(bytes).ok().map(Self)
    }
}

/// An XEdDSA signature: 64 bytes. Not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Base64 for Signature {
    const WHAT: &'static str = "a signature of 64 bytes";
    const MAX: usize = 64;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_vec()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// A signed device list (docs/spec/e2ee.md). Its signature is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDocument(pub SignedDeviceList);

impl Base64 for ListDocument {
    const WHAT: &'static str = "a signed device list";
    const MAX: usize = limits::MAX_DEVICE_LIST;
    fn to_wire(&self) -> Vec<u8> {
        self.0.to_bytes()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        SignedDeviceList::from_bytes(bytes).ok().map(Self)
    }
}

/// What a device tells a new one, encrypted: opaque to the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Provisioning(pub Vec<u8>);

impl Base64 for Provisioning {
    const WHAT: &'static str = "at most 8,192 bytes";
    const MAX: usize = limits::MAX_PROVISIONING;
    fn to_wire(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn from_wire(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }
}

impl fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

/// A prekey's number on its device: 1 to 16,777,215.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PreKeyId(u32);

impl TryFrom<u32> for PreKeyId {
    type Error = &'static str;
    fn try_from(id: u32) -> Result<Self, Self::Error> {
        if (1..1 << 24).contains(&id) { Ok(Self(id)) } else { Err("1 to 16777215 are expected") }
    }
}

impl From<PreKeyId> for u32 {
    fn from(id: PreKeyId) -> Self {
        id.0
    }
}

/// A one-time X25519 prekey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OneTimeKey {
    /// Its number.
    pub id: PreKeyId,
    /// The key.
    pub key: EcKey,
}

/// A signed X25519 prekey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedKey {
    /// Its number.
    pub id: PreKeyId,
    /// The key.
    pub key: EcKey,
    /// The identity key's signature over the 33 bytes of the key.
    pub signature: Signature,
}

/// A KEM prekey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KemPreKey {
    /// Its number.
    pub id: PreKeyId,
    /// The key.
    pub key: KemKey,
    /// The identity key's signature over the 1,569 bytes of the key.
    pub signature: Signature,
}

/// `PUT /v1/keys/identity`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetIdentity {
    /// The account's identity key.
    pub identity_key: EcKey,
    /// The password; needed to put another key in the place of one that is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<Secret>,
}

/// `PUT /v1/keys/device-list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutDeviceList {
    /// The document.
    pub list: ListDocument,
}

/// The answer to an upload, and of `GET /v1/keys/prekeys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreKeyStatus {
    /// One-time keys that are left.
    pub one_time: u32,
    /// One-time KEM keys that are left.
    pub one_time_kem: u32,
    /// The number of the signed prekey; `null` before there is one.
    pub signed: Option<u32>,
    /// The number of the last-resort KEM prekey; `null` before there is one.
    pub last_resort: Option<u32>,
}

/// `POST /v1/users/{user}/bundles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimBundles {
    /// A UUID that the client makes: sending it again is given the same answer for 24 hours.
    pub request_id: Uuid,
    /// For these devices; for all, if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = limits::MAX_DEVICES)))]
    pub devices: Option<Vec<DeviceNumber>>,
}

impl ClaimBundles {
    /// Whether it names some devices, and not too many.
    ///
    /// # Errors
    /// [`Code::BadRequest`].
    pub fn check(&self) -> Result<(), Rejection> {
        let named = self.devices.as_ref().map(Vec::len);
        if named.is_some_and(|named| named == 0 || named > limits::MAX_DEVICES) {
            let detail = format!("`devices` names 1 to {} devices", limits::MAX_DEVICES);
            return Err(Rejection::new(Code::BadRequest, detail));
        }
        Ok(())
    }
}

/// The answer to [`ClaimBundles`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bundles {
    /// Whose.
    pub account_id: AccountId,
    /// The account's identity key.
    pub identity_key: EcKey,
    /// The signed device list; absent before there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_list: Option<ListDocument>,
    /// A bundle for each device that has keys.
    pub bundles: Vec<Bundle>,
    /// Devices that were asked for and have not uploaded keys yet.
    pub without_keys: Vec<DeviceNumber>,
}

/// What a session with a device begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bundle {
    /// The device.
    pub device: DeviceNumber,
    /// Its installation.
    pub registration_id: RegistrationId,
    /// Its signed prekey.
    pub signed: SignedKey,
    /// A one-time key; absent if they are used up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_time: Option<OneTimeKey>,
    /// A one-time KEM key, or the last-resort one if they are used up.
    pub kem: KemPreKey,
    /// Whether `kem` is the last-resort one.
    pub last_resort: bool,
}

/// `GET /v1/users/{user}/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserDevices {
    /// Whose.
    pub account_id: AccountId,
    /// The account's identity key; absent before there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity_key: Option<EcKey>,
    /// The version of the signed device list; 0 before there is one.
    pub version: u64,
    /// The signed device list; absent before there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_list: Option<ListDocument>,
    /// The devices as the server knows them, by number.
    pub devices: Vec<UserDevice>,
}

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserDevice {
    /// Its number.
    pub device: DeviceNumber,
    /// Its installation.
    pub registration_id: RegistrationId,
    /// Whether the newest signed list names it.
    pub listed: bool,
}

/// `GET /v1/users/{user}/key-changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyChanges {
    /// Whose.
    pub account_id: AccountId,
    /// The newest 100 identity keys, the oldest first.
    pub changes: Vec<KeyChange>,
}

/// An identity key that an account has, or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyChange {
    /// 1 is the account's first key.
    pub number: u64,
    /// When it was uploaded.
    pub at: Timestamp,
    /// The key.
    pub identity_key: EcKey,
}

/// `GET /v1/devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Devices {
    /// The account's devices, by number.
    pub devices: Vec<DeviceInfo>,
}

/// A device of the own account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceInfo {
    /// Its id.
    pub device_id: DeviceId,
    /// Its number.
    pub device: DeviceNumber,
    /// Its installation.
    pub registration_id: RegistrationId,
    /// What its person calls it.
    pub name: String,
    /// When it joined the account.
    pub created_at: Timestamp,
    /// When it was last connected, to the minute or so.
    pub active_at: Timestamp,
    /// Whether the newest signed device list names it.
    pub listed: bool,
    /// Whether it is the device that asks.
    pub current: bool,
}

/// `PUT /v1/devices/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RenameDevice {
    /// The new name, 1 to 64 bytes.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceName"))]
    pub name: String,
}

/// `POST /v1/links`: a new device wants to join an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartLink {
    /// Drawn by the device at its installation.
    pub registration_id: RegistrationId,
    /// What its person will call it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::DeviceName>"))]
    pub name: Option<String>,
}

/// The answer to [`StartLink`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Link {
    /// Goes into the code that the new device shows.
    pub link_id: Uuid,
    /// Stays on the new device, which shows it to fetch the outcome.
    pub secret: Secret,
    /// Seconds until the link expires.
    pub expires_in: u64,
}

/// `POST /v1/links/{id}`: a device of the account lets the new one in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApproveLink {
    /// The registration id that the code showed.
    pub registration_id: RegistrationId,
    /// What the new device is told, encrypted for the key that the code showed.
    pub message: Provisioning,
    /// The device-link PIN, if the account has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pin: Option<Secret>,
}

/// The answer to [`ApproveLink`]: what the next device list has to name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkedDevice {
    /// The new device.
    pub device_id: DeviceId,
    /// Its number.
    pub device: DeviceNumber,
}

/// `POST /v1/links/{id}/result`: the new device asks for the outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FetchLink {
    /// What [`Link`] gave.
    pub secret: Secret,
}

/// The answer to [`FetchLink`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinkResult {
    /// `waiting`: ask again. `linked`: the rest is there.
    pub status: LinkStatus,
    /// What the old device told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Provisioning>,
    /// The new device's session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionTokens>,
}

/// Whether a link was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    /// Not yet.
    Waiting,
    /// Yes; the link is used up.
    Linked,
}
