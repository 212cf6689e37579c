//! What has still to be told to other regions, and what waits for them.

use bytes::Bytes;
use posthouse_protocol::{
    id::{ConversationId, GroupId, ServerName},
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    groups::{Grown, Pending},
};
use uuid::Uuid;

use crate::{
    db::Row,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    UNTOLD = Statement::new(
        "SELECT t.region, h.name, t.epoch FROM group_tells t CROSS JOIN group_heads h
        WHERE (t.region, t.group_id) > (?, ?) AND t.refused = 0 AND h.id = t.group_id
        ORDER BY t.region, t.group_id LIMIT 0 + ?",
    );
    TOLD = Statement::new(
        "DELETE FROM group_tells WHERE region = ? AND group_id = ? AND epoch <= ?",
    );
    KNOWS = Statement::new(
        "UPDATE group_tells SET since = ? WHERE region = ? AND group_id = ? AND since < ?",
    );
    REFUSES = Statement::new(
        "UPDATE group_tells SET refused = 1 WHERE region = ? AND group_id = ? AND epoch <= ?",
    );
    BEHIND = Statement::new(
        "SELECT region, since FROM group_tells WHERE group_id = ? ORDER BY region",
    );
    COUNT_PENDING = Statement::new("SELECT COUNT(*) FROM group_pending WHERE local = ?");
    PUT_PENDING = Statement::new(
        "INSERT INTO group_pending (hash, group_id, local, document, at)
        SELECT ?, ?, a.id, ?, ? FROM accounts a WHERE a.id = ? AND a.state < 2
        ON CONFLICT (hash) DO NOTHING",
    );
    PENDING = Statement::new(
        "SELECT h.name, p.hash, p.document, p.at FROM group_pending p CROSS JOIN group_heads h
        WHERE h.id = p.group_id AND (p.at, p.hash) > (?, ?) ORDER BY p.at, p.hash LIMIT 0 + ?",
    );
    DROP_PENDING = Statement::new("DELETE FROM group_pending WHERE hash = ?");
    NAME = Statement::new("SELECT name FROM group_heads WHERE id = ?");
}

impl SqlStore {
    pub(super) async fn read_untold(
        &self,
        after: Option<(&ServerName, &GroupId)>,
        limit: usize,
    ) -> Result<Vec<(ServerName, GroupId, u64)>, Failure> {
        let region = after.map(|(region, _)| region.as_str()).unwrap_or_default();
        let group = after.map(|(_, group)| ConversationId::group(group).0).unwrap_or_default();
        let rows = self.db().rows(&UNTOLD, |args| {
            args.text(region).bytes(&group).limit(limit);
        });
        let mut untold = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("group_tells");
            let region = fields.text("region")?;
            let region = fields.parse("region", region, ServerName::parse)?;
            let name = fields.text("name")?;
            let group = fields.parse("name", name, GroupId::parse)?;
            untold.push((region, group, fields.number("epoch")?));
        }
        Ok(untold)
    }

    pub(super) async fn try_told(
        &self,
        region: &ServerName,
        group: &GroupId,
        epoch: u64,
    ) -> Result<(), Failure> {
        let id = ConversationId::group(group);
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.one(&TOLD, |args| {
            args.text(region.as_str()).bytes(&id.0).number(epoch);
        });
        script.one(&KNOWS, |args| {
            args.number(epoch + 1).text(region.as_str()).bytes(&id.0).number(epoch + 1);
        });
        tx.finish(script).await?;
        Ok(())
    }

    pub(super) async fn read_behind(
        &self,
        group: &GroupId,
    ) -> Result<Vec<(ServerName, u64)>, Failure> {
        let rows = self.db().rows(&BEHIND, |args| {
            args.bytes(&ConversationId::group(group).0);
        });
        let mut behind = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("group_tells");
            let region = fields.text("region")?;
            let region = fields.parse("region", region, ServerName::parse)?;
            behind.push((region, fields.number("since")?));
        }
        Ok(behind)
    }

    pub(super) async fn try_put_pending(
        &self,
        group: &GroupId,
        account: Uuid,
        (hash, document): (&[u8; 32], &[u8]),
        (most, now): (usize, Timestamp),
    ) -> Result<Grown, Failure> {
        let mut tx = self.db().begin().await?;
        let count = tx.rows(&COUNT_PENDING, |args| {
            args.uuid(account);
        });
        let count = count.await?;
        let count = count.first().map(|row| row.fields("group_pending").number("count"));
        if count.transpose()?.unwrap_or_default() >= most as u64 {
            tx.cancel().await?;
            return Ok(Grown::Full);
        }
        let mut script = tx.script();
        let put = script.one(&PUT_PENDING, |args| {
            args.bytes(hash)
                .bytes(&ConversationId::group(group).0)
                .bytes(document)
                .number(now.0)
                .uuid(account);
        });
        let is_new = tx.finish(script).await?.changed(&put) > 0;
        Ok(if is_new { Grown::New } else { Grown::Known })
    }

    pub(super) async fn read_pending(
        &self,
        after: Option<&Pending>,
        limit: usize,
    ) -> Result<Vec<Pending>, Failure> {
        let rows = self.db().rows(&PENDING, |args| {
            args.number(after.map_or(0, |one| one.at.0))
                .bytes(after.map_or(&[][..], |one| &one.hash))
                .limit(limit);
        });
        let pending = |row: &Row| -> Result<Pending, StoreError> {
            let mut fields = row.fields("group_pending");
            let name = fields.text("name")?;
            Ok(Pending {
                group: fields.parse("name", name, GroupId::parse)?,
                hash: fields.array("hash")?,
                document: Bytes::copy_from_slice(fields.bytes("document")?),
                at: fields.time("at")?,
            })
        };
        Ok(rows.await?.iter().map(pending).collect::<Result<_, _>>()?)
    }
}
