//! The port `Bodies`: message bodies in the ledger's own database.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_storage::{
    bodies::{Bodies, BodyId},
    error::StoreError,
};

use crate::{
    db::Script,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    PUT = Statement::rows(
        "bb",
        "INSERT INTO bodies (id, data) {new} ON CONFLICT (id) DO NOTHING",
    );
    GET = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT b.id, b.data FROM v CROSS JOIN bodies b WHERE b.id = v.id",
    );
    DELETE = Statement::rows("b", "DELETE FROM bodies WHERE id IN ({rows})");
    DELETE_BEFORE = Statement::new(
        "DELETE FROM bodies WHERE id IN (
            SELECT id FROM bodies WHERE id < ? ORDER BY id LIMIT 0 + ?)",
    );
}

/// Adds bodies to a script.
pub(crate) fn put(script: &mut Script, bodies: &[(BodyId, &Bytes)]) {
    script.rows(&PUT, bodies, |args, (id, data)| {
        args.bytes(&id.0).bytes(data);
    });
}

#[async_trait]
impl Bodies for SqlStore {
    async fn put(&self, bodies: &[(BodyId, Bytes)]) -> Result<(), StoreError> {
        if bodies.is_empty() {
            return Ok(());
        }
        let bodies: Vec<(BodyId, &Bytes)> = bodies.iter().map(|(id, data)| (*id, data)).collect();
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        put(&mut script, &bodies);
        tx.finish(script).await?;
        Ok(())
    }

    async fn get(&self, ids: &[BodyId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&GET, ids, |args, id| {
            args.bytes(&id.0);
        });
        let mut found = HashMap::with_capacity(ids.len());
        for row in self.db().read(script).await?.take(slot) {
            let mut fields = row.fields("bodies");
            let id = fields.array("id")?;
            found.insert(id, Bytes::copy_from_slice(fields.bytes("data")?));
        }
        Ok(ids.iter().map(|id| found.get(&id.0).cloned()).collect())
    }

    async fn delete(&self, ids: &[BodyId]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.rows(&DELETE, ids, |args, id| {
            args.bytes(&id.0);
        });
        tx.finish(script).await?;
        Ok(())
    }

    async fn delete_before(&self, end: BodyId, limit: u32) -> Result<u64, StoreError> {
        Ok(delete_before(self, end, limit).await?)
    }
}

async fn delete_before(store: &SqlStore, end: BodyId, limit: u32) -> Result<u64, Failure> {
    let mut tx = store.db().begin().await?;
    let mut script = tx.script();
    let slot = script.one(&DELETE_BEFORE, |args| {
        args.bytes(&end.0).number(u64::from(limit));
    });
    Ok(tx.finish(script).await?.changed(&slot))
}
