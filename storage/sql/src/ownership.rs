//! The port `Ownership`.

use async_trait::async_trait;
use posthouse_protocol::id::ServerName;
use posthouse_storage::{error::StoreError, ownership::Ownership};

use crate::{
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    CLAIM = Statement::new(
        "INSERT INTO region (only_row, name) VALUES (1, ?) ON CONFLICT (only_row) DO NOTHING",
    );
    WHOSE = Statement::new("SELECT name FROM region WHERE only_row = 1");
}

impl SqlStore {
    async fn whose(&self) -> Result<Option<ServerName>, Failure> {
        let rows = self.db().rows(&WHOSE, |_| {}).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("region");
        let text = fields.text("name")?;
        Ok(Some(fields.parse("name", text, ServerName::parse)?))
    }
}

#[async_trait]
impl Ownership for SqlStore {
    /// Nothing is written where somebody has it: a start must not fail for a write that it does not
    /// need.
    async fn claim_for(&self, server: &ServerName) -> Result<ServerName, StoreError> {
        if let Some(owner) = self.whose().await? {
            return Ok(owner);
        }
        self.change(&CLAIM, |args| {
            args.text(server.as_str());
        })
        .await?;
        let owner = self.whose().await?;
        owner.ok_or_else(|| StoreError::Corrupt {
            table: "region",
            column: "name",
            fact: "nobody's, although it was just claimed".into(),
        })
    }
}
