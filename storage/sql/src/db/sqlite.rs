//! SQLite: one connection that writes, a few that read.
//!
//! Write-ahead log with `synchronous = FULL`: a transaction is one fsync of the log, and readers
//! never wait for the writer.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use posthouse_storage::error::StoreError;
use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

use super::{
    Script, Working, migrate,
    script::Answers,
    worker::{Options, Part, Worker, closed},
};
use crate::{
    failure::{Failure, unavailable},
    fanouts::Fanouts,
    statement::{Dialect, statements},
};

statements! {
    /// Takes the write lock at once: a transaction that first reads and then finds that it may not
    /// write would have to begin again.
    BEGIN = crate::statement::Statement::new("BEGIN IMMEDIATE");
    COMMIT = crate::statement::Statement::new("COMMIT");
    EMPTY_LOG = crate::statement::Statement::new("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Connections that read at the same time.
const READERS: u32 = 4;

/// The settings of a connection. The log's pages (4 KiB each) after which a commit copies them into
/// the database file were measured: docs/spec/durability.md. What is deleted is overwritten: the
/// same page, "Deleting". macOS's own sync leaves data in the drive's cache; `fullfsync` asks for the
/// one that does not, and changes nothing elsewhere.
const PRAGMAS: &[(&str, &str)] = &[
    ("synchronous", "FULL"),
    ("fullfsync", "ON"),
    ("checkpoint_fullfsync", "ON"),
    ("foreign_keys", "ON"),
    ("wal_autocheckpoint", "1000"),
    ("secure_delete", "ON"),
    ("temp_store", "memory"),
    ("cache_size", "-32768"),
];

/// How long a statement waits for a lock of another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open SQLite database.
pub(super) struct Sqlite {
    /// `None` once closed.
    writer: Mutex<Option<Worker>>,
    readers: Readers,
    pub(super) fanouts: Arc<Fanouts>,
}

/// Connections that read, and as many permits as there are.
struct Readers {
    idle: SyncMutex<Vec<Worker>>,
    permits: Semaphore,
}

impl Sqlite {
    /// `fanouts` is to be told of what waits before anything is written.
    pub(super) async fn open(path: &Path, fanouts: Arc<Fanouts>) -> Result<Self, StoreError> {
        create(path)?;
        bring_up_to_date(path).await?;
        let options = |read_only| Options {
            path: path.to_owned(),
            read_only,
            pragmas: PRAGMAS,
            busy_timeout: BUSY_TIMEOUT,
            fanouts: (!read_only).then(|| Arc::clone(&fanouts)),
        };
        let writer = Mutex::new(Some(Worker::start("db-writer", &options(false))?));
        let start = |_| Worker::start("db-reader", &options(true));
        let idle = (0..READERS).map(start).collect::<Result<Vec<_>, _>>()?;
        let readers =
            Readers { idle: SyncMutex::new(idle), permits: Semaphore::new(READERS as usize) };
        Ok(Self { writer, readers, fanouts })
    }

    pub(super) async fn close(&self) {
        self.fanouts.close();
        // Whoever reads is done once all permits are here; nobody gets one afterwards.
        if let Ok(all) = self.readers.permits.acquire_many(READERS).await {
            all.forget();
            self.readers.permits.close();
        }
        let readers = core::mem::take(&mut *self.readers.idle());
        for worker in readers {
            worker.close().await;
        }
        if let Some(worker) = self.writer.lock().await.take() {
            worker.close().await;
        }
    }

    pub(super) async fn read(&self, script: Script) -> Result<Answers, Failure> {
        let permit = self.readers.permits.acquire().await.map_err(|_| closed())?;
        let worker = self.readers.idle().pop();
        let reader = Reader { readers: &self.readers, worker, _permit: permit };
        reader.worker.as_ref().ok_or_else(closed)?.run(script, Part::Reading).await
    }

    pub(super) async fn empty_log(&self) -> Result<(), Failure> {
        let mut script = Script::new(Dialect::Sqlite);
        script.one(&EMPTY_LOG, |_| {});
        let writer = self.writer.lock().await;
        writer.as_ref().ok_or_else(closed)?.run(script, Part::First).await?;
        Ok(())
    }

    /// Runs the work of a transaction on the writer's thread.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Working<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let writer = self.writer.lock().await;
        writer.as_ref().ok_or_else(closed)?.transact(work).await
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'_>, Failure> {
        Ok(Transaction { writer: self.writer.lock().await, next: Part::First })
    }
}

impl Readers {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that reads, given back when this is dropped, also by a caller that does not wait.
struct Reader<'a> {
    readers: &'a Readers,
    worker: Option<Worker>,
    /// Dropped after the worker is back.
    _permit: SemaphorePermit<'a>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.readers.idle().extend(self.worker.take());
    }
}

/// The writer, held until the transaction ends. Scripts carry BEGIN and COMMIT themselves.
pub(super) struct Transaction<'a> {
    writer: MutexGuard<'a, Option<Worker>>,
    /// What the next script is; [`Part::Later`] while a transaction may be open.
    next: Part,
}

impl Transaction<'_> {
    pub(super) async fn run(&mut self, script: Script) -> Result<Answers, Failure> {
        let part = core::mem::replace(&mut self.next, Part::Later);
        let answers = self.writer.as_ref().ok_or_else(closed)?.run(script, part).await;
        if answers.is_err() {
            self.next = Part::First;
        }
        answers
    }

    pub(super) async fn finish(mut self, script: Script) -> Result<Answers, Failure> {
        let answers = self.run(script).await?;
        self.next = Part::First;
        Ok(answers)
    }
}

/// A transaction that did not finish is rolled back: what comes next waits behind that.
impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let (Part::Later, Some(worker)) = (self.next, self.writer.as_ref()) {
            worker.give_up();
        }
    }
}

/// Sets the journal and applies migrations.
async fn bring_up_to_date(path: &Path) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(unavailable)?;
    migrate::run(&migrate::SQLITE, &mut connection).await?;
    connection.close().await.map_err(unavailable)
}

/// Creates the file where only its owner can read it; SQLite gives its log the same permissions.
fn create(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(unavailable(error)),
        _ => Ok(()),
    }
}
