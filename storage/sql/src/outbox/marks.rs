//! Streams' states and lanes' marks.

use bytes::Bytes;
use posthouse_protocol::{
    federation::stream::{Lane, PerLane, RunningHash},
    id::ServerName,
};
use posthouse_storage::{
    leases::Fence,
    outbox::{Mark, OutboxLane, OutboxStream},
};

use super::{Opening, Queue, leases};
use crate::{
    columns,
    db::{Answers, Row, Script, Slot},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

/// How far a lane may have been sent. Only watermarks (lane 2) change until they are offered, so only
/// their lane keeps a mark; of the others, all that was accepted may have been.
macro_rules! offered {
    () => {
        "CASE WHEN l.lane <> 2 AND h.head > l.offered THEN h.head ELSE l.offered END AS offered
        FROM outbox_lanes l
        LEFT JOIN outbox_heads h ON h.destination = l.destination AND h.lane = l.lane"
    };
}

statements! {
    STATE = Statement::new("SELECT state FROM outbox_streams WHERE destination = ?");
    LANES = Statement::new(concat!(
        "SELECT l.lane, l.floor, l.floor_hash, l.receipted, l.receipted_hash, ",
        offered!(), "
        WHERE l.destination = ? ORDER BY l.lane",
    ));
    PUT_STATE = Statement::new(
        "INSERT INTO outbox_streams (destination, state) VALUES (?, ?)
        ON CONFLICT (destination) DO UPDATE SET state = excluded.state",
    );
    /// Plainly: if another call was quicker, that is a conflict, and its state stands.
    NEW_STATE = Statement::new("INSERT INTO outbox_streams (destination, state) VALUES (?, ?)");
    /// Whoever forwards a watermark holds a head and looks at the lane's offered mark: a lane must
    /// not turn up in between.
    LOCK_HEADS = Statement::new(
        "SELECT lane FROM outbox_heads WHERE destination = ? ORDER BY lane /*pg:FOR UPDATE*/",
    );
    /// What may have been sent never becomes what was not.
    PUT_LANES = Statement::rows(
        "iiibibi",
        "INSERT INTO outbox_lanes
            (destination, lane, floor, floor_hash, receipted, receipted_hash, offered)
        {new}
        ON CONFLICT (destination, lane) DO UPDATE SET
            floor = excluded.floor, floor_hash = excluded.floor_hash,
            receipted = excluded.receipted, receipted_hash = excluded.receipted_hash,
            offered = CASE WHEN excluded.offered > outbox_lanes.offered
                THEN excluded.offered ELSE outbox_lanes.offered END",
    );
    /// Only for the holder of the lease; the mark never goes back.
    OFFER = Statement::new(
        "UPDATE outbox_lanes SET offered = CASE WHEN offered < ? THEN ? ELSE offered END
        WHERE destination = ? AND lane = ? AND EXISTS (
            SELECT 1 FROM leases WHERE name = ? AND fence = ? AND holder IS NOT NULL)",
    );
    OFFERED = Statement::new(concat!(
        "SELECT ", offered!(), " WHERE l.destination = ? AND l.lane = ?",
    ));
    RECEIPTED = Statement::new(
        "UPDATE outbox_lanes SET receipted = ?, receipted_hash = ?
        WHERE destination = ? AND lane = ?",
    );
    RECEIPT = Statement::new(
        "INSERT INTO outbox_receipts (destination, lane, through, at) VALUES (?, ?, ?, ?)
        ON CONFLICT (destination, lane, through) DO UPDATE SET at = excluded.at",
    );
    UNDO_RECEIPTS = Statement::new(
        "DELETE FROM outbox_receipts WHERE destination = ? AND lane = ? AND through > ?",
    );
    FLOOR = Statement::new(
        "UPDATE outbox_lanes SET floor = ?, floor_hash = ? WHERE destination = ? AND lane = ?",
    );
    FORGET_RECEIPTS = Statement::new(
        "DELETE FROM outbox_receipts WHERE destination = ? AND lane = ? AND through <= ?",
    );
    /// Those that failed have given their message up before.
    RELEASE = Statement::new(
        "UPDATE messages SET pointers = pointers - gone.n
        FROM (
            SELECT message AS ref, COUNT(*) AS n FROM outbox
            WHERE destination = ? AND lane = ? AND idx <= ? AND message IS NOT NULL
                AND state = 0
            GROUP BY message
        ) AS gone
        WHERE messages.ref = gone.ref",
    );
    FORGET = Statement::new(
        "DELETE FROM outbox WHERE destination = ? AND lane = ? AND idx <= ?",
    );
}

impl SqlStore {
    pub(super) async fn try_stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        fresh: &OutboxStream,
    ) -> Result<OutboxStream, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, destination);
        let marks = Marks::add(&mut script, destination);
        let mut answers = tx.run(script).await?;
        opening.read(&mut answers, fence)?;
        if let Some(known) = marks.read(&mut answers)? {
            tx.cancel().await?;
            return Ok(known);
        }
        let mut script = tx.script();
        put_stream(&mut script, &NEW_STATE, destination, fresh);
        tx.finish(script).await?;
        Ok(fresh.clone())
    }

    pub(super) async fn read_marks(
        &self,
        destination: &ServerName,
    ) -> Result<Option<OutboxStream>, Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let mut script = Script::new(self.db().dialect());
        let marks = Marks::add(&mut script, destination);
        marks.read(&mut self.db().read(script).await?)
    }

    pub(super) async fn try_open_stream(
        &self,
        fence: &Fence,
        destination: &ServerName,
        next: &OutboxStream,
    ) -> Result<(), Failure> {
        let destination = self.inner.servers.number(self.db(), destination).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, destination);
        let mut answers = tx.run(script).await?;
        opening.read(&mut answers, fence)?;
        let mut script = tx.script();
        put_stream(&mut script, &PUT_STATE, destination, next);
        for (lane, marks) in next.lanes.iter() {
            let queue = Queue { destination, lane: columns::lane_code(lane) };
            undo_receipts(&mut script, queue, marks.receipted.index);
        }
        tx.finish(script).await?;
        Ok(())
    }

    /// Everything up to `index` may be sent from now on.
    pub(super) async fn offer(
        &self,
        fence: &Fence,
        queue: Queue,
        index: u64,
    ) -> Result<(), Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        leases::hold(&mut script, fence);
        let offer = script.one(&OFFER, |args| {
            args.number(index)
                .number(index)
                .integer(queue.destination)
                .integer(queue.lane)
                .text(&fence.name)
                .number(fence.number);
        });
        let changed = tx.finish(script).await?.changed(&offer);
        if changed == 1 { Ok(()) } else { Err(leases::fenced(fence)) }
    }

    pub(super) async fn try_rewind(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        to: Mark,
    ) -> Result<(), Failure> {
        let queue = self.queue(destination, lane).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, queue.destination);
        let mut answers = tx.run(script).await?;
        if !opening.read(&mut answers, fence)? {
            return tx.cancel().await;
        }
        let mut script = tx.script();
        put_receipted(&mut script, queue, to);
        undo_receipts(&mut script, queue, to.index);
        tx.finish(script).await?;
        Ok(())
    }

    pub(super) async fn try_forget(
        &self,
        fence: &Fence,
        destination: &ServerName,
        lane: Lane,
        floor: Mark,
    ) -> Result<(), Failure> {
        let queue = self.queue(destination, lane).await?;
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let opening = Opening::add(&mut script, fence, queue.destination);
        let mut answers = tx.run(script).await?;
        if !opening.read(&mut answers, fence)? {
            return tx.cancel().await;
        }
        let mut script = tx.script();
        for statement in [&RELEASE, &FORGET, &FORGET_RECEIPTS] {
            script.one(statement, |args| {
                args.integer(queue.destination).integer(queue.lane).number(floor.index);
            });
        }
        script.one(&FLOOR, |args| {
            args.number(floor.index)
                .bytes(&floor.hash.0)
                .integer(queue.destination)
                .integer(queue.lane);
        });
        tx.finish(script).await?;
        Ok(())
    }
}

