//! Writes what waits, in the background.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use uuid::Uuid;

use super::Fanouts;
use crate::{
    failure::Failure,
    store::{Inner, SqlStore},
};

/// How long entries wait for others of their inbox, unless there are many.
const DELAY: Duration = Duration::from_secs(10);

/// Entries of one transaction, so that others do not wait long for it.
const PIECE: usize = 1_000;

/// Writes what waits, piece by piece, until the store is closed or dropped.
pub(crate) async fn keep_spreading(fanouts: Arc<Fanouts>, inner: Weak<Inner>) {
    loop {
        fanouts.waits.notified().await;
        tokio::select! {
            () = tokio::time::sleep(DELAY) => {}
            () = fanouts.urgent.notified() => {}
        }
        if fanouts.index().closed {
            return;
        }
        let Some(inner) = inner.upgrade() else { return };
        if let Err(failure) = (SqlStore { inner }).spread(&fanouts).await {
            // It is durable as it is; the next round tries again.
            tracing::warn!(?failure, "entries of inboxes were not written");
        }
        if fanouts.waiting() > 0 {
            fanouts.waits.notify_one();
        }
    }
}

impl SqlStore {
    /// Writes what waits now.
    pub(crate) async fn spread(&self, fanouts: &Fanouts) -> Result<(), Failure> {
        for piece in fanouts.pieces() {
            let mut tx = self.db().begin().await?;
            let mut script = tx.script();
            script.settle_known(&piece);
            tx.finish(script).await?;
        }
        Ok(())
    }
}

impl Fanouts {
    /// The inboxes in which something waits, in the order of the database's pages, cut into pieces.
    fn pieces(&self) -> Vec<Vec<Uuid>> {
        let index = self.index();
        let tails = index.tails.iter().filter(|(_, tail)| !tail.waiting.is_empty());
        let mut inboxes: Vec<(Uuid, usize)> =
            tails.map(|(account, tail)| (*account, tail.waiting.len())).collect();
        drop(index);
        inboxes.sort_unstable();
        let (mut pieces, mut entries) = (Vec::<Vec<Uuid>>::new(), PIECE);
        for (account, waiting) in inboxes {
            match pieces.last_mut() {
                Some(piece) if entries + waiting <= PIECE => {
                    piece.push(account);
                    entries += waiting;
                }
                _ => {
                    pieces.push(vec![account]);
                    entries = waiting;
                }
            }
        }
        pieces
    }
}
