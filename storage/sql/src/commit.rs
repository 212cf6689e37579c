//! `Ledger::commit`: many submissions in one transaction, with a number of statements that does not
//! depend on how many they are.
//!
//! 1. Read what the batch names (`read`), on PostgreSQL with row locks in the order conversations,
//!    inboxes, outboxes, and sorted within each: no two committers wait for each other.
//! 2. Decide (`plan`), without a database.
//! 3. Write the decisions and commit (`write`).
//!
//! On SQLite all three are done on the connection's thread, in one hop there and back.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use posthouse_protocol::id::ServerName;
use posthouse_storage::{
    bodies::BodyId,
    error::StoreError,
    ledger::{Accept, Outcome},
};

use crate::{
    db::{Tx, Working},
    failure::{Failure, Tries},
    fanouts,
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
        // The transaction owns what it works with.
        let (batch, bodies): (Arc<[Accept]>, Arc<[_]>) = (batch.into(), bodies.into());
        let mut tries = Tries::new(self.counters());
        loop {
            match self.try_accept(&batch, &bodies).await {
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
        batch: &Arc<[Accept]>,
        bodies: &Arc<[(BodyId, Bytes)]>,
    ) -> Result<Vec<Outcome>, Failure> {
        self.inner.servers.intern(self.db(), &self.new_servers(batch)).await?;
        let (store, batch, bodies) = (self.clone(), Arc::clone(batch), Arc::clone(bodies));
        let work = |tx| -> Working<Vec<Outcome>> {
            Box::pin(async move { store.accept_in(tx, &batch, &bodies).await })
        };
        self.db().transact(work).await
    }

    async fn accept_in(
        &self,
        mut tx: Tx<'_>,
        batch: &[Accept],
        bodies: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, Failure> {
        let bodies: HashMap<BodyId, &Bytes> = bodies.iter().map(|(id, body)| (*id, body)).collect();
        let messages = batch.iter().map(|accept| {
            let is_plain = accept.part == 0 && accept.collapse.is_none() && !accept.discard;
            (accept.recipients.as_slice(), is_plain)
        });
        let mut deferral = fanouts::choose(self.db().fanouts(), messages, core::iter::empty());
        let (known, refs) = read::known(self, &mut tx, batch, &mut deferral).await?;
        let mut plan = plan::plan(known, batch);
        let waiting = deferral.take(&mut plan, |plan, entry| {
            let submission = plan.messages.get(entry.message)?.submission;
            Some((refs.get(entry.message), batch.get(submission)?.now))
        });
        if plan.messages.is_empty() {
            tx.cancel().await?;
        } else {
            write::write(self, tx, (&plan, waiting), batch, &bodies, &refs).await?;
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
