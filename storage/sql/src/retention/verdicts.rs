//! What is remembered of events from other regions that were not taken: rejections and voids. They
//! go with the ids of messages, the oldest first.

use posthouse_storage::{
    error::StoreError,
    retention::{Cutoffs, Trimmed},
};

use crate::{
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// The oldest rejection and the oldest void.
    OLDEST = Statement::new(
        "SELECT (SELECT MIN(at) FROM rejected_events),
            (SELECT at FROM voids ORDER BY number LIMIT 1)",
    );
    DROP_REJECTED = Statement::new(
        "DELETE FROM rejected_events WHERE (id, sender, origin) IN (
            SELECT id, sender, origin FROM rejected_events
            WHERE at < ? ORDER BY at LIMIT 0 + ?)",
    );
    /// Numbers and times rise together.
    DROP_VOIDS = Statement::new(
        "DELETE FROM voids WHERE at < ? AND number IN (
            SELECT number FROM voids ORDER BY number LIMIT 0 + ?)",
    );
}

impl SqlStore {
    /// Forgets at most `limit` of each kind. Where nothing is old enough, this only reads.
    pub(super) async fn forget_verdicts(
        &self,
        cutoffs: &Cutoffs,
        limit: usize,
        trimmed: &mut Trimmed,
    ) -> Result<(), StoreError> {
        let before = cutoffs.remembered;
        let rows = self.db().rows(&OLDEST, |_| {}).await.map_err(StoreError::from)?;
        let Some(row) = rows.first() else { return Ok(()) };
        let mut fields = row.fields("rejected_events");
        let rejected = fields.maybe_number("at")?;
        let void = fields.of("voids").maybe_number("at")?;
        let is_old = |at: Option<u64>| at.is_some_and(|at| at < before.0);
        for (statement, oldest) in [(&DROP_REJECTED, rejected), (&DROP_VOIDS, void)] {
            if !is_old(oldest) {
                continue;
            }
            let mut tx = self.db().begin().await.map_err(StoreError::from)?;
            let mut script = tx.script();
            let dropped = script.one(statement, |args| {
                args.number(before.0).limit(limit);
            });
            let dropped = tx.finish(script).await?.changed(&dropped);
            trimmed.more |= dropped >= limit as u64;
        }
        Ok(())
    }
}
