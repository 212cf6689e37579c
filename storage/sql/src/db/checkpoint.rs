//! Copies the write-ahead log into the database file beside the writer, so that hardly a commit waits
//! for it: a checkpoint writes up to a thousand scattered pages and syncs them.
//!
//! The writer tells how long the log is. Every [`EVERY`] pages the log is copied by a connection of
//! its own (PASSIVE: nobody waits for it, and it waits for nobody). Only once a log is empty does the
//! writer begin it anew; while commits never pause there is always a rest, which the writer copies
//! itself when the log has [`MOST`] pages.

use std::{cell::Cell, sync::mpsc, thread::JoinHandle};

use posthouse_storage::error::StoreError;
use rusqlite::Connection;

use super::worker::{Options, open};
use crate::failure::unavailable;

/// Pages (4 KiB each) after which the log is copied.
const EVERY: i32 = 1_000;
/// Pages after which the writer copies the rest.
const MOST: i32 = 4_000;
/// How often the log is copied again at once because commits came meanwhile.
const AGAIN: usize = 3;

thread_local! {
    /// The log's pages after the last commit of this thread's connection.
    static PAGES: Cell<i32> = const { Cell::new(0) };
}

/// The thread that copies; it ends with this.
pub(super) struct Checkpoints {
    due: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// The log's pages when it was last due.
    told: i32,
}

impl Checkpoints {
    /// Opens a connection of its own and starts the thread.
    pub(super) fn start(options: &Options) -> Result<Self, StoreError> {
        let connection = open(options).map_err(unavailable)?;
        let (due, queue) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("db-checkpoint".to_owned())
            .spawn(move || {
                while queue.recv().is_ok() {
                    copy(&connection, AGAIN);
                }
            })
            .map_err(unavailable)?;
        Ok(Self { due: Some(due), thread: Some(thread), told: 0 })
    }

    /// Follows the log of `writer`, on the writer's thread; SQLite itself copies nothing any more.
    pub(super) fn follow(writer: &Connection) {
        writer.wal_hook(Some(|_, pages| {
            PAGES.set(pages);
            Ok(())
        }));
    }

    /// To be called by the writer's thread after whoever waited for a commit was answered.
    pub(super) fn look(&mut self, writer: &Connection) {
        let pages = PAGES.get();
        if pages < self.told {
            // A new log.
            self.told = 0;
        }
        if pages >= MOST {
            copy(writer, 1);
            // Its next commit begins anew, if no reader is in the log.
            PAGES.set(0);
            self.told = 0;
        } else if pages - self.told >= EVERY {
            self.told = pages;
            // If one is under way it sees most of what is there now.
            let _ = self.due.as_ref().map(|due| due.try_send(()));
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.due.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the thread of the checkpoints ended with a panic");
        }
    }
}

/// Copies what is in the log, and then what came meanwhile, until nothing did.
fn copy(connection: &Connection, times: usize) {
    for _ in 0..times {
        let row =
            connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)").and_then(|mut ask| {
                ask.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
            });
        match row {
            Ok((log, copied)) if copied < log => {}
            Ok(_) => return,
            // The log is whole, and grows until a copy succeeds.
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be copied into the database");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, time::Duration};

    use super::*;

    fn options(path: &Path) -> Options {
        Options {
            path: path.to_owned(),
            read_only: false,
            pragmas: &[("synchronous", "FULL")],
            busy_timeout: Duration::from_secs(5),
        }
    }

    fn writer(path: &Path) -> Connection {
        fs::File::create(path).unwrap();
        let writer = open(&options(path)).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (v BLOB)").unwrap();
        Checkpoints::follow(&writer);
        writer
    }

    fn grow(writer: &Connection, rows: usize) {
        for _ in 0..rows {
            // Three pages each, and a fourth for the tree now and then.
            writer.execute("INSERT INTO t VALUES (zeroblob(12000))", []).unwrap();
        }
    }

    #[test]
    fn a_long_log_is_copied_beside_the_writer_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writer = writer(&path);
        let mut checkpoints = Checkpoints::start(&options(&path)).unwrap();
        grow(&writer, 100);
        checkpoints.look(&writer);
        assert!(PAGES.get() < EVERY && checkpoints.told == 0, "nothing is due yet");
        grow(&writer, 400);
        checkpoints.look(&writer);
        assert!(checkpoints.told >= EVERY);
        // Ends once everything was copied.
        drop(checkpoints);
        assert!(fs::metadata(&path).unwrap().len() > 500 * 12_000);
        grow(&writer, 1);
        assert!(PAGES.get() < 10, "a new log: {}", PAGES.get());
    }

    #[test]
    fn the_writer_copies_the_rest_of_a_log_that_nobody_else_could_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writer = writer(&path);
        let mut checkpoints = Checkpoints::start(&options(&path)).unwrap();
        let reader = open(&options(&path)).unwrap();
        // A reader in an old log holds the copying up.
        reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        grow(&writer, 1_400);
        checkpoints.look(&writer);
        grow(&writer, 1);
        assert!(PAGES.get() > MOST, "the reader is still there");
        reader.execute_batch("COMMIT").unwrap();
        checkpoints.look(&writer);
        grow(&writer, 1);
        assert!(PAGES.get() < 10, "a new log: {}", PAGES.get());
    }
}
