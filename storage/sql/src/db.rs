//! The two databases behind one small surface: scripts of statements, rows, transactions.

mod args;
mod migrate;
mod postgres;
mod row;
mod script;
pub(crate) mod sqlite;
mod worker;

pub(crate) use args::Args;
pub(crate) use row::{Fields, Row};
pub(crate) use script::{Answers, Script, Slot};

use std::{pin::Pin, sync::Arc};

use posthouse_storage::error::StoreError;
use worker::Part;

use crate::{
    counters::Counters,
    failure::Failure,
    fanouts::Fanouts,
    statement::{Dialect, Statement},
};

/// An open database.
pub(crate) struct Db {
    kind: Kind,
    pub(crate) counters: Arc<Counters>,
}

enum Kind {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Db {
    /// Opens the database, creating it where that is possible, and brings its schema up to date.
    pub(crate) async fn open(url_or_path: &str, fanouts: Fanouts) -> Result<Self, StoreError> {
        let is_postgres =
            ["postgres://", "postgresql://"].iter().any(|p| url_or_path.starts_with(p));
        let kind = if is_postgres {
            Kind::Postgres(postgres::Postgres::open(url_or_path).await?)
        } else {
            let path = ["sqlite://", "sqlite:"].iter().find_map(|p| url_or_path.strip_prefix(p));
            let path = path.unwrap_or(url_or_path).as_ref();
            Kind::Sqlite(sqlite::Sqlite::open(path, Arc::new(fanouts)).await?)
        };
        Ok(Self { kind, counters: Arc::new(Counters::default()) })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match &self.kind {
            Kind::Sqlite(_) => Dialect::Sqlite,
            Kind::Postgres(_) => Dialect::Postgres,
        }
    }

    /// What waits to be written; `None` where everything is written at once.
    pub(crate) fn fanouts(&self) -> Option<&Arc<Fanouts>> {
        match &self.kind {
            Kind::Sqlite(sqlite) => Some(&sqlite.fanouts),
            Kind::Postgres(_) => None,
        }
    }

    /// The pool that a listener for notifications uses; `None` where there are none.
    pub(crate) fn notifications(&self) -> Option<&sqlx::PgPool> {
        match &self.kind {
            Kind::Sqlite(_) => None,
            Kind::Postgres(postgres) => Some(postgres.pool()),
        }
    }

    /// Waits until running statements are done and closes every connection.
    pub(crate) async fn close(&self) {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.close().await,
            Kind::Postgres(postgres) => postgres.pool().close().await,
        }
    }

    /// Empties SQLite's log into the database file, as far as no reader needs it: what was deleted is
    /// then in neither. PostgreSQL looks after its log itself.
    pub(crate) async fn empty_log(&self) -> Result<(), Failure> {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.empty_log().await,
            Kind::Postgres(_) => Ok(()),
        }
    }

    /// Reads outside a transaction: each statement sees one moment, on SQLite all of them the same.
    pub(crate) async fn read(&self, script: Script) -> Result<Answers, Failure> {
        if script.is_empty() {
            return Ok(Answers::none());
        }
        count(&self.counters, self.dialect(), &script);
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.read(script).await,
            Kind::Postgres(postgres) => postgres.run(script).await,
        }
    }

    /// [`Self::read`] for one statement.
    pub(crate) async fn rows(
        &self,
        statement: &'static Statement,
        bind: impl FnOnce(&mut Args),
    ) -> Result<Vec<Row>, Failure> {
        let mut script = Script::new(self.dialect());
        let slot = script.one(statement, bind);
        Ok(self.read(script).await?.take(slot))
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Tx<'_>, Failure> {
        let kind = match &self.kind {
            Kind::Sqlite(sqlite) => TxKind::Sqlite(sqlite.begin().await?),
            Kind::Postgres(postgres) => TxKind::Postgres(self.begun(postgres).await?),
        };
        Ok(self.tx(kind))
    }

    async fn begun(
        &self,
        postgres: &postgres::Postgres,
    ) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Failure> {
        postgres.begin().await.inspect_err(|failure| self.counters.writing.failed(failure))
    }

    /// Runs `work` in a transaction that writes. On SQLite it runs where the connection is, so that
    /// reading, deciding and writing are one hop there and back; so it may wait for nothing but its
    /// transaction. It is done even if the caller does not wait for it.
    pub(crate) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tx<'static>) -> Working<T> + Send + 'static,
    ) -> Result<T, Failure> {
        match &self.kind {
            Kind::Sqlite(sqlite) => {
                let tx = self.tx(TxKind::Here(Part::First));
                sqlite.transact(move || work(tx)).await
            }
            Kind::Postgres(postgres) => {
                work(self.tx(TxKind::Postgres(self.begun(postgres).await?))).await
            }
        }
    }

    fn tx<'a>(&self, kind: TxKind<'a>) -> Tx<'a> {
        let counters = Arc::clone(&self.counters);
        Tx { dialect: self.dialect(), counters, kind, begun: false, wrote: false }
    }
}

