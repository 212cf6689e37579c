//! What the store did, for tests and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::writing::Writing;

/// Counts since the store was opened. Each is exact, but they are not read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// SQL statements that were run, BEGIN and COMMIT included.
    pub statements: u64,
    /// Times that a database was asked: a script of several statements is one round trip, also where
    /// scripts run on the connection's own thread.
    pub round_trips: u64,
    /// Transactions that were committed; on SQLite each is one fsync.
    pub transactions: u64,
    /// Calls of `Ledger::commit` that committed.
    pub commits: u64,
    /// Submissions in them.
    pub submissions: u64,
    /// The largest of them, in submissions.
    pub largest_commit: u64,
    /// Transactions that were begun again because another process was in the way.
    pub retries: u64,
}

/// The live counters.
#[derive(Debug, Default)]
pub struct Counters {
    statements: AtomicU64,
    round_trips: AtomicU64,
    transactions: AtomicU64,
    commits: AtomicU64,
    submissions: AtomicU64,
    largest_commit: AtomicU64,
    retries: AtomicU64,
    pub(crate) writing: Writing,
}

impl Counters {
    /// The counts now.
    pub fn read(&self) -> Counts {
        Counts {
            statements: self.statements.load(Relaxed),
            round_trips: self.round_trips.load(Relaxed),
            transactions: self.transactions.load(Relaxed),
            commits: self.commits.load(Relaxed),
            submissions: self.submissions.load(Relaxed),
            largest_commit: self.largest_commit.load(Relaxed),
            retries: self.retries.load(Relaxed),
        }
    }

    pub(crate) fn round_trip(&self, statements: u64) {
        self.round_trips.fetch_add(1, Relaxed);
        self.statements.fetch_add(statements, Relaxed);
    }

    pub(crate) fn transaction(&self) {
        self.transactions.fetch_add(1, Relaxed);
    }

    pub(crate) fn commit(&self, submissions: usize) {
        let submissions = submissions as u64;
        self.commits.fetch_add(1, Relaxed);
        self.submissions.fetch_add(submissions, Relaxed);
        self.largest_commit.fetch_max(submissions, Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }
}
