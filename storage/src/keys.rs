//! Identity keys, device lists and prekeys: what is public of the end-to-end encryption.
//!
//! The store keeps bytes and counts. What they must be is checked before, by the homeserver; every
//! method that depends on such a check names what it was made against, and does nothing if that
//! has changed meanwhile.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{AccountId, DeviceId, DeviceNumber, MessageId, RegistrationId, ServerName},
    limits,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{error::StoreError, ledger::Arrival};

/// An identity key, `0x05 ‖ u` (docs/spec/e2ee-formats.md).
pub type IdentityKey = [u8; 33];

/// Most one-time keys of a kind that are stored for a device.
pub const MAX_STORED: usize = limits::MAX_STORED_PREKEYS;

/// One-time keys of a kind below which the device is told; see [`KeyNotice::PreKeysLow`].
pub const LOW: u32 = limits::LOW_PREKEYS;

/// Newest identity keys that [`Keys::key_changes`] tells.
pub const MAX_KEY_CHANGES: usize = 100;

/// An account's identity, as its first device uploaded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The public key.
    pub key: IdentityKey,
    /// The version of the newest signed list there ever was, under whatever key; 0 for none.
    pub list_version: u64,
    /// The newest list that this key signed, as a document.
    pub list: Option<Bytes>,
}

/// A change of an identity key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// 1 is the account's first key.
    pub number: u64,
    /// When it was uploaded.
    pub at: Timestamp,
    /// The key.
    pub key: IdentityKey,
}

/// How a compare-and-set ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is done; the account's devices are told by these entries.
    Done(Vec<Arrival>),
    /// What the caller knew is not what is: nothing was written.
    Moved,
}

/// A device list that was checked.
#[derive(Debug, Clone)]
pub struct NewList<'a> {
    /// Whose.
    pub account: Uuid,
    /// The key that signed it, which must be the account's.
    pub identity: &'a IdentityKey,
    /// Its version, which must be the next one.
    pub version: u64,
    /// The document.
    pub document: &'a [u8],
    /// The devices that it names, by number; must be exactly the account's.
    pub devices: &'a [(DeviceNumber, RegistrationId)],
}

/// The kinds of prekeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PreKeyKind {
    /// An X25519 key for one session.
    OneTime,
    /// A KEM key for one session.
    OneTimeKem,
    /// An X25519 key for many sessions.
    Signed,
    /// A KEM key for when the one-time ones are used up.
    LastResort,
}

/// A prekey, in public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreKey {
    /// The device's number for it.
    pub id: u32,
    /// The key with its type byte.
    pub key: Bytes,
    /// The identity key's signature; none for [`PreKeyKind::OneTime`].
    pub signature: Option<[u8; 64]>,
}

/// Prekeys of one device to be stored.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    /// Replaces the signed one.
    pub signed: Option<PreKey>,
    /// Replaces the last-resort one.
    pub last_resort: Option<PreKey>,
    /// Added.
    pub one_time: Vec<PreKey>,
    /// Added.
    pub one_time_kem: Vec<PreKey>,
}

/// What is stored for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PreKeyCounts {
    /// One-time keys that are left.
    pub one_time: u32,
    /// One-time KEM keys that are left.
    pub one_time_kem: u32,
    /// The id of the signed one.
    pub signed: Option<u32>,
    /// The id of the last-resort one.
    pub last_resort: Option<u32>,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// Stored. One-time keys whose id is not above every earlier one are passed over: they are
    /// there already, or were handed out.
    Stored(PreKeyCounts),
    /// There would be more than [`MAX_STORED`] of a kind: nothing was written.
    TooMany(PreKeyCounts),
    /// A one-time KEM key and the last-resort one would have this number, by which alone messages
    /// name them: nothing was written.
    SameId(u32),
    /// The identity key is another one now, or the account has no such device: nothing was written.
    Moved,
}

/// Who asks for bundles of whom.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks, of any region.
    pub requester: AccountId,
    /// The requester's id for the request.
    pub request: Uuid,
    /// Whose bundles.
    pub account: Uuid,
    /// For these devices; all, if `None`.
    pub devices: Option<Vec<DeviceNumber>>,
    /// Not for this one, which asks.
    pub except: Option<DeviceId>,
    /// Whether one-time keys are given too. Without them a claim uses nothing up, and is not
    /// remembered.
    pub one_time: bool,
    /// When.
    pub now: Timestamp,
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The bundles, and entries that tell devices whose keys run low.
    Done(Box<Bundles>, Vec<(KeyNotice, Arrival)>),
    /// The account has no identity key.
    NoIdentity,
    /// The request's id was used for another account's keys.
    OtherRequest,
}

