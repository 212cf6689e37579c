//! Errors of the driver, sorted by what can be done about them.

use posthouse_storage::error::StoreError;

use crate::counters::Counters;

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another transaction was in the way (deadlock, serialisation, a key inserted twice at once):
    /// the same again may succeed.
    Conflict(sqlx::Error),
    /// Anything else.
    Store(StoreError),
}

impl Failure {
    /// Whether the database could not do it, whatever was asked of it: a full or broken disk, a lock
    /// that was not given, a server that is away.
    pub(crate) fn is_of_the_database(&self) -> bool {
        let Self::Store(StoreError::Unavailable(source)) = self else { return false };
        if let Some(error) = source.downcast_ref::<rusqlite::Error>() {
            return error.sqlite_error_code().is_some_and(is_of_sqlite);
        }
        source.downcast_ref::<sqlx::Error>().is_some_and(is_of_postgres)
    }
}

fn is_of_sqlite(code: rusqlite::ErrorCode) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(
        code,
        Code::DiskFull
            | Code::SystemIoFailure
            | Code::ReadOnly
            | Code::CannotOpen
            | Code::PermissionDenied
            | Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::DatabaseCorrupt
            | Code::NotADatabase
            | Code::OutOfMemory
    )
}

/// Of what the server itself reports, the classes of SQLSTATE that are about data, keys and syntax
/// are left out.
fn is_of_postgres(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            !["22", "23", "42"].iter().any(|class| code.starts_with(class))
        }
        _ => false,
    }
}

/// How often a transaction is begun again after a conflict. Locks are taken in one order, so that
/// conflicts are rare: two processes that accept one id at once, a conversation's first message.
const MAX_RETRIES: u32 = 8;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let conflict = error.as_database_error().is_some_and(|database| {
            // SQLSTATE classes of PostgreSQL: 40001 serialisation, 40P01 deadlock. SQLite's numeric
            // codes never have five characters.
            let code = database.code();
            matches!(code.as_deref(), Some("40001" | "40P01" | "23505"))
        });
        if conflict { Self::Conflict(error) } else { Self::Store(unavailable(error)) }
    }
}

/// SQLite has one writer: nothing is in its way.
impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(unavailable(error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict(error) => unavailable(error),
            Failure::Store(error) => error,
        }
    }
}

/// The store's word for a driver's error: the database cannot be reached, is locked or full, or
/// damaged so that it cannot be read at all.
pub(crate) fn unavailable(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable(error.into())
}

/// Counts the tries of one transaction.
pub(crate) struct Tries<'a> {
    counters: &'a Counters,
    left: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(counters: &'a Counters) -> Self {
        Self { counters, left: MAX_RETRIES }
    }

    /// `Ok` if the transaction is worth another try.
    pub(crate) fn again(&mut self, failure: Failure) -> Result<(), StoreError> {
        match failure {
            Failure::Conflict(_) if self.left > 0 => {
                self.left -= 1;
                self.counters.retry();
                Ok(())
            }
            failure => Err(failure.into()),
        }
    }
}
