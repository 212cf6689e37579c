//! Writes what was decided, and commits.

use bytes::Bytes;
use foldhash::HashMap;
use posthouse_protocol::{
    federation::version,
    id::{AccountId, ConversationId, ServerName},
    limits,
};
use posthouse_storage::{
    bodies::BodyId,
    ledger::{Accept, Destination},
    outbox::lane_of,
};
use uuid::Uuid;

use super::{
    load::Load,
    plan::{Conversation, Head, NewEntry, NewIntent, NewMessage, Plan, Slot},
    read::Refs,
};
use crate::{
    bodies, columns, conversations,
    db::{Args, Script, Tx},
    failure::Failure,
    fanouts::{self, NewFanout},
    statement::{Dialect, Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    MESSAGES = Statement::rows(
        "ibbibitbiiitiiiiibii",
        "INSERT{whole} INTO messages (ref, id, sender, server, device, device_number, addressed_to,
            conversation, stamp, origin_number, class, collapse, expires, epoch,
            device_list_version, client_timestamp, accepted_at, body, pointers, part)
        {new}",
    );
    /// Entries about to be replaced no longer refer to their messages.
    RELEASE_SLOTS = Statement::rows(
        "bb",
        "WITH v(account, slot) AS ({rows})
        UPDATE messages SET pointers = pointers - gone.n
        FROM (
            SELECT i.message AS ref, COUNT(*) AS n FROM v CROSS JOIN inbox i
            WHERE i.account = v.account AND i.slot = v.slot AND i.slot IS NOT NULL
                AND i.message IS NOT NULL
            GROUP BY i.message
        ) AS gone
        WHERE messages.ref = gone.ref",
    );
    CLEAR_SLOTS = Statement::rows(
        "bb",
        "DELETE FROM inbox WHERE (account, arrival) IN (
            WITH v(account, slot) AS ({rows})
            SELECT i.account, i.arrival FROM v CROSS JOIN inbox i
            WHERE i.account = v.account AND i.slot = v.slot AND i.slot IS NOT NULL)",
    );
    ENTRIES = Statement::rows(
        "biibii",
        "INSERT{whole} INTO inbox (account, arrival, message, slot, arrived_at, size) {new}",
    );
    /// Messages about to be replaced no longer fill their inboxes.
    UNLOAD_SLOTS = Statement::rows(
        "bb",
        "WITH v(account, slot) AS ({rows})
        UPDATE inboxes SET
            entries = CASE WHEN entries > gone.n THEN entries - gone.n ELSE 0 END,
            bytes = CASE WHEN bytes > gone.b THEN bytes - gone.b ELSE 0 END
        FROM (
            SELECT i.account AS account, COUNT(*) AS n, CAST(SUM(i.size) AS BIGINT) AS b
            FROM v CROSS JOIN inboxes x CROSS JOIN inbox i
            WHERE x.account = v.account AND i.account = v.account
                AND i.slot = v.slot AND i.slot IS NOT NULL
                AND i.message IS NOT NULL AND i.arrival > x.counted AND i.size >= 0
            GROUP BY i.account
        ) AS gone
        WHERE inboxes.account = gone.account",
    );
    NEW_CONVERSATIONS = Statement::rows(
        "biii",
        "INSERT INTO conversations (id, highest_stamp, last_number, spoken) {new}",
    );
    CONVERSATIONS = Statement::rows(
        "biii",
        "INSERT INTO conversations (id, highest_stamp, last_number, spoken) {new}
        ON CONFLICT (id) DO UPDATE SET highest_stamp = excluded.highest_stamp,
            last_number = excluded.last_number, spoken = excluded.spoken",
    );
    MARKS = Statement::rows(
        "bbb",
        "INSERT INTO device_marks (device, conversation, last_message) {new}
        ON CONFLICT (device, conversation) DO UPDATE SET last_message = excluded.last_message",
    );
    NEW_INBOXES = Statement::rows(
        "biii",
        "INSERT INTO inboxes (account, head, entries, bytes) {new}",
    );
    INBOXES = Statement::rows(
        "biii",
        "INSERT INTO inboxes (account, head, entries, bytes) {new}
        ON CONFLICT (account) DO UPDATE SET head = excluded.head,
            entries = inboxes.entries + excluded.entries, bytes = inboxes.bytes + excluded.bytes",
    );
    INTENTS = Statement::rows(
        "iiiibbibiii",
        "INSERT{whole} INTO outbox (destination, lane, idx, state, id, sender, message, recipients,
            payload_version, size, expires)
        {new}",
    );
    ACQUAINTANCES = Statement::rows(
        "bib",
        "INSERT INTO acquaintances (other, server, account) {new}
        ON CONFLICT (other, server, account) DO NOTHING",
    );
    NEW_OUTBOXES = Statement::rows(
        "iii",
        "INSERT INTO outbox_heads (destination, lane, head) {new}",
    );
    OUTBOXES = Statement::rows(
        "iii",
        "INSERT INTO outbox_heads (destination, lane, head) {new}
        ON CONFLICT (destination, lane) DO UPDATE SET head = excluded.head",
    );
}

