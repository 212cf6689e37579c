//! Parameters of a statement, encoded for the dialect at once.

use rusqlite::types::Value;
use sqlx::{Arguments as _, Encode, Postgres, Type, error::BoxDynError, postgres::PgArguments};
use uuid::Uuid;

use crate::statement::Dialect;

/// Parameters in the order of the statement's `?`.
pub(crate) struct Args {
    pub(super) kind: ArgsKind,
    /// The first value that could not be encoded.
    pub(super) error: Option<BoxDynError>,
}

pub(super) enum ArgsKind {
    Sqlite(Vec<Value>),
    Postgres(Box<PgArguments>),
}

impl Args {
    pub(super) fn new(dialect: Dialect) -> Self {
        let kind = match dialect {
            Dialect::Sqlite => ArgsKind::Sqlite(Vec::new()),
            Dialect::Postgres => ArgsKind::Postgres(Box::default()),
        };
        Self { kind, error: None }
    }

    pub(super) fn reserve(&mut self, more: usize) {
        match &mut self.kind {
            ArgsKind::Sqlite(args) => args.reserve(more),
            ArgsKind::Postgres(args) => args.reserve(more, more * 16),
        }
    }

    fn add<'t, T>(&mut self, value: Option<T>)
    where
        T: Into<Value> + Encode<'t, Postgres> + Type<Postgres> + 't,
    {
        match &mut self.kind {
            ArgsKind::Sqlite(args) => args.push(value.map_or(Value::Null, Into::into)),
            ArgsKind::Postgres(args) => {
                if let Err(error) = args.add(value) {
                    self.error.get_or_insert(error);
                }
            }
        }
    }

    /// A number that no comparison in SQL reads as negative: one beyond the range becomes the
    /// highest.
    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A number that is only stored and read back: all 64 bits survive.
    pub(crate) fn bits(&mut self, value: Option<u64>) -> &mut Self {
        self.add(value.map(u64::cast_signed));
        self
    }

    /// An integer.
    pub(crate) fn integer(&mut self, value: i64) -> &mut Self {
        self.add(Some(value));
        self
    }

    /// An integer or NULL.
    pub(crate) fn maybe_integer(&mut self, value: Option<i64>) -> &mut Self {
        self.add(value);
        self
    }

    /// How many rows to return at most.
    pub(crate) fn limit(&mut self, value: usize) -> &mut Self {
        self.number(value as u64)
    }

    /// A row of NULLs of these types.
    pub(super) fn nulls(&mut self, row: &str) {
        for kind in row.chars() {
            match kind {
                'b' => self.add(None::<Vec<u8>>),
                'i' => self.add(None::<i64>),
                _ => self.add(None::<String>),
            }
        }
    }

    /// Bytes.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.maybe_bytes(Some(value))
    }

    /// Bytes or NULL.
    pub(crate) fn maybe_bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        self.add(value.map(<[u8]>::to_vec));
        self
    }

    /// An id.
    pub(crate) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Text.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.maybe_text(Some(value))
    }

    /// Text or NULL.
    pub(crate) fn maybe_text(&mut self, value: Option<&str>) -> &mut Self {
        self.add(value.map(str::to_owned));
        self
    }
}
