//! SQLite: one connection that writes, a few that read.
//!
//! Write-ahead log with `synchronous = FULL`: a transaction is one fsync of the log, and readers
//! never wait for the writer.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use futures_util::TryStreamExt;
use posthouse_storage::error::StoreError;
use sqlx::{
    ConnectOptions, Connection, Either, Executor, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    Row, Script,
    args::ArgsKind,
    migrate,
    script::{Answer, Answers},
};
use crate::{
    failure::{Failure, unavailable},
    statement::statements,
};

statements! {
    /// Takes the write lock at once: a transaction that first reads and then finds that it may not
    /// write would have to begin again.
    BEGIN = crate::statement::Statement::new("BEGIN IMMEDIATE");
    COMMIT = crate::statement::Statement::new("COMMIT");
    ROLLBACK = crate::statement::Statement::new("ROLLBACK");
    EMPTY_LOG = crate::statement::Statement::new("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Connections that read at the same time, at most.
const READERS: u32 = 4;

/// Prepared statements that a connection keeps. About 60 statements exist; those with a VALUES list
/// have 8 sizes.
const STATEMENT_CACHE: usize = 512;

/// Rows that a connection's thread may be ahead of who reads them.
const ROW_BUFFER: usize = 1_024;

/// Pages of the log (4 KiB each) after which a commit copies them into the database file. The
/// measurement behind it is in docs/spec/durability.md.
const CHECKPOINT_PAGES: &str = "1000";

/// How long a statement waits for a lock of another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open SQLite database.
pub(super) struct Sqlite {
    writer: Mutex<Writer>,
    readers: SqlitePool,
}

struct Writer {
    /// `None` once closed.
    connection: Option<SqliteConnection>,
    /// Whether a transaction was begun and its end is not known: its caller was dropped.
    begun: bool,
}

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            // What is deleted is overwritten: docs/spec/durability.md, "Deleting".
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-32768")
            .statement_cache_capacity(STATEMENT_CACHE)
            .row_buffer_size(ROW_BUFFER)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(unavailable)?;
        migrate::run(&migrate::SQLITE, &mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(unavailable)?;
        let writer = Mutex::new(Writer { connection: Some(connection), begun: false });
        Ok(Self { writer, readers })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        if let Some(connection) = self.writer.lock().await.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the database failed");
        }
    }

    pub(super) async fn read(&self, script: Script) -> Result<Answers, Failure> {
        let mut connection = self.readers.acquire().await?;
        run(&mut connection, script).await
    }

    pub(super) async fn empty_log(&self) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        if writer.begun {
            writer.rollback().await?;
        }
        let sql = EMPTY_LOG.text(crate::statement::Dialect::Sqlite, 1);
        writer.connection()?.execute(sqlx::query(sql)).await?;
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn reader(&self) -> sqlx::pool::PoolConnection<sqlx::Sqlite> {
        self.readers.acquire().await.unwrap()
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Failure> {
        let mut writer = self.writer.lock().await;
        if writer.begun {
            writer.rollback().await?;
        }
        Ok(Transaction { writer })
    }
}

impl Writer {
    fn connection(&mut self) -> Result<&mut SqliteConnection, Failure> {
        self.connection.as_mut().ok_or_else(|| sqlx::Error::PoolClosed.into())
    }

    /// Ends the transaction. SQLite may have ended it already, after an error that leaves no choice
    /// (disk full); then there is nothing to roll back and the message says so.
    async fn rollback(&mut self) -> Result<(), Failure> {
        let sql = ROLLBACK.text(crate::statement::Dialect::Sqlite, 1);
        if let Err(error) = self.connection()?.execute(sqlx::query(sql)).await {
            let ended =
                error.as_database_error().is_some_and(|e| e.message().contains("no transaction"));
            if !ended {
                return Err(error.into());
            }
        }
        self.begun = false;
        Ok(())
    }
}

/// The writer, held until the transaction ends. Scripts carry BEGIN and COMMIT themselves.
pub(super) struct Transaction<'a> {
    writer: MutexGuard<'a, Writer>,
}

impl Transaction<'_> {
    pub(super) async fn run(&mut self, script: Script) -> Result<Answers, Failure> {
        self.writer.begun = true;
        match run(self.writer.connection()?, script).await {
            Ok(answers) => Ok(answers),
            Err(failure) => {
                self.writer.rollback().await?;
                Err(failure)
            }
        }
    }

    pub(super) async fn finish(mut self, script: Script) -> Result<Answers, Failure> {
        let answers = self.run(script).await?;
        self.writer.begun = false;
        Ok(answers)
    }

    pub(super) async fn cancel(mut self) -> Result<(), Failure> {
        if self.writer.begun { self.writer.rollback().await } else { Ok(()) }
    }
}

async fn run(connection: &mut SqliteConnection, script: Script) -> Result<Answers, Failure> {
    let mut answers = Vec::new();
    for segment in script.segments() {
        if let Some(error) = segment.args.error {
            return Err(sqlx::Error::Encode(error).into());
        }
        let ArgsKind::Sqlite(args) = segment.args.kind else {
            return Err(sqlx::Error::Protocol("a script of the other dialect".into()).into());
        };
        let mut steps = connection.fetch_many(sqlx::query_with(segment.text.finish(), args));
        let mut answer = Answer::default();
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Right(row) => answer.rows.push(Row::Sqlite(row)),
                Either::Left(done) => {
                    answer.changed = done.rows_affected();
                    answers.push(core::mem::take(&mut answer));
                }
            }
        }
    }
    Ok(Answers(answers))
}

/// Creates the file where only its owner can read it; SQLite gives its log the same permissions.
fn create(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(unavailable(error)),
        _ => Ok(()),
    }
}