/// Writes `plan`, and what waits of it, and commits.
pub(super) async fn write(
    store: &SqlStore,
    mut tx: Tx<'_>,
    (plan, waiting): (&Plan, Vec<NewFanout>),
    batch: &[Accept],
    bodies: &HashMap<BodyId, &Bytes>,
    refs: &Refs,
) -> Result<(), Failure> {
    let mut script = tx.script();
    put_bodies(&mut script, plan, batch, bodies);
    put_messages(store, &mut script, plan, batch, refs);
    put_entries(&mut script, plan, batch, refs);
    fanouts::put(store.db().fanouts(), &mut script, waiting);
    put_states(store, &mut script, plan);
    put_intents(store, &mut script, plan, batch, (bodies, refs));
    conversations::put_listed(&mut script, &plan.listed);
    put_acquaintances(store, &mut script, plan, batch);
    wakes::tell_inboxes(store, &mut script, plan.inboxes.iter().map(|(account, _)| *account));
    wakes::tell_outboxes(store, &mut script, plan.outboxes.iter().map(|((name, _), _)| name));
    tx.finish(script).await?;
    Ok(())
}

fn submission<'a>(batch: &'a [Accept], message: &NewMessage) -> Option<&'a Accept> {
    batch.get(message.submission)
}

fn put_bodies(
    script: &mut Script,
    plan: &Plan,
    batch: &[Accept],
    bodies: &HashMap<BodyId, &Bytes>,
) {
    let accepted = plan.messages.iter().filter_map(|message| submission(batch, message));
    let named: Vec<(BodyId, &Bytes)> = accepted
        .filter_map(|accept| bodies.get(&accept.body).map(|body| (accept.body, *body)))
        .collect();
    bodies::put(script, &named);
}

fn put_messages(store: &SqlStore, script: &mut Script, plan: &Plan, batch: &[Accept], refs: &Refs) {
    let rows: Vec<(i64, &NewMessage, &Accept)> = plan
        .messages
        .iter()
        .enumerate()
        .filter_map(|(n, message)| Some((refs.get(n), message, submission(batch, message)?)))
        .collect();
    script.rows(&MESSAGES, &rows, |args, (number, message, accept)| {
        args.integer(*number)
            .uuid(accept.id.0)
            .uuid(accept.sender.uuid)
            .integer(server(store, &accept.sender.server))
            .uuid(accept.device.0)
            .integer(i64::from(accept.device_number.get()))
            .text(&accept.to)
            .bytes(&accept.conversation.0)
            .number(message.stamp.0)
            .number(message.origin_number)
            .integer(columns::class_code(accept.class))
            .maybe_text(accept.collapse.as_deref())
            .bits(accept.expires.map(|expires| expires.0))
            .bits(accept.epoch)
            .bits(accept.device_list_version)
            .bits(Some(accept.client_timestamp.0))
            .number(message.at.0)
            .bytes(&accept.body.0)
            .integer(message.pointers)
            .integer(i64::from(accept.part));
    });
}

fn put_entries(script: &mut Script, plan: &Plan, batch: &[Accept], refs: &Refs) {
    let accept = |entry: &NewEntry| {
        plan.messages.get(entry.message).and_then(|message| submission(batch, message))
    };
    let rows: Vec<(&NewEntry, u64, Option<Vec<u8>>)> = plan
        .entries
        .iter()
        .filter_map(|entry| {
            let accept = accept(entry)?;
            Some((entry, accept.now.0, entry.slot.as_ref().map(|one| slot(Origin::Own, one))))
        })
        .collect();
    put_rows(script, &rows, refs);
}

