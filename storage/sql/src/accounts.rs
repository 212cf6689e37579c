//! The port `Accounts`.

use std::collections::HashSet;

use async_trait::async_trait;
use posthouse_protocol::{
    cursor::Cursor,
    id::{DeviceId, DeviceNumber, HandleName, RegistrationId, SessionId},
    time::Timestamp,
};
use posthouse_storage::{
    accounts::{
        Account, AccountState, Accounts, AddDevice, CreateAccount, Device, NUMBER_REST_MS,
        NewAccount, NewDevice, PasswordHash,
    },
    error::StoreError,
    sessions::NewSession,
};
use uuid::Uuid;

use crate::{
    db::{Row, Script, Slot, Tx},
    failure::{Failure, Tries},
    keys, sessions,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Claims a handle. Nothing is inserted if it was ever given out.
    CLAIM_HANDLE = Statement::new(
        "INSERT INTO handles (handle, account) VALUES (?, ?) ON CONFLICT (handle) DO NOTHING",
    );
    CREATE_ACCOUNT = Statement::new(
        "INSERT INTO accounts (id, handle, password_hash, state, created_at, device_list_version)
        VALUES (?, ?, ?, 0, ?, 1)",
    );
    CREATE_INBOX = Statement::new(
        "INSERT INTO inboxes (account, head) VALUES (?, 0) ON CONFLICT (account) DO NOTHING",
    );
    CREATE_DEVICE = Statement::new(
        "INSERT INTO devices (id, account, number, registration_id, name, created_at, active_at,
            position)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    );
    BY_ID = Statement::new(
        "SELECT id, handle, password_hash, state, device_list_version, created_at FROM accounts
        WHERE id = ? AND state <> 2",
    );
    BY_HANDLE = Statement::new(
        "SELECT id, handle, password_hash, state, device_list_version, created_at FROM accounts
        WHERE handle = ? AND state <> 2",
    );
    LIST = Statement::new(
        "SELECT id, handle, password_hash, state, device_list_version, created_at FROM accounts
        WHERE handle > ? AND state <> 2 ORDER BY handle LIMIT 0 + ?",
    );
    EXISTING = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT a.id FROM v CROSS JOIN accounts a WHERE a.id = v.id AND a.state < 2",
    );
    /// A use that the transaction gives back if it registers nobody.
    USE_INVITE = Statement::new(
        "UPDATE invites SET used = used + 1 WHERE code = ? AND used < uses AND expires_at > ?",
    );
    CHANGE_PASSWORD = Statement::new(
        "UPDATE accounts SET password_hash = ? WHERE id = ? AND password_hash = ? AND state < 2",
    );
    SET_STATE = Statement::new("UPDATE accounts SET state = ? WHERE id = ? AND state < 2");
    /// Devices of one account are added one after the other: the row is locked until the commit.
    RAISE_DEVICE_LIST = Statement::new(
        "UPDATE accounts SET device_list_version = device_list_version + 1
        WHERE id = ? AND state < 2",
    );
    /// Numbers in use, or resting since a removal.
    NUMBERS = Statement::new(
        "SELECT number, removed_at FROM devices
        WHERE account = ? AND (removed_at IS NULL OR removed_at > ?)",
    );
    HEAD = Statement::new("SELECT head FROM inboxes WHERE account = ?");
    DEVICES = Statement::new(
        "SELECT id, account, number, registration_id, name, created_at, position, active_at,
            listed
        FROM devices
        WHERE account = ? AND removed_at IS NULL ORDER BY number",
    );
    RENAME_DEVICE = Statement::new(
        "UPDATE devices SET name = ? WHERE id = ? AND account = ? AND removed_at IS NULL",
    );
    /// The ties are broken by id, so that of two devices that fell silent at once one stays.
    SILENT = Statement::new(
        "SELECT d.account, d.id FROM devices d
        WHERE d.removed_at IS NULL AND d.active_at < ? AND NOT EXISTS (
            SELECT 1 FROM sessions s
            WHERE s.device = d.id AND s.ended_at IS NULL AND s.refreshed_at >= ?) AND EXISTS (
            SELECT 1 FROM devices o
            WHERE o.account = d.account AND o.removed_at IS NULL
                AND (o.active_at > d.active_at OR (o.active_at = d.active_at AND o.id > d.id)
                    OR (o.id <> d.id AND EXISTS (
                        SELECT 1 FROM sessions s
                        WHERE s.device = o.id AND s.ended_at IS NULL AND s.refreshed_at >= ?))))
        ORDER BY d.active_at LIMIT 0 + ?",
    );
    REMOVE_DEVICE = Statement::new(
        "UPDATE devices SET removed_at = ? WHERE id = ? AND account = ? AND removed_at IS NULL",
    );
}

