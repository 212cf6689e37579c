//! The port `Sessions`.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{DeviceId, SessionId},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    sessions::{NewSession, Rotation, Session, Sessions, TokenHash},
};
use uuid::Uuid;

use crate::{
    db::{Row, Script, Slot},
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    CREATE = Statement::new(
        "INSERT INTO sessions (id, account, device, created_at, refreshed_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?)",
    );
    CREATE_TOKEN = Statement::new("INSERT INTO refresh_tokens (hash, session) VALUES (?, ?)");
    /// The device, locked so that of two sessions opened at once one sees the other.
    LOCK_DEVICE = Statement::new(
        "SELECT id FROM devices WHERE id = ? AND account = ? AND removed_at IS NULL
        /*pg:FOR UPDATE*/",
    );
    END_OF_DEVICE = Statement::new(
        "UPDATE sessions SET ended_at = ? WHERE device = ? AND ended_at IS NULL RETURNING id",
    );
    END_OF_ACCOUNT = Statement::new(
        "UPDATE sessions SET ended_at = ?
        WHERE account = ? AND id <> ? AND ended_at IS NULL RETURNING id",
    );
    BY_ID = Statement::new(
        "SELECT s.id, s.account, s.device, s.created_at, s.refreshed_at
        FROM sessions s JOIN accounts a ON a.id = s.account
        WHERE s.id = ? AND s.ended_at IS NULL AND s.expires_at > ? AND a.state = 0",
    );
    BY_ACCOUNT = Statement::new(
        "SELECT id, account, device, created_at, refreshed_at FROM sessions
        WHERE account = ? AND ended_at IS NULL AND expires_at > ? ORDER BY created_at, id",
    );
    /// Two rotations of one token run one after the other.
    LOCK_TOKEN = Statement::new(
        "SELECT s.id, s.account, s.device, s.created_at, s.refreshed_at, t.used_at
        FROM refresh_tokens t JOIN sessions s ON s.id = t.session
        JOIN accounts a ON a.id = s.account
        WHERE t.hash = ? AND s.ended_at IS NULL AND s.expires_at > ? AND a.state = 0
        /*pg:FOR UPDATE OF t, s*/",
    );
    SUCCESSOR = Statement::new("SELECT session, used_at FROM refresh_tokens WHERE hash = ?");
    USE_TOKEN = Statement::new("UPDATE refresh_tokens SET used_at = ? WHERE hash = ?");
    REFRESH = Statement::new(
        "UPDATE sessions SET refreshed_at = ?, expires_at = ? WHERE id = ?",
    );
    END = Statement::new(
        "UPDATE sessions SET ended_at = ?
        WHERE id = ? AND account = ? AND ended_at IS NULL AND expires_at > ?",
    );
    /// Their tokens go with them.
    FORGET = Statement::new(
        "DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE ended_at < ? OR expires_at < ? LIMIT 0 + ?)",
    );
    FORGET_USED = Statement::new(
        "DELETE FROM refresh_tokens WHERE hash IN (
            SELECT hash FROM refresh_tokens WHERE used_at < ? ORDER BY used_at LIMIT 0 + ?)",
    );
}

/// Adds a new session with its first token to a script.
pub(crate) fn put(script: &mut Script, session: &NewSession) {
    script.one(&CREATE, |args| {
        args.uuid(session.id.0)
            .uuid(session.account)
            .uuid(session.device.0)
            .number(session.created_at.0)
            .number(session.created_at.0)
            .number(session.expires_at.0);
    });
    script.one(&CREATE_TOKEN, |args| {
        args.bytes(&session.refresh).uuid(session.id.0);
    });
}

/// Ends the sessions of a device.
pub(crate) fn end_of_device(script: &mut Script, device: DeviceId, now: Timestamp) {
    script.one(&END_OF_DEVICE, |args| {
        args.number(now.0).uuid(device.0);
    });
}

/// Ends the sessions of an account, but one; the statement gives their ids.
pub(crate) fn end_of_account(
    script: &mut Script,
    account: Uuid,
    keep: Option<SessionId>,
    now: Timestamp,
) -> Slot {
    script.one(&END_OF_ACCOUNT, |args| {
        args.number(now.0).uuid(account).uuid(keep.map_or(Uuid::nil(), |session| session.0));
    })
}

/// The sessions of rows that have their ids.
pub(crate) fn read_ids(rows: &[Row]) -> Result<Vec<SessionId>, StoreError> {
    rows.iter().map(|row| row.fields("sessions").uuid("id").map(SessionId)).collect()
}

