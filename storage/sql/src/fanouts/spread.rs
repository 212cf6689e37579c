//! Writes what waits, in the background.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use uuid::Uuid;

use super::{Fanouts, MANY_WAITING};
use crate::{
    failure::Failure,
    store::{Inner, SqlStore},
};

/// How long entries wait for others of their inbox, unless there are many.
const DELAY: Duration = Duration::from_secs(3);

/// How much one transaction writes, so that others do not wait long for it; an entry counts as one.
const PIECE: usize = 1_250;

/// What an inbox counts for besides: its page in the log, and its head's.
const INBOX: usize = 6;

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
        match (SqlStore { inner }).spread(&fanouts).await {
            // More came meanwhile than was written.
            Ok(()) if fanouts.waiting() > MANY_WAITING => fanouts.urgent.notify_one(),
            Ok(()) => {}
            // Who closes the store writes the rest.
            Err(_) if fanouts.index().closed => return,
            // They are durable as they are; the next round tries again.
            Err(failure) => tracing::warn!(?failure, "entries of inboxes were not written"),
        }
        if fanouts.waiting() > 0 {
            fanouts.waits.notify_one();
        }
    }
}

impl SqlStore {
    /// Writes what waits now. A piece that fails keeps no other from being written; the first failure is
    /// returned.
    pub(crate) async fn spread(&self, fanouts: &Fanouts) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for piece in fanouts.pieces() {
            let written = self.spread_piece(&piece).await;
            outcome = outcome.and(written);
        }
        outcome
    }

    async fn spread_piece(&self, inboxes: &[Uuid]) -> Result<(), Failure> {
        let mut tx = self.db().begin().await?;
        let mut script = tx.script();
        script.settle_known(inboxes);
        tx.finish(script).await?;
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
        let (mut pieces, mut size) = (Vec::<Vec<Uuid>>::new(), 0);
        for (account, waiting) in inboxes {
            let more = waiting + INBOX;
            match pieces.last_mut() {
                Some(piece) if size + more <= PIECE => {
                    piece.push(account);
                    size += more;
                }
                _ => {
                    pieces.push(vec![account]);
                    size = more;
                }
            }
        }
        pieces
    }
}
