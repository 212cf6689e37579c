//! The port `Leases`.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use posthouse_storage::{
    error::StoreError,
    leases::{Fence, Leases},
};
use uuid::Uuid;

use crate::{
    db::{Row, Script, Slot},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// The fence rises unless the holder stays the same, also when it had expired in between.
    ACQUIRE = Statement::new(
        "INSERT INTO leases (name, holder, fence, expires_at) VALUES (?, ?, 1, ?)
        ON CONFLICT (name) DO UPDATE SET
            fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END,
            holder = excluded.holder,
            expires_at = excluded.expires_at
        WHERE leases.holder IS NULL OR leases.holder = excluded.holder OR leases.expires_at <= ?
        RETURNING fence",
    );
    RENEW = Statement::new(
        "UPDATE leases SET expires_at = ? WHERE name = ? AND fence = ? AND holder IS NOT NULL",
    );
    RELEASE = Statement::new(
        "UPDATE leases SET holder = NULL, expires_at = 0 WHERE name = ? AND fence = ?",
    );
    RELEASE_ALL =
        Statement::new("UPDATE leases SET holder = NULL, expires_at = 0 WHERE holder = ?");
    LOOK = Statement::new("SELECT fence FROM leases WHERE name = ? AND holder IS NOT NULL");
    /// Whoever would take the lease waits for the transaction that writes under it.
    HELD = Statement::new(
        "SELECT fence FROM leases WHERE name = ? AND holder IS NOT NULL /*pg:FOR SHARE*/",
    );
}

/// Adds the look at the lease of `fence`; [`compare`] reads the answer.
pub(crate) fn look(script: &mut Script, fence: &Fence) -> Slot {
    script.one(&LOOK, |args| {
        args.text(&fence.name);
    })
}

/// As [`look`], for a transaction: the lease does not pass on before it ends.
pub(crate) fn hold(script: &mut Script, fence: &Fence) -> Slot {
    script.one(&HELD, |args| {
        args.text(&fence.name);
    })
}

/// Whether `fence` was the newest of its lease.
pub(crate) fn compare(rows: &[Row], fence: &Fence) -> Result<(), Failure> {
    let newest = match rows.first() {
        Some(row) => Some(row.fields("leases").number("fence")?),
        None => None,
    };
    if newest == Some(fence.number) { Ok(()) } else { Err(fenced(fence)) }
}

/// The lease has passed on.
pub(crate) fn fenced(fence: &Fence) -> Failure {
    StoreError::Fenced { name: fence.name.clone() }.into()
}

#[async_trait]
impl Leases for SqlStore {
    async fn acquire(
        &self,
        name: &str,
        holder: Uuid,
        now: Timestamp,
        ttl_ms: u64,
    ) -> Result<Option<Fence>, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let slot = script.one(&ACQUIRE, |args| {
            args.text(name).uuid(holder).number(now.plus_millis(ttl_ms).0).number(now.0);
        });
        let rows = tx.finish(script).await?.take(slot);
        let fence = |number| Fence { name: name.to_owned(), number };
        rows.first().map(|row| row.fields("leases").number("fence").map(fence)).transpose()
    }

    async fn renew(&self, fence: &Fence, now: Timestamp, ttl_ms: u64) -> Result<bool, StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        let renewed = script.one(&RENEW, |args| {
            args.number(now.plus_millis(ttl_ms).0).text(&fence.name).number(fence.number);
        });
        Ok(tx.finish(script).await?.changed(&renewed) == 1)
    }

    async fn release_all(&self, holder: Uuid) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        script.one(&RELEASE_ALL, |args| {
            args.uuid(holder);
        });
        tx.finish(script).await?;
        Ok(())
    }

    async fn release(&self, fence: &Fence) -> Result<(), StoreError> {
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        script.one(&RELEASE, |args| {
            args.text(&fence.name).number(fence.number);
        });
        tx.finish(script).await?;
        Ok(())
    }
}
