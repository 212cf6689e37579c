//! `Ledger::commit`: many submissions in one transaction, with a number of statements that does not
//! depend on how many they are.
//!
//! 1. Read what the batch names (`read`), on PostgreSQL with row locks in the order conversations,
//!    inboxes, outboxes, and sorted within each: no two committers wait for each other.
//! 2. Decide (`plan`), without a database.
//! 3. Write the decisions and commit (`write`).
//!
//! A batch of few submissions is two round trips on SQLite: the reads, and the writes with the
//! COMMIT.

use std::collections::HashMap;

use bytes::Bytes;
use posthouse_protocol::id::ServerName;
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    ledger::{Accept, Outcome},
};

use crate::{
    failure::{Failure, Tries},
    store::SqlStore,
};

pub(crate) mod load;
pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod write;

impl SqlStore {
    pub(crate) async fn accept(
        &self,
        batch: &[Accept],
        bodies: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let bodies: HashMap<BodyId, &Bytes> = bodies.iter().map(|(id, body)| (*id, body)).collect();
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_accept(batch, &bodies).await {
                Ok(outcomes) => {
                    self.counters().commit(batch.len());
                    return Ok(outcomes);
                }
                Err(failure) => tries.again(failure)?,
            }
        }
    }

    async fn try_accept(
        &self,
        batch: &[Accept],
        bodies: &HashMap<BodyId, &Bytes>,
    ) -> Result<Vec<Outcome>, Failure> {
        self.inner.servers.intern(self.db(), &self.new_servers(batch)).await?;
        let mut tx = self.db().begin().await?;
        let (known, refs) = read::known(self, &mut tx, batch).await?;
        let plan = plan::plan(known, batch);
        if plan.messages.is_empty() {
            tx.cancel().await?;
        } else {
            write::write(self, tx, &plan, batch, bodies, &refs).await?;
        }
        Ok(plan.outcomes)
    }
    fn new_servers(&self, batch: &[Accept]) -> Vec<ServerName> {
        self.inner.servers.missing(batch.iter().flat_map(|accept| {
            let destinations = accept.destinations.iter().map(|to| &to.server);
            core::iter::once(&accept.sender.server).chain(destinations)
        }))
    }
}
