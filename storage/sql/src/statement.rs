//! Statements: written once, for both dialects.
//!
//! * `?` is a parameter. PostgreSQL's `$1`, `$2`, … are made from it.
//! * `{rows}` stands for `VALUES (…), (…)`, whose columns' types are given by letters: `b` bytes, `i`
//!   integer, `t` text. The number of rows is always a power of two up to [`MAX_ROWS`], so that there
//!   are few texts and the connections' caches hold all of them prepared. What is missing is filled
//!   up with rows of NULLs, which match nothing.
//! * `{new}` stands for the same as the source of an INSERT, where the rows of NULLs are left out.
//! * `INSERT{whole} INTO` says that a row which is refused ends the whole transaction, which it does
//!   anyway: a script stops at its first error. SQLite (`OR ROLLBACK`) need not keep a copy of each page
//!   then that it would need to undo the one statement.
//! * A limit is `LIMIT 0 + ?`: SQLite looks into the value of a bare `LIMIT ?` when it plans, and so
//!   plans again for every execution, which costs more than reading a page.
//! * `/*pg: …*/` is a comment for SQLite and text for PostgreSQL: row locks, which SQLite does not
//!   need since it has one writer.

use std::fmt::Write as _;

use std::sync::{Arc, OnceLock};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Most rows of one VALUES list. At 16 columns that is 2,048 parameters of SQLite's 32,766.
pub(crate) const MAX_ROWS: usize = 1 << (SIZES - 1);

/// How many powers of two there are: 1 to 128.
const SIZES: usize = 8;

/// Whose SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement.
pub(crate) struct Statement {
    sqlite: &'static str,
    postgres: &'static str,
    /// The types of a row's columns; empty if there is no VALUES list.
    row: &'static str,
    /// The finished texts, by number of rows.
    sqlite_texts: [OnceLock<Arc<str>>; SIZES],
    postgres_texts: [OnceLock<Arc<str>>; SIZES],
}

impl Statement {
    /// One text for both dialects.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self::of_each(text, text)
    }

    /// A text for each dialect, where they differ too much.
    pub(crate) const fn of_each(sqlite: &'static str, postgres: &'static str) -> Self {
        Self::build(sqlite, postgres, "")
    }

    /// A text with a VALUES list whose columns have the types `row`.
    pub(crate) const fn rows(row: &'static str, text: &'static str) -> Self {
        Self::build(text, text, row)
    }

    const fn build(sqlite: &'static str, postgres: &'static str, row: &'static str) -> Self {
        Self {
            sqlite,
            postgres,
            row,
            sqlite_texts: [const { OnceLock::new() }; SIZES],
            postgres_texts: [const { OnceLock::new() }; SIZES],
        }
    }

    /// The types of a row's columns.
    pub(crate) fn row(&self) -> &'static str {
        self.row
    }

    /// The finished text for `rows` rows, a power of two; 1 for a statement without a VALUES list.
    pub(crate) fn text(&self, dialect: Dialect, rows: usize) -> SqlStr {
        let size = rows.trailing_zeros() as usize;
        debug_assert!(rows.is_power_of_two() && rows <= MAX_ROWS);
        match dialect {
            Dialect::Sqlite if self.row.is_empty() => self.sqlite.into_sql_str(),
            Dialect::Sqlite => finished(&self.sqlite_texts, size, || {
                let row = format!("({})", vec!["?"; self.row.len()].join(","));
                let text = expanded(self.sqlite, &vec![row; rows].join(","), rows);
                text.replace("{whole}", " OR ROLLBACK")
            }),
            Dialect::Postgres => finished(&self.postgres_texts, size, || {
                let text = expanded(self.postgres, &typed(self.row, rows), rows);
                numbered(&text.replace("{whole}", "").replace("/*pg:", "").replace("*/", ""))
            }),
        }
    }
}

fn finished(
    texts: &[OnceLock<Arc<str>>; SIZES],
    size: usize,
    make: impl FnOnce() -> String,
) -> SqlStr {
    // A number of rows beyond the largest never occurs: scripts cut their rows.
    let text = texts
        .get(size)
        .map_or_else(|| "".into(), |text| Arc::clone(text.get_or_init(|| make().into())));
    AssertSqlSafe(text).into_sql_str()
}

/// Puts the rows in.
fn expanded(text: &str, values: &str, rows: usize) -> String {
    let new = if rows == 1 {
        // A single row is never a filling one.
        format!("VALUES {values}")
    } else {
        format!("SELECT * FROM (VALUES {values}) AS v WHERE column1 IS NOT NULL")
    };
    text.replace("{rows}", &format!("VALUES {values}")).replace("{new}", &new)
}

/// Rows of parameters for PostgreSQL: those of the first row have their types, all later rows follow.
fn typed(row: &str, rows: usize) -> String {
    let types = row.chars().map(|kind| match kind {
        'b' => "?::bytea",
        'i' => "?::bigint",
        _ => "?::text",
    });
    let first = format!("({})", types.collect::<Vec<_>>().join(","));
    let later = format!(",({})", vec!["?"; row.len()].join(","));
    first + &later.repeat(rows - 1)
}

/// Numbers the parameters.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for (number, piece) in text.split('?').enumerate() {
        if number > 0 {
            _ = write!(out, "${number}");
        }
        out.push_str(piece);
    }
    out
}

/// Declares statements and lists them as `ALL`, for the test that prepares every one.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $statement:expr;)*) => {
        $($(#[$doc])* pub(crate) static $name: $crate::statement::Statement = $statement;)*
        /// Every statement of this module.
        #[cfg(test)]
        pub(crate) static ALL: &[(&str, &$crate::statement::Statement)] =
            &[$((stringify!($name), &$name)),*];
    };
}
pub(crate) use statements;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_from_one_text() {
        static S: Statement = Statement::rows(
            "bi",
            "WITH v(a, b) AS ({rows}) SELECT c FROM t WHERE t.a = v.a AND d > ? /*pg:FOR UPDATE*/",
        );
        let sqlite = S.text(Dialect::Sqlite, 2);
        assert!(sqlite.as_str().contains("(VALUES (?,?),(?,?)) SELECT"), "{}", sqlite.as_str());
        let postgres = S.text(Dialect::Postgres, 2);
        let want = "(VALUES ($1::bytea,$2::bigint),($3,$4)) \
                    SELECT c FROM t WHERE t.a = v.a AND d > $5 FOR UPDATE";
        assert!(postgres.as_str().ends_with(want), "{}", postgres.as_str());
    }

    #[test]
    fn a_refused_row_ends_the_transaction_in_both_dialects() {
        static S: Statement = Statement::rows("i", "INSERT{whole} INTO t (a) {new}");
        let text = |dialect| S.text(dialect, 1).as_str().to_owned();
        assert_eq!(text(Dialect::Sqlite), "INSERT OR ROLLBACK INTO t (a) VALUES (?)");
        assert_eq!(text(Dialect::Postgres), "INSERT INTO t (a) VALUES ($1::bigint)");
    }

    #[test]
    fn filling_rows_are_not_inserted() {
        static S: Statement = Statement::rows("b", "INSERT INTO t (a) {new}");
        assert_eq!(S.text(Dialect::Sqlite, 1).as_str(), "INSERT INTO t (a) VALUES (?)");
        let two = "INSERT INTO t (a) SELECT * FROM (VALUES (?),(?)) AS v WHERE column1 IS NOT NULL";
        assert_eq!(S.text(Dialect::Sqlite, 2).as_str(), two);
    }
}
