//! What a commit has to know before it can decide.

use std::hash::Hash;

use posthouse_protocol::{
    id::{ConversationId, DeviceId, MessageId, ServerName},
    time::Stamp,
};
use posthouse_storage::{
    ledger::{Accept, Accepted},
    outbox::lane_of,
};

use uuid::Uuid;

use super::{
    load::{self, Load},
    plan::{Conversation, Head, Known, Queue},
};
use crate::{
    columns,
    db::{Answers, Row, Script, Slot, Tx},
    failure::Failure,
    fanouts::Deferral,
    receipts::{Key, State},
    statement::{Dialect, Statement, statements},
    store::SqlStore,
};

statements! {
    LOCK_CONVERSATIONS = Statement::rows(
        "b",
        "WITH v(id) AS ({rows})
        SELECT c.id, c.highest_stamp, c.last_number, c.spoken
        FROM v CROSS JOIN conversations c WHERE c.id = v.id
        /*pg:ORDER BY c.id FOR UPDATE OF c*/",
    );
    KNOWN_IDS = Statement::rows(
        "bbi",
        "WITH v(id, sender, server) AS ({rows})
        SELECT m.id, m.sender, m.part, m.conversation, m.stamp, m.origin_number, m.accepted_at
        FROM v CROSS JOIN messages m
        WHERE m.id = v.id AND m.sender = v.sender AND m.server = v.server",
    );
    MARKS = Statement::rows(
        "bb",
        "WITH v(device, conversation) AS ({rows})
        SELECT d.device, d.conversation, d.last_message
        FROM v CROSS JOIN device_marks d
        WHERE d.device = v.device AND d.conversation = v.conversation",
    );
    LOCK_INBOXES = Statement::rows(
        "b",
        "WITH v(account) AS ({rows})
        SELECT i.account, i.head, i.entries, i.bytes FROM v CROSS JOIN inboxes i WHERE i.account = v.account
        /*pg:ORDER BY i.account FOR UPDATE OF i*/",
    );
    /// Those of the accounts that are not erased: what is late makes an inbox again where one was.
    ACCOUNTS = Statement::rows(
        "b",
        "WITH v(id) AS ({rows}) SELECT a.id FROM v CROSS JOIN accounts a WHERE a.id = v.id",
    );
    LOCK_OUTBOXES = Statement::rows(
        "ii",
        "WITH v(destination, lane) AS ({rows})
        SELECT o.destination, o.lane, o.head FROM v CROSS JOIN outbox_heads o
        WHERE o.destination = v.destination AND o.lane = v.lane
        /*pg:ORDER BY o.destination, o.lane FOR UPDATE OF o*/",
    );
    /// Where the numbers of new messages start. SQLite has one writer, which counts on from the
    /// highest; PostgreSQL gives out blocks, see its migration.
    NEXT_REFS = Statement::of_each(
        "SELECT COALESCE((SELECT ref FROM messages ORDER BY ref DESC LIMIT 1), 0) + 1 WHERE ? > 0",
        "SELECT nextval('message_refs') FROM generate_series(1, ?)",
    );
}

/// Numbers for new messages.
pub(crate) struct Refs {
    starts: Vec<i64>,
    block: usize,
}

/// How many numbers a value of PostgreSQL's sequence stands for.
const REF_BLOCK: usize = 256;

impl Refs {
    /// The number of the `index`th new message.
    pub(crate) fn get(&self, index: usize) -> i64 {
        let start = self.starts.get(index / self.block).copied().unwrap_or_default();
        start.saturating_add_unsigned((index % self.block) as u64)
    }
}

/// What is looked up in the same way for commits and receptions.
pub(crate) struct Named {
    pub(crate) conversations: Vec<ConversationId>,
    /// Message, sender, the number of the sender's region.
    pub(crate) ids: Vec<(MessageId, Uuid, i64)>,
    pub(crate) inboxes: Vec<Uuid>,
    /// Those of them that get rows.
    pub(crate) written: Vec<Uuid>,
    /// Those of which it must be known whether there is an account.
    pub(crate) fresh: Vec<Uuid>,
    /// Watermarks, which are locked after the conversations and before the inboxes.
    pub(crate) watermarks: Vec<Key>,
    /// Messages that may be new.
    pub(crate) new: usize,
}

/// Where the answers are.
pub(crate) struct Asked {
    conversations: Slot,
    ids: Slot,
    pub(crate) watermarks: Slot,
    inboxes: Slot,
    accounts: Slot,
    refs: Slot,
    block: usize,
}

/// Adds the questions for `named`, on PostgreSQL with locks.
pub(crate) fn ask(script: &mut Script, store: &SqlStore, named: Named) -> Asked {
    let block = if store.db().dialect() == Dialect::Postgres { REF_BLOCK } else { usize::MAX };
    let conversations = distinct(named.conversations.into_iter());
    let conversations = script.rows(&LOCK_CONVERSATIONS, &conversations, |args, id| {
        args.bytes(&id.0);
    });
    // Only after the lock: what another process accepts in these conversations is visible now.
    let ids = script.rows(&KNOWN_IDS, &named.ids, |args, (id, sender, server)| {
        args.uuid(id.0).uuid(*sender).integer(*server);
    });
    let watermarks = State::ask(script, &distinct(named.watermarks.into_iter()));
    script.settle(&named.written);
    let inboxes = distinct(named.inboxes.into_iter());
    let inboxes = script.rows(&LOCK_INBOXES, &inboxes, |args, account| {
        args.uuid(*account);
    });
    let accounts = script.rows(&ACCOUNTS, &named.fresh, |args, account| {
        args.uuid(*account);
    });
    let refs = script.one(&NEXT_REFS, |args| {
        args.limit(named.new.div_ceil(block));
    });
    Asked { conversations, ids, watermarks, inboxes, accounts, refs, block }
}