fn count(counters: &Counters, dialect: Dialect, script: &Script) {
    let statements = script.len() as u64;
    match dialect {
        Dialect::Sqlite => counters.round_trip(statements),
        Dialect::Postgres => (0..statements).for_each(|_| counters.round_trip(1)),
    }
}

/// The work of a transaction.
pub(crate) type Working<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// A transaction that writes. Dropped without [`Tx::finish`], it is rolled back.
pub(crate) struct Tx<'a> {
    dialect: Dialect,
    counters: Arc<Counters>,
    kind: TxKind<'a>,
    /// On SQLite the first script begins the transaction, so that BEGIN costs no round trip.
    begun: bool,
    /// Whether a row was changed.
    wrote: bool,
}

enum TxKind<'a> {
    Sqlite(sqlite::Transaction<'a>),
    /// On the thread that has the connection.
    Here(Part),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Tx<'_> {
    /// An empty script for this transaction.
    pub(crate) fn script(&mut self) -> Script {
        let mut script = Script::new(self.dialect);
        if !self.begun && self.dialect == Dialect::Sqlite {
            script.one(&sqlite::BEGIN, |_| {});
        }
        self.begun = true;
        script
    }

    /// Runs a script.
    pub(crate) async fn run(&mut self, script: Script) -> Result<Answers, Failure> {
        if script.is_empty() {
            return Ok(Answers::none());
        }
        count(&self.counters, self.dialect, &script);
        let ran = match &mut self.kind {
            TxKind::Sqlite(tx) => tx.run(script).await,
            TxKind::Here(part) => worker::run_here(script, core::mem::replace(part, Part::Later)),
            TxKind::Postgres(tx) => postgres::run(tx, script).await,
        };
        match &ran {
            Ok(answers) => self.wrote |= answers.wrote(),
            Err(failure) => self.counters.writing.failed(failure),
        }
        ran
    }

    /// Runs one statement.
    pub(crate) async fn rows(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(&mut Args),
    ) -> Result<Vec<Row>, Failure> {
        let mut script = self.script();
        let slot = script.one(statement, bind);
        Ok(self.run(script).await?.take(slot))
    }

    /// Runs a last script and commits: everything is durable when this returns `Ok`.
    pub(crate) async fn finish(self, script: Script) -> Result<Answers, Failure> {
        let (counters, wrote) = (Arc::clone(&self.counters), self.wrote);
        let finished = self.commit(script).await;
        match &finished {
            Ok(answers) => {
                counters.transaction();
                if wrote || answers.wrote() {
                    counters.writing.worked();
                }
            }
            Err(failure) => counters.writing.failed(failure),
        }
        finished
    }

    async fn commit(self, mut script: Script) -> Result<Answers, Failure> {
        if self.dialect == Dialect::Sqlite {
            script.one(&sqlite::COMMIT, |_| {});
        }
        count(&self.counters, self.dialect, &script);
        match self.kind {
            TxKind::Sqlite(tx) => tx.finish(script).await,
            TxKind::Here(part) => worker::run_here(script, part),
            TxKind::Postgres(mut tx) => {
                let answers = postgres::run(&mut tx, script).await?;
                self.counters.round_trip(2);
                tx.commit().await?;
                Ok(answers)
            }
        }
    }

    /// Gives up: nothing was written.
    pub(crate) async fn cancel(self) -> Result<(), Failure> {
        match self.kind {
            // Dropping it gives it up, and so does the end of its work.
            TxKind::Sqlite(_) | TxKind::Here(_) => Ok(()),
            TxKind::Postgres(tx) => Ok(tx.rollback().await?),
        }
    }
}
