//! An account's devices, signed by its identity key: no server can add one.
//!
//! ```text
//! 0 format, 1    1 account    2 version (from 1)    3 issued at (ms)
//! 4 devices      [[number, registration id, added at (ms)], ...] by number, at most 8
//! 5 removed      [[number, removed at (ms)], ...] by number, for 60 days
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::{Document, DocumentHash, NO_DOCUMENT, all_fields};
use crate::e2ee::{
    address::{DeviceId, MAX_NAME_LEN},
    cbor::{CborError, Fields, Reader, Writer},
    primitives::curve::{PrivateKey, PublicKey},
    time::{DAY, UnixMillis},
};

const LABEL: &[u8] = b"Posthouse device list v1";
/// The format of the payload.
const FORMAT: u64 = 1;
/// How many devices an account has at most. It bounds what one account costs everyone who writes
/// to it or to a group with it.
pub const MAX_DEVICES: usize = 8;
/// Device numbers are 1 to 127.
const MAX_NUMBERS: usize = 127;
/// How long a removed device's number stays unused, in milliseconds.
pub const REUSE_AFTER: u64 = 60 * DAY;

/// One device of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedDevice {
    /// Drawn anew whenever a device is set up.
    pub registration_id: u32,
    /// When it joined the account.
    pub added: UnixMillis,
}

/// The devices of an account, as its owner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    /// The full account name.
    pub account: String,
    /// Grows by at least one with every change.
    pub version: u64,
    /// By the owner's clock.
    pub issued: UnixMillis,
    /// The devices by number, at most [`MAX_DEVICES`].
    pub devices: BTreeMap<DeviceId, ListedDevice>,
    /// Numbers of removed devices, for 60 days.
    pub removed: BTreeMap<DeviceId, UnixMillis>,
}

impl DeviceList {
    /// The next version without `device`. `None` if it is not listed.
    #[must_use]
    pub fn without(&self, device: DeviceId, now: UnixMillis) -> Option<Self> {
        let mut next = self.next(now)?;
        next.devices.remove(&device)?;
        next.removed.insert(device, now);
        Some(next)
    }

    /// The next version with one more device, under the lowest free number. `None` if
    /// [`MAX_DEVICES`] are listed, or if all 127 numbers are taken or were removed within 60 days.
    #[must_use]
    pub fn with(&self, registration_id: u32, now: UnixMillis) -> Option<(Self, DeviceId)> {
        let mut next = self.next(now)?;
        if next.devices.len() >= MAX_DEVICES {
            return None;
        }
        let free = (1..=127).filter_map(|number| DeviceId::new(number).ok()).find(|number| {
            !next.devices.contains_key(number) && !next.removed.contains_key(number)
        })?;
        next.devices.insert(free, ListedDevice { registration_id, added: now });
        Some((next, free))
    }

    /// Signs the list with the account's identity key.
    pub fn sign(&self, identity: &PrivateKey, rng: &mut impl CryptoRng) -> SignedDeviceList {
        SignedDeviceList(Document::sign(LABEL, &self.payload(), identity, rng))
    }

    fn next(&self, now: UnixMillis) -> Option<Self> {
        let mut next = self.clone();
        next.version = self.version.checked_add(1)?;
        next.issued = now.max(self.issued);
        next.removed.retain(|_, removed| now.since(*removed) < REUSE_AFTER);
        Some(next)
    }

    fn payload(&self) -> Vec<u8> {
        let mut fields = Fields::default();
        fields.put(0, |w| w.uint(FORMAT));
        fields.put(1, |w| w.text(&self.account));
        fields.put(2, |w| w.uint(self.version));
        fields.put(3, |w| w.uint(self.issued.0));
        fields.put(4, |w| {
            w.array(self.devices.len());
            for (number, device) in &self.devices {
                w.array(3);
                w.uint(u64::from(number.get()));
                w.uint(u64::from(device.registration_id));
                w.uint(device.added.0);
            }
        });
        fields.put(5, |w| {
            w.array(self.removed.len());
            for (number, removed) in &self.removed {
                w.array(2);
                w.uint(u64::from(number.get()));
                w.uint(removed.0);
            }
        });
        let mut writer = Writer::new();
        fields.write(&mut writer);
        writer.finish().to_vec()
    }

