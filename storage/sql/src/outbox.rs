//! The port `Outbox`: logs of what goes to other regions, and their marks.

mod entries;
mod marks;
mod settle;
mod tell;

use async_trait::async_trait;
use posthouse_protocol::{
    federation::stream::Lane,
    id::{MessageId, ServerName},
    status::FailReason,
    time::Timestamp,
};
use posthouse_storage::{
    error::StoreError,
    leases::Fence,
    outbox::{
        LoadRange, Loaded, Mark, Outbox, OutboxEntry, OutboxStream, Settled, Settlement, Waiting,
    },
};

use crate::{
    columns,
    db::{Answers, Script, Slot},
    failure::{Failure, Tries},
    leases,
    statement::{Statement, statements},
    store::SqlStore,
};

#[cfg(test)]
pub(crate) use self::{
    entries::ALL as ENTRIES_ALL, marks::ALL as MARKS_ALL, settle::ALL as SETTLE_ALL,
    tell::ALL as TELL_ALL,
};

statements! {
    WAITING = Statement::new(
        "SELECT s.name FROM servers s
        WHERE s.name > ? AND EXISTS (
            SELECT 1 FROM outbox_heads h
            LEFT JOIN outbox_lanes l ON l.destination = h.destination AND l.lane = h.lane
            WHERE h.destination = s.id AND h.head > COALESCE(l.receipted, 0))
        ORDER BY s.name LIMIT 0 + ?",
    );
    STREAMS = Statement::new(
        "SELECT s.name FROM servers s JOIN outbox_streams o ON o.destination = s.id
        WHERE s.name > ? ORDER BY s.name LIMIT 0 + ?",
    );
    /// Of one lane, whose messages rise with their indices. Receipts are no message of a person:
    /// nobody is told that they wait.
    UNRECEIPTED = Statement::new(
        "SELECT o.message, o.sender, o.id FROM outbox o
        WHERE o.destination = ? AND o.lane = ? AND o.idx > COALESCE((
                SELECT l.receipted FROM outbox_lanes l WHERE l.destination = ? AND l.lane = ?), 0)
            AND o.state = 0 AND o.message IS NOT NULL AND o.sender IS NOT NULL
        ORDER BY o.idx LIMIT 0 + ?",
    );
    /// Writers under one destination's fence take turns. Taken before all other locks but the
    /// lease's; whoever locks watermarks, inboxes and heads without a fence never wants it.
    LOCK_STREAM = Statement::new(
        "SELECT destination FROM outbox_streams WHERE destination = ? /*pg:FOR UPDATE*/",
    );
}

/// `outbox.state` of an entry whose sender was told that it failed.
pub(crate) const FAILED: i64 = 1;
/// `outbox.state` of an entry that the destination refuses whenever it comes.
pub(crate) const REFUSED: i64 = 2;

/// Where a lane's log is: the numbers of its destination and lane.
#[derive(Debug, Clone, Copy)]
struct Queue {
    destination: i64,
    lane: i64,
}