/// Puts entries, each with its time and slot, in place of those with the same slot.
pub(crate) fn put_rows(
    script: &mut Script,
    rows: &[(&NewEntry, u64, Option<Vec<u8>>)],
    refs: &Refs,
) {
    let slots: Vec<(Uuid, &[u8])> = rows
        .iter()
        .filter_map(|(entry, _, slot)| Some((entry.account, slot.as_deref()?)))
        .collect();
    script.rows(&UNLOAD_SLOTS, &slots, |args, (account, slot)| {
        args.uuid(*account).bytes(slot);
    });
    clear_slots(script, &slots);
    script.rows(&ENTRIES, rows, |args, (entry, now, slot)| {
        let size = if entry.is_discarded() { DISCARDED_SIZE } else { entry.size.cast_signed() };
        args.uuid(entry.account)
            .number(entry.cursor.0)
            .integer(refs.get(entry.message))
            .maybe_bytes(slot.as_deref())
            .number(*now)
            .integer(size);
    });
}

/// Removes the entries that are about to be replaced.
pub(crate) fn clear_slots(script: &mut Script, slots: &[(Uuid, &[u8])]) {
    let bind = |args: &mut Args, (account, slot): &(Uuid, &[u8])| {
        args.uuid(*account).bytes(slot);
    };
    script.rows(&RELEASE_SLOTS, slots, bind);
    script.rows(&CLEAR_SLOTS, slots, bind);
}

/// Where a sender belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// To this region.
    Own,
    /// To the region of this number.
    Region(i64),
}

/// A slot's bytes. Those of senders of other regions have their region's number before the sender.
/// The slots of watermarks and failures begin with other bytes.
pub(crate) fn slot(origin: Origin, slot: &Slot) -> Vec<u8> {
    let (sender, conversation, collapse) = match slot {
        Slot::Discarded(place) => return [&[SLOT_DISCARDED][..], &place.to_be_bytes()].concat(),
        Slot::Collapse(sender, conversation, collapse) => (sender, conversation, collapse),
    };
    let start = match origin {
        Origin::Own => vec![SLOT_MESSAGE],
        Origin::Region(server) => [&[SLOT_REMOTE][..], &server.to_be_bytes()].concat(),
    };
    [&start[..], sender.as_bytes(), &conversation.0, collapse.as_bytes()].concat()
}

/// The size of an entry that is kept from all devices: it is not counted.
const DISCARDED_SIZE: i64 = -1;
/// First byte of the slots of entries that are kept from all devices.
pub(crate) const SLOT_DISCARDED: u8 = b'd';
/// First byte of the slots of messages of this region's users.
const SLOT_MESSAGE: u8 = b'm';
/// First byte of the slots of messages from other regions.
const SLOT_REMOTE: u8 = b'r';

/// The new states of what was read. On SQLite one statement inserts or updates. On PostgreSQL a row
/// that did not exist could not be locked, so that it is inserted plainly: if another process was
/// quicker, that is a conflict, and the transaction begins again with what the other one wrote.
fn put_states(store: &SqlStore, script: &mut Script, plan: &Plan) {
    put_conversations(store, script, &plan.conversations);
    script.rows(&MARKS, &plan.marks, |args, ((device, conversation), message)| {
        args.uuid(device.0).bytes(&conversation.0).uuid(message.0);
    });
    put_loaded_inboxes(store, script, &plan.inboxes, &loads(&plan.entries));

    let outboxes: Vec<(i64, i64, Head)> = plan
        .outboxes
        .iter()
        .map(|((name, lane), head)| (server(store, name), columns::lane_code(*lane), *head))
        .collect();
    put_outboxes(store, script, &outboxes);
}

/// Raises the heads of queues to other regions: destination, lane, head.
pub(crate) fn put_outboxes(store: &SqlStore, script: &mut Script, heads: &[(i64, i64, Head)]) {
    let sqlite = store.db().dialect() == Dialect::Sqlite;
    let bind = |args: &mut Args, (destination, lane, head): &(i64, i64, Head)| {
        args.integer(*destination).integer(*lane).number(head.last);
    };
    let (known, new): (Vec<_>, Vec<_>) =
        heads.iter().copied().partition(|(.., head)| sqlite || head.stored);
    script.rows(&OUTBOXES, &known, bind);
    script.rows(&NEW_OUTBOXES, &new, bind);
}

