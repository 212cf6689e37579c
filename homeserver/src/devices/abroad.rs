//! Keys of other regions' users: asked of their region, checked as a client checks them, and
//! remembered for a while.
//!
//! What a user's client would refuse is refused here already: a list or a prekey that the user's
//! identity key did not sign, a device that the list does not name, a list that takes something
//! back. So a region that adds a device to somebody gets no ciphertext for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use posthouse_protocol::{
    federation::query::keys::{BundlesAnswer, BundlesOf},
    id::{AccountId, DeviceNumber, RegistrationId},
    problem::{Code, Rejection},
    rest::keys::{Bundles, ClaimBundles, UserDevices},
    time::{Clock, Timestamp},
};
use posthouse_storage::{erasure::Erasure, error::StoreError, keys::KeyNotice};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use super::{KeyLimits, Notices, foreign};
use crate::regions::Regions;

/// Most users whose devices are remembered, each in at most some 9 KiB. A full memory is emptied.
const MAX_KNOWN: usize = 4_096;

/// For how long an answer is good enough for a client that asks for it, in milliseconds.
const READ_FRESH_MS: u64 = 5_000;

/// For how long the longest an answer is not renewed, in milliseconds (5 min), whatever the other
/// region says.
const MAX_REMEMBER_MS: u64 = 300_000;

/// After a failure it is asked again no earlier than after this time, in milliseconds.
const AGAIN_MS: u64 = 30_000;

/// A hint that something has changed is not followed sooner than after this time, in milliseconds:
/// a region that hints all the time is not asked all the time.
const HINT_MS: u64 = 1_000;

/// How long a message waits for an answer that may show that its devices are the right ones.
const PATIENCE: Duration = Duration::from_secs(3);

/// Rows of each kind that are deleted at a time of what is kept of an account that is gone.
const FORGET_PIECE: usize = 500;

/// The pause in between, so that messages go first.
const FORGET_PAUSE: Duration = Duration::from_millis(20);

/// Most answers that are renewed at a time without anybody waiting for them.
const MAX_RENEWALS: usize = 64;

/// Most accounts that are remembered to be gone; a full memory is emptied, and what is kept of each is
/// looked for once more when it is next heard that it is gone.
const MAX_GONE: usize = 16_384;

/// What [`ForeignKeys`] stands on.
pub struct ForeignParts {
    /// Where they are asked for.
    pub regions: Arc<dyn Regions>,
    /// Tells people here of changes.
    pub notices: Arc<Notices>,
    /// What people here keep of who is gone.
    pub erasure: Arc<dyn Erasure>,
    /// How often.
    pub limits: Arc<KeyLimits>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Keys of other regions' users.
pub struct ForeignKeys {
    pub(crate) parts: ForeignParts,
    known: Mutex<HashMap<AccountId, Known>>,
    /// Accounts that their regions have deleted, of which nothing is kept here any more.
    gone: Mutex<HashSet<AccountId>>,
    renewals: Arc<Semaphore>,
}

/// What was last heard of a user.
#[derive(Clone)]
struct Known {
    /// `None` if nothing has been heard yet.
    devices: Option<Arc<UserDevices>>,
    /// When its region was asked.
    asked_at: Timestamp,
    /// Until then it need not be asked again.
    until: Timestamp,
    /// Whether it will be asked shortly, because of a hint.
    is_followed: bool,
    /// Whether its region said last that there is no such account.
    is_denied: bool,
}

/// Devices to encrypt for.
pub type Addressable = Vec<(DeviceNumber, RegistrationId)>;

impl ForeignKeys {
    /// Nothing is known yet.
    pub fn new(parts: ForeignParts) -> Self {
        let renewals = Arc::new(Semaphore::new(MAX_RENEWALS));
        Self { parts, known: Mutex::default(), gone: Mutex::default(), renewals }
    }

