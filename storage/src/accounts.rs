//! Accounts and their devices.

use core::fmt;

use async_trait::async_trait;
use posthouse_protocol::{
    cursor::Cursor,
    id::{DeviceId, DeviceNumber, HandleName, RegistrationId, SessionId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{error::StoreError, invites::InviteHash, sessions::NewSession};

/// A password's or PIN's hash in the PHC string format. Whoever has it can try passwords: it is
/// never shown or logged.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password hash)")
    }
}

/// An account to be created.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its id, for ever.
    pub id: Uuid,
    /// Its handle.
    pub handle: HandleName,
    /// The password's hash.
    pub password_hash: PasswordHash,
    /// The invitation that is used up by this, where the region asks for one.
    pub invite: Option<InviteHash>,
    /// When.
    pub created_at: Timestamp,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Its handle.
    pub handle: HandleName,
    /// The password's hash.
    pub password_hash: PasswordHash,
    /// Whether it may be used.
    pub state: AccountState,
    /// Rises with every change of its device list.
    pub device_list_version: u64,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    /// It may.
    Active,
    /// The operator suspended it: it neither logs in nor sends.
    Suspended,
}

/// A device to be added. The store chooses its number and starts it at the end of the inbox.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its id, never used before.
    pub id: DeviceId,
    /// Its account.
    pub account: Uuid,
    /// Its installation's number.
    pub registration_id: RegistrationId,
    /// What its person calls it.
    pub name: String,
    /// When.
    pub created_at: Timestamp,
}

/// A device that is not removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its account.
    pub account: Uuid,
    /// Its number within the account.
    pub number: DeviceNumber,
    /// Its installation's number.
    pub registration_id: RegistrationId,
    /// What its person calls it.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// Up to where it has acknowledged the inbox.
    pub position: Cursor,
    /// When it was last connected, as far as [`crate::ledger::Ledger::record`] was told; its
    /// creation at first.
    pub active_at: Timestamp,
    /// Whether the account's signed device list names it.
    pub listed: bool,
}

/// The devices that messages are encrypted for: those that the signed device list names, or all, if
/// it names none of them (then there is no list).
pub fn addressable(devices: &[Device]) -> impl Iterator<Item = &Device> {
    let any_listed = devices.iter().any(|device| device.listed);
    devices.iter().filter(move |device| device.listed || !any_listed)
}

/// How the creation of an account ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateAccount {
    /// The account, its first device and its session exist.
    Created(Device),
    /// The handle belongs, or once belonged, to another account.
    HandleTaken,
    /// The invitation is unknown, used up, withdrawn or expired. Looked at before the handle.
    InviteRefused,
}

/// How the addition of a device ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddDevice {
    /// The device and its session exist.
    Added(Device),
    /// The account has as many devices as it may have, or no device number is free.
    TooMany,
    /// There is no such account.
    NoAccount,
}

/// For how long the number of a removed device is not given out again, in milliseconds (60 days).
pub const NUMBER_REST_MS: u64 = 60 * 24 * 3_600_000;

/// Accounts and devices. Every method is atomic. An account that is being deleted
/// ([`crate::erasure`]) is to all of them as if it were not there.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Creates an account with its first device and that device's session; uses its invitation.
    async fn create_account(
        &self,
        account: &NewAccount,
        device: &NewDevice,
        session: &NewSession,
    ) -> Result<CreateAccount, StoreError>;

    /// The account of this id; `None` if there is none.
    async fn account(&self, id: Uuid) -> Result<Option<Account>, StoreError>;

    /// The account that this handle names now; `None` if none does.
    async fn account_by_handle(&self, handle: &HandleName) -> Result<Option<Account>, StoreError>;

    /// Which of `ids` are accounts here that messages can be sent to, in the order of `ids`.
    async fn existing(&self, ids: &[Uuid]) -> Result<Vec<bool>, StoreError>;

    /// Adds a device with its session, if the account has fewer than `most`; raises the device-list
    /// version. The number is the lowest one not used by a device that exists or was removed less
    /// than [`NUMBER_REST_MS`] before `device.created_at`. The position is the inbox's end.
    async fn add_device(
        &self,
        device: &NewDevice,
        session: &NewSession,
        most: usize,
    ) -> Result<AddDevice, StoreError>;

    /// The account's devices that are not removed, by number.
    async fn devices(&self, account: Uuid) -> Result<Vec<Device>, StoreError>;

    /// Renames a device. `false` if the account has no such device.
    async fn rename_device(
        &self,
        account: Uuid,
        device: DeviceId,
        name: &str,
    ) -> Result<bool, StoreError>;

    /// Devices of any account that were last connected before `before` and have refreshed no
    /// session since, at most `limit`. An
    /// account's device that was connected last is never among them.
    async fn silent_devices(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Uuid, DeviceId)>, StoreError>;

    /// Removes a device and ends its sessions; raises the device-list version. `false` if the
    /// account has no such device.
    async fn remove_device(
        &self,
        account: Uuid,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Accounts by handle, those after `after`, at most `limit`.
    async fn accounts(
        &self,
        after: Option<&HandleName>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError>;

    /// Puts `new` in the place of the password hash `old` and ends all sessions of the account but
    /// `keep`; the ended ones are returned. `None` if the hash is no longer `old`.
    async fn change_password(
        &self,
        account: Uuid,
        (old, new): (&PasswordHash, &PasswordHash),
        keep: SessionId,
        now: Timestamp,
    ) -> Result<Option<Vec<SessionId>>, StoreError>;

    /// Suspends an account, which ends its sessions, or lets it in again. The ended sessions are
    /// returned; `None` if there is no such account.
    async fn set_state(
        &self,
        account: Uuid,
        state: AccountState,
        now: Timestamp,
    ) -> Result<Option<Vec<SessionId>>, StoreError>;
}
