//! The port `Conversations`.

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, ConversationId, MessageId},
    time::Stamp,
};
use posthouse_storage::{
    conversations::{Conversations, ListPlace, Listed},
    error::StoreError,
};
use uuid::Uuid;

use crate::{
    db::{Row, Script, Tx},
    failure::{Failure, Tries},
    retention,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    LIST = Statement::new(
        "SELECT l.conversation, l.other, c.highest_stamp
        FROM conversation_lists l CROSS JOIN conversations c
        WHERE l.account = ? AND c.id = l.conversation AND c.highest_stamp > l.hidden
            AND (c.highest_stamp < ? OR (c.highest_stamp = ? AND c.id < ?))
            AND NOT EXISTS (
                SELECT 1 FROM blocks b WHERE b.account = l.account AND b.blocked = l.other)
        ORDER BY c.highest_stamp DESC, c.id DESC LIMIT 0 + ?",
    );
    PUT = Statement::rows(
        "bbt",
        "INSERT INTO conversation_lists (account, conversation, other) {new}
        ON CONFLICT (account, conversation) DO NOTHING",
    );
    HIDE = Statement::new(
        "UPDATE conversation_lists SET hidden = COALESCE(
            (SELECT highest_stamp FROM conversations WHERE id = ?), 0)
        WHERE account = ? AND conversation = ?",
    );
    IN_CONVERSATION = Statement::new(
        "SELECT i.arrival, i.message, CASE WHEN i.arrival > x.counted THEN i.size ELSE -1 END
        FROM inboxes x CROSS JOIN inbox i CROSS JOIN messages m
        WHERE x.account = ? AND i.account = x.account AND m.ref = i.message AND m.conversation = ?
        ORDER BY i.arrival LIMIT 0 + ?",
    );
    REFS = Statement::rows(
        "bbi",
        "WITH v(id, sender, server) AS ({rows})
        SELECT m.ref FROM v CROSS JOIN messages m
        WHERE m.id = v.id AND m.sender = v.sender AND m.server = v.server",
    );
    /// Every entry of the inbox is looked at.
    BY_REF = Statement::rows(
        "i",
        "WITH v(ref) AS ({rows})
        SELECT i.arrival, i.message, CASE WHEN i.arrival > x.counted THEN i.size ELSE -1 END
        FROM inboxes x CROSS JOIN inbox i
        WHERE i.message IN (SELECT ref FROM v) AND x.account = ? AND i.account = x.account",
    );
    DELETE = Statement::rows(
        "bi",
        "WITH v(account, arrival) AS ({rows})
        DELETE FROM inbox WHERE (account, arrival) IN (SELECT account, arrival FROM v)",
    );
}

/// Adds what puts conversations on lists, where they are not yet.
pub(crate) fn put_listed(script: &mut Script, listed: &[(Uuid, ConversationId, String)]) {
    script.rows(&PUT, listed, |args, (account, conversation, other)| {
        args.uuid(*account).bytes(&conversation.0).text(other);
    });
}

#[async_trait]
impl Conversations for SqlStore {
    async fn conversations(
        &self,
        account: Uuid,
        before: Option<ListPlace>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (stamp, id) = before.unwrap_or((Stamp(u64::MAX), ConversationId([u8::MAX; 16])));
        let rows = self.db().rows(&LIST, |args| {
            args.uuid(account).number(stamp.0).number(stamp.0).bytes(&id.0).limit(limit);
        });
        let listed = |row: &Row| {
            let mut fields = row.fields("conversation_lists");
            Ok(Listed {
                id: ConversationId(fields.array("conversation")?),
                other: fields.text("other")?.to_owned(),
                highest: Stamp(fields.of("conversations").number("highest_stamp")?),
            })
        };
        rows.await?.iter().map(listed).collect()
    }

    async fn list(&self, entries: &[(Uuid, ConversationId, String)]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tx = self.db().begin().await.map_err(StoreError::from)?;
        let mut script = tx.script();
        put_listed(&mut script, entries);
        tx.finish(script).await?;
        Ok(())
    }

