//! Scripts: statements that run one after the other, in as few round trips as the database allows.
//! On SQLite a script is one hop to the connection's thread and back.

use core::ops::Range;

use sqlx::SqlStr;
use uuid::Uuid;

use super::{Args, Row};
use crate::statement::{Dialect, MAX_ROWS, Statement};

/// Statements to be run in order.
pub(crate) struct Script {
    dialect: Dialect,
    segments: Vec<Segment>,
}

/// A piece of a script.
pub(super) enum Segment {
    /// A statement with its parameters.
    Statement { text: SqlStr, args: Args },
    /// What waits in these inboxes is written ([`crate::fanouts`]); whether they stay known there.
    /// Only on SQLite.
    Settle { accounts: Vec<Uuid>, stays_known: bool },
}

/// Where the answers of a statement are, which may have been cut into several.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Range<usize>);

impl Script {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, segments: Vec::new() }
    }

    /// How many statements it has; what waits is not foreseen, and not counted.
    pub(super) fn len(&self) -> usize {
        let is_statement = |segment: &&Segment| matches!(segment, Segment::Statement { .. });
        self.segments.iter().filter(is_statement).count()
    }

    /// Whether there is nothing to be run.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The statements, in order.
    pub(super) fn segments(self) -> Vec<Segment> {
        self.segments
    }

    /// Adds a statement without a VALUES list.
    pub(crate) fn one(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(&mut Args),
    ) -> Slot {
        bind(self.place(statement, 1));
        Slot(self.segments.len() - 1..self.segments.len())
    }

    /// Adds a statement for every `item`: as many statements as the rows need, none for no items.
    pub(crate) fn rows<T>(
        &mut self,
        statement: &'static Statement,
        items: &[T],
        mut bind: impl FnMut(&mut Args, &T),
    ) -> Slot {
        self.rows_then(statement, items, &mut bind, |_| {})
    }

    /// [`Self::rows`] for a statement that has parameters after the VALUES list.
    pub(crate) fn rows_then<T>(
        &mut self,
        statement: &'static Statement,
        items: &[T],
        mut bind: impl FnMut(&mut Args, &T),
        then: impl Fn(&mut Args),
    ) -> Slot {
        let from = self.segments.len();
        for chunk in items.chunks(MAX_ROWS) {
            let rows = chunk.len().next_power_of_two();
            let args = self.place(statement, rows);
            args.reserve(rows * statement.row().len());
            for item in chunk {
                bind(args, item);
            }
            for _ in chunk.len()..rows {
                args.nulls(statement.row());
            }
            then(args);
        }
        Slot(from..self.segments.len())
    }

    /// Writes what waits in these inboxes, of which the transaction reads or changes rows or the head.
    pub(crate) fn settle(&mut self, accounts: &[Uuid]) {
        self.settled(accounts, false);
    }

    /// [`Self::settle`] for a transaction that does nothing else with these inboxes.
    pub(crate) fn settle_known(&mut self, accounts: &[Uuid]) {
        self.settled(accounts, true);
    }

    fn settled(&mut self, accounts: &[Uuid], stays_known: bool) {
        // Elsewhere nothing waits.
        if self.dialect == Dialect::Sqlite && !accounts.is_empty() {
            self.segments.push(Segment::Settle { accounts: accounts.to_vec(), stays_known });
        }
    }

    fn place(&mut self, statement: &'static Statement, rows: usize) -> &mut Args {
        let text = statement.text(self.dialect, rows);
        let args = Args::new(self.dialect);
        self.segments.push(Segment::Statement { text, args });
        match self.segments.last_mut() {
            Some(Segment::Statement { args, .. }) => args,
            _ => unreachable!("it was pushed in the line before"),
        }
    }
}

/// What one statement gave.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    pub(super) changed: u64,
}

/// What a script gave.
pub(crate) struct Answers(pub(super) Vec<Answer>);

impl Answers {
    /// Those of no statement.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether a statement changed rows. PostgreSQL also counts what a SELECT found, so that
    /// statements that return rows do not count.
    pub(super) fn wrote(&self) -> bool {
        self.0.iter().any(|answer| answer.changed > 0 && answer.rows.is_empty())
    }

    /// Takes the rows of a statement out.
    pub(crate) fn take(&mut self, slot: Slot) -> Vec<Row> {
        let answers = self.0.get_mut(slot.0).unwrap_or_default();
        match answers {
            [one] => core::mem::take(&mut one.rows),
            many => many.iter_mut().flat_map(|answer| core::mem::take(&mut answer.rows)).collect(),
        }
    }

    /// How many rows a statement changed.
    pub(crate) fn changed(&self, slot: &Slot) -> u64 {
        self.0.get(slot.0.clone()).unwrap_or_default().iter().map(|answer| answer.changed).sum()
    }
}
