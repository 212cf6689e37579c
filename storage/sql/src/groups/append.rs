//! Appending an epoch to a chain.

use posthouse_protocol::{id::ConversationId, rest::groups::Standing, time::Timestamp};
use posthouse_storage::{
    groups::{Appended, Becomes, Change, GroupNotice, Head, Step},
    ledger::Arrival,
};
use uuid::Uuid;

use super::{GONE, code, notices};
use crate::{
    db::{Script, Tx},
    entries::Slotted,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// The row of who joins is locked first, everywhere: who joins two groups at once is counted.
    LOCK_ACCOUNT = Statement::new(
        "SELECT 1 FROM accounts WHERE id = ? AND state < 2 /*pg:FOR UPDATE*/",
    );
    COUNT = Statement::new(
        "SELECT COUNT(*) FROM group_people
        WHERE local = ? AND standing IN (1, 2, 3) AND leaving = 0 AND group_id <> ?",
    );
    CREATE = Statement::new(
        "INSERT INTO group_heads (id, name, region, epoch, hash, title, deputies)
        VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    );
    MOVE = Statement::new(
        "UPDATE group_heads SET region = ?, epoch = ?, hash = ?, title = ?, deputies = ?
        WHERE id = ? AND epoch = ? AND hash = ?",
    );
    EPOCH = Statement::new(
        "INSERT INTO group_epochs (group_id, epoch, hash, document, at) VALUES (?, ?, ?, ?, ?)",
    );
    /// An account that is being deleted has no list of groups any more. Who has left ahead of the
    /// chain stays so until the chain lets them in once more.
    PUT = Statement::rows(
        "btbbiiii",
        "WITH v(group_id, account, local, identity, standing, since, hidden, at) AS ({rows})
        INSERT INTO group_people
            (group_id, account, local, identity, standing, since, hidden, at, floor)
        SELECT v.group_id, v.account, a.id, v.identity, v.standing, v.since, v.hidden, v.at,
            COALESCE(c.last_number, 0)
        FROM v LEFT JOIN accounts a ON a.id = v.local AND a.state < 2
        LEFT JOIN conversations c ON c.id = v.group_id
        WHERE v.group_id IS NOT NULL
        ON CONFLICT (group_id, account) DO UPDATE SET local = excluded.local,
            identity = excluded.identity, standing = excluded.standing, since = excluded.since,
            hidden = excluded.hidden, at = excluded.at,
            leaving = CASE WHEN excluded.standing < 4 AND group_people.since = excluded.since
                THEN group_people.leaving ELSE 0 END,
            floor = CASE WHEN group_people.standing IN (1, 2, 3)
                THEN group_people.floor ELSE excluded.floor END",
    );
    /// What nobody may know that it was there, leaves nothing.
    REMOVE = Statement::rows(
        "bt",
        "DELETE FROM group_people WHERE (group_id, account) IN ({rows})",
    );
    /// Not of an account that is being deleted, or that has left ahead of the chain.
    LIST = Statement::rows(
        "bbt",
        "WITH v(account, conversation, other) AS ({rows})
        INSERT INTO conversation_lists (account, conversation, other)
        SELECT v.account, v.conversation, v.other FROM v CROSS JOIN accounts a
        WHERE a.id = v.account AND a.state < 2 AND NOT EXISTS (
            SELECT 1 FROM group_people p WHERE p.group_id = v.conversation
                AND p.local = v.account AND p.standing < 4 AND p.leaving <> 0)
        ON CONFLICT (account, conversation) DO NOTHING",
    );
    ANNOUNCE = Statement::rows(
        "tbii",
        "INSERT INTO group_tells (region, group_id, epoch, since) {new}
        ON CONFLICT (region, group_id) DO UPDATE SET epoch = excluded.epoch, refused = 0",
    );
    UNLIST = Statement::rows(
        "bb",
        "DELETE FROM conversation_lists WHERE (account, conversation) IN ({rows})",
    );
    /// Who has joined, or is gone, asks no longer.
    DROP_ASKS = Statement::rows("bt", "DELETE FROM group_asks WHERE (group_id, account) IN ({rows})");
}

/// A row of `group_people`.
struct Row {
    account: String,
    local: Option<Uuid>,
    identity: Option<Vec<u8>>,
    standing: i64,
    since: u64,
    hidden: bool,
}

impl Row {
    fn of(change: &Change, step: &Step) -> Option<Self> {
        let account = change.account.to_string();
        let local = change.is_local.then_some(change.account.uuid);
        Some(match &change.becomes {
            Becomes::Known { identity, standing, since, is_hidden } => Self {
                account,
                local,
                identity: Some(identity.to_vec()),
                standing: code(*standing),
                since: *since,
                hidden: *is_hidden,
            },
            Becomes::Gone { may_read: true } if local.is_some() => Self {
                account,
                local,
                identity: None,
                standing: GONE,
                since: step.head.epoch,
                hidden: false,
            },
            Becomes::Gone { .. } => return None,
        })
    }
}

