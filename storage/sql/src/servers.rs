//! Regions' names and their numbers in the database: a name is stored once.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use posthouse_protocol::id::ServerName;
use posthouse_storage::error::StoreError;

use crate::{
    db::{Db, Script},
    failure::Failure,
    statement::{Statement, statements},
};

statements! {
    INTERN = Statement::rows(
        "t",
        "INSERT INTO servers (name) {new} ON CONFLICT (name) DO NOTHING",
    );
    BY_NAME = Statement::rows(
        "t",
        "WITH v(name) AS ({rows})
        SELECT s.id, s.name FROM v CROSS JOIN servers s WHERE s.name = v.name",
    );
    BY_ID = Statement::new("SELECT name FROM servers WHERE id = ?");
}

/// Most names kept in memory. When it is full, the memory starts afresh: the database has them all.
const MAX_REMEMBERED: usize = 65_536;

/// The names known so far. Numbers never change, so that nothing here goes stale.
#[derive(Default)]
pub(crate) struct Servers {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    ids: HashMap<ServerName, i64>,
    names: HashMap<i64, ServerName>,
}

impl Servers {
    /// The number of a name that is remembered.
    pub(crate) fn id(&self, name: &ServerName) -> Option<i64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).ids.get(name).copied()
    }

    /// The name of a number that is remembered.
    pub(crate) fn known_name(&self, id: i64) -> Option<ServerName> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).names.get(&id).cloned()
    }

    /// Those of `names` that are not remembered, each once.
    pub(crate) fn missing<'a>(
        &self,
        names: impl Iterator<Item = &'a ServerName>,
    ) -> Vec<ServerName> {
        let mut missing: Vec<ServerName> =
            names.filter(|name| self.id(name).is_none()).cloned().collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Learns the numbers of `missing`; new names are written, in a transaction of their own.
    pub(crate) async fn intern(&self, db: &Db, missing: &[ServerName]) -> Result<(), Failure> {
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        let mut script = tx.script();
        script.rows(&INTERN, missing, |args, name| {
            args.text(name.as_str());
        });
        let slot = script.rows(&BY_NAME, missing, |args, name| {
            args.text(name.as_str());
        });
        for row in tx.finish(script).await?.take(slot) {
            let mut fields = row.fields("servers");
            let id = fields.integer("id")?;
            let text = fields.text("name")?;
            self.remember(id, fields.parse("name", text, ServerName::parse)?);
        }
        Ok(())
    }

    /// The number of one name, written if it is new.
    pub(crate) async fn number(&self, db: &Db, name: &ServerName) -> Result<i64, Failure> {
        self.intern(db, &self.missing(core::iter::once(name))).await?;
        self.id(name).ok_or_else(|| missing().into())
    }

    /// The number of one name; `None` if it was never written. For reads: a name that somebody asks
    /// for leaves no trace.
    pub(crate) async fn find(&self, db: &Db, name: &ServerName) -> Result<Option<i64>, Failure> {
        if let Some(id) = self.id(name) {
            return Ok(Some(id));
        }
        let mut script = Script::new(db.dialect());
        let slot = script.rows(&BY_NAME, &[name], |args, name| {
            args.text(name.as_str());
        });
        let rows = db.read(script).await?.take(slot);
        let Some(row) = rows.first() else { return Ok(None) };
        let id = row.fields("servers").integer("id")?;
        self.remember(id, name.clone());
        Ok(Some(id))
    }

    /// The name of a number that a row holds.
    pub(crate) async fn name(&self, db: &Db, id: i64) -> Result<ServerName, Failure> {
        if let Some(name) = self.known_name(id) {
            return Ok(name);
        }
        let rows = db.rows(&BY_ID, |args| {
            args.integer(id);
        });
        let rows = rows.await?;
        let row = rows.first().ok_or_else(missing)?;
        let mut fields = row.fields("servers");
        let text = fields.text("name")?;
        let name = fields.parse("name", text, ServerName::parse)?;
        self.remember(id, name.clone());
        Ok(name)
    }

    fn remember(&self, id: i64, name: ServerName) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.ids.len() >= MAX_REMEMBERED {
            *known = Known::default();
        }
        known.ids.insert(name.clone(), id);
        known.names.insert(id, name);
    }
}

fn missing() -> StoreError {
    StoreError::Corrupt { table: "servers", column: "id", fact: "a region is missing".into() }
}
