//! Statements: written once, for both dialects.
//!
//! * `?` is a parameter. PostgreSQL's `$1`, `$2`, … are made from it.
//! * `{rows}` stands for the rows of a VALUES list, whose columns' types are given by letters: `b`
//!   bytes, `i` integer, `t` text. The number of rows is always a power of two up to [`MAX_ROWS`],
//!   so that there are few texts and the connections' caches hold all of them prepared.
//! * `/*pg: …*/` is a comment for SQLite and text for PostgreSQL: row locks, which SQLite does not
//!   need since it has one writer.

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

    /// How many parameters a row has.
    pub(crate) fn width(&self) -> usize {
        self.row.len()
    }

    /// The finished text for `rows` rows, a power of two; 1 for a statement without a VALUES list.
    pub(crate) fn text(&self, dialect: Dialect, rows: usize) -> SqlStr {
        let size = rows.trailing_zeros() as usize;
        debug_assert!(rows.is_power_of_two() && rows <= MAX_ROWS);
        match dialect {
            Dialect::Sqlite if self.row.is_empty() => self.sqlite.into_sql_str(),
            Dialect::Sqlite => finished(&self.sqlite_texts, size, || {
                let row = format!("({})", vec!["?"; self.row.len()].join(","));
                self.sqlite.replace("{rows}", &vec![row; rows].join(","))
            }),
            Dialect::Postgres => {
                finished(&self.postgres_texts, size, || postgres(self.postgres, self.row, rows))
            }
        }
    }
}

fn finished(
    texts: &[OnceLock<Arc<str>>; SIZES],
    size: usize,
    make: impl FnOnce() -> String,
) -> SqlStr {
    // A number of rows beyond the largest never occurs: callers cut their rows with `chunks`.
    let text = texts
        .get(size)
        .map_or_else(|| "".into(), |text| Arc::clone(text.get_or_init(|| make().into())));
    AssertSqlSafe(text).into_sql_str()
}

/// Numbers the parameters, and gives those of the first row of a VALUES list their types: all later
/// rows follow it.
fn postgres(text: &str, row: &str, rows: usize) -> String {
    let text = text.replace("/*pg:", "").replace("*/", "");
    let mut out = String::with_capacity(text.len() + rows * row.len() * 6);
    let mut number = 0;
    let mut parameter = |out: &mut String| {
        number += 1;
        out.push('$');
        out.push_str(&number.to_string());
    };
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['?', '{']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("{rows}") {
            for n in 0..rows {
                out.push_str(if n == 0 { "(" } else { ",(" });
                for (column, kind) in row.chars().enumerate() {
                    if column > 0 {
                        out.push(',');
                    }
                    parameter(&mut out);
                    if n == 0 {
                        out.push_str(match kind {
                            'b' => "::bytea",
                            'i' => "::bigint",
                            _ => "::text",
                        });
                    }
                }
                out.push(')');
            }
            rest = after;
        } else {
            parameter(&mut out);
            rest = from.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// Cuts `len` rows into ranges whose lengths are powers of two, at most [`MAX_ROWS`].
pub(crate) fn chunks(len: usize) -> impl Iterator<Item = core::ops::Range<usize>> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let left = (len - from).min(MAX_ROWS);
        let size = 1 << left.checked_ilog2()?;
        from += size;
        Some(from - size..from)
    })
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
            "WITH v(a, b) AS (VALUES {rows}) SELECT c FROM t WHERE t.a = v.a AND d > ? /*pg:FOR UPDATE*/",
        );
        let sqlite = S.text(Dialect::Sqlite, 2);
        assert!(sqlite.as_str().contains("VALUES (?,?),(?,?)) SELECT"), "{}", sqlite.as_str());
        let postgres = S.text(Dialect::Postgres, 2);
        let want = "VALUES ($1::bytea,$2::bigint),($3,$4)) SELECT c FROM t WHERE t.a = v.a AND d > $5 FOR UPDATE";
        assert!(postgres.as_str().ends_with(want), "{}", postgres.as_str());
    }

    #[test]
    fn chunks_cover_everything_once() {
        for len in 0..1_000 {
            let mut next = 0;
            for chunk in chunks(len) {
                assert_eq!(chunk.start, next);
                assert!(chunk.len().is_power_of_two() && chunk.len() <= MAX_ROWS);
                next = chunk.end;
            }
            assert_eq!(next, len);
        }
    }
}
