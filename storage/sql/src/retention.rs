//! `Ledger::trim`: a small round of forgetting.
//!
//! A pass walks over the inboxes in the order of their accounts and over the messages in the order of
//! their acceptance, and remembers where a round stopped. Each round deletes at most `limit` entries
//! and messages, as ranges from the old end: arrival numbers and times rise together.
//!
//! How old a message is tells the time in its body's id, when this region accepted or received it.
//! `accepted_at` would be another region's clock, and one wrong value would stop the walk for good.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    retention::{Cutoffs, Trimmed},
};
use uuid::Uuid;

use crate::{
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

mod verdicts;

#[cfg(test)]
pub(crate) use verdicts::ALL as VERDICTS_ALL;

statements! {
    /// The next inboxes of the walk: the oldest entry, the first ones that arrived at or after the
    /// two cutoffs, and how far all devices have acknowledged. An account without devices
    /// acknowledges nothing.
    INBOXES = Statement::new(
        "SELECT x.account, x.head,
            (SELECT i.arrival FROM inbox i WHERE i.account = x.account
                ORDER BY i.arrival LIMIT 1),
            (SELECT i.arrival FROM inbox i WHERE i.account = x.account AND i.arrived_at >= ?
                ORDER BY i.arrival LIMIT 1),
            (SELECT i.arrival FROM inbox i WHERE i.account = x.account AND i.arrived_at >= ?
                ORDER BY i.arrival LIMIT 1),
            (SELECT MIN(d.position) FROM devices d
                WHERE d.account = x.account AND d.removed_at IS NULL)
        FROM inboxes x WHERE x.account > ? ORDER BY x.account LIMIT 0 + ?",
    );
    /// No commit replaces an entry of these inboxes meanwhile.
    LOCK = Statement::rows(
        "b",
        "WITH v(account) AS ({rows})
        SELECT x.account FROM v CROSS JOIN inboxes x WHERE x.account = v.account
        /*pg:ORDER BY x.account FOR UPDATE OF x*/",
    );
    /// Their sizes, -1 if they are not in the inbox's count.
    ENTRIES = Statement::rows(
        "bi",
        "WITH v(account, through) AS ({rows})
        SELECT i.account, i.arrival, i.message,
            CASE WHEN i.arrival > x.counted THEN i.size ELSE -1 END
        FROM v CROSS JOIN inboxes x CROSS JOIN inbox i
        WHERE x.account = v.account AND i.account = v.account AND i.arrival <= v.through
        ORDER BY i.account, i.arrival LIMIT 0 + ?",
    );
    DELETE_ENTRIES = Statement::rows(
        "bi",
        "DELETE FROM inbox WHERE (account, arrival) IN (
            WITH v(account, through) AS ({rows})
            SELECT i.account, i.arrival FROM v CROSS JOIN inbox i
            WHERE i.account = v.account AND i.arrival <= v.through)",
    );
    UNLOAD = Statement::rows(
        "bii",
        "WITH v(account, n, b) AS ({rows})
        UPDATE inboxes SET
            entries = CASE WHEN entries > v.n THEN entries - v.n ELSE 0 END,
            bytes = CASE WHEN bytes > v.b THEN bytes - v.b ELSE 0 END
        FROM v WHERE inboxes.account = v.account",
    );
    RELEASE = Statement::rows(
        "ii",
        "WITH v(ref, n) AS ({rows})
        UPDATE messages SET pointers = pointers - v.n FROM v WHERE messages.ref = v.ref",
    );
    /// Marks them as handed over: the caller deletes their bodies from where they live.
    HAND_OVER = Statement::new(
        "UPDATE messages SET pointers = -1 WHERE ref IN (
            SELECT ref FROM messages WHERE pointers = 0 ORDER BY ref LIMIT 0 + ?)
        RETURNING body",
    );
    /// The next messages of the walk.
    MESSAGES = Statement::new(
        "SELECT ref, body FROM messages WHERE ref > ? ORDER BY ref LIMIT 0 + ?",
    );
    /// A message that something still refers to is passed over.
    FORGET = Statement::new(
        "DELETE FROM messages
        WHERE ref > ? AND ref <= ? AND pointers < 0 AND body < ?",
    );
}

