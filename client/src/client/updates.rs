//! What the application is told, in order, until it has taken it.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::{mpsc, watch};

use super::wish_for;
use crate::{
    access::Access,
    engine::{Command, Ends},
    machine::Wish,
    records::{key_number, number_key},
    store::{Scan, Table, decode},
    update::Update,
};

/// Durable updates that are read ahead.
const AHEAD: usize = 64;

/// The updates of a device, for one reader.
#[derive(Debug)]
pub struct Updates {
    access: Shared,
    commands: mpsc::Sender<Command>,
    passing: mpsc::Receiver<Update>,
    newest: watch::Receiver<u64>,
    ahead: VecDeque<(u64, Update)>,
    /// The last one that was handed out.
    handed: u64,
    /// The last one that the store knows to be taken.
    taken: u64,
}

struct Shared(Arc<Access>);

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Access(..)")
    }
}

/// An update with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Numbers rise and stay: an update that is handed out again after a crash has the number
    /// that it had. `None` for what holds for the moment only.
    pub number: Option<u64>,
    /// The update.
    pub update: Update,
}

impl Updates {
    pub(super) fn new(access: Arc<Access>, ends: Ends) -> Self {
        let Ends { commands, passing, newest } = ends;
        let access = Shared(access);
        Self { access, commands, passing, newest, ahead: VecDeque::new(), handed: 0, taken: 0 }
    }

    /// The next update; `None` once the client has stopped.
    ///
    /// Asking for the next one says that the one before is dealt with: that is durable when this
    /// returns. So after a crash at most the update that was being dealt with is handed out again.
    /// Who must not deal with it twice uses [`Updates::next_numbered`].
    ///
    /// Cancel-safe: an update that was not returned comes again.
    pub async fn next(&mut self) -> Option<Update> {
        if self.handed > self.taken {
            let handed = self.handed;
            // A client that has stopped has last words all the same.
            if wish_for(&self.commands, Wish::Taken(handed)).await.is_ok() {
                self.taken = handed;
            }
        }
        self.next_numbered().await.map(|numbered| numbered.update)
    }

    /// The next update with its number, without saying anything of the one before: that is what
    /// [`Updates::taken`] is for.
    ///
    /// An application that writes the number down together with what it makes of the update, and
    /// passes over numbers that it has, deals with each exactly once, whatever crashes.
    ///
    /// Cancel-safe.
    pub async fn next_numbered(&mut self) -> Option<Numbered> {
        loop {
            if let Some((number, update)) = self.ahead.pop_front() {
                self.handed = number;
                return Some(Numbered { number: Some(number), update });
            }
            // What the store has is told before what holds for the moment.
            self.newest.borrow_and_update();
            self.read_ahead().await?;
            if !self.ahead.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.newest.changed() => if changed.is_err() {
                    // The engine has stopped; its last words may still be there.
                    let update = self.passing.try_recv().ok()?;
                    return Some(Numbered { number: None, update });
                },
                passing = self.passing.recv() => {
                    if let Some(update) = passing {
                        return Some(Numbered { number: None, update });
                    }
                    self.newest.changed().await.ok()?;
                }
            }
        }
    }

    /// All updates up to this number are dealt with and will not come again.
    ///
    /// # Errors
    /// [`ClientError::Stopped`](crate::ClientError::Stopped).
    pub async fn taken(&mut self, through: u64) -> Result<(), crate::ClientError> {
        wish_for(&self.commands, Wish::Taken(through)).await?;
        self.taken = self.taken.max(through);
        Ok(())
    }

    /// Ends the device in good order: when this returns, what was handed to the connection is out
    /// and the connection is closed. For programs that end; everything is in the store anyhow. It
    /// waits for further clones of the client to be dropped.
    pub async fn close(self, client: super::Client) {
        let Self { commands, mut passing, .. } = self;
        drop((client, commands));
        // The engine's last act is to let go of its end.
        while passing.recv().await.is_some() {}
    }

    async fn read_ahead(&mut self) -> Option<()> {
        let scan =
            Scan { from: number_key(self.handed + 1), ..Scan::prefix(Table::Updates, &[], AHEAD) };
        for (key, value) in self.access.0.store.scan(&scan).await.ok()? {
            let number = key_number(&key);
            match decode(Table::Updates, &value) {
                Ok(update) => self.ahead.push_back((number, update)),
                // Of a later version of the SDK.
                Err(_) => self.handed = number,
            }
        }
        Some(())
    }
}
