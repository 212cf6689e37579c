//! The port `People`.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, ConversationId},
    rest::{Audience, LastSeen, Privacy, Writers},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    people::{Added, Contact, Pair, People, Range, Relation, Stance},
};
use uuid::Uuid;

use crate::{
    db::{Fields, Row, Script, Tx},
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    RELATIONS = Statement::rows(
        "btb",
        "WITH v(account, other, conversation) AS ({rows})
        SELECT v.account, v.other, b.created_at, r.state, c.spoken, p.writers
        FROM v
        LEFT JOIN blocks b ON b.account = v.account AND b.blocked = v.other
        LEFT JOIN relations r ON r.account = v.account AND r.other = v.other
        LEFT JOIN conversations c ON c.id = v.conversation
        LEFT JOIN privacy p ON p.account = v.account
        WHERE v.account IS NOT NULL",
    );
    /// Lists that are bounded grow one step at a time.
    LOCK = Statement::new("SELECT 1 FROM accounts WHERE id = ? AND state < 2 /*pg:FOR UPDATE*/");
    COUNT_CONTACTS = Statement::new(
        "SELECT COUNT(*) FROM relations WHERE account = ? AND state = 0 AND other <> ?",
    );
    PUT_CONTACT = Statement::new(
        "INSERT INTO relations (account, other, state, label, at) VALUES (?, ?, 0, ?, ?)
        ON CONFLICT (account, other) DO UPDATE SET label = excluded.label, state = 0,
            at = CASE relations.state WHEN 0 THEN relations.at ELSE excluded.at END",
    );
    REMOVE_CONTACT = Statement::new(
        "DELETE FROM relations WHERE account = ? AND other = ? AND state = 0",
    );
    CONTACTS = Statement::new(
        "SELECT other, label, at FROM relations
        WHERE account = ? AND state = 0 AND other > ? ORDER BY other LIMIT 0 + ?",
    );
    COUNT_BLOCKS = Statement::new("SELECT COUNT(*) FROM blocks WHERE account = ? AND blocked <> ?");
    BLOCK = Statement::new(
        "INSERT INTO blocks (account, blocked, created_at) VALUES (?, ?, ?)
        ON CONFLICT (account, blocked) DO NOTHING",
    );
    DROP_REQUEST = Statement::new(
        "DELETE FROM relations WHERE account = ? AND other = ? AND state IN (1, 2, 3)",
    );
    UNBLOCK = Statement::new("DELETE FROM blocks WHERE account = ? AND blocked = ?");
    BLOCKS = Statement::new(
        "SELECT blocked, created_at FROM blocks
        WHERE account = ? AND blocked > ? ORDER BY blocked LIMIT 0 + ?",
    );
    REQUEST = Statement::rows(
        "bti",
        "WITH v(account, other, at) AS ({rows})
        INSERT INTO relations (account, other, state, label, at)
        SELECT a.id, v.other, 2, NULL, v.at FROM v CROSS JOIN accounts a
        WHERE a.id = v.account AND a.state < 2
        ON CONFLICT (account, other) DO NOTHING RETURNING account, other",
    );
    DROP_OLDEST = Statement::new(
        "DELETE FROM relations WHERE (account, other) IN (
            SELECT account, other FROM relations WHERE account = ? AND state = ?
            ORDER BY at DESC LIMIT 0 + ? OFFSET 0 + ?)",
    );
    ANSWER = Statement::new(
        "UPDATE relations SET state = ?, at = ? WHERE account = ? AND other = ? AND state = 2",
    );
    REQUESTS = Statement::new(
        "SELECT other, at FROM relations
        WHERE account = ? AND state = 2 AND other > ? ORDER BY other LIMIT 0 + ?",
    );
    FORGET_DECLINED = Statement::new(
        "DELETE FROM relations WHERE (account, other) IN (
            SELECT account, other FROM relations WHERE state = 3 AND at < ?
            ORDER BY at LIMIT 0 + ?)",
    );
    PRIVACY = Statement::new(
        "SELECT last_seen, read_receipts, stories, group_invites, writers FROM privacy
        WHERE account = ?",
    );
    SET_PRIVACY = Statement::new(
        "INSERT INTO privacy (account, last_seen, read_receipts, stories, group_invites, writers)
        SELECT id, ?, ?, ?, ?, ? FROM accounts WHERE id = ? AND state < 2
        ON CONFLICT (account) DO UPDATE SET last_seen = excluded.last_seen,
            read_receipts = excluded.read_receipts, stories = excluded.stories,
            group_invites = excluded.group_invites, writers = excluded.writers",
    );
    DELETE_PRIVACY = Statement::new("DELETE FROM privacy WHERE account = ?");
}