/// Where the walk over inboxes and messages goes on. One for each process: two that trim at once
/// do no harm, only work.
#[derive(Default)]
pub(crate) struct TrimPlace(Mutex<Place>);

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The last account that is done.
    account: Uuid,
    /// The last message that is done.
    message: i64,
}

/// An inbox with entries that may go.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    account: Uuid,
    through: u64,
}

impl SqlStore {
    pub(crate) async fn trim_ledger(
        &self,
        cutoffs: &Cutoffs,
        limit: u32,
    ) -> Result<Trimmed, StoreError> {
        let limit = limit.max(1) as usize;
        let mut trimmed = Trimmed::default();
        let mut place = *self.inner.trim_place.0.lock().unwrap_or_else(PoisonError::into_inner);
        if place.account.is_nil() {
            // The walk sees rows only. What waits is young, unless writing it has failed for long.
            let ends = cutoffs.acknowledged.max(cutoffs.waiting);
            if self.db().fanouts().is_some_and(|fanouts| fanouts.has_older_than(ends)) {
                // What cannot be written is trimmed later; the rest need not wait for it.
                if let Err(error) = self.write_waiting_entries().await {
                    tracing::warn!(%error, "entries of inboxes were not written before trimming");
                }
            }
        }
        self.trim_inboxes(&mut place, cutoffs, limit, &mut trimmed).await?;
        self.hand_over_bodies(limit, &mut trimmed).await?;
        self.forget_messages(&mut place, cutoffs, limit, &mut trimmed).await?;
        self.forget_verdicts(cutoffs, limit, &mut trimmed).await?;
        *self.inner.trim_place.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
        Ok(trimmed)
    }

    async fn trim_inboxes(
        &self,
        place: &mut Place,
        cutoffs: &Cutoffs,
        limit: usize,
        trimmed: &mut Trimmed,
    ) -> Result<(), StoreError> {
        let rows = self.db().rows(&INBOXES, |args| {
            args.number(cutoffs.waiting.0)
                .number(cutoffs.acknowledged.0)
                .uuid(place.account)
                .limit(limit);
        });
        let rows = rows.await.map_err(StoreError::from)?;
        let mut candidates = Vec::new();
        let mut last = Uuid::nil();
        for row in &rows {
            let mut fields = row.fields("inboxes");
            last = fields.uuid("account")?;
            let head = fields.number("head")?;
            let fields = fields.of("inbox");
            let Some(oldest) = fields.maybe_number("arrival")? else { continue };
            let before = |first: Option<u64>| first.map_or(head, |first| first.saturating_sub(1));
            let waited = before(fields.maybe_number("arrival")?);
            let graced = before(fields.maybe_number("arrival")?);
            let acknowledged = fields.of("devices").maybe_number("position")?.unwrap_or_default();
            let through = waited.max(graced.min(acknowledged));
            if oldest <= through {
                candidates.push(Candidate { account: last, through });
            }
        }
        let stopped = self.delete_entries(&candidates, limit, trimmed).await?;
        let ended = rows.len() < limit;
        match stopped {
            Some(done) => place.account = done.unwrap_or(place.account),
            None if ended => place.account = Uuid::nil(),
            None => place.account = last,
        }
        trimmed.more |= stopped.is_some() || !ended;
        Ok(())
    }