/// The read of a stream's state and marks.
struct Marks {
    state: Slot,
    lanes: Slot,
}

impl Marks {
    fn add(script: &mut Script, destination: i64) -> Self {
        let state = script.one(&STATE, |args| {
            args.integer(destination);
        });
        let lanes = script.one(&LANES, |args| {
            args.integer(destination);
        });
        Self { state, lanes }
    }

    fn read(self, answers: &mut Answers) -> Result<Option<OutboxStream>, Failure> {
        let rows = answers.take(self.state);
        let Some(row) = rows.first() else { return Ok(None) };
        let state = Bytes::copy_from_slice(row.fields("outbox_streams").bytes("state")?);
        let mut stream = OutboxStream { state, lanes: PerLane::default() };
        for row in answers.take(self.lanes) {
            let (lane, marks) = read_lane(&row)?;
            *stream.lanes.of_mut(lane) = marks;
        }
        Ok(Some(stream))
    }
}

fn put_stream(
    script: &mut Script,
    put_state: &'static Statement,
    destination: i64,
    stream: &OutboxStream,
) {
    script.one(&LOCK_HEADS, |args| {
        args.integer(destination);
    });
    script.one(put_state, |args| {
        args.integer(destination).bytes(&stream.state);
    });
    let lanes: Vec<(Lane, &OutboxLane)> = stream.lanes.iter().collect();
    script.rows(&PUT_LANES, &lanes, |args, (lane, marks)| {
        args.integer(destination)
            .integer(columns::lane_code(*lane))
            .number(marks.floor.index)
            .bytes(&marks.floor.hash.0)
            .number(marks.receipted.index)
            .bytes(&marks.receipted.hash.0)
            .number(marks.offered);
    });
}

/// What lies above `through` is no longer receipted: its grace begins anew.
fn undo_receipts(script: &mut Script, queue: Queue, through: u64) {
    script.one(&UNDO_RECEIPTS, |args| {
        args.integer(queue.destination).integer(queue.lane).number(through);
    });
}

/// The receipted mark moves.
pub(super) fn put_receipted(script: &mut Script, queue: Queue, to: Mark) {
    script.one(&RECEIPTED, |args| {
        args.number(to.index).bytes(&to.hash.0).integer(queue.destination).integer(queue.lane);
    });
}

fn read_lane(row: &Row) -> Result<(Lane, OutboxLane), Failure> {
    let mut fields = row.fields("outbox_lanes");
    let code = fields.integer("lane")?;
    let lane = columns::lane(code).ok_or_else(|| fields.corrupt("lane", "no lane"))?;
    let marks = OutboxLane {
        floor: Mark {
            index: fields.number("floor")?,
            hash: RunningHash(fields.array("floor_hash")?),
        },
        receipted: Mark {
            index: fields.number("receipted")?,
            hash: RunningHash(fields.array("receipted_hash")?),
        },
        offered: fields.number("offered")?,
    };
    Ok((lane, marks))
}
