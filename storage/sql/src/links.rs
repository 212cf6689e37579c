//! The port `Links`.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::{
    id::{DeviceId, RegistrationId},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    links::{Fetched, Links, MAX_OPEN, NewLink},
    sessions::TokenHash,
};
use uuid::Uuid;

use crate::{
    accounts::registration_id,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Expired links do not count.
    OPEN = Statement::new("SELECT COUNT(*) FROM links WHERE expires_at > ?");
    PUT = Statement::new(
        "INSERT INTO links (id, secret, registration_id, name, expires_at, state)
        VALUES (?, ?, ?, ?, ?, 0)",
    );
    WAITING = Statement::new(
        "SELECT registration_id, name FROM links WHERE id = ? AND state = 0 AND expires_at > ?",
    );
    APPROVE = Statement::new(
        "UPDATE links SET state = 1, account = ?, device = ?, message = ?
        WHERE id = ? AND state = 0 AND expires_at > ?",
    );
    STATE = Statement::new(
        "SELECT state FROM links WHERE id = ? AND secret = ? AND expires_at > ?",
    );
    /// States: 0 waiting, 1 approved, 2 fetched, which it may be again.
    USE = Statement::new(
        "UPDATE links SET state = 2 WHERE id = ? AND secret = ? AND state > 0 AND expires_at > ?
        RETURNING account, device, message",
    );
    FORGET = Statement::new(
        "DELETE FROM links WHERE id IN (
            SELECT l.id FROM links l WHERE l.expires_at <= ? ORDER BY l.expires_at LIMIT 0 + ?)
        RETURNING account, device, state",
    );
}

#[async_trait]
impl Links for SqlStore {
    async fn open_link(&self, link: &NewLink, now: Timestamp) -> Result<bool, StoreError> {
        let open = self.db().rows(&OPEN, |args| {
            args.number(now.0);
        });
        let open = open.await?;
        let open = open.first().map(|row| row.fields("links").number("id")).transpose()?;
        if open.unwrap_or_default() >= MAX_OPEN as u64 {
            return Ok(false);
        }
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.one(&PUT, |args| {
            args.uuid(link.id)
                .bytes(&link.secret)
                .integer(link.registration_id.get().into())
                .text(&link.name)
                .number(link.expires_at.0);
        });
        tx.finish(script).await?;
        Ok(true)
    }

    async fn waiting_link(
        &self,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Option<(RegistrationId, String)>, StoreError> {
        let rows = self.db().rows(&WAITING, |args| {
            args.uuid(id).number(now.0);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("links");
        let registration = fields.integer("registration_id")?;
        let registration = fields.parse("registration_id", registration, registration_id)?;
        Ok(Some((registration, fields.text("name")?.to_owned())))
    }

    async fn approve_link(
        &self,
        id: Uuid,
        (account, device): (Uuid, DeviceId),
        message: &[u8],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let approved = script.one(&APPROVE, |args| {
            args.uuid(account).uuid(device.0).bytes(message).uuid(id).number(now.0);
        });
        Ok(tx.finish(script).await?.changed(&approved) > 0)
    }

    async fn fetch_link(
        &self,
        id: Uuid,
        secret: &TokenHash,
        now: Timestamp,
    ) -> Result<Fetched, StoreError> {
        // Who waits asks again and again: only a link that can be used up is written to.
        let rows = self.db().rows(&STATE, |args| {
            args.uuid(id).bytes(secret).number(now.0);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(Fetched::Unknown) };
        if row.fields("links").integer("state")? == 0 {
            return Ok(Fetched::Waiting);
        }
        Ok(self.use_link(id, secret, now).await?)
    }

    async fn forget_links(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(Uuid, DeviceId)>, StoreError> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let slot = script.one(&FORGET, |args| {
            args.number(now.0).limit(limit as usize);
        });
        let mut devices = Vec::new();
        for row in tx.finish(script).await?.take(slot) {
            let mut fields = row.fields("links");
            let (account, device) = (fields.maybe_uuid("account")?, fields.maybe_uuid("device")?);
            if fields.integer("state")? == 1 {
                devices.extend(account.zip(device.map(DeviceId)));
            }
        }
        Ok(devices)
    }
}

impl SqlStore {
    async fn use_link(
        &self,
        id: Uuid,
        secret: &TokenHash,
        now: Timestamp,
    ) -> Result<Fetched, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let slot = script.one(&USE, |args| {
            args.uuid(id).bytes(secret).number(now.0);
        });
        let rows = tx.finish(script).await?.take(slot);
        let Some(row) = rows.first() else { return Ok(Fetched::Unknown) };
        let mut fields = row.fields("links");
        Ok(Fetched::Linked {
            account: fields.uuid("account")?,
            device: DeviceId(fields.uuid("device")?),
            message: Bytes::copy_from_slice(fields.bytes("message")?),
        })
    }
}
