//! The port `Peers`: keys of other regions, and the accounts behind their handles.

use async_trait::async_trait;
use bytes::Bytes;
use posthouse_protocol::id::{HandleName, ServerName};
use posthouse_storage::{
    error::StoreError,
    peers::{MAX_REMEMBERED_HANDLES, Peers, RememberedHandle},
};

use crate::{
    failure::{Failure, Tries},
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    KEY_HEAD = Statement::new("SELECT key_head FROM peers WHERE server = ?");
    LOCK_KEY_HEAD = Statement::new(
        "SELECT key_head FROM peers WHERE server = ? /*pg:FOR UPDATE*/",
    );
    NEW_KEY_HEAD = Statement::new("INSERT INTO peers (key_head, server) VALUES (?, ?)");
    PUT_KEY_HEAD = Statement::new("UPDATE peers SET key_head = ? WHERE server = ?");
    KNOWN = Statement::new(
        "SELECT s.name FROM servers s JOIN peers p ON p.server = s.id
        WHERE s.name > ? ORDER BY s.name LIMIT 0 + ?",
    );
    HANDLE = Statement::new(
        "SELECT account, until FROM remote_handles WHERE server = ? AND handle = ?",
    );
    NEWEST = Statement::new(
        "SELECT (SELECT MIN(number) FROM remote_handles), (SELECT MAX(number) FROM remote_handles)",
    );
    PUT_HANDLE = Statement::new(
        "INSERT INTO remote_handles (server, handle, account, until, number)
        VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (server, handle) DO UPDATE SET account = excluded.account,
            until = excluded.until, number = excluded.number",
    );
    FORGET_HANDLES = Statement::new("DELETE FROM remote_handles WHERE number <= ?");
}

#[async_trait]
impl Peers for SqlStore {
    async fn key_head(&self, peer: &ServerName) -> Result<Option<Bytes>, StoreError> {
        let Some(server) = self.inner.servers.find(self.db(), peer).await? else {
            return Ok(None);
        };
        let rows = self.db().rows(&KEY_HEAD, |args| {
            args.integer(server);
        });
        match rows.await?.first() {
            Some(row) => Ok(Some(Bytes::copy_from_slice(row.fields("peers").bytes("key_head")?))),
            None => Ok(None),
        }
    }

    async fn advance_key_head(
        &self,
        peer: &ServerName,
        expected: Option<&[u8]>,
        head: &[u8],
    ) -> Result<bool, StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_advance(peer, expected, head).await {
                Ok(advanced) => return Ok(advanced),
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn known_peers(
        &self,
        after: Option<&ServerName>,
        limit: usize,
    ) -> Result<Vec<ServerName>, StoreError> {
        let rows = self.db().rows(&KNOWN, |args| {
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

    async fn remembered_handle(
        &self,
        server: &ServerName,
        handle: &HandleName,
    ) -> Result<Option<RememberedHandle>, StoreError> {
        let Some(server) = self.inner.servers.find(self.db(), server).await? else {
            return Ok(None);
        };
        let rows = self.db().rows(&HANDLE, |args| {
            args.integer(server).text(handle.as_str());
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("remote_handles");
        let account = fields.maybe_uuid("account")?;
        Ok(Some(RememberedHandle { account, until: fields.time("until")? }))
    }

    async fn remember_handle(
        &self,
        server: &ServerName,
        handle: &HandleName,
        remembered: RememberedHandle,
    ) -> Result<(), StoreError> {
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_remember(server, handle, remembered).await {
                Ok(()) => return Ok(()),
                Err(failure) => tries.again(failure)?,
            }
        }
    }
}

impl SqlStore {
    async fn try_advance(
        &self,
        peer: &ServerName,
        expected: Option<&[u8]>,
        head: &[u8],
    ) -> Result<bool, Failure> {
        let server = self.inner.servers.number(self.db(), peer).await?;
        let mut tx = self.db().begin().await?;
        let rows = tx.rows(&LOCK_KEY_HEAD, |args| {
            args.integer(server);
        });
        let rows = rows.await?;
        let known = rows.first().map(|row| row.fields("peers").bytes("key_head")).transpose()?;
        if known != expected {
            tx.cancel().await?;
            return Ok(false);
        }
        // A row that did not exist could not be locked: another process's is a conflict.
        let statement = if known.is_some() { &PUT_KEY_HEAD } else { &NEW_KEY_HEAD };
        let mut script = tx.script();
        script.one(statement, |args| {
            args.bytes(head).integer(server);
        });
        tx.finish(script).await?;
        Ok(true)
    }

    async fn try_remember(
        &self,
        server: &ServerName,
        handle: &HandleName,
        remembered: RememberedHandle,
    ) -> Result<(), Failure> {
        let server = self.inner.servers.number(self.db(), server).await?;
        let mut tx = self.db().begin().await?;
        let rows = tx.rows(&NEWEST, |_| {}).await?;
        let (oldest, newest) = match rows.first() {
            Some(row) => {
                let mut fields = row.fields("remote_handles");
                (fields.maybe_number("number")?, fields.maybe_number("number")?)
            }
            None => (None, None),
        };
        let number = newest.unwrap_or_default() + 1;
        let mut script = tx.script();
        let account = remembered.account;
        script.one(&PUT_HANDLE, |args| {
            args.integer(server)
                .text(handle.as_str())
                .maybe_bytes(account.as_ref().map(|id| id.as_bytes().as_slice()))
                .number(remembered.until.0)
                .number(number);
        });
        // Numbers are given once, so that as many numbers hold at most as many handles.
        if let Some(through) = number.checked_sub(MAX_REMEMBERED_HANDLES as u64)
            && oldest.is_some_and(|oldest| oldest <= through)
        {
            script.one(&FORGET_HANDLES, |args| {
                args.number(through);
            });
        }
        tx.finish(script).await?;
        Ok(())
    }
}
