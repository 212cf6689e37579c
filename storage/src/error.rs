//! Why the store could not do something.

/// A failure of the store. A refusal that the domain knows (a handle that is taken) is no error but
/// an outcome of its method.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database holds something that no version of this program writes.
    #[error("the database is damaged: table {table}, column {column}: {fact}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with the value, without the value.
        fact: String,
    },
    /// The lease under which the caller writes is no longer its own.
    #[error("the lease {name:?} has passed to another process")]
    Fenced {
        /// The lease.
        name: String,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database has schema version {found}, this binary knows up to {known}: run a newer binary"
    )]
    Newer {
        /// The version in the database.
        found: i64,
        /// The newest version this binary knows.
        known: i64,
    },
    /// The database cannot be reached, is locked or full: nothing was written; worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