#[async_trait]
impl Sessions for SqlStore {
    async fn open_session(
        &self,
        session: &NewSession,
    ) -> Result<Option<Vec<SessionId>>, StoreError> {
        Ok(self.try_open(session).await?)
    }

    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let rows = self.db().rows(&BY_ID, |args| {
            args.uuid(id.0).number(now.0);
        });
        rows.await?.first().map(read).transpose()
    }

    async fn rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_rotate(presented, next, now, expires_at).await {
                Ok(rotation) => return Ok(rotation),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn sessions(&self, account: Uuid, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let rows = self.db().rows(&BY_ACCOUNT, |args| {
            args.uuid(account).number(now.0);
        });
        rows.await?.iter().map(read).collect()
    }

    async fn end_session(
        &self,
        account: Uuid,
        session: SessionId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let ended = script.one(&END, |args| {
            args.number(now.0).uuid(session.0).uuid(account).number(now.0);
        });
        Ok(tx.finish(script).await?.changed(&ended) == 1)
    }

    async fn forget_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let forgotten = script.one(&FORGET, |args| {
            args.number(before.0).number(before.0).number(limit.into());
        });
        Ok(tx.finish(script).await?.changed(&forgotten))
    }

    async fn forget_used_tokens(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let forgotten = script.one(&FORGET_USED, |args| {
            args.number(before.0).number(limit.into());
        });
        Ok(tx.finish(script).await?.changed(&forgotten))
    }
}

impl SqlStore {
    async fn try_open(&self, session: &NewSession) -> Result<Option<Vec<SessionId>>, Failure> {
        let mut tx = self.db().begin().await?;
        let device = tx.rows(&LOCK_DEVICE, |args| {
            args.uuid(session.device.0).uuid(session.account);
        });
        if device.await?.is_empty() {
            tx.cancel().await?;
            return Ok(None);
        }
        let mut script = tx.script();
        let ended = script.one(&END_OF_DEVICE, |args| {
            args.number(session.created_at.0).uuid(session.device.0);
        });
        put(&mut script, session);
        let rows = tx.finish(script).await?.take(ended);
        Ok(Some(read_ids(&rows)?))
    }

    async fn try_rotate(
        &self,
        presented: &TokenHash,
        next: &TokenHash,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Rotation, Failure> {
        let mut tx = self.db().begin().await?;
        let found = tx.rows(&LOCK_TOKEN, |args| {
            args.bytes(presented).number(now.0);
        });
        let found = found.await?;
        let Some(row) = found.first() else {
            tx.cancel().await?;
            return Ok(Rotation::Unknown);
        };
        let mut fields = row.fields("sessions");
        let session = read_fields(&mut fields)?;
        let used = fields.of("refresh_tokens").maybe_integer("used_at")?.is_some();
        let successor = tx.rows(&SUCCESSOR, |args| {
            args.bytes(next);
        });
        let successor = successor.await?;
        if let Some(row) = successor.first() {
            let mut fields = row.fields("refresh_tokens");
            let of_this_one = fields.uuid("session")? == session.id.0;
            let is_fresh = fields.maybe_integer("used_at")?.is_none();
            if !used {
                // A token that is known already is no new one.
                tx.cancel().await?;
                return Ok(Rotation::Unknown);
            }
            if of_this_one && is_fresh {
                // The same rotation again: its answer was lost.
                tx.cancel().await?;
                return Ok(Rotation::Rotated(session));
            }
        }
        let mut script = tx.script();
        if used {
            script.one(&END, |args| {
                args.number(now.0).uuid(session.id.0).uuid(session.account).number(now.0);
            });
            tx.finish(script).await?;
            return Ok(Rotation::Reused(session));
        }
        script.one(&USE_TOKEN, |args| {
            args.number(now.0).bytes(presented);
        });
        script.one(&CREATE_TOKEN, |args| {
            args.bytes(next).uuid(session.id.0);
        });
        script.one(&REFRESH, |args| {
            args.number(now.0).number(expires_at.0).uuid(session.id.0);
        });
        tx.finish(script).await?;
        Ok(Rotation::Rotated(Session { refreshed_at: now, ..session }))
    }
}

fn read(row: &Row) -> Result<Session, StoreError> {
    read_fields(&mut row.fields("sessions"))
}

fn read_fields(fields: &mut crate::db::Fields<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(fields.uuid("id")?),
        account: fields.uuid("account")?,
        device: DeviceId(fields.uuid("device")?),
        created_at: fields.time("created_at")?,
        refreshed_at: fields.time("refreshed_at")?,
    })
}