    /// The devices of `account` for `by`, a user of this region. While the other region is away,
    /// what it said before: its user's signature is as good as ever.
    ///
    /// # Errors
    /// [`Code::UnknownUser`], [`Code::RegionUnreachable`], [`Code::AnswerRefused`] for what a
    /// client would refuse, [`Code::RateLimited`].
    pub async fn devices(
        &self,
        by: &AccountId,
        account: &AccountId,
    ) -> Result<Arc<UserDevices>, Rejection> {
        let now = self.parts.clock.now();
        let known = self.remembered(account);
        let is_denied = known.as_ref().is_some_and(|known| known.is_denied);
        let known = known.and_then(|known| Some((known.devices?, known.asked_at)));
        if let Some((devices, asked_at)) = &known
            && is_within(*asked_at, READ_FRESH_MS, now)
        {
            return if is_denied { Err(no_user()) } else { Ok(Arc::clone(devices)) };
        }
        self.parts.limits.look_up(by.uuid)?;
        match (self.ask(account).await, known) {
            (Err(err), Some((devices, _))) if err.code == Code::RegionUnreachable => Ok(devices),
            (asked, _) => asked,
        }
    }

    /// Bundles of `account` for `by`, a user of this region. The other region hands each one-time
    /// key out once; the same request again is given the same.
    ///
    /// # Errors
    /// As [`ForeignKeys::devices`], and [`Code::NoIdentity`], [`Code::BadRequest`] for a request id
    /// that was used for another account.
    pub async fn bundles(
        &self,
        by: &AccountId,
        account: &AccountId,
        request: ClaimBundles,
    ) -> Result<Bundles, Rejection> {
        self.parts.limits.claim_abroad(by, account)?;
        self.check_there(account)?;
        let ClaimBundles { request_id, devices } = request;
        let question = BundlesOf {
            account: account.uuid,
            requester: by.uuid,
            request: request_id,
            devices: devices.clone(),
        };
        let bundles = match self.parts.regions.bundles(&account.server, question).await? {
            BundlesAnswer::Given(bundles) => *bundles,
            BundlesAnswer::NoAccount => return Err(no_user()),
            BundlesAnswer::NoIdentity => {
                let detail = "the user has not uploaded an identity key";
                return Err(Rejection::new(Code::NoIdentity, detail));
            }
            BundlesAnswer::OtherRequest => {
                let detail = "`request_id` was used for another user's keys";
                return Err(Rejection::new(Code::BadRequest, detail));
            }
        };
        let before = self.remembered(account).and_then(|known| known.devices);
        let check = move || {
            foreign::bundles(&bundles, devices.as_deref(), before.as_deref()).map(|()| bundles)
        };
        // 17 signatures take milliseconds, which other connections' tasks would feel.
        blocking(check).await.inspect_err(|err| refused(account, err))
    }

    /// The devices of `account` to encrypt for, as far as is known without waiting; what is old or
    /// missing is asked for meanwhile.
    pub fn addressable(self: &Arc<Self>, account: &AccountId) -> Option<Addressable> {
        let now = self.parts.clock.now();
        let known = self.remembered(account);
        if known.as_ref().is_none_or(|known| known.until <= now || now < known.asked_at)
            && let Ok(place) = Arc::clone(&self.renewals).try_acquire_owned()
        {
            // Until it has answered, or for a while if it does not, nobody else asks.
            self.put(account, known.as_ref().and_then(|one| one.devices.clone()), (now, AGAIN_MS));
            let (this, account) = (Arc::clone(self), account.clone());
            tokio::spawn(async move {
                // A failure is logged, and seen by whoever needs an answer.
                let _ = this.ask(&account).await;
                drop(place);
            });
        }
        known.filter(|known| !known.is_denied)?.devices.as_deref().map(addressable)
    }

