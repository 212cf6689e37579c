//! What is served of a user's keys: the same to this region's devices and to other regions.

use std::sync::Arc;

use posthouse_protocol::{
    id::{AccountId, DeviceId, DeviceNumber},
    problem::{Code, Rejection},
    rest::keys::{
        Bundle, Bundles, EcKey, KemKey, KemPreKey, KeyChange, KeyChanges, ListDocument, OneTimeKey,
        Signature, SignedKey, UserDevice, UserDevices,
    },
    time::Timestamp,
};
use posthouse_storage::{
    accounts::Device,
    keys::{self, Claim, Claimed, Identity, Keys},
};
use uuid::Uuid;

use super::{KeyLimits, Notices, check};
use crate::accounts::{Directory, store_failed};

/// Answers about the keys of this region's accounts.
pub struct KeyBook {
    /// Keys.
    pub store: Arc<dyn Keys>,
    /// Accounts and devices.
    pub directory: Arc<Directory>,
    /// Tells devices whose keys run low.
    pub notices: Arc<Notices>,
    /// How often keys are handed out.
    pub limits: Arc<KeyLimits>,
}

/// Who asks for bundles, and for which.
#[derive(Debug, Clone)]
pub struct BundleRequest {
    /// An account of any region.
    pub requester: AccountId,
    /// The requester's id for the request.
    pub request: Uuid,
    /// For these devices; all, if `None`.
    pub devices: Option<Vec<DeviceNumber>>,
    /// Not for this one, which asks.
    pub except: Option<DeviceId>,
}

impl KeyBook {
    /// The devices of an account of this region with their signed list: the answer to a client,
    /// and to another region's query `devices`.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], or as the store.
    pub async fn devices(&self, account: Uuid, now: Timestamp) -> Result<UserDevices, Rejection> {
        let account = self.existing(account).await?;
        let identity = self.store.identity(account.uuid).await.map_err(|err| store_failed(&err))?;
        let devices = self.directory.current_devices(account.uuid, now).await?;
        devices_answer(account, identity.as_ref(), &devices)
    }

    /// The identity keys that an account of this region has had.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], or as the store.
    pub async fn key_changes(&self, account: Uuid) -> Result<KeyChanges, Rejection> {
        let account_id = self.existing(account).await?;
        let changes = self.store.key_changes(account).await.map_err(|err| store_failed(&err))?;
        let told = |change: keys::KeyChange| {
            let identity_key = EcKey(check::public(&change.key)?);
            Ok(KeyChange { number: change.number, at: change.at, identity_key })
        };
        let changes = changes.into_iter().map(told).collect::<Result<_, Rejection>>()?;
        Ok(KeyChanges { account_id, changes })
    }

    /// Bundles of an account of this region: the answer to a client, and to another region's query
    /// `bundle`.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], [`Code::NoIdentity`], [`Code::RateLimited`], [`Code::BadRequest`] for
    /// a request id that was used for another account, or as the store.
    pub async fn bundles(
        &self,
        account: Uuid,
        request: BundleRequest,
        now: Timestamp,
    ) -> Result<Bundles, Rejection> {
        let account_id = self.existing(account).await?;
        let one_time = self.limits.claim(&request.requester, account, self.directory.server())?;
        let claim = Claim {
            requester: request.requester,
            request: request.request,
            account,
            devices: request.devices,
            except: request.except,
            one_time,
            now,
        };
        match self.store.claim(&claim).await.map_err(|err| store_failed(&err))? {
            Claimed::Done(bundles, told) => {
                for (notice, arrival) in told {
                    self.notices.hand_over(&notice, &[arrival], now);
                }
                bundles_answer(account_id, &bundles)
            }
            Claimed::NoIdentity => {
                Err(Rejection::new(Code::NoIdentity, "the user has not uploaded an identity key"))
            }
            Claimed::OtherRequest => {
                let detail = "`request_id` was used for another user's keys";
                Err(Rejection::new(Code::BadRequest, detail))
            }
        }
    }

    async fn existing(&self, account: Uuid) -> Result<AccountId, Rejection> {
        let known = self.directory.existing(&[account]).await.map_err(|err| store_failed(&err))?;
        if known.first() == Some(&true) {
            return Ok(AccountId { uuid: account, server: self.directory.server().clone() });
        }
        Err(Rejection::new(Code::UnknownUser, "this region has no such user"))
    }
}

/// What is told of an account's devices. Pure.
fn devices_answer(
    account_id: AccountId,
    identity: Option<&Identity>,
    devices: &[Device],
) -> Result<UserDevices, Rejection> {
    let device = |device: &Device| UserDevice {
        device: device.number,
        registration_id: device.registration_id,
        listed: device.listed,
    };
    Ok(UserDevices {
        account_id,
        identity_key: identity.map(|known| check::public(&known.key)).transpose()?.map(EcKey),
        version: identity.map_or(0, |known| known.list_version),
        device_list: identity.map(document).transpose()?.flatten(),
        devices: devices.iter().map(device).collect(),
    })
}

/// Stored bundles as they are told. Pure.
fn bundles_answer(account_id: AccountId, stored: &keys::Bundles) -> Result<Bundles, Rejection> {
    let bundle = |bundle: &keys::DeviceBundle| {
        Some(Bundle {
            device: bundle.device,
            registration_id: bundle.registration_id,
            signed: SignedKey {
                id: bundle.signed.id.try_into().ok()?,
                key: EcKey(check::public(&bundle.signed.key).ok()?),
                signature: Signature(bundle.signed.signature?),
            },
            one_time: match &bundle.one_time {
                None => None,
                Some(key) => Some(OneTimeKey {
                    id: key.id.try_into().ok()?,
                    key: EcKey(check::public(&key.key).ok()?),
                }),
            },
            kem: KemPreKey {
                id: bundle.kem.id.try_into().ok()?,
                key: KemKey(
                    posthouse_crypto::e2ee::primitives::kem::KemPublicKey::from_bytes(
                        &bundle.kem.key,
                    )
                    .ok()?,
                ),
                signature: Signature(bundle.kem.signature?),
            },
            last_resort: bundle.last_resort,
        })
    };
    let bundles: Option<Vec<Bundle>> = stored.bundles.iter().map(bundle).collect();
    Ok(Bundles {
        account_id,
        identity_key: EcKey(check::public(&stored.identity.key)?),
        device_list: document(&stored.identity)?,
        bundles: bundles.ok_or_else(damaged)?,
        without_keys: stored.without_keys.clone(),
    })
}

fn document(identity: &Identity) -> Result<Option<ListDocument>, Rejection> {
    let Some(bytes) = identity.list.as_deref() else { return Ok(None) };
    let parsed = posthouse_crypto::e2ee::signed::device_list::SignedDeviceList::from_bytes(bytes);
    parsed.map(|list| Some(ListDocument(list))).map_err(|_| damaged())
}

fn damaged() -> Rejection {
    tracing::error!("a stored key or device list is damaged");
    Rejection::new(Code::Internal, "the server failed; its log has more")
}
