//! Which other regions are told that an account is gone: those of everybody whom it knew, wrote to or
//! was asked by. What it kept of them is the list of what is to be told, and is deleted in the same
//! transaction that puts the notice into the region's queue: a process that dies in between has done
//! neither.

use std::collections::BTreeSet;

use posthouse_protocol::{
    federation::{stream::Lane, version},
    id::{AccountId, GroupId, ServerName},
    time::Timestamp,
};
use posthouse_storage::erasure::TELL_MS;
use uuid::Uuid;

use crate::{
    columns::{self, OUTBOX_GONE},
    commit::{plan::Head, read::LOCK_OUTBOXES, write},
    db::{Script, Tx},
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
    wakes,
};

statements! {
    RELATIONS = Statement::new(
        "SELECT other FROM relations WHERE account = ? ORDER BY other LIMIT 0 + ?",
    );
    LISTS = Statement::new(
        "SELECT conversation, other FROM conversation_lists
        WHERE account = ? ORDER BY conversation LIMIT 0 + ?",
    );
    KNOWN = Statement::new(
        "SELECT other, server FROM acquaintances
        WHERE account = ? ORDER BY server, other LIMIT 0 + ?",
    );
    DELETE_RELATIONS = Statement::rows(
        "bt",
        "DELETE FROM relations WHERE (account, other) IN ({rows})",
    );
    DELETE_LISTS = Statement::rows(
        "bb",
        "DELETE FROM conversation_lists WHERE (account, conversation) IN ({rows})",
    );
    DELETE_KNOWN = Statement::rows(
        "bib",
        "DELETE FROM acquaintances WHERE (other, server, account) IN ({rows})",
    );
    /// Regions in whose queues the notice is already.
    TOLD = Statement::new("SELECT destination FROM outbox WHERE sender = ? AND state = 3");
    NOTICES = Statement::rows(
        "iiiibbbiii",
        "INSERT INTO outbox (destination, lane, idx, state, id, sender, recipients,
            payload_version, size, expires)
        {new}",
    );
}

/// Bytes that the notice takes at most, as loads count them.
const SIZE: i64 = 64;

/// What the account kept of others: a piece of it.
#[derive(Default)]
struct Kept {
    relations: Vec<String>,
    lists: Vec<[u8; 16]>,
    known: Vec<(Uuid, i64)>,
    regions: BTreeSet<i64>,
}

impl SqlStore {
    /// Deletes a piece of what the account kept of others, and queues the notice for their regions.
    /// `None` if nothing was left; else the regions whose queues have grown.
    pub(super) async fn tell_regions(
        &self,
        account: &AccountId,
        limit: usize,
        now: Timestamp,
    ) -> Result<Option<Vec<ServerName>>, Failure> {
        let kept = self.kept(account, limit).await?;
        if kept.relations.is_empty() && kept.lists.is_empty() && kept.known.is_empty() {
            return Ok(None);
        }
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        kept.delete(&mut script, account.uuid);
        let told = script.one(&TOLD, |args| {
            args.uuid(account.uuid);
        });
        let told = tx.run(script).await?.take(told);
        let told = told.iter().map(|row| row.fields("outbox").integer("destination"));
        let told: BTreeSet<i64> = told.collect::<Result<_, _>>()?;
        let untold: Vec<i64> = kept.regions.difference(&told).copied().collect();
        let mut names = Vec::new();
        for region in &untold {
            // They were read before the transaction.
            names.extend(self.inner.servers.known_name(*region));
        }
        self.queue_notices(tx, account.uuid, (&untold, &names), now).await?;
        Ok(Some(names))
    }

    async fn queue_notices(
        &self,
        mut tx: Tx<'_>,
        account: Uuid,
        (regions, names): (&[i64], &[ServerName]),
        now: Timestamp,
    ) -> Result<(), Failure> {
        // Behind the account's messages, which would make it known again.
        let lane = columns::lane_code(Lane::Messages);
        let mut script = tx.script();
        let heads = script.rows(&LOCK_OUTBOXES, regions, |args, region| {
            args.integer(*region).integer(lane);
        });
        let rows = tx.run(script).await?.take(heads);
        let mut heads: Vec<(i64, i64, Head)> =
            regions.iter().map(|region| (*region, lane, Head::default())).collect();
        for row in rows {
            let mut fields = row.fields("outbox_heads");
            let region = fields.integer("destination")?;
            fields.integer("lane")?;
            let last = fields.number("head")?;
            for (.., head) in heads.iter_mut().filter(|(one, ..)| *one == region) {
                *head = Head { last, stored: true };
            }
        }
        for (.., head) in &mut heads {
            head.last += 1;
        }
        let mut script = tx.script();
        script.rows(&NOTICES, &heads, |args, (region, lane, head)| {
            args.integer(*region)
                .integer(*lane)
                .number(head.last)
                .integer(OUTBOX_GONE)
                // One notice for each account: the same id whenever it is made.
                .uuid(account)
                .uuid(account)
                .bytes(&[])
                .integer(i64::from(version::PAYLOAD))
                .integer(SIZE)
                .number(now.plus_millis(TELL_MS).0);
        });
        write::put_outboxes(self, &mut script, &heads);
        wakes::tell_outboxes(self, &mut script, names.iter());
        tx.finish(script).await?;
        Ok(())
    }

    /// Reads a piece, and the numbers of other regions in it, which have names in memory then.
    async fn kept(&self, account: &AccountId, limit: usize) -> Result<Kept, Failure> {
        let mut script = Script::new(self.db().dialect());
        let [relations, lists, known] = [&RELATIONS, &LISTS, &KNOWN].map(|statement| {
            script.one(statement, |args| {
                args.uuid(account.uuid).limit(limit);
            })
        });
        let mut answers = self.db().read(script).await?;
        let (mut kept, mut names) = (Kept::default(), BTreeSet::new());
        for row in answers.take(relations) {
            let other = row.fields("relations").text("other")?.to_owned();
            names.extend(region_of(&other));
            kept.relations.push(other);
        }
        for row in answers.take(lists) {
            let mut fields = row.fields("conversation_lists");
            kept.lists.push(fields.array("conversation")?);
            names.extend(region_of(fields.text("other")?));
        }
        for row in answers.take(known) {
            let mut fields = row.fields("acquaintances");
            let (other, server) = (fields.uuid("other")?, fields.integer("server")?);
            names.insert(self.inner.servers.name(self.db(), server).await?);
            kept.known.push((other, server));
        }
        names.remove(&account.server);
        for name in &names {
            kept.regions.insert(self.inner.servers.number(self.db(), name).await?);
        }
        Ok(kept)
    }
}

impl Kept {
    fn delete(&self, script: &mut Script, account: Uuid) {
        script.rows(&DELETE_RELATIONS, &self.relations, |args, other| {
            args.uuid(account).text(other);
        });
        script.rows(&DELETE_LISTS, &self.lists, |args, conversation| {
            args.uuid(account).bytes(conversation);
        });
        script.rows(&DELETE_KNOWN, &self.known, |args, (other, server)| {
            args.uuid(*other).integer(*server).uuid(account);
        });
    }
}

/// The region of a person; groups' members learn of it from their chain.
fn region_of(other: &str) -> Option<ServerName> {
    if GroupId::parse(other).is_ok() {
        return None;
    }
    AccountId::parse(other).ok().map(|one| one.server)
}