    /// Deletes up to `limit` entries of the candidates. If that was not all: the last account that
    /// is done, if any is.
    async fn delete_entries(
        &self,
        candidates: &[Candidate],
        limit: usize,
        trimmed: &mut Trimmed,
    ) -> Result<Option<Option<Uuid>>, StoreError> {
        if candidates.is_empty() {
            return Ok(None);
        }
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_delete_entries(candidates, limit).await {
                Ok((deleted, last)) => {
                    trimmed.entries += deleted as u64;
                    if deleted < limit {
                        return Ok(None);
                    }
                    let done = candidates.iter().map(|c| c.account).take_while(|a| *a < last);
                    return Ok(Some(done.last()));
                }
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    /// Returns how many entries went, and the account of the last one.
    async fn try_delete_entries(
        &self,
        candidates: &[Candidate],
        limit: usize,
    ) -> Result<(usize, Uuid), Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let accounts: Vec<Uuid> = candidates.iter().map(|candidate| candidate.account).collect();
        script.settle(&accounts);
        script.rows(&LOCK, candidates, |args, candidate| {
            args.uuid(candidate.account);
        });
        let entries = script.rows_then(
            &ENTRIES,
            candidates,
            |args, candidate| {
                args.uuid(candidate.account).number(candidate.through);
            },
            |args| {
                args.limit(limit);
            },
        );
        let mut entries = tx.run(script).await?.take(entries);
        // Each chunk of accounts has its own limit.
        entries.truncate(limit);
        let mut last = Uuid::nil();
        let mut ranges: BTreeMap<Uuid, u64> = BTreeMap::new();
        let mut released: BTreeMap<i64, i64> = BTreeMap::new();
        let mut unloaded: BTreeMap<Uuid, (u64, u64)> = BTreeMap::new();
        for row in &entries {
            let mut fields = row.fields("inbox");
            last = fields.uuid("account")?;
            ranges.insert(last, fields.number("arrival")?);
            if let Some(message) = fields.maybe_integer("message")? {
                *released.entry(message).or_default() += 1;
                // Those below 0 are not in the count.
                if let Ok(size) = u64::try_from(fields.integer("size")?) {
                    let load = unloaded.entry(last).or_default();
                    *load = (load.0 + 1, load.1 + size);
                }
            }
        }
        let (ranges, released): (Vec<_>, Vec<_>) =
            (ranges.into_iter().collect(), released.into_iter().collect());
        let mut script = tx.script();
        script.rows(&DELETE_ENTRIES, &ranges, |args, (account, through)| {
            args.uuid(*account).number(*through);
        });
        let unloaded: Vec<_> = unloaded.into_iter().collect();
        script.rows(&UNLOAD, &unloaded, |args, (account, (entries, bytes))| {
            args.uuid(*account).number(*entries).number(*bytes);
        });
        script.rows(&RELEASE, &released, |args, (message, n)| {
            args.integer(*message).integer(*n);
        });
        tx.finish(script).await?;
        Ok((entries.len(), last))
    }

    async fn hand_over_bodies(
        &self,
        limit: usize,
        trimmed: &mut Trimmed,
    ) -> Result<(), StoreError> {
        let mut tries = Tries::new(self.counters());
        let rows = loop {
            match self.try_hand_over(limit).await {
                Ok(rows) => break rows,
                Err(failure) => tries.again(failure)?,
            }
        };
        trimmed.more |= rows.len() >= limit;
        for row in rows {
            trimmed.unreferenced.push(BodyId(row.fields("messages").array("body")?));
        }
        Ok(())
    }

    async fn try_hand_over(&self, limit: usize) -> Result<Vec<crate::db::Row>, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let bodies = script.one(&HAND_OVER, |args| {
            args.limit(limit);
        });
        Ok(tx.finish(script).await?.take(bodies))
    }

    async fn forget_messages(
        &self,
        place: &mut Place,
        cutoffs: &Cutoffs,
        limit: usize,
        trimmed: &mut Trimmed,
    ) -> Result<(), StoreError> {
        let rows = self.db().rows(&MESSAGES, |args| {
            args.integer(place.message).limit(limit);
        });
        let rows = rows.await.map_err(StoreError::from)?;
        let end = BodyId::floor(cutoffs.remembered);
        let mut through = None;
        let mut ended = rows.len() < limit;
        for row in &rows {
            let mut fields = row.fields("messages");
            let number = fields.integer("ref")?;
            if BodyId(fields.array("body")?) >= end {
                ended = true;
                break;
            }
            through = Some(number);
        }
        if let Some(through) = through {
            let mut tx = self.db().begin().await.map_err(StoreError::from)?;
            let mut script = tx.script();
            let forgotten = script.one(&FORGET, |args| {
                args.integer(place.message).integer(through).bytes(&end.0);
            });
            trimmed.messages += tx.finish(script).await?.changed(&forgotten);
            place.message = through;
        }
        if ended {
            place.message = 0;
        }
        trimmed.more |= !ended;
        Ok(())
    }
}
