//! The port `Profiles`.

use async_trait::async_trait;
use posthouse_storage::{
    error::StoreError,
    profiles::{Profile, Profiles},
};
use uuid::Uuid;

use crate::{
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    PROFILE = Statement::new(
        "SELECT version, name, about, avatar, updated_at FROM profiles WHERE account = ?",
    );
    FIRST = Statement::new(
        "INSERT INTO profiles (account, version, name, about, avatar, updated_at)
        SELECT id, 1, ?, ?, ?, ? FROM accounts WHERE id = ? AND state < 2
        ON CONFLICT (account) DO NOTHING",
    );
    REPLACE = Statement::new(
        "UPDATE profiles SET version = version + 1, name = ?, about = ?, avatar = ?, updated_at = ?
        WHERE account = ? AND version = ?",
    );
    DELETE = Statement::new("DELETE FROM profiles WHERE account = ?");
}

#[async_trait]
impl Profiles for SqlStore {
    async fn profile(&self, account: Uuid) -> Result<Option<Profile>, StoreError> {
        let rows = self.db().rows(&PROFILE, |args| {
            args.uuid(account);
        });
        let rows = rows.await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("profiles");
        Ok(Some(Profile {
            version: fields.number("version")?,
            name: fields.maybe_text("name")?.map(str::to_owned),
            about: fields.maybe_text("about")?.map(str::to_owned),
            avatar: fields.maybe_text("avatar")?.map(str::to_owned),
            updated_at: fields.time("updated_at")?,
        }))
    }

    async fn put_profile(&self, account: Uuid, profile: &Profile) -> Result<bool, StoreError> {
        let replaced = profile.version.saturating_sub(1);
        let statement = if replaced == 0 { &FIRST } else { &REPLACE };
        let put = self.change(statement, |args| {
            args.maybe_text(profile.name.as_deref())
                .maybe_text(profile.about.as_deref())
                .maybe_text(profile.avatar.as_deref())
                .number(profile.updated_at.0)
                .uuid(account);
            if replaced > 0 {
                args.number(replaced);
            }
        });
        Ok(put.await? == 1)
    }
}