    /// Reads a payload; the error names the member and the rule.
    fn read(payload: &[u8]) -> Result<Self, &'static str> {
        let mut fields = all_fields(payload)?;
        if fields.uint(0) != Ok(FORMAT) {
            return Err("field 0 (format) is not 1");
        }
        let account = fields.take(1, |r| Ok(r.text()?.to_owned()));
        let account = account.map_err(|_| "field 1 (account) is no text")?;
        if !(1..=MAX_NAME_LEN).contains(&account.len()) {
            return Err("field 1 (account) is empty or too long");
        }
        let version = fields.uint(2).ok().filter(|version| *version > 0);
        let version = version.ok_or("field 2 (version) is no number from 1")?;
        let issued = fields.uint(3).map_err(|_| "field 3 (issued at) is no number")?;
        let devices = Self::read_devices(&mut fields).map_err(
            |_| "field 4 (devices) is no list of at most 8 [number, registration id, added at]",
        )?;
        let removed = Self::read_removed(&mut fields)
            .map_err(|_| "field 5 (removed) is no list of [number, removed at]")?;
        if !devices.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("field 4 (devices) does not have each number once, rising");
        }
        if !removed.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("field 5 (removed) does not have each number once, rising");
        }
        let list = Self {
            account,
            version,
            issued: UnixMillis(issued),
            devices: devices.into_iter().collect(),
            removed: removed.into_iter().collect(),
        };
        let disjoint = list.removed.keys().all(|number| !list.devices.contains_key(number));
        let both = "a number is in field 4 (devices) and in field 5 (removed)";
        disjoint.then_some(list).ok_or(both)
    }

    fn read_devices(fields: &mut Fields) -> Result<Vec<(DeviceId, ListedDevice)>, CborError> {
        fields.take(4, |r| {
            r.sequence(MAX_DEVICES, |r| {
                r.fixed_array(3)?;
                let number = read_number(r)?;
                let registration_id = r.u32()?;
                let added = UnixMillis(r.uint()?);
                Ok::<_, CborError>((number, ListedDevice { registration_id, added }))
            })
        })
    }

    fn read_removed(fields: &mut Fields) -> Result<Vec<(DeviceId, UnixMillis)>, CborError> {
        fields.take(5, |r| {
            r.sequence(MAX_NUMBERS, |r| {
                r.fixed_array(2)?;
                Ok::<_, CborError>((read_number(r)?, UnixMillis(r.uint()?)))
            })
        })
    }
}

fn read_number(r: &mut Reader<'_>) -> Result<DeviceId, CborError> {
    DeviceId::new(r.uint()?).map_err(|_| CborError)
}

/// A device list as it comes from a server. Nothing has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDeviceList(Document);

impl SignedDeviceList {
    /// Parses the envelope; the payload is read by [`SignedDeviceList::verify`].
    ///
    /// # Errors
    /// [`DeviceListError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeviceListError> {
        let read = Document::from_bytes(bytes).map(Self);
        read.map_err(|_| DeviceListError::Malformed(NO_DOCUMENT))
    }

    /// The bytes to publish.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Checks the list against the account's known identity key and against the newest list
    /// known before, if there is one.
    ///
    /// # Errors
    /// [`DeviceListError`].
    pub fn verify(
        &self,
        account: &str,
        identity: &PublicKey,
        before: Option<&VerifiedDeviceList>,
    ) -> Result<VerifiedDeviceList, DeviceListError> {
        if !self.0.signed_by(LABEL, identity) {
            return Err(DeviceListError::Signature);
        }
        let list = DeviceList::read(self.0.payload()).map_err(DeviceListError::Malformed)?;
        if list.account != account {
            return Err(DeviceListError::OtherAccount);
        }
        let verified = VerifiedDeviceList { list, hash: self.0.hash(LABEL) };
        match before {
            Some(before) => verified.follows(before),
            None => Ok(verified),
        }
    }
}

/// A device list that the account's identity key signed, and that takes nothing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDeviceList {
    list: DeviceList,
    hash: DocumentHash,
}

impl VerifiedDeviceList {
    /// The list.
    pub fn as_list(&self) -> &DeviceList {
        &self.list
    }

    /// SHA-256 of the payload, to compare lists with.
    pub fn hash(&self) -> &DocumentHash {
        &self.hash
    }

    /// The devices to encrypt for: all listed ones, without those that the account's server
    /// marks as silent for too long. That mark needs no signature because it only removes.
    pub fn active(&self, inactive: &BTreeSet<DeviceId>) -> Vec<DeviceId> {
        self.list.devices.keys().filter(|number| !inactive.contains(number)).copied().collect()
    }

    fn follows(self, before: &Self) -> Result<Self, DeviceListError> {
        if self.list.version < before.list.version {
            return Err(DeviceListError::Rollback { known: before.list.version });
        }
        if self.list.version == before.list.version {
            let same = self.hash == before.hash;
            return if same { Ok(self) } else { Err(DeviceListError::Fork) };
        }
        // A number that was removed must not come back as another device before its time, or
        // messages on their way to the old one would reach the new one.
        let reused = before.list.removed.iter().any(|(number, removed)| {
            self.list.devices.contains_key(number) && self.list.issued.since(*removed) < REUSE_AFTER
        });
        // Nor may a device be exchanged for another under its number.
        let exchanged = before.list.devices.iter().any(|(number, device)| {
            self.list
                .devices
                .get(number)
                .is_some_and(|now| now.registration_id != device.registration_id)
                && self.list.issued.since(before.list.issued) < REUSE_AFTER
        });
        if reused || exchanged { Err(DeviceListError::Reused) } else { Ok(self) }
    }
}

/// Why a device list is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceListError {
    /// Two lists of one version: somebody shows different lists to different people.
    #[error("there are two device lists of one version")]
    Fork,
    /// Not a device list: which member breaks which rule.
    #[error("the device list is malformed: {0}")]
    Malformed(&'static str),
    /// Signed for another account.
    #[error("the device list belongs to another account")]
    OtherAccount,
    /// Older than one that is known.
    #[error("the device list is older than version {known}, which is known")]
    Rollback {
        /// The newest known version.
        known: u64,
    },
    /// A number names another device than within the last 60 days.
    #[error("a device number was used again too early")]
    Reused,
    /// Not signed by the account's identity key.
    #[error("the device list is not signed by the account's identity key")]
    Signature,
}

#[cfg(test)]
mod tests;
