//! A store in one SQLite file.
//!
//! The file belongs to one process at a time and can be read by its owner only (mode 0600 on Unix,
//! also its journal). It is *not* encrypted: who can read the file can read the conversations and
//! take the keys. Put it where the system encrypts what it keeps.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use sqlx::{
    Connection, Row, SqliteConnection,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteRow, SqliteSynchronous,
    },
};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{Batch, Scan, Store, StoreError, Table, Value};

/// The version of the schema, in the file's `user_version`.
const VERSION: i64 = 1;

const GET: &str = "SELECT value FROM records WHERE kind = ? AND key = ?";
const PUT: &str = "INSERT INTO records (kind, key, value) VALUES (?, ?, ?)
    ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM records WHERE kind = ? AND key = ?";
const FORWARDS: &str = "SELECT key, value FROM records WHERE kind = ?1 AND key >= ?2
    AND (length(?3) = 0 OR key < ?3) ORDER BY key LIMIT ?4";
const BACKWARDS: &str = "SELECT key, value FROM records WHERE kind = ?1 AND key >= ?2
    AND (length(?3) = 0 OR key < ?3) ORDER BY key DESC LIMIT ?4";
const SCHEMA: &str = "CREATE TABLE records (
    kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID";

/// Keeps a device's records in a file.
///
/// What was begun goes on by itself, whether or not its future is polled or dropped: who leaves a
/// future alone holds nobody up.
#[derive(Debug)]
pub struct SqliteStore(Arc<Mutex<SqliteConnection>>);

impl SqliteStore {
    /// Opens the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it, [`StoreError::Version`],
    /// [`StoreError::Failed`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        make(path).map_err(|err| StoreError::Failed(err.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            // Before the journal's mode: so no other process ever shares the journal.
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // macOS's own sync leaves data in the drive's cache. Nothing elsewhere.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            // What is deleted is overwritten: it may have been a key.
            .pragma("secure_delete", "ON")
            .busy_timeout(std::time::Duration::from_millis(100));
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let mut opening = connection.begin_with("BEGIN IMMEDIATE").await?;
        let version: i64 =
            sqlx::query("PRAGMA user_version").fetch_one(&mut *opening).await?.try_get(0)?;
        match version {
            0 => {
                sqlx::query(SCHEMA).execute(&mut *opening).await?;
                sqlx::query("PRAGMA user_version = 1").execute(&mut *opening).await?;
            }
            VERSION => {}
            other => return Err(StoreError::Version(other)),
        }
        opening.commit().await?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }
}

/// Makes an empty file that nobody else can read, if there is none.
fn make(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let (connection, key) = (Arc::clone(&self.0), key.to_vec());
        apart(async move {
            let mut connection = connection.lock().await;
            let query = sqlx::query(GET).bind(table as i64).bind(key);
            let row = query.fetch_optional(&mut *connection).await?;
            row.map(|row| Ok(Zeroizing::new(row.try_get(0)?))).transpose()
        })
        .await
    }

    async fn scan(&self, scan: &Scan) -> Result<Vec<(Vec<u8>, Value)>, StoreError> {
        let (connection, scan) = (Arc::clone(&self.0), scan.clone());
        apart(async move {
            let text = if scan.backwards { BACKWARDS } else { FORWARDS };
            let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
            let query =
                sqlx::query(text).bind(scan.table as i64).bind(scan.from).bind(scan.to).bind(limit);
            let mut connection = connection.lock().await;
            let rows = query.fetch_all(&mut *connection).await?;
            let read = |row: SqliteRow| Ok((row.try_get(0)?, Zeroizing::new(row.try_get(1)?)));
            rows.into_iter().map(read).collect()
        })
        .await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let connection = Arc::clone(&self.0);
        apart(async move {
            let mut connection = connection.lock().await;
            let mut writing = connection.begin().await?;
            for (table, key, value) in batch.changes() {
                let query = match value {
                    Some(value) => sqlx::query(PUT).bind(table as i64).bind(key).bind(value),
                    None => sqlx::query(DELETE).bind(table as i64).bind(key),
                };
                query.execute(&mut *writing).await?;
            }
            writing.commit().await?;
            Ok(())
        })
        .await
    }
}

/// Does work on the connection in a task of its own. Whoever holds the connection must go on: in the
/// device's own task a call of the homeserver that reads the store may rest while the next step waits
/// for the store.
async fn apart<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.unwrap_or_else(|err| Err(StoreError::Failed(err.into())))
}

impl From<sqlx::Error> for StoreError {
    fn from(err: sqlx::Error) -> Self {
        // SQLITE_BUSY and what it extends to.
        let busy = |err: &dyn sqlx::error::DatabaseError| {
            err.code().is_some_and(|code| code.parse::<u32>().is_ok_and(|code| code & 0xff == 5))
        };
        match err.as_database_error() {
            Some(inner) if busy(inner) => Self::InUse,
            _ => Self::Failed(err.into()),
        }
    }
}
