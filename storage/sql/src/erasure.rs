//! The port `Erasure`: an account is gone at once, and taken apart in small transactions.
//!
//! A step does the first of these things that there is something left of: whom it knew, whose regions
//! are told; inbox entries, marks and
//! names of devices, watermarks that it read, claims of keys, what others were told about its keys,
//! messages that nobody holds, the account itself with its keys. How
//! far the walk over the messages is stands in `erasures`, so that it goes on where it was.

pub(crate) mod people;
pub(crate) mod regions;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use posthouse_protocol::{
    id::{AccountId, HandleName},
    time::Timestamp,
};
use posthouse_storage::{
    bodies::BodyId,
    erasure::{Begun, Erased, Erasure, Next, SETTLE_MS},
    error::StoreError,
};
use uuid::Uuid;

use crate::{
    db::{Row, Script, Tx},
    factors,
    failure::{Failure, Tries},
    keys, retention, sessions,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    BEGIN = Statement::new(
        "UPDATE accounts SET state = 2, password_hash = '', identity_key = NULL, device_list = NULL
        WHERE id = ? AND state < 2 RETURNING handle",
    );
    REMEMBER = Statement::new(
        "INSERT INTO gone_accounts (id, at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
    );
    WRITE_DOWN = Statement::new(
        "INSERT INTO erasures (account, begun_at, walked) VALUES (?, ?, 0)
        ON CONFLICT (account) DO NOTHING",
    );
    GONE = Statement::new("SELECT at FROM gone_accounts WHERE id = ?");
    UNFINISHED = Statement::new(
        "SELECT account FROM erasures ORDER BY begun_at, account LIMIT 0 + ?",
    );
    PROGRESS = Statement::new("SELECT begun_at, walked FROM erasures WHERE account = ?");
    ENTRIES = Statement::new(
        "SELECT arrival, message FROM inbox WHERE account = ? ORDER BY arrival LIMIT 0 + ?",
    );
    DELETE_ENTRIES = Statement::new("DELETE FROM inbox WHERE account = ? AND arrival <= ?");
    /// Messages whose last pointer went just now: their bodies go with them.
    UNREFERENCED = Statement::rows(
        "i",
        "WITH v(ref) AS ({rows})
        UPDATE messages SET pointers = -1 FROM v
        WHERE messages.ref = v.ref AND messages.pointers = 0 RETURNING messages.body",
    );
    DELETE_BODIES = Statement::rows(
        "b",
        "DELETE FROM bodies WHERE id IN (WITH v(id) AS ({rows}) SELECT id FROM v)",
    );
    DELETE_MARKS = Statement::new(
        "DELETE FROM device_marks WHERE (device, conversation) IN (
            SELECT m.device, m.conversation FROM devices d CROSS JOIN device_marks m
            WHERE d.account = ? AND m.device = d.id LIMIT 0 + ?)",
    );
    /// Those that another region has still to be told of wait until it has been.
    WATERMARKS = Statement::new(
        "DELETE FROM watermarks
        WHERE (conversation, reader, reader_server, origin, seen) IN (
            SELECT w.conversation, w.reader, w.reader_server, w.origin, w.seen FROM watermarks w
            WHERE w.reader = ? AND w.reader_server = ? AND NOT EXISTS (
                SELECT 1 FROM outbox o
                WHERE o.destination = w.origin AND o.lane = 2 AND o.idx = w.told)
            LIMIT 0 + ?)",
    );
    WAITING_WATERMARKS = Statement::new(
        "SELECT 1 FROM watermarks WHERE reader = ? AND reader_server = ? LIMIT 1",
    );
    /// How far a piece of the walk goes.
    PIECE_END = Statement::new(
        "SELECT MAX(ref) FROM (
            SELECT ref FROM messages WHERE ref > ? ORDER BY ref LIMIT 0 + ?) AS piece",
    );
    /// Conversations of the account, by its messages: their other side, and its region.
    PARTNERS = Statement::new(
        "SELECT DISTINCT conversation, sender, server, addressed_to FROM messages
        WHERE ref > ? AND ref <= ?
            AND ((sender = ? AND server = ?) OR addressed_to = ?)",
    );
    /// Entries that told an inbox how far the account had read.
    DELETE_TOLD = Statement::rows(
        "bbb",
        "DELETE FROM inbox WHERE (account, arrival) IN (
            WITH v(account, low, high) AS ({rows})
            SELECT i.account, i.arrival FROM v CROSS JOIN inbox i
            WHERE i.account = v.account AND i.slot >= v.low AND i.slot <= v.high)",
    );
    /// Messages of the account that nobody holds any more.
    FORGET_SENT = Statement::new(
        "DELETE FROM messages
        WHERE ref > ? AND ref <= ? AND sender = ? AND server = ? AND pointers < 0",
    );
    /// Who was told about the account's keys.
    KNEW = Statement::new(
        "SELECT account FROM acquaintances
        WHERE other = ? AND server = ? ORDER BY account LIMIT 0 + ?",
    );
    DELETE_KNEW = Statement::rows(
        "bib",
        "DELETE FROM acquaintances WHERE (other, server, account) IN ({rows})",
    );
    DELETE_CLAIMED = Statement::new(
        "DELETE FROM claimed_prekeys WHERE (requester, request, device, kind) IN (
            SELECT requester, request, device, kind FROM claimed_prekeys
            WHERE requester = ? OR account = ? LIMIT 0 + ?)",
    );
    WALKED = Statement::new("UPDATE erasures SET walked = ? WHERE account = ?");
    DELETE_SESSIONS = Statement::new("DELETE FROM sessions WHERE account = ?");
    DELETE_DEVICES = Statement::new("DELETE FROM devices WHERE account = ?");
    DELETE_PREKEYS = Statement::new(
        "DELETE FROM prekeys WHERE device IN (SELECT id FROM devices WHERE account = ?)",
    );
    DELETE_PREKEY_MARKS = Statement::new(
        "DELETE FROM prekey_marks WHERE device IN (SELECT id FROM devices WHERE account = ?)",
    );
    DELETE_KEY_CHANGES = Statement::new("DELETE FROM key_changes WHERE account = ?");
    DELETE_LINKS = Statement::new("DELETE FROM links WHERE account = ?");
    DELETE_INBOX = Statement::new("DELETE FROM inboxes WHERE account = ?");
    /// The handle stays taken, by nobody.
    FREE_HANDLE = Statement::new(
        "UPDATE handles SET account = ? WHERE handle = (SELECT handle FROM accounts WHERE id = ?)",
    );
    DELETE_ACCOUNT = Statement::new("DELETE FROM accounts WHERE id = ? AND state = 2");
    FINISH = Statement::new("DELETE FROM erasures WHERE account = ?");
}

