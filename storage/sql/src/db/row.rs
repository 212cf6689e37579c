//! Rows, read column by column into the domain's types.

use std::fmt::Display;

use posthouse_protocol::{cursor::Cursor, time::Timestamp};
use posthouse_storage::error::StoreError;
use rusqlite::types::Value;
use sqlx::{Decode, Postgres, Row as _, Type, postgres::PgRow};
use uuid::Uuid;

/// A row of either database.
pub(crate) enum Row {
    Sqlite(Box<[Value]>),
    Postgres(PgRow),
}

impl Row {
    /// Reads the row's columns from the first on; `table` is where they come from.
    pub(crate) fn fields(&self, table: &'static str) -> Fields<'_> {
        Fields { row: self, table, next: 0 }
    }
}

/// What a column is read as.
trait Column<'r>: Decode<'r, Postgres> + Type<Postgres> {
    /// The value, if SQLite has it as that type.
    fn of(value: &'r Value) -> Option<Self>
    where
        Self: Sized;
}

impl Column<'_> for i64 {
    fn of(value: &Value) -> Option<Self> {
        if let Value::Integer(value) = value { Some(*value) } else { None }
    }
}

impl<'r> Column<'r> for &'r [u8] {
    fn of(value: &'r Value) -> Option<Self> {
        if let Value::Blob(value) = value { Some(value) } else { None }
    }
}

impl<'r> Column<'r> for &'r str {
    fn of(value: &'r Value) -> Option<Self> {
        if let Value::Text(value) = value { Some(value) } else { None }
    }
}

impl<'r, T: Column<'r>> Column<'r> for Option<T>
where
    Self: Decode<'r, Postgres> + Type<Postgres>,
{
    fn of(value: &'r Value) -> Option<Self> {
        if matches!(value, Value::Null) { Some(None) } else { T::of(value).map(Some) }
    }
}

/// A place in a row. Each read takes the next column and names it, for the error of a value that no
/// version of this program writes.
pub(crate) struct Fields<'r> {
    row: &'r Row,
    table: &'static str,
    next: usize,
}

impl<'r> Fields<'r> {
    /// The next columns come from another table.
    pub(crate) fn of(&mut self, table: &'static str) -> &mut Self {
        self.table = table;
        self
    }

    /// Passes over columns.
    pub(crate) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn read<T>(&mut self, column: &'static str) -> Result<T, StoreError>
    where
        T: Column<'r>,
    {
        let index = self.next;
        self.next += 1;
        match self.row {
            Row::Sqlite(row) => {
                let value = row.get(index).unwrap_or(&Value::Null);
                let wrong =
                    || self.corrupt(column, format_args!("a value of type {}", value.data_type()));
                T::of(value).ok_or_else(wrong)
            }
            Row::Postgres(row) => row.try_get(index).map_err(|error| self.corrupt(column, error)),
        }
    }

    /// The error that this table's column holds something wrong.
    pub(crate) fn corrupt(&self, column: &'static str, fact: impl Display) -> StoreError {
        let fact = format!("{fact}");
        StoreError::Corrupt { table: self.table, column, fact }
    }

    /// Parses with a function of the domain.
    pub(crate) fn parse<T, V, E: Display>(
        &self,
        column: &'static str,
        value: V,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        parse(value).map_err(|error| self.corrupt(column, error))
    }

    pub(crate) fn integer(&mut self, column: &'static str) -> Result<i64, StoreError> {
        self.read(column)
    }

    pub(crate) fn maybe_integer(
        &mut self,
        column: &'static str,
    ) -> Result<Option<i64>, StoreError> {
        self.read(column)
    }

    /// A number that is never negative.
    pub(crate) fn number(&mut self, column: &'static str) -> Result<u64, StoreError> {
        let value = self.integer(column)?;
        self.parse(column, value, u64::try_from)
    }

    /// A number that is never negative, or NULL.
    pub(crate) fn maybe_number(&mut self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let value = self.maybe_integer(column)?;
        value.map(|value| self.parse(column, value, u64::try_from)).transpose()
    }

    /// All 64 bits as [`super::Args::bits`] stored them.
    pub(crate) fn bits(&mut self, column: &'static str) -> Result<Option<u64>, StoreError> {
        Ok(self.maybe_integer(column)?.map(i64::cast_unsigned))
    }

    pub(crate) fn time(&mut self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.number(column).map(Timestamp)
    }

    pub(crate) fn cursor(&mut self, column: &'static str) -> Result<Cursor, StoreError> {
        self.number(column).map(Cursor)
    }

    pub(crate) fn bytes(&mut self, column: &'static str) -> Result<&'r [u8], StoreError> {
        self.read(column)
    }

    pub(crate) fn maybe_bytes(
        &mut self,
        column: &'static str,
    ) -> Result<Option<&'r [u8]>, StoreError> {
        self.read(column)
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        column: &'static str,
    ) -> Result<[u8; N], StoreError> {
        let bytes = self.bytes(column)?;
        self.parse(column, bytes, <[u8; N]>::try_from)
    }

    pub(crate) fn uuid(&mut self, column: &'static str) -> Result<Uuid, StoreError> {
        self.array(column).map(Uuid::from_bytes)
    }

    pub(crate) fn maybe_uuid(&mut self, column: &'static str) -> Result<Option<Uuid>, StoreError> {
        let bytes = self.maybe_bytes(column)?;
        bytes.map(|bytes| self.parse(column, bytes, Uuid::from_slice)).transpose()
    }

    pub(crate) fn text(&mut self, column: &'static str) -> Result<&'r str, StoreError> {
        self.read(column)
    }

    pub(crate) fn maybe_text(
        &mut self,
        column: &'static str,
    ) -> Result<Option<&'r str>, StoreError> {
        self.read(column)
    }
}