impl Asked {
    /// Reads the answers, but for the watermarks'.
    pub(crate) fn read(self, answers: &mut Answers) -> Result<(Known, Refs), Failure> {
        let mut known = Known::default();
        read_conversations(&mut known, &answers.take(self.conversations))?;
        read_ids(&mut known, &answers.take(self.ids))?;
        for row in answers.take(self.inboxes) {
            let mut fields = row.fields("inboxes");
            let account = fields.uuid("account")?;
            known.inboxes.insert(account, Head { last: fields.number("head")?, stored: true });
            let load = Load { entries: fields.number("entries")?, bytes: fields.number("bytes")? };
            known.loads.insert(account, load);
        }
        for row in answers.take(self.accounts) {
            known.accounts.insert(row.fields("accounts").uuid("id")?);
        }
        let mut starts = Vec::new();
        for row in answers.take(self.refs) {
            starts.push(row.fields("messages").integer("ref")?);
        }
        Ok((known, Refs { starts, block: self.block }))
    }
}

/// Reads and locks everything that `batch` names. The inboxes are those of `deferral`, which it
/// completes.
pub(crate) async fn known(
    store: &SqlStore,
    tx: &mut Tx<'_>,
    batch: &[Accept],
    deferral: &mut Deferral,
) -> Result<(Known, Refs), Failure> {
    let outboxes = outboxes(store, batch);
    let mut script = tx.script();
    let server =
        |accept: &Accept| store.inner.servers.id(&accept.sender.server).unwrap_or_default();
    let asked = ask(
        &mut script,
        store,
        Named {
            conversations: batch.iter().map(|accept| accept.conversation).collect(),
            ids: batch.iter().map(|one| (one.id, one.sender.uuid, server(one))).collect(),
            inboxes: deferral.unknown(),
            written: deferral.written.clone(),
            fresh: deferral.fresh.clone(),
            watermarks: Vec::new(),
            new: batch.len(),
        },
    );
    let marks = batch.iter().filter(|accept| accept.prev.is_some());
    let marks = distinct(marks.map(|accept| (accept.device, accept.conversation)));
    let marks = script.rows(&MARKS, &marks, |args, (device, conversation)| {
        args.uuid(device.0).bytes(&conversation.0);
    });
    let heads = script.rows(&LOCK_OUTBOXES, &outboxes, |args, (id, lane, _)| {
        args.integer(*id).integer(*lane);
    });

    let mut answers = tx.run(script).await?;
    let (mut known, refs) = asked.read(&mut answers)?;
    deferral.complete(store.db().fanouts(), &mut known);
    load::relieve(tx, &mut known).await?;
    read_marks(&mut known, &answers.take(marks))?;
    for row in answers.take(heads) {
        let mut fields = row.fields("outbox_heads");
        let id = fields.integer("destination")?;
        let lane = fields.integer("lane")?;
        let head = Head { last: fields.number("head")?, stored: true };
        let key = (id, lane);
        if let Ok(at) = outboxes.binary_search_by_key(&key, |(id, lane, _)| (*id, *lane))
            && let Some((.., queue)) = outboxes.get(at)
        {
            known.outboxes.insert(queue.clone(), head);
        }
    }
    Ok((known, refs))
}

/// The queues to other regions with their numbers, sorted by those.
fn outboxes(store: &SqlStore, batch: &[Accept]) -> Vec<(i64, i64, Queue)> {
    let queue = |accept: &Accept, name: &ServerName| {
        let lane = lane_of(accept.class);
        let id = store.inner.servers.id(name).unwrap_or_default();
        (id, columns::lane_code(lane), (name.clone(), lane))
    };
    distinct(
        batch
            .iter()
            .flat_map(|accept| accept.destinations.iter().map(move |to| queue(accept, &to.server))),
    )
}

/// Sorted, each once.
pub(crate) fn distinct<T: Ord + Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

fn read_conversations(known: &mut Known, rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        let mut fields = row.fields("conversations");
        let id = ConversationId(fields.array("id")?);
        let state = Conversation {
            highest: Some(Stamp(fields.number("highest_stamp")?)),
            last_number: fields.number("last_number")?,
            spoken: {
                let spoken = fields.integer("spoken")?;
                fields.parse("spoken", spoken, u8::try_from)?
            },
            stored: true,
        };
        known.conversations.insert(id, state);
    }
    Ok(())
}

fn read_ids(known: &mut Known, rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        let mut fields = row.fields("messages");
        let id = MessageId(fields.uuid("id")?);
        let sender = fields.uuid("sender")?;
        let part = fields.integer("part")?;
        let part = fields.parse("part", part, u8::try_from)?;
        let accepted = Accepted {
            conversation: ConversationId(fields.array("conversation")?),
            stamp: Stamp(fields.number("stamp")?),
            origin_number: fields.number("origin_number")?,
            at: fields.time("accepted_at")?,
            arrivals: Vec::new(),
        };
        known.parts.entry((id, sender)).or_default().insert(part);
        known.accepted.insert((id, sender), accepted);
    }
    Ok(())
}

fn read_marks(known: &mut Known, rows: &[Row]) -> Result<(), Failure> {
    for row in rows {
        let mut fields = row.fields("device_marks");
        let key: (DeviceId, ConversationId) =
            (DeviceId(fields.uuid("device")?), ConversationId(fields.array("conversation")?));
        known.marks.insert(key, MessageId(fields.uuid("last_message")?));
    }
    Ok(())
}
