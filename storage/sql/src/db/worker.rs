//! A connection to SQLite on a thread of its own: a whole script goes there and all its answers come
//! back, so that a script costs two changes of thread, however many statements it has.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use posthouse_storage::error::StoreError;
use rusqlite::{Connection, OpenFlags, types::Value};
use tokio::sync::oneshot;

use super::{
    Row, Script,
    args::ArgsKind,
    script::{Answer, Answers, Segment},
};
use crate::failure::{Failure, unavailable};

/// Prepared statements that a connection keeps: most statements have 8 sizes of their VALUES list,
/// of which some are never seen.
const STATEMENT_CACHE: usize = 1_024;

/// How a connection is opened.
pub(super) struct Options {
    pub(super) path: PathBuf,
    pub(super) read_only: bool,
    /// Settings, by name.
    pub(super) pragmas: &'static [(&'static str, &'static str)],
    /// How long a statement waits for a lock of another process.
    pub(super) busy_timeout: std::time::Duration,
}

/// What a script has to do with transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It begins one, or needs none: one that is still open was given up.
    First,
    /// It goes on with one.
    Later,
}

/// The thread. It ends when this is dropped, after what it was given before.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

struct Job {
    segments: Vec<Segment>,
    part: Part,
    /// Nobody listens if the caller was dropped.
    answer: oneshot::Sender<Result<Answers, Failure>>,
}

impl Worker {
    /// Opens a connection and starts its thread.
    pub(super) fn start(name: &str, options: &Options) -> Result<Self, StoreError> {
        let connection = open(options).map_err(unavailable)?;
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(connection, &queue))
            .map_err(unavailable)?;
        Ok(Self { jobs, thread })
    }

    /// Runs a script. A failed one leaves no transaction open.
    pub(super) async fn run(&self, script: Script, part: Part) -> Result<Answers, Failure> {
        let (answer, answered) = oneshot::channel();
        let job = Job { segments: script.segments(), part, answer };
        self.jobs.send(job).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Gives up an open transaction without waiting for it.
    pub(super) fn give_up(&self) {
        let (answer, _) = oneshot::channel();
        // Where the thread has ended, so has the transaction.
        let _ = self.jobs.send(Job { segments: Vec::new(), part: Part::First, answer });
    }

    /// Waits until everything before is done and the connection is closed.
    pub(super) async fn close(self) {
        let Self { jobs, thread } = self;
        drop(jobs);
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::warn!("the database's thread ended with a panic");
        }
    }
}

/// The error of a database that was closed.
pub(super) fn closed() -> Failure {
    Failure::Store(unavailable("the database is closed"))
}

fn open(options: &Options) -> rusqlite::Result<Connection> {
    let access = if options.read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    let path: &Path = &options.path;
    // One thread has it, so that it needs no lock of its own.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(options.busy_timeout)?;
    for (name, value) in options.pragmas {
        connection.pragma_update(None, name, value)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

fn work(connection: Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(Job { segments, part, answer }) = queue.recv() {
        let result = run(&connection, segments, part);
        let _ = answer.send(result);
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "closing the database failed");
    }
}

fn run(connection: &Connection, segments: Vec<Segment>, part: Part) -> Result<Answers, Failure> {
    if part == Part::First {
        end(connection)?;
    }
    let mut answers = Vec::with_capacity(segments.len());
    for segment in segments {
        match answer(connection, segment) {
            Ok(answer) => answers.push(answer),
            Err(failure) => {
                end(connection)?;
                return Err(failure);
            }
        }
    }
    Ok(Answers(answers))
}

/// Rolls a transaction back that is still open. SQLite may have ended it already, after an error that
/// leaves no choice (disk full).
fn end(connection: &Connection) -> Result<(), Failure> {
    if !connection.is_autocommit() {
        connection.prepare_cached("ROLLBACK")?.raw_execute()?;
    }
    Ok(())
}

fn answer(connection: &Connection, segment: Segment) -> Result<Answer, Failure> {
    let ArgsKind::Sqlite(args) = segment.args.kind else {
        return Err(Failure::Store(unavailable("a script of the other dialect")));
    };
    let mut statement = connection.prepare_cached(segment.text.as_str())?;
    for (place, value) in args.iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value)?;
    }
    let columns = statement.column_count();
    let reads = statement.readonly();
    let mut answer = Answer::default();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get::<_, Value>(column));
        answer.rows.push(Row::Sqlite(values.collect::<Result<_, _>>()?));
    }
    drop(rows);
    answer.changed = if reads { 0 } else { connection.changes() };
    Ok(answer)
}
