//! Invite links, and who asks to join by one.

use posthouse_protocol::{
    id::{AccountId, ConversationId, GroupId},
    time::Timestamp,
};
use posthouse_storage::groups::{GroupLink, Grown};

use crate::{
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// Lists that are bounded grow one step at a time.
    LOCK_GROUP = Statement::new("SELECT 1 FROM group_heads WHERE id = ? /*pg:FOR UPDATE*/");
    COUNT_LINKS = Statement::new(
        "SELECT COUNT(*) FROM group_links WHERE group_id = ? AND expires_at > ?",
    );
    PUT_LINK = Statement::new(
        "INSERT INTO group_links (id, group_id, code, made_by, expires_at) VALUES (?, ?, ?, ?, ?)",
    );
    LINKS = Statement::new(
        "SELECT id, made_by, expires_at FROM group_links
        WHERE group_id = ? AND expires_at > ? ORDER BY expires_at, id LIMIT 0 + ?",
    );
    REVOKE = Statement::new("DELETE FROM group_links WHERE group_id = ? AND id = ?");
    HOLDS = Statement::new(
        "SELECT 1 FROM group_links WHERE group_id = ? AND code = ? AND expires_at > ? LIMIT 1",
    );
    COUNT_ASKS = Statement::new(
        "SELECT COUNT(*) FROM group_asks WHERE group_id = ? AND account <> ?",
    );
    ASK = Statement::new(
        "INSERT INTO group_asks (group_id, account, at) VALUES (?, ?, ?)
        ON CONFLICT (group_id, account) DO NOTHING",
    );
    ASKS = Statement::new(
        "SELECT account, at FROM group_asks WHERE group_id = ? ORDER BY at, account LIMIT 0 + ?",
    );
    ASKED = Statement::new("SELECT 1 FROM group_asks WHERE group_id = ? AND account = ?");
    DROP_ASK = Statement::new("DELETE FROM group_asks WHERE group_id = ? AND account = ?");
    FORGET_LINKS = Statement::new(
        "DELETE FROM group_links WHERE id IN (
            SELECT id FROM group_links WHERE expires_at <= ? ORDER BY expires_at LIMIT 0 + ?)",
    );
    FORGET_ASKS = Statement::new(
        "DELETE FROM group_asks WHERE (group_id, account) IN (
            SELECT group_id, account FROM group_asks WHERE at < ? ORDER BY at LIMIT 0 + ?)",
    );
    FORGET_GONE = Statement::new(
        "DELETE FROM group_people WHERE (group_id, account) IN (
            SELECT group_id, account FROM group_people
            WHERE standing = 4 AND at < ? ORDER BY at LIMIT 0 + ?)",
    );
}

impl SqlStore {
    pub(super) async fn try_put_link(
        &self,
        group: &GroupId,
        link: &GroupLink,
        (code, most): (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, Failure> {
        let id = ConversationId::group(group);
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let exists = script.one(&LOCK_GROUP, |args| {
            args.bytes(&id.0);
        });
        let count = script.one(&COUNT_LINKS, |args| {
            args.bytes(&id.0).number(now.0);
        });
        let mut answers = tx.run(script).await?;
        if answers.take(exists).is_empty() {
            tx.cancel().await?;
            return Ok(Grown::Nothing);
        }
        if counted(&answers.take(count), "group_links")? >= most as u64 {
            tx.cancel().await?;
            return Ok(Grown::Full);
        }
        let mut script = tx.script();
        script.one(&PUT_LINK, |args| {
            args.uuid(link.id)
                .bytes(&id.0)
                .bytes(code)
                .text(&link.made_by.to_string())
                .number(link.expires_at.0);
        });
        tx.finish(script).await?;
        Ok(Grown::New)
    }

    pub(super) async fn read_links(
        &self,
        group: &GroupId,
        now: Timestamp,
    ) -> Result<Vec<GroupLink>, Failure> {
        let id = ConversationId::group(group);
        let rows = self.db().rows(&LINKS, |args| {
            args.bytes(&id.0).number(now.0).limit(1_000);
        });
        let mut links = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("group_links");
            let id = fields.uuid("id")?;
            let made_by = fields.text("made_by")?;
            let made_by = fields.parse("made_by", made_by, AccountId::parse)?;
            links.push(GroupLink { id, made_by, expires_at: fields.time("expires_at")? });
        }
        Ok(links)
    }

    pub(super) async fn try_ask(
        &self,
        group: &GroupId,
        account: &AccountId,
        (code, most): (&[u8; 32], usize),
        now: Timestamp,
    ) -> Result<Grown, Failure> {
        let (id, text) = (ConversationId::group(group), account.to_string());
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let exists = script.one(&LOCK_GROUP, |args| {
            args.bytes(&id.0);
        });
        let holds = script.one(&HOLDS, |args| {
            args.bytes(&id.0).bytes(code).number(now.0);
        });
        let count = script.one(&COUNT_ASKS, |args| {
            args.bytes(&id.0).text(&text);
        });
        let mut answers = tx.run(script).await?;
        if answers.take(exists).is_empty() || answers.take(holds).is_empty() {
            tx.cancel().await?;
            return Ok(Grown::Nothing);
        }
        if counted(&answers.take(count), "group_asks")? >= most as u64 {
            tx.cancel().await?;
            return Ok(Grown::Full);
        }
        let mut script = tx.script();
        let asked = script.one(&ASK, |args| {
            args.bytes(&id.0).text(&text).number(now.0);
        });
        let is_new = tx.finish(script).await?.changed(&asked) > 0;
        Ok(if is_new { Grown::New } else { Grown::Known })
    }

    pub(super) async fn read_asks(
        &self,
        group: &GroupId,
        limit: usize,
    ) -> Result<Vec<(AccountId, Timestamp)>, Failure> {
        let id = ConversationId::group(group);
        let rows = self.db().rows(&ASKS, |args| {
            args.bytes(&id.0).limit(limit);
        });
        let mut asks = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("group_asks");
            let account = fields.text("account")?;
            let account = fields.parse("account", account, AccountId::parse)?;
            asks.push((account, fields.time("at")?));
        }
        Ok(asks)
    }

    pub(super) async fn forget_groups(
        &self,
        (now, asked, left): (Timestamp, Timestamp, Timestamp),
        limit: u32,
    ) -> Result<bool, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let mut forget = |statement, before: Timestamp| {
            script.one(statement, |args| {
                args.number(before.0).number(limit.into());
            })
        };
        let slots =
            [forget(&FORGET_LINKS, now), forget(&FORGET_ASKS, asked), forget(&FORGET_GONE, left)];
        let answers = tx.finish(script).await?;
        Ok(slots.iter().any(|slot| answers.changed(slot) >= u64::from(limit)))
    }
}

fn counted(rows: &[crate::db::Row], table: &'static str) -> Result<u64, Failure> {
    let count = rows.first().map(|row| row.fields(table).number("count")).transpose()?;
    Ok(count.unwrap_or_default())
}