impl SqlStore {
    pub(super) async fn try_append(&self, step: &Step) -> Result<Appended, Failure> {
        let id = ConversationId::group(&step.group);
        let mut tx = self.db().begin().await?;
        if let Some((account, most)) = step.joins
            && !has_room(&mut tx, (account, id), most).await?
        {
            tx.cancel().await?;
            return Ok(Appended::TooMany);
        }
        let mut script = tx.script();
        let moved = match &step.before {
            None => script.one(&CREATE, |args| {
                args.bytes(&id.0)
                    .text(&step.group.to_string())
                    .text(step.region.as_str())
                    .number(step.head.epoch)
                    .bytes(&step.head.hash)
                    .bytes(&step.title)
                    .text(&super::joined(&step.deputies));
            }),
            Some(before) => script.one(&MOVE, |args| {
                args.text(step.region.as_str())
                    .number(step.head.epoch)
                    .bytes(&step.head.hash)
                    .bytes(&step.title)
                    .text(&super::joined(&step.deputies))
                    .bytes(&id.0)
                    .number(before.epoch)
                    .bytes(&before.hash);
            }),
        };
        if tx.run(script).await?.changed(&moved) == 0 {
            let version = super::version(
                &tx.rows(&super::VERSION, |args| {
                    args.bytes(&id.0);
                })
                .await?,
            )?;
            tx.cancel().await?;
            return Ok(Appended::Moved(version.map(|version| version.head)));
        }
        let mut script = tx.script();
        write(&mut script, id, step);
        tx.run(script).await?;
        self.finish_telling_groups(tx, step).await.map(Appended::Done)
    }

    async fn finish_telling_groups(
        &self,
        tx: Tx<'_>,
        step: &Step,
    ) -> Result<Vec<Arrival>, Failure> {
        let entry = |(account, event): &(Uuid, _)| {
            let notice = GroupNotice { event: *event, group: step.group.clone(), head: step.head };
            let (slot, data) = notices::written(&notice);
            Slotted { account: *account, slot, data }
        };
        let entries: Vec<Slotted> = step.tell.iter().map(entry).collect();
        self.finish_slotted(tx, &entries, step.now).await
    }
}

/// Whether the account may be a member of one more group.
async fn has_room(
    tx: &mut Tx<'_>,
    (account, group): (Uuid, ConversationId),
    most: usize,
) -> Result<bool, Failure> {
    let mut script = tx.script();
    script.one(&LOCK_ACCOUNT, |args| {
        args.uuid(account);
    });
    let count = script.one(&COUNT, |args| {
        args.uuid(account).bytes(&group.0);
    });
    let rows = tx.run(script).await?.take(count);
    let count = rows.first().map(|row| row.fields("group_people").number("count")).transpose()?;
    Ok(count.unwrap_or_default() < most as u64)
}

/// Adds the epoch, and what it changes.
fn write(script: &mut Script, id: ConversationId, step: &Step) {
    let Head { epoch, hash } = step.head;
    let at: Timestamp = step.now;
    script.one(&EPOCH, |args| {
        args.bytes(&id.0).number(epoch).bytes(&hash).bytes(&step.document).number(at.0);
    });
    let rows: Vec<Row> = step.changes.iter().filter_map(|change| Row::of(change, step)).collect();
    script.rows(&PUT, &rows, |args, row| {
        args.bytes(&id.0)
            .text(&row.account)
            .maybe_bytes(row.local.as_ref().map(|local| &local.as_bytes()[..]))
            .maybe_bytes(row.identity.as_deref())
            .integer(row.standing)
            .number(row.since)
            .integer(row.hidden.into())
            .number(at.0);
    });
    put_lists(script, id, step);
    script.rows(&ANNOUNCE, &step.announce, |args, region| {
        args.text(region.as_str()).bytes(&id.0).number(epoch).number(epoch);
    });
    let is_gone = |change: &&Change| match &change.becomes {
        Becomes::Gone { may_read } => !(*may_read && change.is_local),
        Becomes::Known { .. } => false,
    };
    let gone: Vec<String> =
        step.changes.iter().filter(is_gone).map(|change| change.account.to_string()).collect();
    script.rows(&REMOVE, &gone, |args, account| {
        args.bytes(&id.0).text(account);
    });
    let asks_no_more = |change: &&Change| {
        let invited = Standing::Invited;
        !matches!(&change.becomes, Becomes::Known { standing, .. } if *standing == invited)
    };
    let settled: Vec<String> =
        step.changes.iter().filter(asks_no_more).map(|change| change.account.to_string()).collect();
    script.rows(&DROP_ASKS, &settled, |args, account| {
        args.bytes(&id.0).text(account);
    });
}

/// A group is on its members' lists of conversations.
fn put_lists(script: &mut Script, id: ConversationId, step: &Step) {
    let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
    for change in step.changes.iter().filter(|change| change.is_local) {
        match &change.becomes {
            Becomes::Known { standing: Standing::Invited, .. } => {}
            Becomes::Known { .. } => {
                listed.push((change.account.uuid, id, step.group.to_string()));
            }
            Becomes::Gone { .. } => unlisted.push(change.account.uuid),
        }
    }
    script.rows(&LIST, &listed, |args, (account, id, group): &(Uuid, ConversationId, String)| {
        args.uuid(*account).bytes(&id.0).text(group);
    });
    script.rows(&UNLIST, &unlisted, |args, account| {
        args.uuid(*account).bytes(&id.0);
    });
}
