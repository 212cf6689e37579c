//! The port `Invites`.

use async_trait::async_trait;
use posthouse_protocol::time::Timestamp;
use posthouse_storage::{
    error::StoreError,
    invites::{Invite, Invites, NewInvite},
};

use crate::{
    db::Row,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    CREATE = Statement::new(
        "INSERT INTO invites (code, id, uses, used, created_at, expires_at)
        VALUES (?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING",
    );
    LIST = Statement::new(
        "SELECT id, uses, used, created_at, expires_at FROM invites
        ORDER BY created_at DESC, id DESC LIMIT 0 + ?",
    );
    WITHDRAW = Statement::new("DELETE FROM invites WHERE id = ?");
    FORGET = Statement::new(
        "DELETE FROM invites WHERE code IN (
            SELECT code FROM invites WHERE expires_at < ? ORDER BY expires_at LIMIT 0 + ?)",
    );
}

#[async_trait]
impl Invites for SqlStore {
    async fn create_invite(&self, invite: &NewInvite) -> Result<bool, StoreError> {
        let created = self.change(&CREATE, |args| {
            args.bytes(&invite.hash)
                .text(&invite.id)
                .number(invite.uses.into())
                .number(invite.created_at.0)
                .number(invite.expires_at.0);
        });
        Ok(created.await? == 1)
    }

    async fn invites(&self, limit: usize) -> Result<Vec<Invite>, StoreError> {
        let rows = self.db().rows(&LIST, |args| {
            args.limit(limit);
        });
        rows.await?.iter().map(read).collect()
    }

    async fn withdraw_invite(&self, id: &str) -> Result<bool, StoreError> {
        let withdrawn = self.change(&WITHDRAW, |args| {
            args.text(id);
        });
        Ok(withdrawn.await? == 1)
    }

    async fn forget_invites(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let forgotten = self.change(&FORGET, |args| {
            args.number(before.0).number(limit.into());
        });
        Ok(forgotten.await?)
    }
}

fn read(row: &Row) -> Result<Invite, StoreError> {
    let mut fields = row.fields("invites");
    let id = fields.text("id")?.to_owned();
    let mut count = |column| {
        let count = fields.number(column)?;
        fields.parse(column, count, u32::try_from)
    };
    Ok(Invite {
        id,
        uses: count("uses")?,
        used: count("used")?,
        created_at: fields.time("created_at")?,
        expires_at: fields.time("expires_at")?,
    })
}
