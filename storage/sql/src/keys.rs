//! The port `Keys`.
//!
//! Whoever changes or hands out an account's keys locks the account's row first: claims on one
//! account happen one after the other, so that none of them can meet a key that another takes.

mod claims;
mod notices;
mod prekeys;

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{AccountId, DeviceId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::Device,
    error::StoreError,
    keys::{
        Changed, Claim, Claimed, Identity, IdentityKey, KeyChange, KeyNotice, Keys,
        MAX_KEY_CHANGES, NewList, PreKeyCounts, Upload, Uploaded,
    },
    ledger::Arrival,
};
use uuid::Uuid;

use crate::{
    accounts,
    db::{Row, Script},
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

pub(crate) use notices::{Stored as StoredNotice, parse as parse_notice, slots_about};

#[cfg(test)]
pub(crate) static LISTS: [(&str, &[(&str, &Statement)]); 4] = [
    ("keys", ALL),
    ("keys::claims", claims::ALL),
    ("keys::notices", notices::ALL),
    ("keys::prekeys", prekeys::ALL),
];

statements! {
    IDENTITY = Statement::new(
        "SELECT identity_key, list_version, device_list FROM accounts
        WHERE id = ? AND state < 2",
    );
    LOCK_IDENTITY = Statement::new(
        "SELECT identity_key, list_version, device_list FROM accounts
        WHERE id = ? AND state < 2 /*pg:FOR UPDATE*/",
    );
    SET_IDENTITY = Statement::new(
        "UPDATE accounts SET identity_key = ?, device_list = NULL WHERE id = ?",
    );
    LOG_IDENTITY = Statement::new(
        "INSERT INTO key_changes (account, number, changed_at, identity_key)
        SELECT ?, COALESCE((SELECT k.number FROM key_changes k WHERE k.account = ?
            ORDER BY k.number DESC LIMIT 1), 0) + 1, ?, ?",
    );
    CHANGES = Statement::new(
        "SELECT number, changed_at, identity_key FROM key_changes
        WHERE account = ? ORDER BY number DESC LIMIT 0 + ?",
    );
    UNLIST = Statement::new("UPDATE devices SET listed = 0 WHERE account = ? AND listed <> 0");
    LIST = Statement::new(
        "UPDATE devices SET listed = 1 WHERE account = ? AND removed_at IS NULL",
    );
    PUT_LIST = Statement::new(
        "UPDATE accounts SET device_list = ?, list_version = ? WHERE id = ?",
    );
    FORGET_PREKEYS = Statement::new(
        "DELETE FROM prekeys WHERE device IN (SELECT id FROM devices WHERE account = ?)",
    );
    FORGET_MARKS = Statement::new(
        "DELETE FROM prekey_marks WHERE device IN (SELECT id FROM devices WHERE account = ?)",
    );
    FORGET_CLAIMED = Statement::new("DELETE FROM claimed_prekeys WHERE account = ?");
    FORGET_DEVICE = Statement::new("DELETE FROM prekeys WHERE device = ?");
}

#[async_trait]
impl Keys for SqlStore {
    async fn identity(&self, account: Uuid) -> Result<Option<Identity>, StoreError> {
        let rows = self.db().rows(&IDENTITY, |args| {
            args.uuid(account);
        });
        Ok(read_identity(&rows.await?)?)
    }

    async fn set_identity(
        &self,
        account: &AccountId,
        expected: Option<&IdentityKey>,
        key: &IdentityKey,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_set_identity(account, expected, key, now).await {
                Ok(changed) => return Ok(changed),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn key_changes(&self, account: Uuid) -> Result<Vec<KeyChange>, StoreError> {
        let rows = self.db().rows(&CHANGES, |args| {
            args.uuid(account).limit(MAX_KEY_CHANGES);
        });
        let mut changes = Vec::new();
        for row in rows.await?.iter().rev() {
            let mut fields = row.fields("key_changes");
            changes.push(KeyChange {
                number: fields.number("number")?,
                at: fields.time("changed_at")?,
                key: fields.array("identity_key")?,
            });
        }
        Ok(changes)
    }

    async fn put_list(
        &self,
        list: NewList<'_>,
        user: &AccountId,
        now: Timestamp,
    ) -> Result<Changed, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_put_list(&list, user, now).await {
                Ok(changed) => return Ok(changed),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn upload(
        &self,
        account: Uuid,
        device: DeviceId,
        identity: &IdentityKey,
        upload: &Upload,
    ) -> Result<Uploaded, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_upload(account, device, identity, upload).await {
                Ok(uploaded) => return Ok(uploaded),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn counts(&self, device: DeviceId) -> Result<PreKeyCounts, StoreError> {
        let rows = self.db().rows(&prekeys::COUNTS, |args| {
            args.uuid(device.0);
        });
        Ok(prekeys::read_counts(&rows.await?)?.remove(&device).unwrap_or_default())
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_claim(claim).await {
                Ok(claimed) => return Ok(claimed),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn tell(
        &self,
        notice: &KeyNotice,
        accounts: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Arrival>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_tell(notice, accounts, now).await {
                Ok(arrivals) => return Ok(arrivals),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn acquaintances(
        &self,
        account: &AccountId,
        after: Uuid,
        limit: usize,
    ) -> Result<Vec<Uuid>, StoreError> {
        Ok(self.read_acquaintances(account, after, limit).await?)
    }

    async fn acquainted_regions(
        &self,
        account: Uuid,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.read_acquainted_regions(account, limit).await?)
    }

    async fn forget_claims(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(self.try_forget_claims(before, limit).await?)
    }
}

impl SqlStore {
    async fn try_set_identity(
        &self,
        account: &AccountId,
        expected: Option<&IdentityKey>,
        key: &IdentityKey,
        now: Timestamp,
    ) -> Result<Changed, Failure> {
        self.inner.servers.number(self.db(), &account.server).await?;
        let mut tx = self.db().begin().await?;
        let rows = tx.rows(&LOCK_IDENTITY, |args| {
            args.uuid(account.uuid);
        });
        let rows = rows.await?;
        let known = read_identity(&rows)?.map(|identity| identity.key);
        if rows.is_empty() || known.as_ref() != expected {
            tx.cancel().await?;
            return Ok(Changed::Moved);
        }
        let mut script = tx.script();
        script.one(&SET_IDENTITY, |args| {
            args.bytes(key).uuid(account.uuid);
        });
        script.one(&LOG_IDENTITY, |args| {
            args.uuid(account.uuid).uuid(account.uuid).number(now.0).bytes(key);
        });
        for statement in [&UNLIST, &FORGET_PREKEYS, &FORGET_MARKS, &FORGET_CLAIMED] {
            script.one(statement, |args| {
                args.uuid(account.uuid);
            });
        }
        tx.run(script).await?;
        let notice = KeyNotice::Identity { user: account.clone() };
        let arrivals = self.finish_telling(tx, &notice, &[account.uuid], now).await?;
        Ok(Changed::Done(arrivals))
    }

    async fn try_put_list(
        &self,
        list: &NewList<'_>,
        user: &AccountId,
        now: Timestamp,
    ) -> Result<Changed, Failure> {
        self.inner.servers.number(self.db(), &user.server).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let identity = script.one(&LOCK_IDENTITY, |args| {
            args.uuid(list.account);
        });
        let devices = script.one(&accounts::DEVICES, |args| {
            args.uuid(list.account);
        });
        let mut answers = tx.run(script).await?;
        let devices = read_devices(&answers.take(devices))?;
        let devices = devices.iter().map(|device| (device.number, device.registration_id));
        let next = read_identity(&answers.take(identity))?.is_some_and(|known| {
            known.key == *list.identity && known.list_version + 1 == list.version
        });
        if !next || !devices.eq(list.devices.iter().copied()) {
            tx.cancel().await?;
            return Ok(Changed::Moved);
        }
        let mut script = tx.script();
        script.one(&PUT_LIST, |args| {
            args.bytes(list.document).number(list.version).uuid(list.account);
        });
        script.one(&LIST, |args| {
            args.uuid(list.account);
        });
        tx.run(script).await?;
        let notice = KeyNotice::DeviceList { user: user.clone(), version: list.version };
        let arrivals = self.finish_telling(tx, &notice, &[list.account], now).await?;
        Ok(Changed::Done(arrivals))
    }
}

/// Adds the deletion of a removed device's keys to a script.
pub(crate) fn forget_device(script: &mut Script, device: DeviceId) {
    script.one(&FORGET_DEVICE, |args| {
        args.uuid(device.0);
    });
}

/// The identity of an account that has one.
fn read_identity(rows: &[Row]) -> Result<Option<Identity>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    let mut fields = row.fields("accounts");
    let Some(key) = fields.maybe_bytes("identity_key")? else { return Ok(None) };
    Ok(Some(Identity {
        key: fields.parse("identity_key", key, IdentityKey::try_from)?,
        list_version: fields.number("list_version")?,
        list: fields.maybe_bytes("device_list")?.map(Bytes::copy_from_slice),
    }))
}

fn read_devices(rows: &[Row]) -> Result<Vec<Device>, StoreError> {
    rows.iter().map(accounts::read_device).collect()
}