/// Most requests beyond the bound that go at once.
const DROPPED_AT_ONCE: usize = 100;

/// Stored states of a relation.
const CONTACT: i64 = 0;
const ACCEPTED: i64 = 1;
const REQUESTED: i64 = 2;
const DECLINED: i64 = 3;

#[async_trait]
impl People for SqlStore {
    async fn relations(&self, pairs: &[Pair]) -> Result<Vec<Relation>, StoreError> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = Script::new(self.db().dialect());
        let slot = script.rows(&RELATIONS, pairs, |args, (account, other)| {
            let conversation = ConversationId::direct(account, other);
            args.uuid(account.uuid).text(&other.to_string()).bytes(&conversation.0);
        });
        let mut found: HashMap<(Uuid, String), Found> = HashMap::new();
        for row in self.db().read(script).await?.take(slot) {
            let mut fields = row.fields("relations");
            let key = (fields.uuid("account")?, fields.text("other")?.to_owned());
            found.insert(key, Found::read(&mut fields)?);
        }
        let relation = |(account, other): &Pair| {
            let found = found.get(&(account.uuid, other.to_string()));
            found.copied().unwrap_or_default().relation(account, other)
        };
        Ok(pairs.iter().map(relation).collect())
    }

    async fn put_contact(
        &self,
        account: Uuid,
        contact: &Contact,
        most: usize,
    ) -> Result<Added, StoreError> {
        let add = |script: &mut Script| {
            script.one(&PUT_CONTACT, |args| {
                args.uuid(account)
                    .text(&contact.who.to_string())
                    .maybe_text(contact.label.as_deref())
                    .number(contact.at.0);
            });
        };
        self.grow(&COUNT_CONTACTS, (account, &contact.who), most, add).await
    }

    async fn remove_contact(&self, account: Uuid, who: &AccountId) -> Result<bool, StoreError> {
        Ok(self.drop_one(&REMOVE_CONTACT, account, who).await?)
    }

    async fn contacts(&self, account: Uuid, range: Range<'_>) -> Result<Vec<Contact>, StoreError> {
        let contact = |row: &Row| {
            let mut fields = row.fields("relations");
            Ok(Contact {
                who: who(&mut fields, "other")?,
                label: fields.maybe_text("label")?.map(str::to_owned),
                at: fields.time("at")?,
            })
        };
        self.listed(&CONTACTS, account, range).await?.iter().map(contact).collect()
    }

    async fn block(
        &self,
        account: Uuid,
        who: &AccountId,
        now: Timestamp,
        most: usize,
    ) -> Result<Added, StoreError> {
        let add = |script: &mut Script| {
            let text = who.to_string();
            script.one(&BLOCK, |args| {
                args.uuid(account).text(&text).number(now.0);
            });
            script.one(&DROP_REQUEST, |args| {
                args.uuid(account).text(&text);
            });
        };
        self.grow(&COUNT_BLOCKS, (account, who), most, add).await
    }

    async fn unblock(&self, account: Uuid, who: &AccountId) -> Result<bool, StoreError> {
        Ok(self.drop_one(&UNBLOCK, account, who).await?)
    }

    async fn blocks(
        &self,
        account: Uuid,
        range: Range<'_>,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let rows = self.listed(&BLOCKS, account, range).await?;
        rows.iter().map(|row| who_and_when(&mut row.fields("blocks"), "blocked")).collect()
    }

    async fn request(
        &self,
        from: &[(Uuid, AccountId)],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(Uuid, AccountId)>, StoreError> {
        if from.is_empty() {
            return Ok(Vec::new());
        }
        // Rows are locked in the same order by everyone.
        let mut from = from.to_vec();
        from.sort_unstable();
        from.dedup();
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_request(&from, now, most).await {
                Ok(new) => return Ok(new),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn answer_request(
        &self,
        account: Uuid,
        from: &AccountId,
        accepted: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = if accepted { ACCEPTED } else { DECLINED };
        let answered = self.change(&ANSWER, |args| {
            args.integer(state).number(now.0).uuid(account).text(&from.to_string());
        });
        Ok(answered.await? == 1)
    }

    async fn requests(
        &self,
        account: Uuid,
        range: Range<'_>,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let rows = self.listed(&REQUESTS, account, range).await?;
        rows.iter().map(|row| who_and_when(&mut row.fields("relations"), "other")).collect()
    }

    async fn forget_declined(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let forgotten = self.change(&FORGET_DECLINED, |args| {
            args.number(before.0).number(limit.into());
        });
        Ok(forgotten.await?)
    }

    async fn privacy(&self, account: Uuid) -> Result<Privacy, StoreError> {
        let rows = self.db().rows(&PRIVACY, |args| {
            args.uuid(account);
        });
        let rows = rows.await?;
        rows.first().map_or_else(
            || Ok(Privacy::default()),
            |row| {
                let mut fields = row.fields("privacy");
                Ok(Privacy {
                    last_seen: last_seen(&mut fields)?,
                    read_receipts: fields.integer("read_receipts")? != 0,
                    stories: audience(&mut fields, "stories")?,
                    groups: audience(&mut fields, "group_invites")?,
                    messages: writers(fields.integer("writers")?),
                })
            },
        )
    }

    async fn set_privacy(&self, account: Uuid, privacy: &Privacy) -> Result<bool, StoreError> {
        let set = self.change(&SET_PRIVACY, |args| {
            args.integer(match privacy.last_seen {
                LastSeen::Exact => 0,
                LastSeen::Hour => 1,
                LastSeen::Nobody => 2,
            })
            .integer(privacy.read_receipts.into())
            .integer(audience_code(privacy.stories))
            .integer(audience_code(privacy.groups))
            .integer(match privacy.messages {
                Writers::Everyone => 0,
                Writers::Contacts => 1,
            })
            .uuid(account);
        });
        Ok(set.await? == 1)
    }
}

impl SqlStore {
    /// Adds to a list of the account, unless it has `most` others. `count` counts those.
    async fn grow(
        &self,
        count: &'static Statement,
        (account, who): (Uuid, &AccountId),
        most: usize,
        add: impl Fn(&mut Script),
    ) -> Result<Added, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_grow(count, (account, who), most, &add).await {
                Ok(added) => return Ok(added),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn try_grow(
        &self,
        count: &'static Statement,
        (account, who): (Uuid, &AccountId),
        most: usize,
        add: &impl Fn(&mut Script),
    ) -> Result<Added, Failure> {
        let mut tx: Tx<'_> = self.db().begin().await?;
        let mut script = tx.script();
        let exists = script.one(&LOCK, |args| {
            args.uuid(account);
        });
        let others = script.one(count, |args| {
            args.uuid(account).text(&who.to_string());
        });
        let mut answers = tx.run(script).await?;
        if answers.take(exists).is_empty() {
            tx.cancel().await?;
            return Ok(Added::NoAccount);
        }
        let others = answers.take(others);
        let others = others.first().map(|row| row.fields("relations").number("count"));
        if others.transpose()?.unwrap_or_default() >= most as u64 {
            tx.cancel().await?;
            return Ok(Added::TooMany);
        }
        let mut script = tx.script();
        add(&mut script);
        tx.finish(script).await?;
        Ok(Added::Done)
    }

    async fn try_request(
        &self,
        from: &[(Uuid, AccountId)],
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(Uuid, AccountId)>, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let new = script.rows(&REQUEST, from, |args, (account, from)| {
            args.uuid(*account).text(&from.to_string()).number(now.0);
        });
        let rows = tx.run(script).await?.take(new);
        let mut new = Vec::new();
        for row in &rows {
            let mut fields = row.fields("relations");
            new.push((fields.uuid("account")?, who(&mut fields, "other")?));
        }
        let grown: BTreeSet<Uuid> = new.iter().map(|(account, _)| *account).collect();
        let mut script = tx.script();
        for account in grown {
            // Each list by itself: what was declined takes no place of what waits.
            for state in [REQUESTED, DECLINED] {
                script.one(&DROP_OLDEST, |args| {
                    args.uuid(account).integer(state).limit(DROPPED_AT_ONCE).limit(most);
                });
            }
        }
        tx.finish(script).await?;
        Ok(new)
    }

    async fn drop_one(
        &self,
        statement: &'static Statement,
        account: Uuid,
        who: &AccountId,
    ) -> Result<bool, Failure> {
        let dropped = self.change(statement, |args| {
            args.uuid(account).text(&who.to_string());
        });
        Ok(dropped.await? == 1)
    }

    async fn listed(
        &self,
        statement: &'static Statement,
        account: Uuid,
        range: Range<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let after = range.after.map(ToString::to_string).unwrap_or_default();
        let rows = self.db().rows(statement, |args| {
            args.uuid(account).text(&after).limit(range.limit);
        });
        Ok(rows.await?)
    }
}

/// Adds the removal of an account's settings and profile.
pub(crate) fn remove_settings(script: &mut Script, account: Uuid) {
    for statement in [&DELETE_PRIVACY, &crate::profiles::DELETE] {
        script.one(statement, |args| {
            args.uuid(account);
        });
    }
}

/// What is stored about a pair.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    blocked: bool,
    state: Option<i64>,
    spoken: i64,
    writers: Option<i64>,
}

impl Found {
    fn read(fields: &mut Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            blocked: fields.of("blocks").maybe_integer("created_at")?.is_some(),
            state: fields.of("relations").maybe_integer("state")?,
            spoken: fields.of("conversations").maybe_integer("spoken")?.unwrap_or_default(),
            writers: fields.of("privacy").maybe_integer("writers")?,
        })
    }

    /// Who has written to somebody knows them, whatever became of their request before.
    fn relation(self, account: &AccountId, other: &AccountId) -> Relation {
        let side = if account.to_string() <= other.to_string() { 1 } else { 2 };
        let has_written = account == other || self.spoken & side != 0;
        let stance = match self.state {
            Some(CONTACT) => Stance::Contact,
            Some(ACCEPTED) => Stance::Known,
            _ if has_written => Stance::Known,
            Some(REQUESTED) => Stance::Requested,
            Some(DECLINED) => Stance::Declined,
            _ => Stance::Stranger,
        };
        let writers = self.writers.map_or(Writers::Everyone, writers);
        Relation { stance, blocked: self.blocked, writers, has_spoken: self.spoken != 0 }
    }
}