    /// The same, but as the other region says it now. `None` if it says nothing in time, or was
    /// asked just now.
    pub async fn renewed(&self, account: &AccountId) -> Option<Addressable> {
        let known = self.remembered(account);
        let fresh = |known: Known| is_within(known.asked_at, READ_FRESH_MS, self.parts.clock.now());
        if known.is_some_and(fresh) {
            return None;
        }
        let devices = timeout(PATIENCE, self.ask(account)).await.ok()?.ok()?;
        Some(addressable(&devices))
    }

    /// The other region hints that the devices of `account` have changed, or that it is gone: it is
    /// asked, if the user is known here, and people here are told. Hints that come while one is
    /// followed are covered by it.
    pub fn changed(self: &Arc<Self>, account: &AccountId) {
        let pause = {
            let mut known = self.known();
            let Some(known) = known.get_mut(account) else { return self.changed_unseen(account) };
            if known.devices.is_none() || known.is_followed {
                return;
            }
            let asked_at = core::mem::replace(&mut known.asked_at, Timestamp(0));
            known.until = Timestamp(0);
            let Ok(place) = Arc::clone(&self.renewals).try_acquire_owned() else { return };
            known.is_followed = true;
            let is_soon = is_within(asked_at, HINT_MS, self.parts.clock.now());
            (place, if is_soon { Duration::from_millis(HINT_MS) } else { Duration::ZERO })
        };
        let (this, account) = (Arc::clone(self), account.clone());
        tokio::spawn(async move {
            let (place, pause) = pause;
            // What was asked for a moment ago may have been answered before the change, or after it.
            tokio::time::sleep(pause).await;
            if let Some(known) = this.known().get_mut(&account) {
                known.is_followed = false;
            }
            // A failure is logged, and seen by whoever needs an answer.
            let _ = this.ask(&account).await;
            drop(place);
        });
    }

    /// The same of an account of which nothing is remembered: nothing can have changed, but it may be
    /// gone, which is of interest to who has exchanged messages with it.
    fn changed_unseen(self: &Arc<Self>, account: &AccountId) {
        let Ok(place) = Arc::clone(&self.renewals).try_acquire_owned() else { return };
        let (this, account) = (Arc::clone(self), account.clone());
        tokio::spawn(async move {
            let known = this.parts.notices.store.acquaintances(&account, Uuid::nil(), 1).await;
            if known.is_ok_and(|known| !known.is_empty()) {
                // A failure is logged, and seen by whoever needs an answer.
                let _ = this.ask(&account).await;
            }
            drop(place);
        });
    }

    /// Asks the other region, checks, remembers, and tells people here of what is new.
    async fn ask(&self, account: &AccountId) -> Result<Arc<UserDevices>, Rejection> {
        self.check_there(account)?;
        let answer = self.parts.regions.devices(account).await;
        let now = self.parts.clock.now();
        let before = self.remembered(account).and_then(|known| known.devices);
        let answer = answer.inspect_err(|_| self.put(account, before.clone(), (now, AGAIN_MS)))?;
        let Some(devices) = answer.devices else {
            // What was known stays the measure of what is said later: a region that denies an account
            // for a moment could otherwise bring an older list.
            self.put(account, before.clone(), (now, AGAIN_MS));
            if let Some(known) = self.known().get_mut(account) {
                known.is_denied = true;
            }
            if answer.gone_since.is_some()
                && let Err(err) = self.gone(account).await
            {
                tracing::warn!(error = %err, "what is kept of a deleted account was not deleted");
            }
            return Err(no_user());
        };
        let last = before.clone();
        let check = move || foreign::devices(&devices, last.as_deref()).map(|()| devices);
        let checked = blocking(check).await;
        let devices = checked.inspect_err(|err| {
            self.put(account, before.clone(), (now, AGAIN_MS));
            refused(account, err);
        })?;
        let devices = Arc::new(devices);
        let good_for = u64::from(answer.remember_for) * 1_000;
        self.put(account, Some(Arc::clone(&devices)), (now, good_for.min(MAX_REMEMBER_MS)));
        if let Some(before) = before {
            self.tell(&before, &devices, now).await;
        }
        Ok(devices)
    }

