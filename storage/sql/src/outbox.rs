//! The port `Outbox`.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::id::ServerName;
use posthouse_storage::{
    error::StoreError,
    leases::Fence,
    outbox::{Intent, Lane, Outbox},
};

use crate::{
    columns::{self, MessageRow, message_columns},
    failure::Failure,
    leases,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    WAITING = Statement::new(
        "SELECT s.name FROM servers s
        WHERE s.name > ? AND EXISTS (SELECT 1 FROM outbox o WHERE o.destination = s.id)
        ORDER BY s.name LIMIT 0 + ?",
    );
    LAST_SEQUENCE = Statement::new(
        "SELECT last_sequence FROM lanes WHERE destination = ? AND lane = ?",
    );
    /// The lowest numbers get the next sequences. Numbers become visible in order, since a commit
    /// holds the destination's head row until its end: a lower number never turns up later.
    ASSIGN = Statement::new(
        "UPDATE outbox SET sequence = ? + chosen.place
        FROM (
            SELECT number, ROW_NUMBER() OVER (ORDER BY number) AS place FROM outbox
            WHERE destination = ? AND lane = ? AND sequence IS NULL ORDER BY number LIMIT 0 + ?
        ) AS chosen
        WHERE outbox.destination = ? AND outbox.number = chosen.number",
    );
    COUNT_ON = Statement::new(
        "INSERT INTO lanes (destination, lane, last_sequence) VALUES (?, ?, ?)
        ON CONFLICT (destination, lane) DO UPDATE SET last_sequence = excluded.last_sequence",
    );
    SEQUENCED = Statement::new(concat!(
        "SELECT o.number, o.sequence, o.recipients, o.enqueued_at, ", message_columns!(), "
        FROM outbox o JOIN messages m ON m.ref = o.message
        WHERE o.destination = ? AND o.lane = ? AND o.sequence IS NOT NULL AND o.sequence > ?
        ORDER BY o.sequence LIMIT 0 + ?",
    ));
    RELEASE = Statement::new(
        "UPDATE messages SET pointers = pointers - 1 WHERE ref IN (
            SELECT message FROM outbox
            WHERE destination = ? AND lane = ? AND sequence IS NOT NULL AND sequence <= ?)",
    );
    SETTLE = Statement::new(
        "DELETE FROM outbox
        WHERE destination = ? AND lane = ? AND sequence IS NOT NULL AND sequence <= ?",
    );
}

#[async_trait]
impl Outbox for SqlStore {
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        let rows = self.db().rows(&WAITING, |args| {
            args.text(after.map_or("", ServerName::as_str)).limit(limit);
        });
        let mut names = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("servers");
            let name = fields.text("name")?;
            names.push(fields.parse("name", name, ServerName::parse)?);
        }
        Ok(names)
    }

    async fn assign(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(self.try_assign(fence, destination, lane, limit).await?)
    }

    async fn sequenced(
        &self,
        destination: &ServerName,
        lane: Lane,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Intent>, StoreError> {
        Ok(self.read_sequenced(destination, lane, after, limit).await?)
    }

    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        through: u64,
    ) -> Result<(), StoreError> {
        Ok(self.try_settle(fence, destination, lane, through).await?)
    }
}

impl SqlStore {
    async fn try_assign(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        limit: usize,
    ) -> Result<usize, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let lane = columns::lane_code(lane);
        let mut tx = self.db().begin().await?;
        leases::check(&mut tx, fence).await?;
        let rows = tx.rows(&LAST_SEQUENCE, |args| {
            args.integer(destination).integer(lane);
        });
        let last = match rows.await?.first() {
            Some(row) => row.fields("lanes").number("last_sequence")?,
            None => 0,
        };
        let mut script = tx.script();
        let assigned = script.one(&ASSIGN, |args| {
            args.number(last).integer(destination).integer(lane).limit(limit).integer(destination);
        });
        let assigned = tx.run(script).await?.changed(&assigned);
        if assigned == 0 {
            tx.cancel().await?;
            return Ok(0);
        }
        let mut script = tx.script();
        script.one(&COUNT_ON, |args| {
            args.integer(destination).integer(lane).number(last + assigned);
        });
        tx.finish(script).await?;
        Ok(usize::try_from(assigned).unwrap_or(limit))
    }

    async fn read_sequenced(
        &self,
        destination: &ServerName,
        lane: Lane,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Intent>, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let rows = self.db().rows(&SEQUENCED, |args| {
            args.integer(destination).integer(columns::lane_code(lane)).number(after).limit(limit);
        });
        let mut intents = Vec::new();
        for row in rows.await? {
            let mut fields = row.fields("outbox");
            let number = fields.number("number")?;
            let sequence = fields.maybe_number("sequence")?;
            let recipients = Bytes::copy_from_slice(fields.bytes("recipients")?);
            let enqueued_at = fields.time("enqueued_at")?;
            let Some(message) = MessageRow::read(&mut fields)? else { continue };
            let message = message.resolve(self).await?;
            intents.push(Intent { number, sequence, recipients, enqueued_at, message });
        }
        Ok(intents)
    }

    async fn try_settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        through: u64,
    ) -> Result<(), Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let lane = columns::lane_code(lane);
        let mut tx = self.db().begin().await?;
        leases::check(&mut tx, fence).await?;
        let mut script = tx.script();
        for statement in [&RELEASE, &SETTLE] {
            script.one(statement, |args| {
                args.integer(destination).integer(lane).number(through);
            });
        }
        tx.finish(script).await?;
        Ok(())
    }
}
