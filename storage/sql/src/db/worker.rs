//! A connection to SQLite on a thread of its own: a whole script goes there and all its answers come
//! back, so that a script costs two changes of thread, however many statements it has. All that a
//! transaction does may go there too.

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    thread::JoinHandle,
};

use posthouse_storage::error::StoreError;
use rusqlite::{Connection, OpenFlags, types::Value};
use tokio::sync::oneshot;

use super::{
    Row, Script, Working,
    args::ArgsKind,
    script::{Answer, Answers, Segment},
};
use crate::{
    failure::{Failure, unavailable},
    fanouts::Fanouts,
};

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
    /// For the connection that writes: what waits, which it writes and keeps in step with what it
    /// commits.
    pub(super) fanouts: Option<Arc<Fanouts>>,
}

/// What a script has to do with transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It begins one, or needs none: one that is still open was given up.
    First,
    /// It goes on with one.
    Later,
    /// It reads: all its statements see one moment, for which the log's locks are taken once.
    Reading,
}

/// The thread. It ends when this is dropped, after what it was given before.
pub(super) struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// What the thread is given.
enum Job {
    /// A script.
    Script {
        segments: Vec<Segment>,
        part: Part,
        /// Nobody listens if the caller was dropped.
        answer: oneshot::Sender<Result<Answers, Failure>>,
    },
    /// A transaction's work, which answers by itself.
    Work(Box<dyn FnOnce() + Send>),
}

/// An open connection.
struct Open {
    connection: Connection,
    fanouts: Option<Arc<Fanouts>>,
}

thread_local! {
    /// The connection that this thread was started for.
    static CONNECTION: RefCell<Option<Open>> = const { RefCell::new(None) };
}

/// Runs a script on this thread's connection: for the work of a transaction.
pub(super) fn run_here(script: Script, part: Part) -> Result<Answers, Failure> {
    CONNECTION.with_borrow(|connection| {
        run(connection.as_ref().ok_or_else(closed)?, script.segments(), part)
    })
}

impl Worker {
    /// Opens a connection and starts its thread.
    pub(super) fn start(name: &str, options: &Options) -> Result<Self, StoreError> {
        let connection = open(options).map_err(unavailable)?;
        let open = Open { connection, fanouts: options.fanouts.clone() };
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(open, &queue))
            .map_err(unavailable)?;
        Ok(Self { jobs, thread })
    }

    /// Runs a script. A failed one leaves no transaction open.
    pub(super) async fn run(&self, script: Script, part: Part) -> Result<Answers, Failure> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Script { segments: script.segments(), part, answer };
        self.jobs.send(job).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Runs the work of a transaction on the thread. What it leaves open is rolled back.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Working<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let _ = answer.send(at_once(work()));
        };
        self.jobs.send(Job::Work(Box::new(work))).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Gives up an open transaction without waiting for it.
    pub(super) fn give_up(&self) {
        let (answer, _) = oneshot::channel();
        // Where the thread has ended, so has the transaction.
        let _ = self.jobs.send(Job::Script { segments: Vec::new(), part: Part::First, answer });
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

fn work(open: Open, queue: &mpsc::Receiver<Job>) {
    CONNECTION.set(Some(open));
    while let Ok(job) = queue.recv() {
        match job {
            Job::Script { segments, part, answer } => {
                let result = CONNECTION.with_borrow(|connection| {
                    run(connection.as_ref().ok_or_else(closed)?, segments, part)
                });
                let _ = answer.send(result);
            }
            Job::Work(work) => {
                // A defect of one transaction's work must not end all others; whoever waits for it
                // is told.
                drop(std::panic::catch_unwind(AssertUnwindSafe(work)));
                let ended = CONNECTION.with_borrow(|connection| connection.as_ref().map(end));
                if let Some(Err(failure)) = ended {
                    tracing::warn!(?failure, "a transaction was not rolled back");
                }
            }
        }
    }
    let Some(open) = CONNECTION.take() else { return };
    if let Err((_, error)) = open.connection.close() {
        tracing::warn!(%error, "closing the database failed");
    }
}

/// The outcome of work that waits for nothing but this thread's connection, which answers at once.
fn at_once<T>(mut work: Working<T>) -> Result<T, Failure> {
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            Err(Failure::Store(unavailable("the work of a transaction waits for something else")))
        }
    }
}

fn run(open: &Open, segments: Vec<Segment>, part: Part) -> Result<Answers, Failure> {
    if part == Part::First {
        end(open)?;
    }
    let is_snapshot = part == Part::Reading && segments.len() > 1;
    if is_snapshot {
        open.connection.prepare_cached("BEGIN")?.raw_execute()?;
    }
    let mut answers = Vec::with_capacity(segments.len());
    for segment in segments {
        match answer(open, segment) {
            Ok(answer) => answers.push(answer),
            Err(failure) => {
                end(open)?;
                return Err(failure);
            }
        }
    }
    if is_snapshot {
        end(open)?;
    } else if let (true, Some(fanouts)) = (open.connection.is_autocommit(), &open.fanouts) {
        fanouts.committed();
    }
    Ok(Answers(answers))
}