fn who(fields: &mut Fields<'_>, column: &'static str) -> Result<AccountId, StoreError> {
    let text = fields.text(column)?;
    fields.parse(column, text, AccountId::parse)
}

fn who_and_when(
    fields: &mut Fields<'_>,
    column: &'static str,
) -> Result<(AccountId, Timestamp), StoreError> {
    Ok((who(fields, column)?, fields.time("at")?))
}

fn writers(code: i64) -> Writers {
    if code == 0 { Writers::Everyone } else { Writers::Contacts }
}

fn last_seen(fields: &mut Fields<'_>) -> Result<LastSeen, StoreError> {
    match fields.integer("last_seen")? {
        0 => Ok(LastSeen::Exact),
        1 => Ok(LastSeen::Hour),
        2 => Ok(LastSeen::Nobody),
        other => Err(fields.corrupt("last_seen", other)),
    }
}

fn audience(fields: &mut Fields<'_>, column: &'static str) -> Result<Audience, StoreError> {
    match fields.integer(column)? {
        0 => Ok(Audience::Everyone),
        1 => Ok(Audience::Contacts),
        2 => Ok(Audience::Nobody),
        other => Err(fields.corrupt(column, other)),
    }
}

fn audience_code(audience: Audience) -> i64 {
    match audience {
        Audience::Everyone => 0,
        Audience::Contacts => 1,
        Audience::Nobody => 2,
    }
}
