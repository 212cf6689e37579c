//! Messages that disappear: some seconds after they were read; those of this account, after they
//! were sent.

use posthouse_protocol::{
    id::{AccountId, MessageId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::{
    records::{key_number, marks_prefix, message_key},
    store::{Scan, StoreError, Table, Tx, decode},
    update::{Change, Entry, Said, Update},
};

/// Messages that disappear in one step.
const AT_ONCE: usize = 256;

/// A message that disappears.
#[derive(Serialize, Deserialize)]
pub(super) struct Expiring {
    pub(super) from: AccountId,
    pub(super) id: MessageId,
}

/// When the next message disappears.
pub(super) async fn next(tx: &Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    let first = tx.scan(&Scan::prefix(Table::Expiry, &[], 1)).await?;
    Ok(first.first().map(|(key, _)| time_of(key)))
}

impl Step<'_> {
    /// The time of a message runs from now.
    pub(super) fn start_expiry(&mut self, entry: &Entry) {
        let Some(seconds) = entry.expires_after else { return };
        self.expire_at(entry, self.now.plus_millis(u64::from(seconds) * 1000));
    }

    /// A message disappears then.
    pub(super) fn expire_at(&mut self, entry: &Entry, at: Timestamp) {
        let mut key = at.0.to_be_bytes().to_vec();
        key.extend_from_slice(&message_key(&entry.from, entry.id));
        let expiring = Expiring { from: entry.from.clone(), id: entry.id };
        self.tx.write(Table::Expiry, key, &expiring);
        let next = &mut self.machine.next_expiry;
        *next = Some(next.map_or(at, |next| next.min(at)));
    }

    /// Takes away what is due.
    pub(super) async fn expire(&mut self) -> Result<(), StoreError> {
        if self.machine.next_expiry.is_none_or(|next| next > self.now) {
            return Ok(());
        }
        let scan = Scan {
            to: self.now.0.saturating_add(1).to_be_bytes().to_vec(),
            ..Scan::prefix(Table::Expiry, &[], AT_ONCE)
        };
        for (key, value) in self.tx.scan(&scan).await? {
            self.tx.delete(Table::Expiry, key);
            let Expiring { from, id } = decode(Table::Expiry, &value)?;
            let Some((key, mut entry)) = self.entry(&from, id).await? else { continue };
            if entry.said == Said::Gone {
                continue;
            }
            entry.said = Said::Gone;
            entry.reactions.clear();
            entry.mentions.clear();
            self.tx.write(Table::Timeline, key, &entry);
            self.tx.delete(Table::Sent, id.0.as_bytes().to_vec());
            let marks = Scan::prefix(Table::Marks, &marks_prefix(entry.conversation, id), AT_ONCE);
            for (key, _) in self.tx.scan(&marks).await? {
                self.tx.delete(Table::Marks, key);
            }
            let (with, by) = (entry.with, entry.from.clone());
            let (from, change) = (Some(entry.from), Change::Expired);
            self.tell(&Update::Changed { id, from, with, by, change });
        }
        self.machine.next_expiry = next(&self.tx).await?;
        Ok(())
    }
}

fn time_of(key: &[u8]) -> Timestamp {
    Timestamp(key.get(..8).map_or(0, key_number))
}