#[async_trait]
impl Accounts for SqlStore {
    async fn create_account(
        &self,
        account: &NewAccount,
        device: &NewDevice,
        session: &NewSession,
    ) -> Result<CreateAccount, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_create(account, device, session).await {
                Ok(created) => return Ok(created),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn account(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        let rows = self.db().rows(&BY_ID, |args| {
            args.uuid(id);
        });
        Ok(rows.await?.first().map(read_account).transpose()?)
    }

    async fn account_by_handle(&self, handle: &HandleName) -> Result<Option<Account>, StoreError> {
        let rows = self.db().rows(&BY_HANDLE, |args| {
            args.text(handle.as_str());
        });
        Ok(rows.await?.first().map(read_account).transpose()?)
    }

    async fn existing(&self, ids: &[Uuid]) -> Result<Vec<bool>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&EXISTING, ids, |args, id| {
            args.uuid(*id);
        });
        let mut found = HashSet::with_capacity(ids.len());
        for row in self.db().read(script).await?.take(slot) {
            found.insert(row.fields("accounts").uuid("id")?);
        }
        Ok(ids.iter().map(|id| found.contains(id)).collect())
    }

    async fn add_device(
        &self,
        device: &NewDevice,
        session: &NewSession,
        most: usize,
    ) -> Result<AddDevice, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_add(device, session, most).await {
                Ok(added) => return Ok(added),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn devices(&self, account: Uuid) -> Result<Vec<Device>, StoreError> {
        let rows = self.db().rows(&DEVICES, |args| {
            args.uuid(account);
        });
        rows.await?.iter().map(read_device).collect()
    }

    async fn rename_device(
        &self,
        account: Uuid,
        device: DeviceId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let renamed = script.one(&RENAME_DEVICE, |args| {
            args.text(name).uuid(device.0).uuid(account);
        });
        Ok(tx.finish(script).await?.changed(&renamed) > 0)
    }

    async fn silent_devices(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Uuid, DeviceId)>, StoreError> {
        let rows = self.db().rows(&SILENT, |args| {
            args.number(before.0).number(before.0).number(before.0).limit(limit as usize);
        });
        let mut silent = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("devices");
            silent.push((fields.uuid("account")?, DeviceId(fields.uuid("id")?)));
        }
        Ok(silent)
    }

    async fn remove_device(
        &self,
        account: Uuid,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.try_remove(account, device, now).await?)
    }

    async fn accounts(
        &self,
        after: Option<&HandleName>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let rows = self.db().rows(&LIST, |args| {
            args.text(after.map_or("", HandleName::as_str)).limit(limit);
        });
        rows.await?.iter().map(read_account).collect()
    }

    async fn change_password(
        &self,
        account: Uuid,
        (old, new): (&PasswordHash, &PasswordHash),
        keep: SessionId,
        now: Timestamp,
    ) -> Result<Option<Vec<SessionId>>, StoreError> {
        let tx = self.db().begin().await.map_err(StoreError::from)?;
        let change = |script: &mut Script| {
            script.one(&CHANGE_PASSWORD, |args| {
                args.text(&new.0).uuid(account).text(&old.0);
            })
        };
        Ok(change_and_end(tx, change, (account, Some(keep)), now).await?)
    }

    async fn set_state(
        &self,
        account: Uuid,
        state: AccountState,
        now: Timestamp,
    ) -> Result<Option<Vec<SessionId>>, StoreError> {
        let tx = self.db().begin().await.map_err(StoreError::from)?;
        let change = |script: &mut Script| {
            script.one(&SET_STATE, |args| {
                args.integer(i64::from(state == AccountState::Suspended)).uuid(account);
            })
        };
        Ok(change_and_end(tx, change, (account, None), now).await?)
    }
}

