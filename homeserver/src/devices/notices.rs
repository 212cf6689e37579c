//! Telling devices that keys have changed: as entries of their accounts' inboxes.

use std::sync::Arc;

use bytes::Bytes;
use posthouse_federation::engine::ephemeral::{Ephemeral, EphemeralKey};
use posthouse_protocol::{
    federation::{
        event::{Event, EventClass, EventKind},
        stream::Lane,
    },
    id::{AccountId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    inbox::{Entry, EntryKind},
    keys::{KeyNotice, Keys},
    ledger::Arrival,
};
use uuid::Uuid;

use crate::{delivery::Connections, random::Random, regions::Regions};

/// Accounts that are told in one transaction.
const PIECE: usize = 256;

/// Most accounts that are told of one change. Others learn of it when they next send, since the
/// devices do not match then.
const MAX_TOLD: usize = 4_096;

/// Most regions that are hinted at one change.
const MAX_REGIONS: usize = 256;

/// Puts notices into inboxes and hands them to connected devices.
pub struct Notices {
    /// Where inboxes are.
    pub store: Arc<dyn Keys>,
    /// Connected devices.
    pub connections: Arc<Connections>,
    /// Other regions.
    pub regions: Arc<dyn Regions>,
    /// This region.
    pub own: ServerName,
    /// Random numbers.
    pub random: Arc<Random>,
}

impl Notices {
    /// Hands entries that were written to connected devices.
    pub(super) fn hand_over(&self, notice: &KeyNotice, arrivals: &[Arrival], now: Timestamp) {
        let kind = || EntryKind::Keys(Box::new(notice.clone()));
        let entry = |cursor| Entry { cursor, arrived_at: now, kind: kind() };
        self.connections.hand_over(arrivals, entry, None);
    }

    /// A message of `account` did not serve all devices of its recipient.
    pub(crate) async fn unserved(
        &self,
        account: Uuid,
        notice: &KeyNotice,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let arrivals = self.store.tell(notice, &[account], now).await?;
        self.hand_over(notice, &arrivals, now);
        Ok(())
    }

    /// Tells people of this region who have exchanged messages with `of`. What fails is logged:
    /// they learn of the change when they next send.
    pub(super) async fn tell_acquaintances(
        &self,
        of: &AccountId,
        notice: &KeyNotice,
        now: Timestamp,
    ) {
        if let Err(err) = self.try_tell(of, notice, now).await {
            tracing::warn!(error = %err, "not everyone was told of a change of keys");
        }
    }

    async fn try_tell(
        &self,
        of: &AccountId,
        notice: &KeyNotice,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if of.server == self.own {
            self.hint(of, now).await?;
        }
        let mut after = Uuid::nil();
        for _ in 0..MAX_TOLD / PIECE {
            let known = self.store.acquaintances(of, after, PIECE).await?;
            let Some(last) = known.last() else { break };
            after = *last;
            let arrivals = self.store.tell(notice, &known, now).await?;
            self.hand_over(notice, &arrivals, now);
            if known.len() < PIECE {
                break;
            }
        }
        Ok(())
    }

    /// An account of this region is gone for good: regions of people who have exchanged messages with
    /// it should ask, and are told so.
    pub(crate) async fn gone(&self, account: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.hint(account, now).await
    }

    /// Notices that accounts are gone wait for these regions.
    pub(crate) fn wake(&self, regions: &[ServerName]) {
        for region in regions {
            self.regions.wake(region, Lane::Messages);
        }
    }

    /// Tells regions of people who have exchanged messages with `of` that they should ask anew. It
    /// may be lost: they ask sooner or later.
    async fn hint(&self, of: &AccountId, now: Timestamp) -> Result<(), StoreError> {
        let regions = self.store.acquainted_regions(of.uuid, MAX_REGIONS).await?;
        let event = Event::new(EventKind::KeysChanged, EventClass::Ephemeral);
        let hint = Ephemeral {
            key: EphemeralKey {
                kind: EventKind::KeysChanged.number(),
                sender: of.uuid,
                conversation: None,
            },
            sender: of.uuid,
            id: self.random.uuid_at(now),
            event: Bytes::from(event.encode()),
        };
        for region in regions.iter().filter(|region| **region != self.own) {
            self.regions.whisper(region, hint.clone());
        }
        Ok(())
    }

    /// The devices of an account have changed without a new signed list: its own devices are told,
    /// so that one of them signs the next.
    pub async fn devices_changed(&self, account: &AccountId, now: Timestamp) {
        if let Err(err) = self.try_devices_changed(account, now).await {
            tracing::warn!(error = %err, "an account was not told that its devices have changed");
        }
    }

    async fn try_devices_changed(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let version = self.store.identity(account.uuid).await?.map(|known| known.list_version);
        let version = version.unwrap_or_default();
        let notice = KeyNotice::DeviceList { user: account.clone(), version };
        let arrivals = self.store.tell(&notice, &[account.uuid], now).await?;
        self.hand_over(&notice, &arrivals, now);
        self.try_tell(account, &notice, now).await
    }
}