/// Bundles of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundles {
    /// The identity and its device list.
    pub identity: Identity,
    /// A bundle for each device that has keys, by number.
    pub bundles: Vec<DeviceBundle>,
    /// Devices that were asked for and have no signed or no last-resort key yet.
    pub without_keys: Vec<DeviceNumber>,
}

/// The keys for one session with a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceBundle {
    /// Its number.
    pub device: DeviceNumber,
    /// Its installation.
    pub registration_id: RegistrationId,
    /// Its signed prekey.
    pub signed: PreKey,
    /// A one-time key, if one was left. Nobody else has been or will be given it.
    pub one_time: Option<PreKey>,
    /// A one-time KEM key in the same way, or the last-resort one.
    pub kem: PreKey,
    /// Whether it is the last-resort one.
    pub last_resort: bool,
}

/// What devices are told about keys, as an entry of their account's inbox. A newer one about the
/// same thing replaces an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyNotice {
    /// The devices of an account have changed, or their list was signed anew.
    DeviceList {
        /// Whose.
        user: AccountId,
        /// The newest signed version; 0 if there is none.
        version: u64,
    },
    /// An account has another identity key.
    Identity {
        /// Whose.
        user: AccountId,
    },
    /// One-time keys of a device of this account run low.
    PreKeysLow {
        /// The device; the entry is for it alone.
        device: DeviceId,
        /// Those left.
        one_time: u32,
        /// KEM keys left.
        one_time_kem: u32,
    },
    /// A message of this account did not serve all devices of its recipient.
    Unserved {
        /// The message.
        message: MessageId,
        /// Whose devices.
        user: AccountId,
        /// Those that were not served.
        missing: Vec<DeviceNumber>,
        /// The newest signed version of their list; 0 if there is none.
        version: u64,
    },
}

/// Keys. Every method is atomic.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The account's identity; `None` before one was uploaded.
    async fn identity(&self, account: Uuid) -> Result<Option<Identity>, StoreError>;

    /// Sets the identity key of `account`, if it is `expected` now, and writes it into the log.
    /// The list and all prekeys of the account are gone with the key before.
    async fn set_identity(
        &self,
        account: &AccountId,
        expected: Option<&IdentityKey>,
        key: &IdentityKey,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// The newest [`MAX_KEY_CHANGES`] identity keys, the oldest first.
    async fn key_changes(&self, account: Uuid) -> Result<Vec<KeyChange>, StoreError>;

    /// Puts a signed device list in the place of the one before, and marks its devices as listed.
    async fn put_list(
        &self,
        list: NewList<'_>,
        user: &AccountId,
        now: Timestamp,
    ) -> Result<Changed, StoreError>;

    /// Stores prekeys of a device, which were checked against `identity`.
    async fn upload(
        &self,
        account: Uuid,
        device: DeviceId,
        identity: &IdentityKey,
        upload: &Upload,
    ) -> Result<Uploaded, StoreError>;

    /// What is stored for a device.
    async fn counts(&self, device: DeviceId) -> Result<PreKeyCounts, StoreError>;

    /// Hands out bundles. A one-time key is handed out once, to one request, whatever happens at
    /// the same time in whatever process; the same request again is given the same. Only listed
    /// devices have bundles, if any device of the account is listed.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError>;

    /// Puts a notice into the inboxes of `accounts`.
    async fn tell(
        &self,
        notice: &KeyNotice,
        accounts: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, StoreError>;

    /// Accounts of this region with whom `account` has exchanged messages in both directions, in
    /// the order of their ids: at most `limit` after `after`.
    async fn acquaintances(
        &self,
        account: &AccountId,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<Uuid>, StoreError>;

    /// Regions of people with whom `account` of this region has exchanged messages in both
    /// directions, without a particular order, at most `limit`; this region may be among them.
    async fn acquainted_regions(
        &self,
        account: Uuid,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError>;

    /// Forgets requests from before `before`, at most `limit` keys of them; returns how many.
    async fn forget_claims(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