/// The new states of conversations, which are sorted.
pub(crate) fn put_conversations(
    store: &SqlStore,
    script: &mut Script,
    states: &[(ConversationId, Conversation)],
) {
    let sqlite = store.db().dialect() == Dialect::Sqlite;
    let bind = |args: &mut Args, (id, state): &(ConversationId, Conversation)| {
        args.bytes(&id.0)
            .number(state.highest.unwrap_or_default().0)
            .number(state.last_number)
            .integer(i64::from(state.spoken));
    };
    let (known, new): (Vec<_>, Vec<_>) =
        states.iter().copied().partition(|(_, state)| sqlite || state.stored);
    script.rows(&CONVERSATIONS, &known, bind);
    script.rows(&NEW_CONVERSATIONS, &new, bind);
}

/// What entries add to each inbox.
pub(crate) fn loads(entries: &[NewEntry]) -> HashMap<Uuid, Load> {
    let mut loads: HashMap<Uuid, Load> = HashMap::default();
    for entry in entries.iter().filter(|entry| !entry.is_discarded()) {
        let load = loads.entry(entry.account).or_default();
        load.entries += 1;
        load.bytes += entry.size;
    }
    loads
}

/// Raises the heads of inboxes, which are sorted by account.
pub(crate) fn put_inboxes(store: &SqlStore, script: &mut Script, heads: &[(Uuid, Head)]) {
    put_loaded_inboxes(store, script, heads, &HashMap::default());
}

/// The same, and adds what has come into them.
pub(crate) fn put_loaded_inboxes(
    store: &SqlStore,
    script: &mut Script,
    heads: &[(Uuid, Head)],
    loads: &HashMap<Uuid, Load>,
) {
    let sqlite = store.db().dialect() == Dialect::Sqlite;
    let bind = |args: &mut Args, (account, head): &(Uuid, Head)| {
        let load = loads.get(account).copied().unwrap_or_default();
        args.uuid(*account).number(head.last).number(load.entries).number(load.bytes);
    };
    let (known, new): (Vec<_>, Vec<_>) =
        heads.iter().copied().partition(|(_, head)| sqlite || head.stored);
    script.rows(&INBOXES, &known, bind);
    script.rows(&NEW_INBOXES, &new, bind);
}

fn put_intents(
    store: &SqlStore,
    script: &mut Script,
    plan: &Plan,
    batch: &[Accept],
    (bodies, refs): (&HashMap<BodyId, &Bytes>, &Refs),
) {
    let rows: Vec<(&NewIntent, &Accept, &Destination)> = plan
        .intents
        .iter()
        .filter_map(|intent| {
            let accept = submission(batch, plan.messages.get(intent.message)?)?;
            Some((intent, accept, accept.destinations.get(intent.destination)?))
        })
        .collect();
    script.rows(&INTENTS, &rows, |args, (intent, accept, to)| {
        let recipients: Vec<u8> = to.recipients.iter().flat_map(Uuid::as_bytes).copied().collect();
        let size = bodies.get(&accept.body).map_or(0, |body| body.len());
        let expires =
            accept.expires.unwrap_or_else(|| accept.now.plus_millis(limits::RETENTION_MS));
        args.integer(server(store, &to.server))
            .integer(columns::lane_code(lane_of(accept.class)))
            .number(intent.index)
            .integer(columns::OUTBOX_QUEUED)
            .uuid(accept.id.0)
            .uuid(accept.sender.uuid)
            .integer(refs.get(intent.message))
            .bytes(&recipients)
            .integer(i64::from(version::PAYLOAD))
            .number(size as u64)
            .number(expires.0);
    });
}

/// Notes who has exchanged messages both ways: for the sender, and for a recipient of this region.
fn put_acquaintances(store: &SqlStore, script: &mut Script, plan: &Plan, batch: &[Accept]) {
    let mut rows: Vec<(Uuid, i64, Uuid)> = Vec::new();
    for accept in plan.acquainted.iter().filter_map(|at| batch.get(*at)) {
        let Ok(other) = AccountId::parse(&accept.to) else { continue };
        let sender = &accept.sender;
        rows.push((other.uuid, server(store, &other.server), sender.uuid));
        if other.server == sender.server {
            rows.push((sender.uuid, server(store, &sender.server), other.uuid));
        }
    }
    put_acquainted(script, &rows);
}

/// Rows of `acquaintances`: other, the other's region, account.
pub(crate) fn put_acquainted(script: &mut Script, rows: &[(Uuid, i64, Uuid)]) {
    script.rows(&ACQUAINTANCES, rows, |args, (other, server, account)| {
        args.uuid(*other).integer(*server).uuid(*account);
    });
}

/// The number of a region whose name was interned before the transaction began.
fn server(store: &SqlStore, name: &ServerName) -> i64 {
    store.inner.servers.id(name).unwrap_or_default()
}
