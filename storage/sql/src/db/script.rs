//! Scripts: statements that run one after the other, in as few round trips as the database allows.
//!
//! On SQLite every round trip is a hop to the connection's thread and back. Statements are therefore
//! joined with `;` and run as one. So that there are few different texts, and the connection's cache
//! holds them prepared, all VALUES lists of a script have the script's number of rows: a power of
//! two that its maker knows beforehand, such as the size of a batch.

use core::ops::Range;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::{Args, Row};
use crate::statement::{Dialect, MAX_ROWS, Statement};

/// Statements to be run in order.
pub(crate) struct Script {
    dialect: Dialect,
    /// Rows of a VALUES list, at least.
    rows: usize,
    sent: Vec<Segment>,
    /// The segment that statements are added to.
    current: Segment,
    /// Whether it takes more of them.
    open: bool,
    /// Statements so far.
    len: usize,
}

/// What is sent at once.
pub(super) struct Segment {
    pub(super) text: Text,
    pub(super) args: Args,
    pub(super) statements: u64,
}

pub(super) enum Text {
    None,
    One(SqlStr),
    Joined(String),
}

/// Where the answers of a statement are, which may have been cut into several.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Range<usize>);

impl Script {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            rows: 1,
            sent: Vec::new(),
            current: Segment::new(dialect),
            open: true,
            len: 0,
        }
    }

    /// Gives all VALUES lists the number of rows that `items` need, where they do not need more.
    pub(crate) fn sized(mut self, items: usize) -> Self {
        if self.dialect == Dialect::Sqlite {
            self.rows = items.next_power_of_two().min(MAX_ROWS);
        }
        self
    }

    /// How many statements each segment has.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u64> {
        self.sent.iter().chain([&self.current]).map(|segment| segment.statements)
    }

    /// The segments, in order.
    pub(super) fn segments(self) -> impl Iterator<Item = Segment> {
        let mut segments = self.sent;
        segments.push(self.current);
        segments.into_iter().filter(|segment| segment.statements > 0)
    }

    /// Adds a statement without a VALUES list.
    pub(crate) fn one(
        &mut self,
        statement: &'static Statement,
        bind: impl FnOnce(&mut Args),
    ) -> Slot {
        bind(self.place(statement, 1, true));
        Slot(self.len - 1..self.len)
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
        let from = self.len;
        let few = items.len() <= MAX_ROWS;
        for chunk in items.chunks(MAX_ROWS) {
            let rows = chunk.len().next_power_of_two().max(self.rows);
            let args = self.place(statement, rows, few);
            args.reserve(rows * statement.row().len());
            for item in chunk {
                bind(args, item);
            }
            for _ in chunk.len()..rows {
                args.nulls(statement.row());
            }
            then(args);
        }
        Slot(from..self.len)
    }

    /// Adds a statement; those of `few` rows are joined.
    fn place(&mut self, statement: &'static Statement, rows: usize, few: bool) -> &mut Args {
        let join = few && self.dialect == Dialect::Sqlite;
        if self.current.statements > 0 && !(join && self.open) {
            let next = Segment::new(self.dialect);
            self.sent.push(core::mem::replace(&mut self.current, next));
        }
        self.open = join;
        self.len += 1;
        self.current.add(statement.text(self.dialect, rows))
    }
}

impl Segment {
    fn new(dialect: Dialect) -> Self {
        Self { text: Text::None, args: Args::new(dialect), statements: 0 }
    }

    fn add(&mut self, next: SqlStr) -> &mut Args {
        self.statements += 1;
        self.text = match core::mem::replace(&mut self.text, Text::None) {
            Text::None => Text::One(next),
            Text::One(first) => Text::Joined([first.as_str(), next.as_str()].join(";")),
            Text::Joined(mut all) => {
                all.push(';');
                all.push_str(next.as_str());
                Text::Joined(all)
            }
        };
        &mut self.args
    }
}

impl Text {
    /// The text to be sent.
    pub(super) fn finish(self) -> SqlStr {
        match self {
            Self::None => "".into_sql_str(),
            Self::One(text) => text,
            // Every piece is a `Statement`, whose text is written in this crate.
            Self::Joined(text) => AssertSqlSafe(text).into_sql_str(),
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