/// Changes an account and ends its sessions but one. `None` if the change met no account.
async fn change_and_end(
    mut tx: Tx<'_>,
    change: impl FnOnce(&mut Script) -> Slot,
    (account, keep): (Uuid, Option<SessionId>),
    now: Timestamp,
) -> Result<Option<Vec<SessionId>>, Failure> {
    let mut script = tx.script();
    let changed = change(&mut script);
    if tx.run(script).await?.changed(&changed) == 0 {
        tx.cancel().await?;
        return Ok(None);
    }
    let mut script = tx.script();
    let ended = sessions::end_of_account(&mut script, account, keep, now);
    let rows = tx.finish(script).await?.take(ended);
    Ok(Some(sessions::read_ids(&rows)?))
}

impl SqlStore {
    async fn try_create(
        &self,
        account: &NewAccount,
        device: &NewDevice,
        session: &NewSession,
    ) -> Result<CreateAccount, Failure> {
        let mut tx = self.db().begin().await?;
        if let Some(invite) = &account.invite {
            let mut script = tx.script();
            let used = script.one(&USE_INVITE, |args| {
                args.bytes(invite).number(account.created_at.0);
            });
            if tx.run(script).await?.changed(&used) == 0 {
                tx.cancel().await?;
                return Ok(CreateAccount::InviteRefused);
            }
        }
        let mut script = tx.script();
        let claim = script.one(&CLAIM_HANDLE, |args| {
            args.text(account.handle.as_str()).uuid(account.id);
        });
        if tx.run(script).await?.changed(&claim) == 0 {
            tx.cancel().await?;
            return Ok(CreateAccount::HandleTaken);
        }
        let mut script = tx.script();
        script.one(&CREATE_ACCOUNT, |args| {
            args.uuid(account.id)
                .text(account.handle.as_str())
                .text(&account.password_hash.0)
                .number(account.created_at.0);
        });
        script.one(&CREATE_INBOX, |args| {
            args.uuid(account.id);
        });
        let device = put_device(&mut script, device, DeviceNumber::FIRST, 0);
        sessions::put(&mut script, session);
        tx.finish(script).await?;
        Ok(CreateAccount::Created(device))
    }

    async fn try_add(
        &self,
        device: &NewDevice,
        session: &NewSession,
        most: usize,
    ) -> Result<AddDevice, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let raised = script.one(&RAISE_DEVICE_LIST, |args| {
            args.uuid(device.account);
        });
        let numbers = script.one(&NUMBERS, |args| {
            args.uuid(device.account).number(device.created_at.minus_millis(NUMBER_REST_MS).0);
        });
        script.settle(&[device.account]);
        let head = script.one(&HEAD, |args| {
            args.uuid(device.account);
        });
        let mut answers = tx.run(script).await?;
        if answers.changed(&raised) == 0 {
            tx.cancel().await?;
            return Ok(AddDevice::NoAccount);
        }
        let (taken, live) = read_numbers(&answers.take(numbers))?;
        let free = (1..=DeviceNumber::LAST.get())
            .filter_map(|number| DeviceNumber::try_from(number).ok())
            .find(|number| !taken.contains(number));
        let (Some(number), true) = (free, live < most) else {
            tx.cancel().await?;
            return Ok(AddDevice::TooMany);
        };
        let head = answers.take(head);
        let head = head.first().map(|row| row.fields("inboxes").number("head")).transpose()?;
        let mut script = tx.script();
        let device = put_device(&mut script, device, number, head.unwrap_or_default());
        sessions::put(&mut script, session);
        tx.finish(script).await?;
        Ok(AddDevice::Added(device))
    }

    async fn try_remove(
        &self,
        account: Uuid,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.one(&RAISE_DEVICE_LIST, |args| {
            args.uuid(account);
        });
        let removed = script.one(&REMOVE_DEVICE, |args| {
            args.number(now.0).uuid(device.0).uuid(account);
        });
        if tx.run(script).await?.changed(&removed) == 0 {
            tx.cancel().await?;
            return Ok(false);
        }
        end_sessions(tx, device, now).await?;
        Ok(true)
    }
}

