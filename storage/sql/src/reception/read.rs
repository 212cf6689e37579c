//! What a reception has to know before it can decide.

use foldhash::HashMap;
use posthouse_protocol::{
    federation::receipt::RejectionReason,
    id::{ConversationId, MessageId},
};
use posthouse_storage::{
    error::StoreError,
    receipts::WatermarkRise,
    reception::{ReceivedWatermark, Reception},
};
use uuid::Uuid;

use super::standing;
use crate::{
    commit::{
        load,
        plan::{Earlier, Known},
        read::{self, Refs},
    },
    db::{Row, Script, Slot, Tx},
    failure::Failure,
    fanouts::Deferral,
    receipts::Key,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    LOCK_INBOUND = Statement::new(
        "SELECT standing, since FROM inbound_streams WHERE origin = ? /*pg:FOR UPDATE*/",
    );
    REJECTED = Statement::rows(
        "bbi",
        "WITH v(id, sender, origin) AS ({rows})
        SELECT r.id, r.sender, r.reason FROM v CROSS JOIN rejected_events r
        WHERE r.id = v.id AND r.sender = v.sender AND r.origin = v.origin",
    );
    /// The numbers that this region has given in conversations. They only rise, so that no lock is
    /// needed.
    LAST_NUMBERS = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT c.id, c.last_number FROM v CROSS JOIN conversations c WHERE c.id = v.id",
    );
}

/// What the database knows of what an envelope names.
pub(super) struct Found {
    pub(super) known: Known,
    /// Events that were rejected before.
    pub(super) rejected: Earlier,
    pub(super) refs: Refs,
    /// Rows of the named watermarks.
    pub(super) watermarks: Vec<Row>,
    pub(super) last_numbers: HashMap<ConversationId, u64>,
    /// Whether the stream's row exists.
    pub(super) is_stored: bool,
}

/// Reads and locks what the envelope names; `None` if the stream is not as expected. `keys` are those
/// of its watermarks. The inboxes are those of `deferral`, which it completes.
///
/// The stream's lock comes first: receptions from one origin follow each other, so that nobody else
/// takes or rejects an event of it meanwhile.
pub(super) async fn find(
    store: &SqlStore,
    tx: &mut Tx<'_>,
    origin: i64,
    reception: &Reception<'_>,
    keys: &[Key],
    deferral: &mut Deferral,
) -> Result<Option<Found>, Failure> {
    let Reception { messages, rejected, watermarks, .. } = *reception;
    let mut script = tx.script();
    let stream = script.one(&LOCK_INBOUND, |args| {
        args.integer(origin);
    });
    let events: Vec<(Uuid, Uuid)> = messages
        .iter()
        .map(|one| (one.message.id.0, one.message.sender.uuid))
        .chain(rejected.iter().map(|one| (one.id, one.sender.unwrap_or_default())))
        .collect();
    let named = read::Named {
        conversations: messages.iter().map(|one| one.message.conversation).collect(),
        ids: events.iter().map(|(id, sender)| (MessageId(*id), *sender, origin)).collect(),
        inboxes: deferral.unknown(),
        written: deferral.written.clone(),
        fresh: deferral.fresh.clone(),
        watermarks: keys.to_vec(),
        new: messages.len(),
    };
    let asked = read::ask(&mut script, store, named);
    let reported = watermarks.iter().map(event_of);
    let events: Vec<(Uuid, Uuid)> = events.into_iter().chain(reported).collect();
    let earlier = ask_rejected(&mut script, origin, &events);
    let conversations = watermarks.iter().map(|one| one.rise.watermark.conversation);
    let numbers =
        script.rows(&LAST_NUMBERS, &read::distinct(conversations), |args, conversation| {
            args.bytes(&conversation.0);
        });

    let mut answers = tx.run(script).await?;
    let stored = answers.take(stream).first().map(standing::read).transpose()?;
    let is_stored = stored.is_some();
    if stored.unwrap_or_default() != *reception.expected {
        return Ok(None);
    }
    let mut last_numbers = HashMap::default();
    for row in answers.take(numbers) {
        let mut fields = row.fields("conversations");
        last_numbers.insert(ConversationId(fields.array("id")?), fields.number("last_number")?);
    }
    let mut rejected = Earlier::default();
    for row in answers.take(earlier) {
        let (event, reason) = read_rejected(&row)?;
        rejected.insert(event, reason);
    }
    let watermarks = answers.take(asked.watermarks.clone());
    let (mut known, refs) = asked.read(&mut answers)?;
    deferral.complete(store.db().fanouts(), &mut known);
    load::relieve(tx, &mut known).await?;
    Ok(Some(Found { known, rejected, refs, watermarks, last_numbers, is_stored }))
}

/// What names a watermark's event, as (id, sender).
pub(super) fn event_of(one: &ReceivedWatermark) -> (Uuid, Uuid) {
    (one.id, one.rise.watermark.reader.uuid)
}

/// The rise over numbers that this region has given, and no higher; `None` if that is nothing.
pub(super) fn within(
    rise: &WatermarkRise,
    last_numbers: &HashMap<ConversationId, u64>,
) -> Option<WatermarkRise> {
    let last = last_numbers.get(&rise.watermark.conversation).copied().unwrap_or_default();
    let mut rise = rise.clone();
    // Exceptions above the new end are dropped where the coverage is made.
    rise.watermark.through = rise.watermark.through.min(last);
    (rise.watermark.through > 0).then_some(rise)
}

/// Asks for those of the events (id, sender) that were rejected.
pub(super) fn ask_rejected(script: &mut Script, origin: i64, events: &[(Uuid, Uuid)]) -> Slot {
    script.rows(&REJECTED, events, |args, (id, sender)| {
        args.uuid(*id).uuid(*sender).integer(origin);
    })
}

pub(super) fn read_rejected(row: &Row) -> Result<((Uuid, Uuid), RejectionReason), StoreError> {
    let mut fields = row.fields("rejected_events");
    let event = (fields.uuid("id")?, fields.uuid("sender")?);
    let reason = fields.integer("reason")?;
    let reason = fields.parse("reason", reason, u8::try_from)?;
    Ok((event, RejectionReason::from_number(reason)))
}