/// Messages of one piece of the walk, for each row that a step may take away: reading is cheap.
const WALK: usize = 20;

#[async_trait]
impl Erasure for SqlStore {
    async fn begin_erasure(
        &self,
        account: Uuid,
        now: Timestamp,
    ) -> Result<Option<Begun>, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_begin_erasure(account, now).await {
                Ok(begun) => return Ok(begun),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn unfinished_erasures(&self, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        let rows = self.db().rows(&UNFINISHED, |args| {
            args.limit(limit);
        });
        rows.await?.iter().map(|row| row.fields("erasures").uuid("account")).collect()
    }

    async fn erase_some(
        &self,
        account: &AccountId,
        limit: usize,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        let server = self.inner.servers.number(self.db(), &account.server).await;
        let server = server.map_err(StoreError::from)?;
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_erase(account, server, limit.max(1), now).await {
                Ok(erased) => return Ok(erased),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn forget_abroad(&self, account: &AccountId, limit: usize) -> Result<bool, StoreError> {
        let server = self.inner.servers.number(self.db(), &account.server).await;
        let server = server.map_err(StoreError::from)?;
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_forget_abroad(account, server, limit.max(1)).await {
                Ok(any) => return Ok(any),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn gone_since(&self, account: Uuid) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.db().rows(&GONE, |args| {
            args.uuid(account);
        });
        rows.await?.first().map(|row| row.fields("gone_accounts").time("at")).transpose()
    }
}

impl SqlStore {
    async fn try_begin_erasure(
        &self,
        account: Uuid,
        now: Timestamp,
    ) -> Result<Option<Begun>, Failure> {
        let mut tx = self.db().begin().await?;
        let begun = tx.rows(&BEGIN, |args| {
            args.uuid(account);
        });
        let begun = begun.await?;
        let Some(row) = begun.first() else {
            tx.cancel().await?;
            return Ok(None);
        };
        let mut fields = row.fields("accounts");
        let handle = fields.text("handle")?;
        let handle = fields.parse("handle", handle, HandleName::parse)?;
        let mut script = tx.script();
        let ended = sessions::end_of_account(&mut script, account, None, now);
        factors::remove_all(&mut script, account);
        crate::people::remove_settings(&mut script, account);
        for statement in [&REMEMBER, &WRITE_DOWN] {
            script.one(statement, |args| {
                args.uuid(account).number(now.0);
            });
        }
        let rows = tx.finish(script).await?.take(ended);
        Ok(Some(Begun { handle, sessions: sessions::read_ids(&rows)? }))
    }

    async fn try_erase(
        &self,
        account: &AccountId,
        server: i64,
        limit: usize,
        now: Timestamp,
    ) -> Result<Erased, Failure> {
        let rows = self.db().rows(&PROGRESS, |args| {
            args.uuid(account.uuid);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(Erased::of(Next::Done)) };
        let mut fields = row.fields("erasures");
        let (begun_at, walked) = (fields.time("begun_at")?, fields.integer("walked")?);
        if let Some(told) = self.tell_regions(account, limit, now).await? {
            return Ok(Erased { told, ..Erased::of(Next::Step) });
        }
        if let Some(bodies) = self.erase_inbox(account.uuid, limit).await? {
            return Ok(Erased { bodies, ..Erased::of(Next::Step) });
        }
        if self.erase_lists(account, server, limit).await?
            || self.erase_acquaintances(account, server, limit).await?
            || self.erase_messages(account, server, (walked, limit)).await?
        {
            return Ok(Erased::of(Next::Step));
        }
        self.erase_account(account.uuid).await?;
        let waiting = self.db().rows(&WAITING_WATERMARKS, |args| {
            args.uuid(account.uuid).integer(server);
        });
        let is_waiting = !waiting.await?.is_empty();
        // The log has pages as they were before.
        self.db().empty_log().await?;
        if is_waiting || now < begun_at.plus_millis(SETTLE_MS) {
            return Ok(Erased::of(Next::Later));
        }
        // What waits may share a row with entries of this account that were written and deleted.
        self.write_waiting_entries().await?;
        let finish = self.change(&FINISH, |args| {
            args.uuid(account.uuid);
        });
        finish.await?;
        Ok(Erased::of(Next::Done))
    }

    async fn try_forget_abroad(
        &self,
        account: &AccountId,
        server: i64,
        limit: usize,
    ) -> Result<bool, Failure> {
        if self.erase_acquaintances(account, server, limit).await? {
            return Ok(true);
        }
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let slots = people::forget(&mut script, account, limit);
        let answers = tx.finish(script).await?;
        Ok(slots.iter().any(|slot| answers.changed(slot) > 0))
    }

    /// Deletes entries of the inbox, the oldest first, and bodies that only they pointed to. `None`
    /// if there was none.
    async fn erase_inbox(
        &self,
        account: Uuid,
        limit: usize,
    ) -> Result<Option<Vec<BodyId>>, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.settle(&[account]);
        script.rows(&retention::LOCK, &[account], |args, account| {
            args.uuid(*account);
        });
        let entries = script.one(&ENTRIES, |args| {
            args.uuid(account).limit(limit);
        });
        let entries = tx.run(script).await?.take(entries);
        let mut last = 0;
        let mut released: BTreeMap<i64, i64> = BTreeMap::new();
        for row in &entries {
            let mut fields = row.fields("inbox");
            last = fields.number("arrival")?;
            if let Some(message) = fields.maybe_integer("message")? {
                *released.entry(message).or_default() += 1;
            }
        }
        if entries.is_empty() {
            tx.cancel().await?;
            return Ok(None);
        }
        let released: Vec<(i64, i64)> = released.into_iter().collect();
        let mut script = tx.script();
        script.one(&DELETE_ENTRIES, |args| {
            args.uuid(account).number(last);
        });
        script.rows(&retention::RELEASE, &released, |args, (message, n)| {
            args.integer(*message).integer(*n);
        });
        let unreferenced = script.rows(&UNREFERENCED, &released, |args, (message, _)| {
            args.integer(*message);
        });
        let rows = tx.run(script).await?.take(unreferenced);
        let body = |row: &Row| row.fields("messages").array("body").map(BodyId);
        let bodies: Vec<BodyId> = rows.iter().map(body).collect::<Result<_, _>>()?;
        let mut script = tx.script();
        script.rows(&DELETE_BODIES, &bodies, |args, body| {
            args.bytes(&body.0);
        });
        tx.finish(script).await?;
        Ok(Some(bodies))
    }

    /// Deletes what others' inboxes were told about the account's keys, and who knew it. Whether
    /// anybody did.
    async fn erase_acquaintances(
        &self,
        account: &AccountId,
        server: i64,
        limit: usize,
    ) -> Result<bool, Failure> {
        let rows = self.db().rows(&KNEW, |args| {
            args.uuid(account.uuid).integer(server).limit(limit);
        });
        let rows = rows.await?;
        let knew = rows.iter().map(|row| row.fields("acquaintances").uuid("account"));
        let knew: Vec<Uuid> = knew.collect::<Result<_, _>>()?;
        if knew.is_empty() {
            return Ok(false);
        }
        let slots = keys::slots_about(account.uuid, server);
        let told: Vec<Told> = knew
            .iter()
            .flat_map(|inbox| slots.iter().map(|slot| (*inbox, slot.clone(), slot.clone())))
            .collect();
        let mut tx: Tx<'_> = self.db().begin().await?;
        let mut script = tx.script();
        script.rows(&DELETE_TOLD, &told, |args, (inbox, low, high)| {
            args.uuid(*inbox).bytes(low).bytes(high);
        });
        script.rows(&DELETE_KNEW, &knew, |args, inbox| {
            args.uuid(account.uuid).integer(server).uuid(*inbox);
        });
        tx.finish(script).await?;
        Ok(true)
    }

    /// Deletes marks of devices, watermarks, claims, and what the account and others said of each
    /// other. Whether there was any.
    async fn erase_lists(
        &self,
        account: &AccountId,
        server: i64,
        limit: usize,
    ) -> Result<bool, Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        let about = people::erase(&mut script, account, limit);
        let lists = [
            script.one(&DELETE_MARKS, |args| {
                args.uuid(account.uuid).limit(limit);
            }),
            script.one(&WATERMARKS, |args| {
                args.uuid(account.uuid).integer(server).limit(limit);
            }),
            script.one(&DELETE_CLAIMED, |args| {
                args.text(&account.to_string()).uuid(account.uuid).limit(limit);
            }),
        ];
        let answers = tx.finish(script).await?;
        Ok(lists.iter().chain(&about).any(|slot| answers.changed(slot) > 0))
    }

    /// A piece of the walk over the messages. Whether there was one.
    async fn erase_messages(
        &self,
        account: &AccountId,
        server: i64,
        (walked, limit): (i64, usize),
    ) -> Result<bool, Failure> {
        let end = self.db().rows(&PIECE_END, |args| {
            args.integer(walked).limit(limit.saturating_mul(WALK));
        });
        let end = end.await?;
        let end = end.first().map(|row| row.fields("messages").maybe_integer("ref")).transpose()?;
        let Some(end) = end.flatten() else { return Ok(false) };
        let text = account.to_string();
        let partners = self.db().rows(&PARTNERS, |args| {
            args.integer(walked).integer(end).uuid(account.uuid).integer(server).text(&text);
        });
        let told = told(&partners.await?, account, server)?;
        let mut tx: Tx<'_> = self.db().begin().await?;
        let mut script = tx.script();
        script.rows(&DELETE_TOLD, &told, |args, (inbox, low, high)| {
            args.uuid(*inbox).bytes(low).bytes(high);
        });
        script.one(&FORGET_SENT, |args| {
            args.integer(walked).integer(end).uuid(account.uuid).integer(server);
        });
        script.one(&WALKED, |args| {
            args.integer(end).uuid(account.uuid);
        });
        tx.finish(script).await?;
        Ok(true)
    }

    /// Deletes what is left: sessions with their tokens, devices, the inbox's head, the account. The
    /// handle's row stays.
    async fn erase_account(&self, account: Uuid) -> Result<(), Failure> {
        let mut tx = self.db().begin().await?;
        let mut script: Script = tx.script();
        script.settle(&[account]);
        // Keys belong to devices, which go after them.
        for statement in [
            &DELETE_PREKEYS,
            &DELETE_PREKEY_MARKS,
            &DELETE_KEY_CHANGES,
            &DELETE_LINKS,
            &DELETE_SESSIONS,
            &DELETE_DEVICES,
            &DELETE_INBOX,
        ] {
            script.one(statement, |args| {
                args.uuid(account);
            });
        }
        script.one(&FREE_HANDLE, |args| {
            args.uuid(Uuid::nil()).uuid(account);
        });
        // Once more, for what was under way when the account went.
        factors::remove_all(&mut script, account);
        crate::people::remove_settings(&mut script, account);
        script.one(&DELETE_ACCOUNT, |args| {
            args.uuid(account);
        });
        tx.finish(script).await?;
        Ok(())
    }
}

/// An inbox, and the lowest and highest of a range of slots.
type Told = (Uuid, Vec<u8>, Vec<u8>);

/// The inboxes that were told how far the account had read, and the range of the entries' slots
/// there ([`crate::receipts::Key::slot`]).
fn told(partners: &[Row], account: &AccountId, server: i64) -> Result<Vec<Told>, StoreError> {
    let mut told = BTreeSet::new();
    for row in partners {
        let mut fields = row.fields("messages");
        let conversation: [u8; 16] = fields.array("conversation")?;
        let (sender, of) = (fields.uuid("sender")?, fields.integer("server")?);
        let partner = if (sender, of) == (account.uuid, server) {
            let to = AccountId::parse(fields.text("addressed_to")?).ok();
            to.filter(|to| to.server == account.server).map(|to| to.uuid)
        } else {
            (of == server).then_some(sender)
        };
        let Some(partner) = partner.filter(|partner| *partner != account.uuid) else { continue };
        let low = crate::receipts::slots_of(&conversation, account.uuid, server);
        let high = [&low[..], &[u8::MAX; 10]].concat();
        told.insert((partner, low, high));
    }
    Ok(told.into_iter().collect())
}
