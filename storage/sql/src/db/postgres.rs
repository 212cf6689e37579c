//! PostgreSQL: a pool of connections. Commits are durable as long as the server's `fsync` and
//! `synchronous_commit` are on, which they are unless somebody turned them off.

use std::str::FromStr;

use futures_util::TryStreamExt;
use posthouse_storage::error::StoreError;
use sqlx::{
    ConnectOptions, Connection, Either, Executor, PgConnection, PgPool, Postgres as Driver,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    Row, Script,
    args::ArgsKind,
    migrate,
    script::{Answer, Answers, Segment},
};
use crate::failure::{Failure, unavailable};

/// Connections, at most: a few for commits and trimming, the rest for readers.
const CONNECTIONS: u32 = 16;

/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 512;

/// How long a caller waits for a connection before it is told that the database is not available.
const ACQUIRE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// An open PostgreSQL database.
pub(super) struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(unavailable)?
            .statement_cache_capacity(STATEMENT_CACHE)
            .application_name("posthouse")
            .disable_statement_logging();
        // One connection by itself comes first: a pool does not tell why it has none.
        let first = timeout(ACQUIRE_TIMEOUT, options.connect()).await.map_err(unavailable)?;
        let mut first = first.map_err(unavailable)?;
        migrate::run(&migrate::POSTGRES, &mut first).await?;
        first.close().await.map_err(unavailable)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(unavailable)?;
        Ok(Self { pool })
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn run(&self, script: Script) -> Result<Answers, Failure> {
        let mut connection = self.pool.acquire().await?;
        run(&mut connection, script).await
    }

    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Driver>, Failure> {
        Ok(self.pool.begin().await?)
    }
}

/// Runs a script on one connection.
pub(super) async fn run(connection: &mut PgConnection, script: Script) -> Result<Answers, Failure> {
    let mut answers = Vec::new();
    for segment in script.segments() {
        let Segment::Statement { text, args } = segment else { return Err(foreign()) };
        if let Some(error) = args.error {
            return Err(sqlx::Error::Encode(error).into());
        }
        let ArgsKind::Postgres(args) = args.kind else { return Err(foreign()) };
        let mut steps = connection.fetch_many(sqlx::query_with(text, *args));
        let mut answer = Answer::default();
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Right(row) => answer.rows.push(Row::Postgres(row)),
                Either::Left(done) => {
                    answer.changed = done.rows_affected();
                    answers.push(core::mem::take(&mut answer));
                }
            }
        }
    }
    Ok(Answers(answers))
}

fn foreign() -> Failure {
    sqlx::Error::Protocol("a script of the other dialect".into()).into()
}
