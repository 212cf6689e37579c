//! Bodies and ledger held together.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    bodies::{Bodies, BodyId},
    error::StoreError,
    ledger::{Accept, Ledger, Outcome},
    reception::{Reception, Receptions, Taken},
    retention::{Cutoffs, Trimmed},
};

/// Where messages are kept: the ledger, and the bodies beside it or in it.
#[derive(Clone)]
pub struct MessageStore {
    ledger: Arc<dyn Ledger>,
    bodies: Arc<dyn Bodies>,
    /// Whether one transaction of the ledger's database can hold the bodies as well.
    together: bool,
}

impl MessageStore {
    /// Bodies live in the ledger's own database: one transaction writes both.
    pub fn together(ledger: Arc<dyn Ledger>, bodies: Arc<dyn Bodies>) -> Self {
        Self { ledger, bodies, together: true }
    }

    /// Bodies live elsewhere: they are put first, and the ledger's transaction is the commit point.
    /// A crash in between leaves orphans, which [`Bodies::delete_before`] collects.
    pub fn apart(ledger: Arc<dyn Ledger>, bodies: Arc<dyn Bodies>) -> Self {
        Self { ledger, bodies, together: false }
    }

    /// The ledger, for everything that touches no body.
    pub fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref()
    }

    /// Accepts submissions with their bodies; see [`Ledger::commit`].
    ///
    /// # Errors
    /// [`StoreError`]: nothing of the batch was accepted.
    pub async fn commit(
        &self,
        batch: &[Accept],
        bodies: &[(BodyId, Bytes)],
    ) -> Result<Vec<Outcome>, StoreError> {
        if self.together {
            return self.ledger.commit(batch, bodies).await;
        }
        self.bodies.put(bodies).await?;
        self.ledger.commit(batch, &[]).await
    }

    /// Receives what another region sent; see [`Receptions::take`].
    ///
    /// # Errors
    /// [`StoreError`]: nothing was taken.
    pub async fn receive(
        &self,
        receptions: &dyn Receptions,
        reception: Reception<'_>,
    ) -> Result<Taken, StoreError> {
        if self.together {
            return receptions.take(&reception).await;
        }
        self.bodies.put(reception.bodies).await?;
        receptions.take(&Reception { bodies: &[], ..reception }).await
    }

    /// The bodies of `ids`, in their order; see [`Bodies::get`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bodies(&self, ids: &[BodyId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        if ids.is_empty() { Ok(Vec::new()) } else { self.bodies.get(ids).await }
    }

    /// Deletes bodies that nothing points to any more; see [`Bodies::delete`].
    ///
    /// # Errors
    /// [`StoreError`]; what is left over is collected when it is too old for anything to need it.
    pub async fn delete_bodies(&self, ids: &[BodyId]) -> Result<(), StoreError> {
        if ids.is_empty() || self.together { Ok(()) } else { self.bodies.delete(ids).await }
    }

    /// One small round of retention: trims the ledger, then deletes the bodies that nothing points
    /// to any more and those that are too old for anything to. The latter are orphans: what waits
    /// for another region, or is kept there for its grace, may be older than what an inbox keeps, but
    /// not older than what is remembered.
    ///
    /// # Errors
    /// [`StoreError`]; the next round goes on where this one stopped.
    pub async fn trim(&self, cutoffs: &Cutoffs, limit: u32) -> Result<Trimmed, StoreError> {
        let mut trimmed = self.ledger.trim(cutoffs, limit).await?;
        self.bodies.delete(&trimmed.unreferenced).await?;
        let old = self.bodies.delete_before(BodyId::floor(cutoffs.remembered), limit).await?;
        trimmed.more |= old >= u64::from(limit);
        Ok(trimmed)
    }
}
