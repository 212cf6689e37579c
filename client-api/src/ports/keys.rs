//! Devices of an account, and the keys that other people's devices encrypt for.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{Address, DeviceId},
    problem::Rejection,
    rest::keys::{
        Bundles, ClaimBundles, Devices as DeviceList, KeyChanges, PreKeyStatus, PutDeviceList,
        RenameDevice, SetIdentity, UploadPreKeys, UserDevices,
    },
};

use super::Caller;

/// The devices of an account.
#[async_trait]
pub trait Devices: Send + Sync {
    /// The devices of the caller's account.
    async fn devices(&self, caller: &Caller) -> Result<DeviceList, Rejection>;

    /// Renames a device of the caller's account; `not_found` for any other.
    async fn rename(
        &self,
        caller: &Caller,
        device: DeviceId,
        request: RenameDevice,
    ) -> Result<(), Rejection>;

    /// Removes a device of the caller's account, ends its sessions and cuts its socket; `not_found`
    /// for any other.
    async fn revoke(&self, caller: &Caller, device: DeviceId) -> Result<(), Rejection>;
}

/// Keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Sets the identity key of the caller's account.
    async fn set_identity(&self, caller: &Caller, request: SetIdentity) -> Result<(), Rejection>;

    /// Publishes the signed list of the caller's account.
    async fn put_list(&self, caller: &Caller, request: PutDeviceList) -> Result<(), Rejection>;

    /// Stores prekeys of the caller's device.
    async fn upload(
        &self,
        caller: &Caller,
        request: UploadPreKeys,
    ) -> Result<PreKeyStatus, Rejection>;

    /// What is stored for the caller's device.
    async fn prekeys(&self, caller: &Caller) -> Result<PreKeyStatus, Rejection>;

    /// The devices and the signed list of a user of any region.
    async fn user_devices(&self, caller: &Caller, user: Address) -> Result<UserDevices, Rejection>;

    /// The identity keys that a user has had.
    async fn key_changes(&self, caller: &Caller, user: Address) -> Result<KeyChanges, Rejection>;

    /// Bundles of a user of any region, with one-time keys that nobody else is given.
    async fn claim(
        &self,
        caller: &Caller,
        user: Address,
        request: ClaimBundles,
    ) -> Result<Bundles, Rejection>;
}
