//! Schema versions: brings a database up to date, and refuses one that a newer binary wrote.

use posthouse_storage::error::StoreError;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use crate::failure::unavailable;

/// Migrations for SQLite.
pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Migrations for PostgreSQL. They take an advisory lock: processes may start together.
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Applies what is missing.
///
/// By `run_direct`, since the future of `run` is not known to be `Send` for every lifetime.
pub(super) async fn run<C: Migrate>(
    migrator: &Migrator,
    connection: &mut C,
) -> Result<(), StoreError> {
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => StoreError::Newer { found, known },
        error => unavailable(error),
    })
}
