//! Schema versions: brings a database up to date, and refuses one that a newer binary wrote.

use std::ops::Deref;

use posthouse_storage::error::StoreError;
use sqlx::{
    Acquire,
    migrate::{Migrate, MigrateError, Migrator},
};

use crate::failure::unavailable;

/// Migrations for SQLite.
pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// Migrations for PostgreSQL. They take an advisory lock: processes may start together.
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Applies what is missing.
pub(super) async fn run<'a, A>(migrator: &Migrator, target: A) -> Result<(), StoreError>
where
    A: Acquire<'a>,
    <A::Connection as Deref>::Target: Migrate,
{
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
    migrator.run(target).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => StoreError::Newer { found, known },
        error => unavailable(error),
    })
}