    /// The region of an account says that it is gone for good: people here keep nothing of it but
    /// messages and blocks. It is remembered, so that this is done once however often it is said.
    ///
    /// # Errors
    /// As the store: then some of it may be left.
    pub(crate) async fn gone(&self, account: &AccountId) -> Result<(), StoreError> {
        // First, so that nobody makes it a contact again meanwhile.
        {
            let mut gone = self.gone_ones();
            if gone.len() >= MAX_GONE {
                gone.clear();
            }
            gone.insert(account.clone());
        }
        let forgotten = self.forget(account).await;
        if forgotten.is_err() {
            self.gone_ones().remove(account);
        }
        self.known().remove(account);
        forgotten
    }

    async fn forget(&self, account: &AccountId) -> Result<(), StoreError> {
        while self.parts.erasure.forget_abroad(account, FORGET_PIECE).await? {
            tokio::time::sleep(FORGET_PAUSE).await;
        }
        Ok(())
    }

    /// Whether `account` may still be there, as far as is remembered.
    ///
    /// # Errors
    /// [`Code::UnknownUser`] if its region has said that it is gone.
    pub(crate) fn check_there(&self, account: &AccountId) -> Result<(), Rejection> {
        if self.gone_ones().contains(account) { Err(no_user()) } else { Ok(()) }
    }

    fn gone_ones(&self) -> MutexGuard<'_, HashSet<AccountId>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells people here who write with the user of what has changed.
    async fn tell(&self, before: &UserDevices, after: &UserDevices, now: Timestamp) {
        let user = after.account_id.clone();
        let notice = if before.identity_key.is_some() && before.identity_key != after.identity_key {
            KeyNotice::Identity { user }
        } else if before.version != after.version || before.devices != after.devices {
            KeyNotice::DeviceList { user, version: after.version }
        } else {
            return;
        };
        self.parts.notices.tell_acquaintances(&after.account_id, &notice, now).await;
    }

    fn put(
        &self,
        account: &AccountId,
        devices: Option<Arc<UserDevices>>,
        (asked_at, good_for): (Timestamp, u64),
    ) {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN && !known.contains_key(account) {
            known.clear();
        }
        let until = asked_at.plus_millis(good_for);
        let is_followed = known.get(account).is_some_and(|known| known.is_followed);
        let new = Known { devices, asked_at, until, is_followed, is_denied: false };
        known.insert(account.clone(), new);
    }

    fn remembered(&self, account: &AccountId) -> Option<Known> {
        self.known().get(account).cloned()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<AccountId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that the signed list names; all, before there is one. A list that names none of the devices
/// makes none addressable: a region cannot get around the list by hiding its devices.
fn addressable(devices: &UserDevices) -> Addressable {
    let is_signed = devices.device_list.is_some();
    let all = devices.devices.iter().filter(|device| device.listed || !is_signed);
    all.map(|device| (device.device, device.registration_id)).collect()
}

/// Whether `now` is less than `span` after `at`. A clock that was put back must not keep an answer.
fn is_within(at: Timestamp, span: u64, now: Timestamp) -> bool {
    (at..at.plus_millis(span)).contains(&now)
}

async fn blocking<T: Send + 'static>(
    check: impl FnOnce() -> Result<T, Rejection> + Send + 'static,
) -> Result<T, Rejection> {
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|_| Rejection::new(Code::Internal, "checking the keys failed"))?
}

fn refused(account: &AccountId, err: &Rejection) {
    tracing::warn!(%account, reason = %err.detail, "keys of another region's user are refused");
}

fn no_user() -> Rejection {
    Rejection::new(Code::UnknownUser, "that region has no such user")
}

#[cfg(test)]
mod tests;
