//! Whether writing works, as the last transactions showed: for whoever asks whether the server can
//! do its work. A full disk does not keep a database from answering.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use posthouse_storage::error::StoreError;

use crate::{
    counters::Counters,
    failure::Failure,
    statement::{Statement, statements},
    store::SqlStore,
};

statements! {
    /// As much as a large message takes: where there is room for less, little messages may still be
    /// written, but the region does not do its work. What stays as it is would not be written, so that it
    /// is other bytes each time.
    TRY = Statement::of_each(
        "UPDATE write_tries SET count = count + 1, filler = randomblob(65536) WHERE only_row = 1",
        "UPDATE write_tries SET count = count + 1,
            filler = decode(repeat(md5(random()::text), 4096), 'hex') WHERE only_row = 1",
    );
}

/// What the last transaction that had something to write came to.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    fails: AtomicBool,
}

impl Writing {
    /// Something is durable that was not before.
    pub(crate) fn worked(&self) {
        // Every commit comes by: it only looks.
        if self.fails.load(Relaxed) {
            self.fails.store(false, Relaxed);
        }
    }

    /// A transaction failed. What is wrong with its statements says nothing about the database.
    pub(crate) fn failed(&self, failure: &Failure) {
        if failure.is_of_the_database() {
            self.fails.store(true, Relaxed);
        }
    }

    /// Whether the last attempt failed.
    pub(crate) fn fails(&self) -> bool {
        self.fails.load(Relaxed)
    }
}

impl Counters {
    /// Whether the last transaction that had something to write could not: the disk is full or
    /// broken, the database locked or away. False before the first one.
    pub fn writing_fails(&self) -> bool {
        self.writing.fails()
    }
}

impl SqlStore {
    /// Writes 64 KiB, durably, to learn whether that works; [`Counters::writing_fails`] tells it
    /// from then on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it does not.
    pub async fn try_writing(&self) -> Result<(), StoreError> {
        Ok(self.change(&TRY, |_| {}).await.map(drop)?)
    }
}

#[cfg(test)]
mod tests {
    use posthouse_protocol::time::Timestamp;
    use posthouse_storage::leases::Leases;
    use rusqlite::ffi;
    use uuid::Uuid;

    use super::*;

    fn sqlite(code: core::ffi::c_int) -> Failure {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn what_is_wrong_with_a_statement_is_no_failure_of_the_database() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_READONLY] {
            assert!(sqlite(code).is_of_the_database(), "{code}");
        }
        assert!(!sqlite(ffi::SQLITE_CONSTRAINT_UNIQUE).is_of_the_database());
        assert!(!sqlite(ffi::SQLITE_ERROR).is_of_the_database());
        assert!(Failure::from(sqlx::Error::PoolTimedOut).is_of_the_database());
        assert!(!Failure::from(sqlx::Error::RowNotFound).is_of_the_database());
    }

    /// Transactions that changed nothing wrote nothing, and show nothing.
    #[tokio::test]
    async fn only_what_was_written_shows_that_writing_works() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("posthouse.db").display().to_string();
        let store = SqlStore::open(&path, Uuid::nil()).await.unwrap();
        let fails = || store.counters().writing_fails();
        assert!(!fails());
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let fence = store.acquire("l", one, Timestamp(1), 1_000).await.unwrap().unwrap();
        store.counters().writing.failed(&sqlite(ffi::SQLITE_FULL));
        store.release_all(two).await.unwrap();
        assert!(fails(), "there was nothing to release");
        assert!(store.renew(&fence, Timestamp(2), 1_000).await.unwrap());
        assert!(!fails());
        store.counters().writing.failed(&sqlite(ffi::SQLITE_FULL));
        store.try_writing().await.unwrap();
        assert!(!fails());
        store.close().await;
    }
}
