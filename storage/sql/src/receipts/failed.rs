//! The inbox entry of a message that failed: its slot says everything.

use posthouse_protocol::{
    id::{AccountId, MessageId},
    status::FailReason,
    time::Timestamp,
};
use posthouse_storage::{error::StoreError, inbox::Failed};
use uuid::Uuid;

use crate::{db::Fields, failure::Failure, store::SqlStore};

/// First byte of such slots.
const SLOT_FAILED: u8 = b'f';

/// Length of such a slot.
const SLOT_LEN: usize = 1 + 16 + 16 + 8 + 1;

/// `'f' ‖ message id (16) ‖ recipient (16) ‖ recipient's region (8) ‖ reason (1)`. The region is 0 if
/// the message did not fail for one recipient alone; the reason is its place in
/// [`FailReason::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailedSlot {
    id: Uuid,
    recipient: Uuid,
    server: i64,
    reason: FailReason,
}

impl FailedSlot {
    /// The slot of a failure; `server` is the number of the recipient's region.
    pub(crate) fn of(failed: &Failed, server: i64) -> Self {
        let recipient = failed.user.as_ref().map_or_else(Uuid::nil, |user| user.uuid);
        let server = if failed.user.is_some() { server } else { 0 };
        Self { id: failed.id.0, recipient, server, reason: failed.reason }
    }

    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let place = FailReason::ALL.iter().position(|reason| *reason == self.reason);
        let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
        [
            &[SLOT_FAILED][..],
            self.id.as_bytes(),
            self.recipient.as_bytes(),
            &self.server.to_be_bytes(),
            &[place],
        ]
        .concat()
    }

    /// Reads what [`Self::encode`] wrote; `None` for the slot of something else.
    pub(crate) fn parse(fields: &Fields<'_>, slot: &[u8]) -> Result<Option<Self>, StoreError> {
        if slot.first() != Some(&SLOT_FAILED) {
            return Ok(None);
        }
        let wrong = || fields.corrupt("slot", "not the slot of a failure");
        let slot: &[u8; SLOT_LEN] = slot.try_into().map_err(|_| wrong())?;
        let (_, rest) = slot.split_first_chunk::<1>().ok_or_else(wrong)?;
        let (id, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (recipient, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let (server, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let place = rest.first().copied().map_or(usize::MAX, usize::from);
        Ok(Some(Self {
            id: Uuid::from_bytes(*id),
            recipient: Uuid::from_bytes(*recipient),
            server: i64::from_be_bytes(*server),
            // A newer version's, perhaps.
            reason: FailReason::ALL.get(place).copied().unwrap_or(FailReason::Other),
        }))
    }

    /// The failure, with the name of the recipient's region.
    pub(crate) async fn resolve(self, store: &SqlStore, at: Timestamp) -> Result<Failed, Failure> {
        let user = if self.server == 0 {
            None
        } else {
            let server = store.inner.servers.name(store.db(), self.server).await?;
            Some(AccountId { uuid: self.recipient, server })
        };
        Ok(Failed { id: MessageId(self.id), user, reason: self.reason, at })
    }
}