async fn end_sessions(mut tx: Tx<'_>, device: DeviceId, now: Timestamp) -> Result<(), Failure> {
    let mut script = tx.script();
    sessions::end_of_device(&mut script, device, now);
    keys::forget_device(&mut script, device);
    tx.finish(script).await?;
    Ok(())
}

fn put_device(
    script: &mut Script,
    device: &NewDevice,
    number: DeviceNumber,
    position: u64,
) -> Device {
    script.one(&CREATE_DEVICE, |args| {
        args.uuid(device.id.0)
            .uuid(device.account)
            .integer(number.get().into())
            .integer(device.registration_id.get().into())
            .text(&device.name)
            .number(device.created_at.0)
            .number(device.created_at.0)
            .number(position);
    });
    Device {
        id: device.id,
        account: device.account,
        number,
        registration_id: device.registration_id,
        name: device.name.clone(),
        created_at: device.created_at,
        position: Cursor(position),
        active_at: device.created_at,
        listed: false,
    }
}

/// The numbers that are taken, and how many devices there are.
fn read_numbers(rows: &[Row]) -> Result<(HashSet<DeviceNumber>, usize), StoreError> {
    let mut taken = HashSet::new();
    let mut live = 0;
    for row in rows {
        let mut fields = row.fields("devices");
        let number = fields.integer("number")?;
        taken.insert(fields.parse("number", number, device_number)?);
        live += usize::from(fields.maybe_integer("removed_at")?.is_none());
    }
    Ok((taken, live))
}

pub(crate) fn device_number(number: i64) -> Result<DeviceNumber, String> {
    let number = u8::try_from(number).map_err(|error| error.to_string())?;
    DeviceNumber::try_from(number).map_err(|error| error.to_string())
}

pub(crate) fn registration_id(id: i64) -> Result<RegistrationId, String> {
    let id = u32::try_from(id).map_err(|error| error.to_string())?;
    RegistrationId::try_from(id).map_err(|error| error.to_string())
}

fn read_account(row: &Row) -> Result<Account, StoreError> {
    let mut fields = row.fields("accounts");
    Ok(Account {
        id: fields.uuid("id")?,
        handle: {
            let handle = fields.text("handle")?;
            fields.parse("handle", handle, HandleName::parse)?
        },
        password_hash: PasswordHash(fields.text("password_hash")?.to_owned()),
        state: match fields.integer("state")? {
            0 => AccountState::Active,
            1 => AccountState::Suspended,
            state => return Err(fields.corrupt("state", format_args!("{state} is no state"))),
        },
        device_list_version: fields.number("device_list_version")?,
        created_at: fields.time("created_at")?,
    })
}

pub(crate) fn read_device(row: &Row) -> Result<Device, StoreError> {
    let mut fields = row.fields("devices");
    Ok(Device {
        id: DeviceId(fields.uuid("id")?),
        account: fields.uuid("account")?,
        number: {
            let number = fields.integer("number")?;
            fields.parse("number", number, device_number)?
        },
        registration_id: {
            let id = fields.integer("registration_id")?;
            fields.parse("registration_id", id, registration_id)?
        },
        name: fields.text("name")?.to_owned(),
        created_at: fields.time("created_at")?,
        position: fields.cursor("position")?,
        active_at: fields.time("active_at")?,
        listed: fields.integer("listed")? != 0,
    })
}