impl SqlStore {
    async fn queue(&self, destination: &ServerName, lane: Lane) -> Result<Queue, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        Ok(Queue { destination, lane: columns::lane_code(lane) })
    }

    async fn names(
        &self,
        statement: &'static Statement,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, Failure> {
        let rows = self.db().rows(statement, |args| {
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

    async fn read_unreceipted(
        &self,
        destination: &ServerName,
        limit: usize,
    ) -> Result<Vec<Waiting>, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let mut script = Script::new(self.db().dialect());
        let slots = Lane::ALL.map(|lane| {
            let lane = columns::lane_code(lane);
            script.one(&UNRECEIPTED, |args| {
                args.integer(destination).integer(lane).integer(destination).integer(lane);
                args.limit(limit);
            })
        });
        let mut answers = self.db().read(script).await?;
        let mut waiting = Vec::new();
        for row in slots.into_iter().flat_map(|slot| answers.take(slot)) {
            let mut fields = row.fields("outbox");
            let accepted = fields.integer("message")?;
            let sender = fields.uuid("sender")?;
            waiting.push((accepted, Waiting { sender, id: MessageId(fields.uuid("id")?) }));
        }
        waiting.sort_unstable_by_key(|(accepted, _)| *accepted);
        waiting.truncate(limit);
        Ok(waiting.into_iter().map(|(_, one)| one).collect())
    }
}

/// What every write under a fence begins with.
struct Opening {
    held: Slot,
    stream: Slot,
}

impl Opening {
    /// Holds the lease and the stream until the transaction ends.
    fn add(script: &mut Script, fence: &Fence, destination: i64) -> Self {
        let held = leases::hold(script, fence);
        let stream = script.one(&LOCK_STREAM, |args| {
            args.integer(destination);
        });
        Self { held, stream }
    }

    /// Whether there is a stream.
    fn read(self, answers: &mut Answers, fence: &Fence) -> Result<bool, Failure> {
        leases::compare(&answers.take(self.held), fence)?;
        Ok(!answers.take(self.stream).is_empty())
    }
}

/// Tries again what met another process's transaction.
macro_rules! again {
    ($store:expr, $attempt:expr) => {{
        let mut tries = Tries::new($store.counters());
        loop {
            match $attempt.await {
                Ok(done) => break Ok(done),
                Err(failure) => tries.again(failure)?,
            }
        }
    }};
}

#[async_trait]
impl Outbox for SqlStore {
    async fn waiting(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.names(&WAITING, after, limit).await?)
    }

    async fn streams(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        Ok(self.names(&STREAMS, after, limit).await?)
    }

    async fn stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        fresh: &OutboxStream,
    ) -> Result<OutboxStream, StoreError> {
        again!(self, self.try_stream(fence, destination, fresh))
    }

    async fn marks(&self, destination: &ServerName) -> Result<Option<OutboxStream>, StoreError> {
        Ok(self.read_marks(destination).await?)
    }

    async fn load(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        range: LoadRange,
    ) -> Result<Loaded, StoreError> {
        again!(self, self.try_load(fence, destination, lane, range))
    }

    async fn settle(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        settlement: Settlement<'_>,
    ) -> Result<Settled, StoreError> {
        again!(self, self.try_settle(fence, destination, lane, settlement))
    }

    async fn rewind(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), StoreError> {
        again!(self, self.try_rewind(fence, destination, lane, to))
    }

    async fn refuse(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        index: u64,
        (reason, now): (FailReason, Timestamp),
    ) -> Result<Settled, StoreError> {
        again!(self, self.try_refuse(fence, destination, lane, index, (reason, now)))
    }

    async fn expire(
        &self,
        fence: &Fence,
        destination: &ServerName,
        (before, now): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Settled, StoreError> {
        let failure = (FailReason::Expired, now);
        again!(self, self.try_fail(fence, destination, Some(before), failure, limit))
    }

    async fn fail_all(
        &self,
        fence: &Fence,
        destination: &ServerName,
        failure: (FailReason, Timestamp),
        limit: usize,
    ) -> Result<Settled, StoreError> {
        again!(self, self.try_fail(fence, destination, None, failure, limit))
    }

    async fn overdue(
        &self,
        destination: &ServerName,
        lane: Lane,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        Ok(self.read_overdue(destination, lane, before, limit).await?)
    }

    async fn forget(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), StoreError> {
        again!(self, self.try_forget(fence, destination, lane, floor))
    }

    async fn open(
        &self,
        fence: &Fence,
        destination: &ServerName,
        next: &OutboxStream,
    ) -> Result<(), StoreError> {
        again!(self, self.try_open_stream(fence, destination, next))
    }

    async fn unreceipted(
        &self,
        destination: &ServerName,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        Ok(self.read_unreceipted(destination, limit).await?)
    }
}
