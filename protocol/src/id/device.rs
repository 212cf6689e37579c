//! Devices and sessions.

use core::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{IdError, parse_uuid, text_id};

/// A device, as the server stores it: never reused, also after the device is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub Uuid);

impl DeviceId {
    /// Parses a UUID in lowercase with hyphens.
    ///
    /// # Errors
    /// [`IdError`] for any other spelling.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        parse_uuid(text, "a device id").map(Self)
    }
}

/// A log-in of a device: what a refresh token renews and a revocation ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// Parses a UUID in lowercase with hyphens.
    ///
    /// # Errors
    /// [`IdError`] for any other spelling.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        parse_uuid(text, "a session id").map(Self)
    }
}

macro_rules! show_uuid {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        text_id!($name);
    )*};
}
show_uuid!(DeviceId, SessionId);

/// A device's number within its account, as clients address it: 1 to 127. A number is not given
/// out again within 60 days of its device's removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct DeviceNumber(u8);

impl DeviceNumber {
    /// The lowest number.
    pub const FIRST: Self = Self(1);
    /// The highest number.
    pub const LAST: Self = Self(127);

    /// The number as an integer.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for DeviceNumber {
    type Error = IdError;
    fn try_from(number: u8) -> Result<Self, IdError> {
        if (1..=127).contains(&number) {
            Ok(Self(number))
        } else {
            Err(IdError { what: "a device number", why: "1 to 127 are expected" })
        }
    }
}

impl From<DeviceNumber> for u8 {
    fn from(number: DeviceNumber) -> Self {
        number.0
    }
}

/// A random number that a device draws at its installation, to tell a reinstalled device from the
/// one before: 0 to 16,383 (14 bits, the Signal protocol's convention).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RegistrationId(u32);

impl RegistrationId {
    /// The number as an integer.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl RegistrationId {
    /// A number from two random bytes.
    pub fn from_random(bytes: [u8; 2]) -> Self {
        Self(u32::from(u16::from_be_bytes(bytes) & 0x3fff))
    }
}

impl TryFrom<u32> for RegistrationId {
    type Error = IdError;
    fn try_from(number: u32) -> Result<Self, IdError> {
        if number < 1 << 14 {
            Ok(Self(number))
        } else {
            Err(IdError { what: "a registration id", why: "0 to 16383 are expected" })
        }
    }
}

impl From<RegistrationId> for u32 {
    fn from(number: RegistrationId) -> Self {
        number.0
    }
}