/// Rolls a transaction back that is still open. SQLite may have ended it already, after an error that
/// leaves no choice (disk full).
fn end(open: &Open) -> Result<(), Failure> {
    if let Some(fanouts) = &open.fanouts {
        fanouts.rolled_back();
    }
    if !open.connection.is_autocommit() {
        open.connection.prepare_cached("ROLLBACK")?.raw_execute()?;
    }
    Ok(())
}

fn answer(open: &Open, segment: Segment) -> Result<Answer, Failure> {
    let connection = &open.connection;
    let (text, args) = match segment {
        Segment::Statement { text, args } => (text, args),
        Segment::Settle { accounts, stays_known } => {
            let fanouts = open.fanouts.as_ref();
            let fanouts = fanouts.ok_or_else(|| misled("a connection that does not write"))?;
            let changed = fanouts.settle(connection, &accounts, stays_known)?;
            return Ok(Answer { changed, ..Answer::default() });
        }
    };
    let ArgsKind::Sqlite(args) = args.kind else {
        return Err(misled("a script of the other dialect"));
    };
    let mut statement = connection.prepare_cached(text.as_str())?;
    for (place, value) in args.iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value)?;
    }
    let columns = statement.column_count();
    let before = connection.total_changes();
    let mut answer = Answer::default();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get::<_, Value>(column));
        answer.rows.push(Row::Sqlite(values.collect::<Result<_, _>>()?));
    }
    drop(rows);
    // `changes` still tells those of an earlier statement if this one was no write at all.
    let changed = connection.total_changes() != before;
    answer.changed = if changed { connection.changes() } else { 0 };
    Ok(answer)
}

/// The error of a script that got to the wrong place.
fn misled(fact: &'static str) -> Failure {
    Failure::Store(unavailable(fact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Dialect, Statement};

    static MAKE: Statement = Statement::new("CREATE TABLE t (n INTEGER)");
    static BEGIN: Statement = Statement::new("BEGIN");
    static PUT: Statement = Statement::new("INSERT INTO t (n) VALUES (1)");
    static COUNT: Statement = Statement::new("SELECT COUNT(*) FROM t");

    fn worker() -> (tempfile::TempDir, Worker) {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("t.db");
        std::fs::File::create(&path).unwrap();
        let busy_timeout = std::time::Duration::from_secs(5);
        let options = Options { path, read_only: false, pragmas: &[], busy_timeout, fanouts: None };
        (directory, Worker::start("test", &options).unwrap())
    }

    fn script(statements: &[&'static Statement]) -> Script {
        let mut script = Script::new(Dialect::Sqlite);
        for statement in statements {
            script.one(statement, |_| {});
        }
        script
    }

    async fn count(worker: &Worker) -> i64 {
        let mut script = Script::new(Dialect::Sqlite);
        let slot = script.one(&COUNT, |_| {});
        let rows = worker.run(script, Part::Reading).await.unwrap().take(slot);
        rows[0].fields("t").integer("n").unwrap()
    }

    #[tokio::test]
    async fn work_that_breaks_or_ends_early_leaves_nothing_open() {
        let (_directory, worker) = worker();
        worker.run(script(&[&MAKE]), Part::First).await.unwrap();
        let left = worker.transact(|| {
            Box::pin(async { run_here(script(&[&BEGIN, &PUT]), Part::First).map(|_| ()) })
        });
        left.await.unwrap();
        assert_eq!(count(&worker).await, 0, "what was not finished is rolled back");
        let broken = worker.transact(|| -> Working<()> {
            Box::pin(async {
                run_here(script(&[&BEGIN, &PUT]), Part::First)?;
                panic!("a defect")
            })
        });
        assert!(broken.await.is_err());
        let waits: Result<(), _> = worker.transact(|| Box::pin(core::future::pending())).await;
        assert!(waits.is_err(), "there is nothing that would wake it");
        assert_eq!(count(&worker).await, 0);
        let late = worker
            .transact(|| Box::pin(async { run_here(script(&[&PUT]), Part::First).map(|_| ()) }));
        late.await.unwrap();
        assert_eq!(count(&worker).await, 1, "the thread goes on");
        worker.close().await;
    }

    #[tokio::test]
    async fn a_script_runs_on_no_other_thread() {
        assert!(run_here(script(&[&COUNT]), Part::First).is_err());
    }
}
