//! How much inboxes hold.
//!
//! An inbox has room for what its devices have not acknowledged. Its row counts what arrives, and
//! what retention deletes. What is acknowledged and kept for the grace is taken out of the count only
//! when the count gets high: each entry is looked at once for that, and inboxes that are far from
//! full are not looked at.

use posthouse_protocol::limits;
use uuid::Uuid;

use super::plan::Known;
use crate::{
    db::Tx,
    failure::Failure,
    statement::{Statement, statements},
};

statements! {
    /// What all devices have acknowledged since the last time.
    ACKNOWLEDGED = Statement::rows(
        "b",
        "WITH v(account) AS ({rows}),
        x(account, counted, through) AS (
            SELECT b.account, b.counted, (SELECT MIN(d.position) FROM devices d
                WHERE d.account = b.account AND d.removed_at IS NULL)
            FROM v CROSS JOIN inboxes b WHERE b.account = v.account)
        SELECT x.account, x.through,
            CAST(SUM(CASE WHEN i.message IS NOT NULL AND i.size >= 0 THEN 1 ELSE 0 END) AS BIGINT),
            CAST(SUM(CASE WHEN i.size > 0 THEN i.size ELSE 0 END) AS BIGINT)
        FROM x CROSS JOIN inbox i
        WHERE i.account = x.account AND i.arrival > x.counted AND i.arrival <= x.through
        GROUP BY x.account, x.through",
    );
    COUNT_FROM = Statement::rows(
        "biii",
        "WITH v(account, through, n, b) AS ({rows})
        UPDATE inboxes SET counted = v.through,
            entries = CASE WHEN entries > v.n THEN entries - v.n ELSE 0 END,
            bytes = CASE WHEN bytes > v.b THEN bytes - v.b ELSE 0 END
        FROM v WHERE inboxes.account = v.account",
    );
}

/// How much an inbox holds: messages, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Load {
    /// A full inbox.
    pub(crate) const FULL: Self =
        Self { entries: limits::MAX_INBOX_ENTRIES, bytes: limits::MAX_INBOX_BYTES };

    /// With one more message, if there is room for it.
    pub(crate) fn with(self, size: u64) -> Option<Self> {
        let more = Self { entries: self.entries + 1, bytes: self.bytes.saturating_add(size) };
        let fits =
            more.entries <= limits::MAX_INBOX_ENTRIES && more.bytes <= limits::MAX_INBOX_BYTES;
        fits.then_some(more)
    }

    /// Without so much of it.
    pub(super) fn without(self, entries: u64, bytes: u64) -> Self {
        Self {
            entries: self.entries.saturating_sub(entries),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }

    /// Whether it is worth a look at what was acknowledged.
    pub(crate) fn is_high(self) -> bool {
        self.entries > limits::MAX_INBOX_ENTRIES / 2 || self.bytes > limits::MAX_INBOX_BYTES / 2
    }
}

/// Takes what all devices have acknowledged out of the high loads among `known`, whose rows are
/// locked.
pub(crate) async fn relieve(tx: &mut Tx<'_>, known: &mut Known) -> Result<(), Failure> {
    let mut high: Vec<Uuid> =
        known.loads.iter().filter(|(_, load)| load.is_high()).map(|(of, _)| *of).collect();
    if high.is_empty() {
        return Ok(());
    }
    high.sort_unstable();
    let mut script = tx.script();
    let asked = script.rows(&ACKNOWLEDGED, &high, |args, account| {
        args.uuid(*account);
    });
    let mut acknowledged = Vec::new();
    for row in tx.run(script).await?.take(asked) {
        let mut fields = row.fields("inboxes");
        let (account, through) = (fields.uuid("account")?, fields.number("position")?);
        let (entries, bytes) = (fields.number("entries")?, fields.number("bytes")?);
        acknowledged.push((account, through, entries, bytes));
        let load = known.loads.entry(account).or_default();
        *load = load.without(entries, bytes);
    }
    if acknowledged.is_empty() {
        return Ok(());
    }
    let mut script = tx.script();
    script.rows(&COUNT_FROM, &acknowledged, |args, (account, through, entries, bytes)| {
        args.uuid(*account).number(*through).number(*entries).number(*bytes);
    });
    tx.run(script).await?;
    Ok(())
}