    async fn hide(&self, account: Uuid, conversation: ConversationId) -> Result<bool, StoreError> {
        let hidden = self.change(&HIDE, |args| {
            args.bytes(&conversation.0).uuid(account).bytes(&conversation.0);
        });
        Ok(hidden.await? == 1)
    }

    async fn clear(
        &self,
        account: Uuid,
        conversation: ConversationId,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_clear(account, conversation, limit).await {
                Ok(cleared) => return Ok(cleared),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn delete_messages(
        &self,
        account: Uuid,
        messages: &[(AccountId, MessageId)],
    ) -> Result<usize, StoreError> {
        let mut named = Vec::new();
        for (sender, id) in messages {
            if let Some(server) = self.inner.servers.find(self.db(), &sender.server).await? {
                named.push((*id, sender.uuid, server));
            }
        }
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_delete(account, &named).await {
                Ok(deleted) => return Ok(deleted),
                Err(failure) => tries.again(failure)?,
            }
        }
    }
}

impl SqlStore {
    async fn try_clear(
        &self,
        account: Uuid,
        conversation: ConversationId,
        limit: usize,
    ) -> Result<usize, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        lock(&mut script, account);
        let found = script.one(&IN_CONVERSATION, |args| {
            args.uuid(account).bytes(&conversation.0).limit(limit);
        });
        let found = tx.run(script).await?.take(found);
        remove(tx, account, &found).await
    }

    async fn try_delete(
        &self,
        account: Uuid,
        named: &[(MessageId, Uuid, i64)],
    ) -> Result<usize, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        lock(&mut script, account);
        let refs = script.rows(&REFS, named, |args, (id, sender, server)| {
            args.uuid(id.0).uuid(*sender).integer(*server);
        });
        let refs = tx.run(script).await?.take(refs);
        let refs: Vec<i64> = refs
            .iter()
            .map(|row| row.fields("messages").integer("ref"))
            .collect::<Result<_, _>>()?;
        let mut script = tx.script();
        let found = script.rows_then(
            &BY_REF,
            &refs,
            |args, number| {
                args.integer(*number);
            },
            |args| {
                args.uuid(account);
            },
        );
        let found = tx.run(script).await?.take(found);
        remove(tx, account, &found).await
    }
}

/// No commit replaces an entry of the inbox meanwhile.
fn lock(script: &mut Script, account: Uuid) {
    script.settle(&[account]);
    script.rows(&retention::LOCK, &[account], |args, account| {
        args.uuid(*account);
    });
}

/// Deletes entries (arrival, message) of an inbox and commits. Bodies that nothing points to any more
/// are left to retention.
async fn remove(mut tx: Tx<'_>, account: Uuid, found: &[Row]) -> Result<usize, Failure> {
    if found.is_empty() {
        tx.cancel().await?;
        return Ok(0);
    }
    let (mut arrivals, mut released) = (Vec::new(), Vec::new());
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    for row in found {
        let mut fields = row.fields("inbox");
        arrivals.push((account, fields.number("arrival")?));
        // An inbox points to a message at most once.
        released.push((fields.integer("message")?, 1));
        // Those below 0 are not in the count.
        if let Ok(size) = u64::try_from(fields.integer("size")?) {
            (entries, bytes) = (entries + 1, bytes.saturating_add(size));
        }
    }
    let mut script = tx.script();
    script.rows(&DELETE, &arrivals, |args, (account, arrival)| {
        args.uuid(*account).number(*arrival);
    });
    let unloaded = [(account, entries, bytes)];
    script.rows(&retention::UNLOAD, &unloaded, |args, (account, n, bytes)| {
        args.uuid(*account).number(*n).number(*bytes);
    });
    script.rows(&retention::RELEASE, &released, |args, (message, n)| {
        args.integer(*message).integer(*n);
    });
    tx.finish(script).await?;
    Ok(found.len())
}
