//! Frames about keys and devices.

use serde::{Deserialize, Serialize};

use crate::{
    cursor::Cursor,
    id::{AccountId, DeviceNumber, MessageId},
};

/// Something about keys has changed: an entry of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "KeysFrame", transform = crate::schema::tagged("keys"))
)]
#[serde(tag = "type", rename = "keys")]
pub struct KeysFrame {
    /// What.
    pub event: KeysEvent,
    /// Whose; absent for `prekeys_low`, which is about the device that is told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<AccountId>,
    /// Of `device_list`: the newest signed version; 0 if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u64>,
    /// Of `prekeys_low`: one-time keys that are left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_time: Option<u32>,
    /// Of `prekeys_low`: one-time KEM keys that are left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_time_kem: Option<u32>,
    /// Its place in this account's inbox.
    pub cursor: Cursor,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeysEvent {
    /// The devices of an account, or its signed list of them.
    DeviceList,
    /// The identity key of an account.
    Identity,
    /// One-time keys run low: upload more.
    PrekeysLow,
}

/// A message that was sent to another region did not reach all of the recipient's devices: the
/// sender may supplement it. An entry of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "DevicesChangedFrame", transform = crate::schema::tagged("devices_changed"))
)]
#[serde(tag = "type", rename = "devices_changed")]
pub struct DevicesChangedFrame {
    /// The message.
    pub message_id: MessageId,
    /// Whose devices.
    pub user: AccountId,
    /// Devices that were not served.
    pub missing: Vec<DeviceNumber>,
    /// The newest signed version of the user's device list; 0 if there is none.
    pub version: u64,
    /// Its place in this account's inbox.
    pub cursor: Cursor,
}

impl KeysFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        // Plain data with text keys: serialising to memory has no way to fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl DevicesChangedFrame {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
